/* SPDX-License-Identifier: Apache-2.0 */
/* The mathematics of DoRA; lora.c has its settings and factors. W + s B A is never formed: see over_norm. */
#include "peft/dora.h"

#include "peft/wrap.h"

#include <math.h>
#include <stdlib.h>

static firn_val magnitude(struct firn_build *b, const struct firn_site *s)
{
    char name[600];
    return firn_trained(b, firn_wrap_name(s->path, "lora_magnitude_vector", name, sizeof name), firn_dims(s->n_out),
                        FIRN_INIT_ONE, 0);
}

/* m / ||W + s B A||: with t = 2 s A Wt and G = A At it takes p = t + s^2 G Bt, [r, out]. */
/* With A0 and B0 the sum W + s B A - s B0 A0 is one of twice the rank: [A; A0] and [B, -B0]. */
static struct firn_dora joined(struct firn_build *b, const struct firn_dora *d)
{
    struct firn_dora all = *d;
    if (!firn_is_value(d->A0))
        return all;
    all.A = firn_concat(b->g, d->A, d->A0, 1);
    all.B = firn_pair_columns(b->g, d->B, firn_scale(b->g, d->B0, -1));
    return all;
}

static firn_val factor(struct firn_build *b, const struct firn_site *s, const struct firn_dora *one)
{
    const struct firn_dora both = joined(b, one), *d = &both;
    const bool is_table = s->kind == FIRN_SITE_EMBEDDING;
    const bool of_columns = is_table || s->is_conv1d;
    const float scale = (float) d->scale;
    const firn_val squares = firn_squares_leaf(b, FIRN_STR("%s.weight", s->path), of_columns, s->n_out);
    const firn_val t = firn_matmul(b->g, d->A, s->weight,
                                   firn_matmul_params(.trans_a = is_table, .trans_b = !of_columns, .alpha = 2 * scale));
    const firn_val gram = firn_matmul(b->g, d->A, d->A, firn_matmul_params(.trans_a = is_table, .trans_b = !is_table));
    const firn_val p = firn_matmul(b->g, gram, d->B, firn_matmul_params(.trans_b = true, .alpha = scale * scale,
                                                                        .residual = t));
    return firn_over_norm(b->g, magnitude(b, s), squares, p, d->B);
}

firn_val firn_without_first(struct firn_build *b, firn_val A0, firn_val B0, double scale, firn_val x, firn_val y)
{
    const firn_val u = firn_matmul(b->g, x, A0, firn_matmul_params(.trans_b = true, .alpha = (float) -scale));
    return firn_add(b->g, y, firn_matmul(b->g, u, B0, firn_matmul_params(.trans_b = true)));
}

/* (W x + s B A x) m / c + bias. With dropout PEFT drops the input of the scaled part, but not that of the base:
 * base(x) + (m / c - 1) W drop(x) + m / c s B A drop(x). */
firn_val firn_dora_linear(struct firn_build *b, const struct firn_site *s, const struct firn_dora *d, firn_val x,
                          firn_val y)
{
    const firn_val dropped = firn_drop(b, x, d->dropout);
    const bool drops = dropped.id != x.id;
    firn_val base = firn_matmul(b->g, dropped, s->weight, firn_matmul_params(.trans_b = !s->is_conv1d));
    if (firn_is_value(d->A0))
        base = firn_without_first(b, d->A0, d->B0, d->scale, dropped, base);
    const firn_val u = firn_matmul(b->g, dropped, d->A, firn_matmul_params(.trans_b = true, .alpha = (float) d->scale));
    const firn_val all = firn_add(b->g, base, firn_matmul(b->g, u, d->B, firn_matmul_params(.trans_b = true)));
    const firn_val scaled = firn_mul_row(b->g, all, factor(b, s, d));
    if (drops)
        return firn_add(b->g, y, firn_add(b->g, scaled, firn_scale(b->g, base, -1)));
    return firn_is_value(s->bias) ? firn_add_row(b->g, scaled, s->bias) : scaled;
}

firn_val firn_dora_embed(struct firn_build *b, const struct firn_site *s, const struct firn_dora *d, firn_val y,
                         firn_val update)
{
    return firn_mul_row(b->g, firn_add(b->g, y, update), factor(b, s, d));
}

void firn_dora_norms(const float *w, int64_t rows, int64_t cols, bool of_columns, float *norms)
{
    for (int64_t n = 0; n < (of_columns ? cols : rows); n++) {
        double sum = 0;
        for (int64_t k = 0; k < (of_columns ? rows : cols); k++) {
            const double x = (double) (of_columns ? w[k * cols + n] : w[n * cols + k]);
            sum += x * x;
        }
        norms[n] = (float) sqrt(sum);
    }
}

bool firn_dora_merge(const float *m, int64_t rows, int64_t cols, bool of_columns, float *w)
{
    float *norms = malloc(sizeof *norms * (size_t) ((of_columns ? cols : rows) + 1));
    if (norms == NULL)
        return false;
    firn_dora_norms(w, rows, cols, of_columns, norms);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const int64_t n = of_columns ? j : i;
            w[i * cols + j] *= norms[n] > 0 ? m[n] / norms[n] : 0;
        }
    free(norms);
    return true;
}
