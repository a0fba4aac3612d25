/* SPDX-License-Identifier: Apache-2.0 */
/* Ids looked up in a table of ids: which row of a small table a token has, if any. */
#include "ops/ops.h"

static bool map_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 1) || !firn_infer_rank(s, 1, 1))
        return false;
    s->out[0] = s->in[1];
    return true;
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t n = firn_count(&call->in[0]);
    const int32_t *map = firn_i32(&call->in[0]), *ids = firn_i32(&call->in[1]);
    for (int64_t m = begin; m < end; m++)
        firn_i32(&call->out[0])[m] = ids[m] >= 0 && ids[m] < n ? map[ids[m]] : -1;
}

static void map_ref(const struct firn_call *call)
{
    body((void *) call, 0, firn_count(&call->in[1]));
}

static void map_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->in[1]), 4096, body, (void *) call);
}

static bool accepts_all(const struct firn_call *call)
{
    (void) call;
    return true;
}

static void exact(const struct firn_call *call, int out, double *bound)
{
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
}

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) firn_count(&call->in[0]));
}

static const struct firn_kernel kernels[] = { { "map_ids", "map_ids", .setup = setup }, { NULL } };

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1), FIRN_DIMS(1) }, .below = { 9, 1 } },
    { .in = { FIRN_DIMS(7), FIRN_DIMS(33) }, .below = { 100, 11 } }, /* some outside */
    { .in = { FIRN_DIMS(300), FIRN_DIMS(2051) }, .below = { 1000, 300 } },
    { .in = { FIRN_DIMS(5), FIRN_DIMS(0) } },
};

static const struct firn_op map_ids = {
    .name = "map_ids",
    .math = "y[m] = map[ids[m]]; -1 outside",
    .n_in = 2,
    .n_out = 1,
    .integer = 3,
    .shape = map_shape,
    .ref = map_ref,
    .cpu = map_cpu,
    .cpu_accepts = accepts_all,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = exact,
};

firn_val firn_map_ids(struct firn_graph *g, firn_val map, firn_val ids)
{
    return firn_emit1(g, &map_ids, (firn_val[]){ map, ids }, NULL);
}

const struct firn_op *const firn_family_map_ids[] = { &map_ids, NULL };
