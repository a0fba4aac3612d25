/* SPDX-License-Identifier: Apache-2.0 */
/* The output product and cross entropy in chunks of rows, so that the logits of all rows never exist; the
 * gradients are computed on the way (builder only: it emits products and cross entropies). */
#include "ops/ops.h"

enum { CHUNK_BYTES = 32 << 20, MAX_CHUNKS = 64 };
/* Chunks start at multiples of 256 bytes of labels and losses: a Vulkan device may ask for that of a binding. */
enum { STEP_ROWS = 64 };

static int64_t chunk_rows(int64_t rows, int64_t vocabulary, int64_t wanted)
{
    int64_t n = wanted > 0 ? wanted : CHUNK_BYTES / (4 * (vocabulary > 0 ? vocabulary : 1));
    if (n < (rows + MAX_CHUNKS - 1) / MAX_CHUNKS)
        n = (rows + MAX_CHUNKS - 1) / MAX_CHUNKS;
    if (n >= rows)
        return rows > 0 ? rows : 1;
    return (n + STEP_ROWS - 1) / STEP_ROWS * STEP_ROWS;
}

struct sums {
    firn_val w, bias;
};

static firn_val add_to(struct firn_graph *g, firn_val sum, firn_val x)
{
    return firn_is_value(sum) ? firn_add(g, sum, x) : x;
}

firn_val firn_linear_loss(struct firn_graph *g, firn_val h, firn_val w, firn_val labels, firn_val scale,
                          const struct firn_linear_loss_params *p)
{
    firn_val losses[MAX_CHUNKS], hits[MAX_CHUNKS], dh[MAX_CHUNKS], x[3], dx[3];
    struct sums sums = { { 0 }, { 0 } };
    if (firn_graph_error(g) != NULL || !firn_is_value(h) || !firn_is_value(w))
        return (firn_val){ 0 };
    const int64_t rows = firn_val_shape(g, h).dim[0], vocabulary = firn_val_shape(g, w).dim[0];
    const int64_t step = chunk_rows(rows, vocabulary, p->chunk);
    const float alpha = p->scale_logits != 0 ? p->scale_logits : 1;
    const bool wants_h = firn_wants(g, h), wants_w = firn_wants(g, w), wants_bias = firn_wants(g, p->bias);
    int n = 0, n_x = 0;
    for (int64_t start = 0; start < rows || n == 0; start += step, n++) {
        const int64_t count = start + step < rows ? step : rows - start;
        const firn_val part = firn_rows(g, h, start, count);
        firn_val logits = firn_matmul(g, part, w,
                                      firn_matmul_params(.trans_b = true, .bias = p->bias, .alpha = alpha));
        firn_val dlogits, over_cap = { 0 };
        if (p->softcap > 0) { /* z = cap tanh(y / cap) */
            over_cap = firn_scale(g, logits, 1.0f / p->softcap);
            logits = firn_scale(g, firn_activate(g, FIRN_TANH, over_cap), p->softcap);
        }
        const firn_val y = firn_rows(g, labels, start, count);
        if (p->hits != NULL) /* before the gradient, which may take the place of the logits */
            hits[n] = firn_best_label(g, logits, y);
        firn_cross_entropy(g, logits, y, scale, p->smoothing, &losses[n], &dlogits);
        if (p->softcap > 0) /* dy = dz tanh'(y / cap): the two factors of cap cancel */
            dlogits = firn_activate_dx(g, FIRN_TANH, over_cap, dlogits);
        if (wants_h)
            dh[n] = firn_matmul(g, dlogits, w, firn_matmul_params(.alpha = alpha));
        if (wants_w)
            sums.w = add_to(g, sums.w,
                            firn_matmul(g, dlogits, part, firn_matmul_params(.trans_a = true, .alpha = alpha)));
        if (wants_bias)
            sums.bias = add_to(g, sums.bias, firn_sum_rows(g, dlogits));
    }
    if (p->hits != NULL)
        *p->hits = n > 1 ? firn_join_rows(g, hits, n) : hits[0];
    const firn_val loss = firn_sum(g, n > 1 ? firn_join_rows(g, losses, n) : losses[0]);
    if (wants_h) {
        x[n_x] = h;
        dx[n_x++] = n > 1 ? firn_join_rows(g, dh, n) : dh[0];
    }
    if (wants_w) {
        x[n_x] = w;
        dx[n_x++] = sums.w;
    }
    if (wants_bias) {
        x[n_x] = p->bias;
        dx[n_x++] = sums.bias;
    }
    return firn_attach_grad(g, loss, x, dx, n_x);
}
