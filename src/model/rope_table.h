/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary angles as a table for firn_rope: row p holds cos (dim / 2) then sin (dim / 2) of position p. */
#ifndef FIRN_MODEL_ROPE_TABLE_H
#define FIRN_MODEL_ROPE_TABLE_H

#include "base/json.h"

enum firn_rope_kind { FIRN_ROPE_DEFAULT, FIRN_ROPE_LINEAR, FIRN_ROPE_DYNAMIC, FIRN_ROPE_LLAMA3, FIRN_ROPE_YARN };

/* Frequencies of a model, read and checked. Zeroed: none. */
struct firn_rope {
    enum firn_rope_kind kind;
    double theta;                  /* base of the frequencies */
    double factor;                 /* how many times longer than trained for */
    double low_freq, high_freq;    /* llama3 */
    double original;               /* llama3, yarn, dynamic: positions of the first training */
    double beta_fast, beta_slow;   /* yarn */
    bool truncate;                 /* yarn */
    double gain;                   /* of cos and sin; yarn's attention factor, else 1 */
    int n_factors;                 /* GGUF files: frequency i is divided by factors[i]; 0: there are none */
    float factors[128];
};

/* Reads either spelling: rope_theta with rope_scaling {type or rope_type, ...}, or rope_parameters {rope_type, rope_theta,
 * ...}; trees may be NULL. Unknown kinds and missing or impossible values are errors. */
firn_status firn_rope_read(struct firn_rope *rope, double theta, const json_t *scaling, const json_t *parameters,
                           int64_t max_positions, const char *path, struct firn_error *err);
/* The longest sequence that a model with this rope takes. */
int64_t firn_rope_limit(const struct firn_rope *rope, int64_t max_positions);
/* table [positions, dim], dim even; `positions` is the length of the sequences too (dynamic scaling). */
void firn_rope_fill(float *table, int64_t positions, int64_t dim, const struct firn_rope *rope);
/* The same for tokens that are added one by one: row p is that of a sequence of p + 1 tokens. */
void firn_rope_fill_growing(float *table, int64_t positions, int64_t dim, const struct firn_rope *rope);

#endif
