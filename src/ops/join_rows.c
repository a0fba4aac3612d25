/* SPDX-License-Identifier: Apache-2.0 */
/* Parts stacked along the first axis: they are computed where the whole lives, so joining is no work. */
#include "ops/ops.h"

static bool join_shape(struct firn_infer *s)
{
    int64_t count = 0;
    for (int i = 0; i < s->n_in && firn_has(&s->in[i]); i++) {
        const struct firn_shape *part = &s->in[i].shape, *first = &s->in[0].shape;
        if (part->rank != first->rank || (part->rank == 2 && part->dim[1] != first->dim[1]))
            return firn_infer_fail(s, "part %d is %s, the first %s", i, FIRN_SHAPE_STR(part),
                                   FIRN_SHAPE_STR(first));
        count += s->in[i].shape.dim[0];
    }
    s->out[0] = s->in[0];
    s->out[0].shape.dim[0] = count;
    return true;
}

static void join_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    int64_t start = 0;
    for (int i = 0; i < n->op->n_in && firn_is_value(n->in[i]); i++) {
        const int64_t rows = firn_val_shape(g, n->in[i]).dim[0];
        if (firn_wants(g, n->in[i]))
            dx[i] = firn_rows(g, dy[0], start, rows);
        start += rows;
    }
}

static const struct firn_op join_rows = {
    .name = "join_rows",
    .math = "y = [x0; x1; ...]",
    .n_in = FIRN_MAX_IN,
    .n_out = 1,
    .optional = 0xfe,
    .join = true,
    .shape = join_shape,
    .grad = join_grad,
};

/* More parts than a node takes are joined in groups, and the groups again. */
firn_val firn_join_rows(struct firn_graph *g, const firn_val *parts, int n_parts)
{
    firn_val in[FIRN_MAX_IN] = { { 0 } };
    if (n_parts <= FIRN_MAX_IN) {
        memcpy(in, parts, sizeof *parts * (size_t) n_parts);
        return firn_emit1(g, &join_rows, in, NULL);
    }
    int group = 1;
    while (group * FIRN_MAX_IN < n_parts)
        group *= FIRN_MAX_IN;
    int n = 0;
    for (int i = 0; i < n_parts; i += group)
        in[n++] = firn_join_rows(g, parts + i, n_parts - i < group ? n_parts - i : group);
    return firn_emit1(g, &join_rows, in, NULL);
}

const struct firn_op *const firn_family_join_rows[] = { &join_rows, NULL };
