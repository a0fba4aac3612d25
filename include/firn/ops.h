/* SPDX-License-Identifier: Apache-2.0 */
/// Operations: each appends nodes to a graph and returns a value.
///
/// Letters: M rows (batch times tokens), C width, H heads, D head size, V vocabulary, B batch, T tokens.
/// Activations are 2-D, [rows, width], with rows = B * T ordered by batch, then token. Float tensors are
/// f32 unless said otherwise; ids, masks and labels are i32. A call whose shapes do not fit fails the
/// graph and returns the empty value.
#ifndef FIRN_OPS_H
#define FIRN_OPS_H

#include "firn/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

struct firn_matmul_params {
    bool trans_a;      // a is [K, M] instead of [M, K]
    bool trans_b;      // b is [N, K] instead of [K, N] (a Linear layer's weight)
    float alpha;       // factor of the product; 0 means 1
    firn_val bias;     // [N], added to every row; may be empty
    firn_val residual; // [M, N], added; may be empty
    firn_val u, v;     // more columns of K: + u v, u [M, R], v [R, N] (or [N, R] with trans_v)
    bool trans_v;
};
/// y [M, N] = alpha a b + u v + bias + residual.
/// a, y, u, bias, residual f32; b may be f32, f16, bf16 or quantised (decoded as it is read, accumulated in f32).
FIRN_API firn_val firn_matmul(struct firn_graph *g, firn_val a, firn_val b,
                              const struct firn_matmul_params *params);
#define firn_matmul_params(...) (&(const struct firn_matmul_params){ __VA_ARGS__ })

FIRN_API firn_val firn_add(struct firn_graph *g, firn_val a, firn_val b); // same shape
FIRN_API firn_val firn_mul(struct firn_graph *g, firn_val a, firn_val b); // same shape
FIRN_API firn_val firn_scale(struct firn_graph *g, firn_val x, float factor);
/// y[m, n] = x[m, n] * w[n]; w [N], or [1]: one factor for all  (IA3, norms without a mean)
FIRN_API firn_val firn_mul_row(struct firn_graph *g, firn_val x, firn_val w);
/// y[m, n] = x[m, n] + w[n]; w [N]
FIRN_API firn_val firn_add_row(struct firn_graph *g, firn_val x, firn_val w);
/// y[n] = m[n] / sqrt(squares[n] + sum over r of p[r, n] b[n, r]): m over the norms of the rows of W + s B A, with
/// squares[n] those of W's rows and p [R, N] = 2 s A Wt + s^2 A At Bt. Only m has a gradient: norms are constants (DoRA).
FIRN_API firn_val firn_over_norm(struct firn_graph *g, firn_val m, firn_val squares, firn_val p, firn_val b);
/// y[n] = sum over m of x[m, n], in fixed order.
FIRN_API firn_val firn_sum_rows(struct firn_graph *g, firn_val x);
/// y [1] = sum of all elements, in fixed order.
FIRN_API firn_val firn_sum(struct firn_graph *g, firn_val x);
/// y [1] = sqrt(sum of squares) of all elements.
FIRN_API firn_val firn_norm2(struct firn_graph *g, firn_val x);

enum firn_activation {
    FIRN_GELU,      // x Phi(x), with erf
    FIRN_GELU_TANH, // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    FIRN_SILU,      // x sigmoid(x)
    FIRN_RELU,
    FIRN_TANH,
};
FIRN_API firn_val firn_activate(struct firn_graph *g, enum firn_activation kind, firn_val x);
/// y = act(gate) * up, elementwise.
FIRN_API firn_val firn_gate(struct firn_graph *g, enum firn_activation kind, firn_val gate,
                            firn_val up);

/// y = (x - mean) / sqrt(var + eps) * w + b, over the last axis. x [M, C]; w, b [C].  Ba et al. 2016
FIRN_API firn_val firn_layer_norm(struct firn_graph *g, firn_val x, firn_val w, firn_val b,
                                  float eps);
/// y = x / sqrt(mean(x^2) + eps) * (w + w_offset). x [M, C]; w [C].  Zhang & Sennrich 2019
FIRN_API firn_val firn_rms_norm(struct firn_graph *g, firn_val x, firn_val w, float eps,
                                float w_offset);

/// y[m] = table[ids[m]]: table [V, C] (f32, f16 or bf16), ids [M] i32 -> [M, C] f32. Also picks rows of activations.
/// Ids outside [0, V) read as zero rows and get no gradient.
FIRN_API firn_val firn_embed(struct firn_graph *g, firn_val table, firn_val ids);
/// The same; the row `padding` (-1: none) is read like any other but gets no gradient (PyTorch's padding_idx).
FIRN_API firn_val firn_embed_padded(struct firn_graph *g, firn_val table, firn_val ids, int64_t padding);

