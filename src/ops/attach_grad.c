/* SPDX-License-Identifier: Apache-2.0 */
/* A loss whose gradients were computed on the way forward: the value passes through, the gradients are handed
 * out in the backward pass. */
#include "ops/ops.h"

enum { MAX_PAIRS = (FIRN_MAX_IN - 1) / 2 };

static bool attach_shape(struct firn_infer *s)
{
    for (int i = 1; i + 1 < s->n_in && firn_has(&s->in[i]); i += 2)
        if (!firn_shape_eq(&s->in[i].shape, &s->in[i + 1].shape))
            return firn_infer_fail(s, "a value %s has a gradient %s",
                                   FIRN_SHAPE_STR(&s->in[i].shape),
                                   FIRN_SHAPE_STR(&s->in[i + 1].shape));
    s->out[0] = s->in[0];
    return true;
}

/* An empty dy stands for one: the loss is the end of the graph. Else something was done with the loss. */
static void attach_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    for (int i = 1; i + 1 < n->op->n_in && firn_is_value(n->in[i]); i += 2)
        if (firn_wants(g, n->in[i]))
            dx[i] = firn_is_value(dy[0])
                        ? firn_mul(g, n->in[i + 1],
                                   firn_spread(g, dy[0], firn_val_shape(g, n->in[i + 1])))
                        : n->in[i + 1];
}

static const struct firn_op attach = {
    .name = "attach_grad",
    .math = "y = loss; d loss / d x[i] = dx[i]",
    .n_in = 1 + 2 * MAX_PAIRS,
    .n_out = 1,
    .optional = 0x7e,
    .alias = true,
    .shape = attach_shape,
    .grad = attach_grad,
};

firn_val firn_attach_grad(struct firn_graph *g, firn_val loss, const firn_val *x, const firn_val *dx,
                          int n)
{
    firn_val in[FIRN_MAX_IN] = { loss };
    assert(n <= MAX_PAIRS);
    for (int i = 0; i < n; i++) {
        in[1 + 2 * i] = x[i];
        in[2 + 2 * i] = dx[i];
    }
    return firn_emit1(g, &attach, in, NULL);
}

const struct firn_op *const firn_family_attach_grad[] = { &attach, NULL };
