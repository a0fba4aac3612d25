/* SPDX-License-Identifier: Apache-2.0 */
/* Steps with tensors that are larger than one binding of the device run in parts: rows of what goes row by row, or an input by
 * itself in turns over the whole outputs. A row's bits do not depend on the part it is in. What an operation cannot cut stays
 * whole, and the device says that it is too large. */
#include "plan/passes.h"

#include "tensor/quant.h"

#include <stdlib.h>

enum { UNIT_ROWS = 64, MAX_UNIT = 1 << 16 };

/* The tensor and the binding of input i, or of output i - n_in. */
struct place {
    struct firn_tensor *t;
    struct firn_bind *bind;
};

static struct place place_of(struct firn_step *s, int i)
{
    return i < s->n_in ? (struct place){ &s->call.in[i], &s->in[i] }
                       : (struct place){ &s->call.out[i - s->n_in], &s->out[i - s->n_in] };
}

/* Bit i: place i is cut into rows. */
static uint32_t rows_mask(const struct firn_op *op, struct firn_step *s)
{
    uint32_t mask = 0;
    for (int i = 0; i < s->n_in + s->n_out; i++)
        if (place_of(s, i).bind->buffer != NULL && (i >= s->n_in || (op->cut >> i & 1u)))
            mask |= 1u << i;
    return op->cut & FIRN_CUT ? mask : 0;
}

static bool any_too_large(struct firn_step *s, uint32_t mask, const struct firn_limits *l)
{
    for (int i = 0; i < s->n_in + s->n_out; i++)
        if ((mask >> i & 1u) && place_of(s, i).bind->size > l->max_binding_bytes)
            return true;
    return false;
}

/* Rows of a part: a multiple of what keeps offsets aligned, and of 64 where there is room for that (tiles of a kernel stay whole);
 * 0: they cannot be cut. *all: rows of the whole. */
static int64_t part_rows(struct firn_step *s, uint32_t mask, const struct firn_limits *l, int64_t *all)
{
    int64_t unit = 1, rows = INT64_MAX;
    *all = -1;
    for (int i = 0; i < s->n_in + s->n_out; i++) {
        const struct firn_tensor *t = place_of(s, i).t;
        if ((mask >> i & 1u) == 0)
            continue;
        if (t->shape.rank == 0 || firn_dtype_is_quantised(t->dtype) || (*all >= 0 && t->shape.dim[0] != *all) ||
            t->shape.dim[0] == 0)
            return 0;
        *all = t->shape.dim[0];
        const uint64_t row = place_of(s, i).bind->size / (uint64_t) *all;
        while (row * (uint64_t) unit % l->bind_align != 0 && unit < MAX_UNIT)
            unit *= 2;
        const int64_t fit = (int64_t) (l->max_binding_bytes / (row > 0 ? row : 1));
        rows = fit < rows ? fit : rows;
    }
    const int64_t whole = unit > UNIT_ROWS ? unit : UNIT_ROWS; /* both are powers of two */
    return rows >= whole ? rows / whole * whole : rows / unit * unit;
}

static firn_status append(struct firn_cut *c, const struct firn_step *s, struct firn_error *err)
{
    if (c->n == c->room) {
        const int room = c->room > 0 ? 2 * c->room : 64;
        struct firn_step *steps = realloc(c->steps, sizeof *steps * (size_t) room);
        if (steps == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a program");
        c->steps = steps;
        c->room = room;
    }
    c->steps[c->n++] = *s;
    return FIRN_OK;
}

/* Attributes of a part, which live as long as the list. */
static firn_status own_attrs(struct firn_cut *c, const struct firn_op *op, struct firn_step *s, void **own, struct firn_error *err)
{
    void **list = realloc(c->attrs, sizeof *list * (size_t) (c->n_attrs + 1));
    c->attrs = list != NULL ? list : c->attrs;
    *own = list != NULL ? malloc(op->attrs_size) : NULL;
    if (*own == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a program");
    memcpy(*own, s->call.attrs, op->attrs_size);
    s->call.attrs = c->attrs[c->n_attrs++] = *own;
    return FIRN_OK;
}

/* *s becomes its own part of `n` rows from `row` on; *can: false where the operation or its kernel will not have it. */
static firn_status make_part(struct firn_cut *c, const struct firn_op *op, struct firn_step *s, uint32_t mask, int64_t row, int64_t n,
                             bool is_turn, const struct firn_limits *l, bool *can, struct firn_error *err)
{
    void *attrs = NULL;
    int64_t all = 1;
    for (int i = 0; i < s->n_in + s->n_out; i++) {
        const struct place p = place_of(s, i);
        if ((mask >> i & 1u) == 0)
            continue;
        all = p.t->shape.dim[0];
        const size_t bytes = p.bind->size / (size_t) all;
        p.t->shape.dim[0] = n;
        p.bind->offset += bytes * (size_t) row;
        p.bind->size = bytes * (size_t) n;
    }
    s->cost *= (double) n / (double) all;
    *can = true;
    if (op->cut_at != NULL && op->attrs_size > 0) {
        const firn_status status = own_attrs(c, op, s, &attrs, err);
        if (status)
            return status;
        *can = op->cut_at(attrs, &s->call, row, is_turn);
    }
    if (s->kernel->accepts != NULL)
        *can = *can && s->kernel->accepts(&s->call, l);
    if (s->kernel->scratch != NULL && s->scratch.buffer != NULL) {
        const size_t scratch = s->kernel->scratch(&s->call, l);
        *can = *can && scratch > 0 && scratch <= s->scratch.size;
        s->scratch.size = scratch;
    }
    return FIRN_OK;
}

firn_status firn_cut_step(struct firn_cut *c, const struct firn_op *op, const struct firn_step *step, const struct firn_limits *l,
                          struct firn_error *err)
{
    struct firn_step s = *step;
    uint32_t mask = rows_mask(op, &s);
    bool can = s.kernel != NULL, is_turn = false;
    if (!any_too_large(&s, mask, l)) {
        is_turn = true;
        for (mask = 1; mask != 0 && !((op->cut_turns & mask) && any_too_large(&s, mask, l)); mask <<= 1)
            continue;
    }
    int64_t all = 0;
    const int64_t rows = can && mask != 0 ? part_rows(&s, mask, l, &all) : 0;
    if (rows == 0 || rows >= all)
        return append(c, step, err);
    const int before = c->n;
    firn_status status = FIRN_OK;
    for (int64_t row = 0; row < all && status == FIRN_OK && can; row += rows) {
        s = *step;
        status = make_part(c, op, &s, mask, row, row + rows < all ? rows : all - row, is_turn, l, &can, err);
        if (status == FIRN_OK && can)
            status = firn_cut_step(c, op, &s, l, err);
    }
    if (status == FIRN_OK && !can) {
        c->n = before;
        status = append(c, step, err);
    }
    return status;
}

void firn_cut_free(struct firn_cut *c)
{
    for (int i = 0; i < c->n_attrs; i++)
        free(c->attrs[i]);
    free(c->attrs);
    free(c->steps);
    *c = (struct firn_cut){ 0 };
}
