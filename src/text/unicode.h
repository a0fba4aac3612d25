/* SPDX-License-Identifier: Apache-2.0 */
/* What tokenizers ask about a code point. Every answer is that of the reference library (Hugging
 * Face tokenizers), whatever version of Unicode the libraries of this machine have. */
#ifndef FIRN_TEXT_UNICODE_H
#define FIRN_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_code_range {
    uint32_t first, last;
};
struct firn_late_range {
    uint32_t first, last;
    char category[3];
};

bool firn_is_space(uint32_t c);           /* White_Space */
bool firn_is_control(uint32_t c);         /* Cc, Cf and Co of Unicode 8, without tab, LF and CR */
bool firn_is_chinese(uint32_t c);         /* the CJK ideographs that BERT puts spaces around */
bool firn_is_punctuation(uint32_t c);     /* P of Unicode 8 and all of ASCII's */
bool firn_is_nonspacing_mark(uint32_t c); /* Mn of Unicode 8 */
bool firn_is_combining_mark(uint32_t c);  /* M of Unicode 9 */
bool firn_is_numeric(uint32_t c);         /* N */
bool firn_is_word(uint32_t c);            /* \w of UTS 18: Alphabetic, M, Nd, Pc, joiners */

/* Writes the lower case of c (1 or 2 code points) and returns how many. */
unsigned firn_lower(uint32_t c, uint32_t out[2]);

/* Unicode 9 normalization: the full (compatibility) decomposition of c, at most 18 code points. */
#define FIRN_DECOMPOSED_MAX 18
unsigned firn_decompose(uint32_t c, bool compatibility, uint32_t out[FIRN_DECOMPOSED_MAX]);
unsigned firn_combining_class(uint32_t c);
uint32_t firn_compose(uint32_t a, uint32_t b); /* 0 when the pair has no composite */

/* The category of a code point that Unicode 15 or later brought, else NULL. */
const char *firn_late_category(uint32_t c);
/* The range after `at` (NULL: the first) whose category starts with `category`, or NULL. */
const struct firn_late_range *firn_late_next(const struct firn_late_range *at,
                                             const char *category);

#endif