/// y[m] = map[ids[m]], -1 for ids outside [0, V): map [V] i32, ids [M] i32 -> [M] i32. No gradient.
FIRN_API firn_val firn_map_ids(struct firn_graph *g, firn_val map, firn_val ids);
/// y[m, k] = x[m, at[k]], 0 where at[k] is outside [0, N): x [M, N], at [K] i32 -> [M, K]. No number may come twice, and
/// back [N] i32 is the inverse (the k of each column, -1 for those that nobody picks): it serves the gradient.
FIRN_API firn_val firn_pick_columns(struct firn_graph *g, firn_val x, firn_val at, firn_val back);

/// y[m] = b[m] where the entry of row m has the number, else a[m]: a, b [M, C], ids [B] i32, entries of M / B rows each.
FIRN_API firn_val firn_choose_rows(struct firn_graph *g, firn_val a, firn_val b, firn_val ids, int64_t number);

/// One row of each of B entries of T rows: rows[b] in [b T, (b + 1) T) of x [B * T, C] -> [B, C]. What made x is done for
/// these rows alone where that gives the same: back through operations that work row by row, and through attention that is
/// not causal (its queries). Nodes that then serve nobody are dropped by the planner; dropouts on the way draw anew.
FIRN_API firn_val firn_pick_rows(struct firn_graph *g, firn_val x, firn_val rows);

/// Rows start .. start + count of x [M, C], without a copy. A Vulkan device binds parts, of a join too, only at
/// multiples of its offset alignment: a part that starts at a multiple of 256 bytes works on all of them.
FIRN_API firn_val firn_rows(struct firn_graph *g, firn_val x, int64_t start, int64_t count);
/// The same elements in another shape, without a copy.
FIRN_API firn_val firn_reshape(struct firn_graph *g, firn_val x, struct firn_shape shape);
/// The parts stacked along the first axis, without a copy. Each part must be a node's only use as such.
FIRN_API firn_val firn_join_rows(struct firn_graph *g, const firn_val *parts, int n_parts);

/// The three equal parts of x's columns: x [M, 3 C] -> part[0 .. 2] [M, C]  (a fused layer of queries, keys, values)
FIRN_API void firn_split_columns(struct firn_graph *g, firn_val x, firn_val part[3]);
/// p [N, C] in front of each of the `batch` entries of x [batch * T, C], copied: [batch * (N + T), C].
FIRN_API firn_val firn_concat(struct firn_graph *g, firn_val p, firn_val x, int64_t batch);
/// Columns of x [M, n * W] as n parts [M, W]; and two parts side by side.
FIRN_API void firn_part_columns(struct firn_graph *g, firn_val x, int64_t n, firn_val *parts);
FIRN_API firn_val firn_pair_columns(struct firn_graph *g, firn_val a, firn_val b);

/// One direction of an LSTM layer over `batch` sequences of T steps: h of every step, from h = c = 0.
///   x [batch * T, 4 H]: what a step's gates get besides w h (the layer's input product and both biases), gates in the
///   order i, f, g, o; w [4 H, H]. reverse: from the last step to the first. T is meant to be short (prompt encoders).
FIRN_API firn_val firn_lstm(struct firn_graph *g, firn_val x, firn_val w, int64_t batch, bool reverse);

/// Rotates pairs (i, i + D/2) of each head by the angle of the row's position.  Su et al. 2021, 3.4.2
///   x [M, H * D], D even; pos [M] i32; table [P, D] f32: row p holds cos (D/2) then sin (D/2) of position p.
FIRN_API firn_val firn_rope(struct firn_graph *g, firn_val x, firn_val pos, firn_val table,
                            int n_heads);

struct firn_attention_params {
    int batch;        // B; queries are [B * Tq, H * D], keys and values [B * Tk, Hkv * D]
    int n_heads;      // H
    int n_kv_heads;   // Hkv, divides H; 0: H
    float scale;      // of q k; 0: 1 / sqrt(D)
    bool causal;      // key j visible to query i when j <= i + Tk - Tq
    int window;       // with causal: and j > i + Tk - Tq - window; 0: no limit
    float softcap;    // s -> cap tanh(s / cap); 0: none (Gemma 2)
    firn_val mask;    // [B, Tk] i32, 0 hides a key from all; empty: none
    firn_val bias;    // [H, Tq, Tk] f32 added to the scores, or by distance [Tq + Tk - 1, H]: row j - i + Tq - 1 holds
                      // for query i and key j (T5; linear in memory); empty: none
    float dropout;    // probability of zeroing an attention probability
    firn_val rng;     // [4] i32: seed low, seed high, step, micro-batch; needed with dropout
    uint32_t stream;  // of the random numbers
};
/// softmax(scale q k^T + masks) v -> [B * Tq, H * D]; T x T is never stored (online softmax, the log-sum-exp
/// kept for the backward pass, which recomputes; Dao et al. 2022). A row with no visible key gives zeros.
FIRN_API firn_val firn_attention(struct firn_graph *g, firn_val q, firn_val k, firn_val v,
                                 const struct firn_attention_params *params);
