/* SPDX-License-Identifier: Apache-2.0 */
/* Which token follows, from the logits of one position. Everything is computed in double on the host, and the random
 * numbers depend on seed, text and step alone: a text does not depend on the batch that it was computed in, nor on the
 * device as far as the logits agree. */
#ifndef FIRN_INFER_SAMPLE_H
#define FIRN_INFER_SAMPLE_H

#include "firn/status.h"

#include <stdint.h>

struct firn_sampling {
    double temperature;        /* divides the logits; 0: the best token is taken */
    int64_t top_k;             /* the best so many tokens; 0: all */
    double top_p;              /* the fewest best tokens whose probabilities reach it (Holtzman et al. 2020); 1: all */
    double repetition_penalty; /* of tokens seen before (Keskar et al. 2019, sec. 4.1); 1: none */
    uint64_t seed;
};

/* Room for the scores of a vocabulary. */
struct firn_sampler {
    int64_t vocabulary;
    double *score;
    int32_t *order;
};
firn_status firn_sampler_init(struct firn_sampler *s, int64_t vocabulary, struct firn_error *err);
void firn_sampler_finish(struct firn_sampler *s);

/* seen [vocabulary]: not 0 for tokens of the text so far. `text` and `step` number the draw. Returns -1 where a logit is
 * not a number or none is finite. */
int32_t firn_sample(struct firn_sampler *s, const struct firn_sampling *how, const float *logits, const uint8_t *seen,
                    uint32_t text, uint32_t step);

#endif
