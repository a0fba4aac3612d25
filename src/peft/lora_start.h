/* SPDX-License-Identifier: Apache-2.0 */
/* Where LoRA's factors start, beyond what a name and a seed tell: from the weight's own parts (PiSSA, Meng et al. 2024;
 * OLoRA, Buyukakyuz 2024), or orthogonal. */
#ifndef FIRN_PEFT_LORA_START_H
#define FIRN_PEFT_LORA_START_H

#include "peft/wrap.h"

enum firn_lora_start {
    FIRN_START_TRUE,     /* A uniform, B zero */
    FIRN_START_GAUSSIAN, /* A normal, B zero */
    FIRN_START_FALSE,    /* both uniform: for tests */
    FIRN_START_PISSA,    /* the largest singular triplets */
    FIRN_START_OLORA,    /* the first columns of Q and rows of R */
    FIRN_START_ORTHOGONAL,
    FIRN_START_LOFTQ,    /* the largest triplets of what quantising loses */
};

/* `init_lora_weights` as PEFT spells it; n_iter: of PiSSA's subspace iteration, -1: all singular values. */
firn_status firn_lora_start_read(const json_t *value, enum firn_lora_start *start, int *n_iter, const char *file,
                                 struct firn_error *err);
/* The factors A [r, in] and B [out, r] of the matrix w [out, in]; PISSA, OLORA and ORTHOGONAL only. */
firn_status firn_lora_start(enum firn_lora_start start, int n_iter, const float *w, int64_t n_out, int64_t n_in,
                            int64_t r, double scale, uint64_t seed, const char *path, float *A, float *B,
                            struct firn_error *err);

/* Training a LoRA of a higher rank than a weight has is a slip: the error names the first such layer. (Files may hold one.) */
firn_status firn_lora_check_ranks(const struct firn_param_set *params, const char *file, struct firn_error *err);
/* LoftQ (Li et al. 2023, alg. 1): n_iter times q = quantised(w - B A) as `dtype`, and B A the best approximation of rank r of
 * w - q. `base` [n_out, n_in] (NULL: not wanted) gets what the last q was made of. */
firn_status firn_lora_start_loftq(enum firn_dtype dtype, int n_iter, const float *w, int64_t n_out, int64_t n_in, int64_t r,
                                  const char *path, float *A, float *B, float *base, struct firn_error *err);
/* loftq_config: bits and iterations; nothing is set: 4 and 1. */
firn_status firn_loftq_config_read(const json_t *config, int64_t *bits, int64_t *n_iter, const char *file,
                                   struct firn_error *err);

#endif
