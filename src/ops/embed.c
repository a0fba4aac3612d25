/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a table picked by ids, and the sum of gradients into the rows. */
#include "ops/ops.h"
#include "tensor/half.h"

struct embed_attrs {
    int64_t padding; /* the row that gets no gradient; -1: none */
    int64_t first;   /* of a part: the id of the table's first row */
    uint32_t inverse; /* the value that holds, for each row of the table, its place among the ids; 0: rows may be there twice */
    bool keeps;      /* rows of ids outside stay as they are, else they are zero */
};

struct dw_attrs {
    int64_t rows, padding;
    int64_t first; /* of a part: the id of its first row */
};

static bool embed_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 1))
        return false;
    s->out[0].dtype = s->in[0].dtype == FIRN_F64 ? FIRN_F64 : FIRN_F32;
    s->out[0].shape = firn_dims(s->in[1].shape.dim[0], s->in[0].shape.dim[1]);
    return true;
}

static int64_t first_of(const struct firn_call *call)
{
    return ((const struct embed_attrs *) call->attrs)->first;
}

static bool embed_cut_at(void *attrs, const struct firn_call *part, int64_t row, bool is_turn)
{
    struct embed_attrs *a = attrs;
    (void) part;
    a->first += is_turn ? row : 0;
    a->keeps = is_turn && row > 0;
    return true;
}

static void embed_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[0]), rows = call->in[0].shape.dim[0];
    const int32_t *ids = firn_i32(&call->in[1]);
    double *y = firn_ref_out(call, 0);
    for (int64_t m = 0; m < call->in[1].shape.dim[0]; m++) {
        const int64_t id = ids[m] - first_of(call);
        if (id >= 0 && id < rows)
            firn_tensor_read_f64(&call->in[0], id * cols, cols, y + m * cols);
    }
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]), rows = call->in[0].shape.dim[0];
    const int32_t *ids = firn_i32(&call->in[1]);
    float *y = firn_f32(&call->out[0]);
    for (int64_t m = begin; m < end; m++) {
        const int64_t id = ids[m] - first_of(call);
        if (id >= 0 && id < rows)
            firn_tensor_read_f32(&call->in[0], id * cols, cols, y + m * cols);
        else
            memset(y + m * cols, 0, sizeof *y * (size_t) cols);
    }
}

static void embed_cpu(const struct firn_call *call)
{
    firn_over(call->pool, call->in[1].shape.dim[0], 64, body, (void *) call);
}

static bool embed_cpu_accepts(const struct firn_call *call)
{
    return call->out[0].dtype == FIRN_F32;
}

static const struct firn_op embed_dw;

static void embed_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const struct embed_attrs *a = n->attrs;
    if (a->inverse != 0) { /* nothing is summed: rows go back where they came from */
        if (firn_wants(g, n->in[0]))
            dx[0] = firn_move_rows(g, dy[0], (firn_val){ a->inverse }, n->in[1]);
        return;
    }
    const struct dw_attrs attrs = { firn_val_shape(g, n->in[0]).dim[0], a->padding, 0 };
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_emit1(g, &embed_dw, (firn_val[]){ dy[0], n->in[1] }, &attrs);
}

#define ACCEPTS(name, type)                                                                       \
    static bool name(const struct firn_call *call, const struct firn_limits *limits)              \
    {                                                                                             \
        (void) limits;                                                                            \
        return call->in[0].dtype == type;                                                         \
    }                                                                                             \
    static bool name##_x4(const struct firn_call *call, const struct firn_limits *limits)         \
    {                                                                                             \
        return name(call, limits) && firn_is_wide_row(call, limits);                              \
    }
ACCEPTS(is_f32, FIRN_F32)
ACCEPTS(is_f16, FIRN_F16)
ACCEPTS(is_bf16, FIRN_BF16)

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) call->in[0].shape.dim[0]);
    firn_push(d, (uint64_t) firn_cols(&call->in[0]));
    firn_push(d, (uint64_t) first_of(call));
    firn_push(d, ((const struct embed_attrs *) call->attrs)->keeps);
}

