/* SPDX-License-Identifier: Apache-2.0 */
/* One execution of an operation, as plain data: what a host function reads, and what a shader kernel
 * is set up from. Operations fill these in; devices run them without knowing any operation. */
#ifndef FIRN_TENSOR_CALL_H
#define FIRN_TENSOR_CALL_H

#include "base/caps.h"
#include "base/pool.h"
#include "firn/tensor.h"

#include <assert.h>
#include <string.h>

enum { FIRN_MAX_IN = 8, FIRN_MAX_OUT = 3, FIRN_MAX_BIND = FIRN_MAX_IN + FIRN_MAX_OUT + 1 };
enum { FIRN_MAX_PUSH = 32, FIRN_MAX_SPEC = 12 };

/* Shapes and types are always set. `data` is set only when a host function is called; a shader's
 * setup sees shapes and types only. */
struct firn_call {
    struct firn_tensor in[FIRN_MAX_IN];
    struct firn_tensor out[FIRN_MAX_OUT];
    const void *attrs;      /* the operation's own attribute struct */
    struct firn_pool *pool; /* NULL: on this thread */
    void *scratch;          /* as many bytes as the op's cpu_scratch asked for; NULL for `ref` */
};

static inline bool firn_has(const struct firn_tensor *t)
{
    return t->dtype != FIRN_NONE;
}

/* One shader dispatch, filled by a kernel's setup. Bindings are numbered in, then out, then scratch:
 * input i at binding i, output j at binding n_in + j, scratch at n_in + n_out. Absent inputs keep
 * their number (something valid is bound; the shader must not read it: say so with a constant). */
struct firn_dispatch {
    uint32_t groups[3];
    uint32_t push[FIRN_MAX_PUSH]; /* push constants; floats by firn_push_f32 */
    int n_push;
    uint32_t spec[FIRN_MAX_SPEC]; /* specialisation constants, constant_id 0 .. n_spec - 1 */
    int n_spec;
    int64_t turn; /* of a kernel with turns: which one this is; set before setup */
    bool is_flat; /* work groups count along x and go on along y: shaders read the number along x, which a cut would change */
};

static inline void firn_push(struct firn_dispatch *d, uint64_t value)
{
    assert(d->n_push < FIRN_MAX_PUSH && value <= UINT32_MAX);
    d->push[d->n_push++] = (uint32_t) value;
}

static inline void firn_push_f32(struct firn_dispatch *d, float value)
{
    assert(d->n_push < FIRN_MAX_PUSH);
    memcpy(&d->push[d->n_push++], &value, sizeof value);
}

static inline void firn_spec(struct firn_dispatch *d, uint32_t value)
{
    assert(d->n_spec < FIRN_MAX_SPEC);
    d->spec[d->n_spec++] = value;
}

/* One way to compute an operation with a shader. Kernels of an op are listed best first; the first
 * whose needs are met and that accepts the shapes is used, and the last should accept everything. */
struct firn_kernel {
    const char *name;    /* unique in the program: "matmul_nt_tiled" */
    const char *shader;  /* shaders/<shader>.comp */
    const char *defines; /* "TRANS_A=0 TRANS_B=1" or NULL */
    uint32_t needs;      /* FIRN_CAP_ bits that must be there */
    uint32_t never;      /* FIRN_CAP_ bits that must not be there */
    bool (*accepts)(const struct firn_call *call, const struct firn_limits *limits); /* NULL: all */
    void (*setup)(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *dispatch);
    /* Bytes of device scratch that this kernel and its `then` share; NULL: none. */
    size_t (*scratch)(const struct firn_call *call, const struct firn_limits *limits);
    int64_t (*turns)(const struct firn_call *call); /* dispatched so often, a barrier between; NULL: once */
    /* Allowed errors where they are not the operation's own (operands rounded to 16 bits); NULL: the operation's. */
    void (*bound)(const struct firn_call *call, int out, double *bound);
    const struct firn_kernel *then; /* a second dispatch after a barrier, with the same bindings */
};

#endif
