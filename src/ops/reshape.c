/* SPDX-License-Identifier: Apache-2.0 */
/* The same elements under another shape, as a view: heads of a row become rows of their own. */
#include "ops/ops.h"

static bool reshape_shape(struct firn_infer *s)
{
    const struct firn_shape *to = s->attrs;
    if (firn_shape_count(to) != firn_shape_count(&s->in[0].shape))
        return firn_infer_fail(s, "%s does not hold as many elements as %s", FIRN_SHAPE_STR(to),
                               FIRN_SHAPE_STR(&s->in[0].shape));
    s->out[0] = s->in[0];
    s->out[0].shape = *to;
    return true;
}

static void reshape_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_reshape(g, dy[0], firn_val_shape(g, n->in[0]));
}

static const struct firn_op reshape = {
    .name = "reshape",
    .math = "y = x, in another shape",
    .n_in = 1,
    .n_out = 1,
    .alias = true,
    .attrs_size = sizeof(struct firn_shape),
    .shape = reshape_shape,
    .grad = reshape_grad,
};

firn_val firn_reshape(struct firn_graph *g, firn_val x, struct firn_shape shape)
{
    return firn_is_value(x) ? firn_emit1(g, &reshape, &x, &shape) : x;
}

const struct firn_op *const firn_family_reshape[] = { &reshape, NULL };