static const struct firn_kernel kernels[] = {
    { "embed_f32_x4", "embed", "TABLE=0 WIDE=4", .accepts = is_f32_x4, .setup = setup },
    { "embed_f16_x4", "embed", "TABLE=1 WIDE=4", .accepts = is_f16_x4, .setup = setup },
    { "embed_bf16_x4", "embed", "TABLE=2 WIDE=4", .accepts = is_bf16_x4, .setup = setup },
    { "embed_f32", "embed", "TABLE=0", .accepts = is_f32, .setup = setup },
    { "embed_f16", "embed", "TABLE=1", .accepts = is_f16, .setup = setup },
    { "embed_bf16", "embed", "TABLE=2", .accepts = is_bf16, .setup = setup },
    { NULL },
};

static const struct embed_attrs whole = { -1, 0, 0, false }, slice = { -1, 5, 0, false };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(5, 3), FIRN_DIMS(7) }, &whole, .below = { 0, 5 } },
    { .in = { FIRN_DIMS(33, 31), FIRN_DIMS(65) }, &whole, .below = { 0, 40 }, .no_grad = true },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(65) }, &slice, .below = { 0, 20 }, .no_grad = true },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(65) }, &slice, .below = { 0, 20 }, .dtype = { FIRN_BF16 }, .no_grad = true },
    { .in = { FIRN_DIMS(4, 7), FIRN_DIMS(0) }, &whole, .below = { 0, 4 } },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(65) }, &whole, .below = { 0, 12 }, .no_grad = true }, /* some outside */
    { .in = { FIRN_DIMS(9, 5), FIRN_DIMS(65) }, &whole, .below = { 0, 9 }, .dtype = { FIRN_F16 }, .no_grad = true },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(65) }, &whole, .below = { 0, 9 }, .dtype = { FIRN_BF16 }, .no_grad = true },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(65) }, &whole, .below = { 0, 9 }, .dtype = { FIRN_F16 }, .no_grad = true },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(65) }, &whole, .below = { 0, 9 }, .dtype = { FIRN_BF16 }, .no_grad = true },
};

static const struct firn_op embed = {
    .name = "embed",
    .math = "y[m] = table[ids[m]]",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 2,
    .cut_turns = 1,
    .cut_at = embed_cut_at,
    .integer = 2,
    .attrs_size = sizeof(struct embed_attrs),
    .shape = embed_shape,
    .ref = embed_ref,
    .cpu = embed_cpu,
    .cpu_accepts = embed_cpu_accepts,
    .grad = embed_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

static bool dw_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(((const struct dw_attrs *) s->attrs)->rows, firn_cols(&s->in[0]));
    return firn_infer_rank(s, 0, 2) && firn_infer_rank(s, 1, 1);
}

static bool dw_cut_at(void *attrs, const struct firn_call *part, int64_t row, bool is_turn)
{
    struct dw_attrs *a = attrs;
    (void) is_turn;
    a->first += row;
    a->rows = part->out[0].shape.dim[0];
    return true;
}

static int64_t dw_first(const struct firn_call *call)
{
    return ((const struct dw_attrs *) call->attrs)->first;
}

static int64_t padding_of(const struct firn_call *call)
{
    return ((const struct dw_attrs *) call->attrs)->padding;
}

static void dw_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[0]), rows = call->out[0].shape.dim[0];
    const int32_t *ids = firn_i32(&call->in[1]);
    double *dy = firn_ref_in(call, 0), *dw = firn_ref_out(call, 0);
    for (int64_t m = 0; m < call->in[1].shape.dim[0]; m++) {
        const int64_t id = ids[m] - dw_first(call);
        for (int64_t c = 0; c < cols && id >= 0 && id < rows && ids[m] != padding_of(call); c++)
            dw[id * cols + c] += dy[m * cols + c];
    }
    firn_ref_free(dy);
    firn_ref_store(call, 0, dw);
}

/* A task owns a run of table rows, and adds the rows of dy in their order. */
static void dw_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const int32_t *ids = firn_i32(&call->in[1]);
    const int64_t padding = padding_of(call);
    const float *dy = firn_f32(&call->in[0]);
    float *dw = firn_f32(&call->out[0]);
    memset(dw + begin * cols, 0, sizeof *dw * (size_t) ((end - begin) * cols));
    for (int64_t m = 0; m < call->in[1].shape.dim[0]; m++) {
        const int64_t id = ids[m] - dw_first(call);
        for (int64_t c = 0; c < cols && id >= begin && id < end && ids[m] != padding; c++)
            dw[id * cols + c] += dy[m * cols + c];
    }
}

