/* SPDX-License-Identifier: Apache-2.0 */
/* DoRA (Liu et al. 2024, eq. 5): m (W + s B A) / ||W + s B A||, the norm of each output row (of a table: of each column)
 * a constant of the backward pass. */
#ifndef FIRN_PEFT_DORA_H
#define FIRN_PEFT_DORA_H

#include "model/model.h"

/* A layer's low-rank update: values of the graph, B already there. */
struct firn_dora {
    firn_val A, B;   /* linear: [r, in], [out, r]; tables: [V, r], [d, r] */
    firn_val A0, B0; /* the factors' first values where W stands for W - s B0 A0 (PiSSA); empty: it does not */
    double scale, dropout;
};
/* y - s x A0t B0t: the base without the part that the factors start as. */
firn_val firn_without_first(struct firn_build *b, firn_val A0, firn_val B0, double scale, firn_val x, firn_val y);
/* `y` is the base's output, bias included, and less the first factors' part. */
firn_val firn_dora_linear(struct firn_build *b, const struct firn_site *s, const struct firn_dora *d, firn_val x,
                          firn_val y);
/* `y` is the base's row, `update` what the factors add to it. */
firn_val firn_dora_embed(struct firn_build *b, const struct firn_site *s, const struct firn_dora *d, firn_val y,
                         firn_val update);
/* w [rows, cols], the update already added: norms of its rows (of_columns: columns) -> norms. */
void firn_dora_norms(const float *w, int64_t rows, int64_t cols, bool of_columns, float *norms);
/* The same w *= m / norms; m [rows or cols]. */
bool firn_dora_merge(const float *m, int64_t rows, int64_t cols, bool of_columns, float *w);

#endif