/// What a row with no visible key gets from PyTorch's eager attention: the mean of all values (its gradient goes to q and
/// k as if the mask had changed nothing); zeros for other rows. To be added to the above; mask is needed, bias and
/// dropout do not matter.
FIRN_API firn_val firn_attention_blind(struct firn_graph *g, firn_val q, firn_val k, firn_val v,
                                       const struct firn_attention_params *params);
#define firn_attention_params(...) (&(const struct firn_attention_params){ __VA_ARGS__ })

/// Zeroes with probability p and scales the rest by 1 / (1 - p); the mask is a function of (rng, stream, element).
FIRN_API firn_val firn_dropout(struct firn_graph *g, firn_val x, firn_val rng, float p,
                               uint32_t stream);

/// Cross entropy of each row. logits [M, V], labels [M] i32 (-100: row ignored), scale [1] (1 / counted rows).
/// loss [M] = scale * ((1 - e) nll + e mean over V of -log p); dlogits (may be NULL) gets d sum(loss) / d logits,
/// computed in the same pass: the gradient does not flow through `loss`.
FIRN_API void firn_cross_entropy(struct firn_graph *g, firn_val logits, firn_val labels,
                                 firn_val scale, float smoothing, firn_val *loss,
                                 firn_val *dlogits);
/// The same with targets [M, V] f32: squared error, or binary cross entropy with logits; loss [M].
FIRN_API void firn_squared_error(struct firn_graph *g, firn_val logits, firn_val targets,
                                 firn_val scale, firn_val *loss, firn_val *dlogits);
FIRN_API void firn_binary_cross_entropy(struct firn_graph *g, firn_val logits, firn_val targets,
                                        firn_val scale, firn_val *loss, firn_val *dlogits);
/// hit [M]: 1 where logits [M, V] are largest at the label (the first of equal ones), else 0; -1 for ignored rows.
FIRN_API firn_val firn_best_label(struct firn_graph *g, firn_val logits, firn_val labels);
/// Returns `loss` unchanged, with the promise that d loss / d x[i] = dx[i]: gradients known in the forward pass.
FIRN_API firn_val firn_attach_grad(struct firn_graph *g, firn_val loss, const firn_val *x,
                                   const firn_val *dx, int n);

struct firn_linear_loss_params {
    firn_val bias;     // [V]; may be empty
    float smoothing;
    float softcap;     // logits -> cap tanh(logits / cap); 0: none
    int64_t chunk;     // rows per chunk, rounded up to 64; 0: chosen so that a chunk's logits stay near 32 MiB
    float scale_logits;// factor of h W^T; 0 means 1
    firn_val *hits;    // gets firn_best_label() of all rows [M]; NULL: not computed
};
/// loss [1] = sum over rows of cross entropy(h W^T + bias, labels) * scale, in chunks of rows, so that the logits of
/// all rows never exist. h [M, C]; w [V, C]; labels [M] i32; scale [1].
FIRN_API firn_val firn_linear_loss(struct firn_graph *g, firn_val h, firn_val w, firn_val labels,
                                   firn_val scale, const struct firn_linear_loss_params *params);

/// acc = keep[0] * acc + x, (keep 0: acc = x even where acc is not finite). acc is a GRAD leaf or view.
FIRN_API void firn_accumulate(struct firn_graph *g, firn_val acc, firn_val x, firn_val keep);

/// cache[b, at[b] + t] = x[b, t], in place: cache [B * S, C] is a leaf, x [B * T, C], at [B] i32. Rows that would lie
/// outside [0, S) are left out. Not differentiated: it fills the keys and values of generation.
FIRN_API void firn_write_rows(struct firn_graph *g, firn_val cache, firn_val x, firn_val at);

/// One AdamW step over flat leaves of equal length, in place: p, m, v. Loshchilov & Hutter 2019, alg. 2.
///   grad [N]; norm [1]: global gradient norm (from firn_norm2)
///   rates [8] f32: lr, 1 - beta1, 1 - beta2, eps, weight decay, 1 - beta1^t, 1 - beta2^t, max_norm (0: no clipping)
///   g = grad * min(1, max_norm / (norm + 1e-6)); p -= lr wd p; ...; a norm that is not finite changes nothing.
FIRN_API void firn_adamw(struct firn_graph *g, firn_val p, firn_val grad, firn_val m, firn_val v,
                         firn_val rates, firn_val norm);

/// Every operation record of this build, NULL at the end, sorted by name.
FIRN_API const struct firn_op *const *firn_op_list(void);
FIRN_API const struct firn_op *firn_op_find(const char *name); // NULL when there is none

#ifdef __cplusplus
}
#endif
#endif