static void dw_cpu(const struct firn_call *call)
{
    firn_over(call->pool, call->out[0].shape.dim[0], 4096, dw_body, (void *) call);
}

static void dw_push(const struct firn_call *call, const struct firn_limits *limits,
                    struct firn_dispatch *d, int64_t n, int64_t lanes)
{
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) firn_count(&call->in[1]));
    firn_push(d, (uint64_t) call->out[0].shape.dim[0]);
    firn_push(d, (uint64_t) firn_cols(&call->in[0]));
    firn_push(d, (uint32_t) (int32_t) padding_of(call));
    firn_push(d, (uint64_t) dw_first(call));
    firn_grid_flat(d, limits, (lanes + 1023) / 1024);
}

static void links_setup(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    const int64_t n = firn_count(&call->out[0]), n_ids = firn_count(&call->in[1]);
    dw_push(call, limits, d, n, n > n_ids ? n : n_ids);
}

static void add_setup(const struct firn_call *call, const struct firn_limits *limits,
                      struct firn_dispatch *d)
{
    const int64_t n = firn_count(&call->in[0]);
    dw_push(call, limits, d, n, n);
}

static size_t links_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return sizeof(uint32_t) * (size_t) (firn_count(&call->in[1]) + 1);
}

/* The work grows with places times columns, not with the table: places of one id are linked first. */
static const struct firn_kernel dw_add = { "embed_dw_add", "embed_dw", "ADD=1", .setup = add_setup };
static const struct firn_kernel dw_kernels[] = {
    { "embed_dw", "embed_dw", "ADD=0", .setup = links_setup, .scratch = links_scratch, .then = &dw_add },
    { NULL },
};

static int64_t dw_terms(const struct firn_call *call)
{
    return call->in[1].shape.dim[0];
}

static const struct dw_attrs dw_5 = { 5, -1, 0 }, dw_300 = { 300, -1, 0 }, dw_padded = { 5, 3, 0 }, dw_part = { 5, 6, 4 };
static const struct firn_case dw_cases[] = {
    { .in = { FIRN_DIMS(7, 3), FIRN_DIMS(7) }, &dw_5, .below = { 0, 5 } },
    { .in = { FIRN_DIMS(65, 33), FIRN_DIMS(65) }, &dw_300, .below = { 0, 290 } },
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(0) }, &dw_5 },
    { .in = { FIRN_DIMS(257, 1), FIRN_DIMS(257) }, &dw_5, .below = { 0, 9 } }, /* more places than elements; some outside */
    { .in = { FIRN_DIMS(65, 7), FIRN_DIMS(65) }, &dw_padded, .below = { 0, 5 } },
    { .in = { FIRN_DIMS(65, 7), FIRN_DIMS(65) }, &dw_part, .below = { 0, 12 }, .no_grad = true },
};

static const struct firn_op embed_dw = {
    .name = "embed_dw",
    .math = "dw[v] = sum of dy[m] with ids[m] = v; zero for the padding",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT,
    .cut_at = dw_cut_at,
    .integer = 2,
    .attrs_size = sizeof(struct dw_attrs),
    .shape = dw_shape,
    .ref = dw_ref,
    .cpu = dw_cpu,
    .kernels = dw_kernels,
    .cases = dw_cases,
    .n_cases = sizeof dw_cases / sizeof dw_cases[0],
    .terms = dw_terms,
};

firn_val firn_embed(struct firn_graph *g, firn_val table, firn_val ids)
{
    return firn_embed_padded(g, table, ids, -1);
}

firn_val firn_embed_padded(struct firn_graph *g, firn_val table, firn_val ids, int64_t padding)
{
    return firn_emit1(g, &embed, (firn_val[]){ table, ids }, &(struct embed_attrs){ padding, 0, 0, false });
}

firn_val firn_move_rows(struct firn_graph *g, firn_val x, firn_val from, firn_val back)
{
    return firn_emit1(g, &embed, (firn_val[]){ x, from }, &(struct embed_attrs){ -1, 0, back.id, false });
}

const struct firn_op *const firn_family_embed[] = { &embed, &embed_dw, NULL };
