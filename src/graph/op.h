/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of an operation. `graph` declares it and names none; src/ops/ fills it in. */
#ifndef FIRN_GRAPH_OP_H
#define FIRN_GRAPH_OP_H

#include "firn/graph.h"
#include "tensor/call.h"

struct firn_node; /* graph/graph.h */

/* What a shape rule sees and sets. Return firn_infer_fail(...) to reject the inputs. */
struct firn_infer {
    struct firn_tensor in[FIRN_MAX_IN]; /* shapes and types; FIRN_NONE where absent */
    int n_in;
    const void *attrs;
    struct firn_tensor out[FIRN_MAX_OUT]; /* to be set: dtype and shape */
    char text[300];                       /* why not, without the op's name */
};
bool firn_infer_fail(struct firn_infer *s, const char *format, ...) FIRN_PRINTF(2, 3);

/* A case for `firn conform` and for the gradient check. */
struct firn_case {
    struct firn_shape in[FIRN_MAX_IN]; /* rank 0: this input is absent */
    const void *attrs;
    int64_t below[FIRN_MAX_IN]; /* integer inputs: values in [0, below) (default 2) */
    enum firn_dtype dtype[FIRN_MAX_IN]; /* float inputs stored otherwise than f32 (0: f32) */
    uint32_t positive;          /* bit i: absolute values in input i */
    float scale;                /* float inputs: normal times scale; 0 means 1 */
    bool no_grad;               /* skip the finite differences (too large, or not smooth here) */
};

#define FIRN_CUT (1u << 31)

struct firn_op {
    const char *name; /* "rms_norm" */
    const char *math; /* one line */
    int n_in, n_out;
    uint32_t optional; /* bit i: input i may be absent */
    uint32_t integer;  /* bit i: input i is i32 (not differentiated); all else float */
    uint32_t updates;  /* bit i: input i is a leaf that the op writes in place */
    uint32_t by_rows;  /* bit i: row r of output 0 needs of input i row r alone; inputs without it are no rows */
    /* FIRN_CUT and bit i: where one binding is too small for a tensor, the step runs in parts, each with a run of rows (first axis)
     * of every output and of inputs i; 0: it cannot. */
    uint32_t cut;
    uint32_t cut_turns; /* bit i: input i may be cut by itself; parts run one after the other over the whole outputs */
    /* Makes `attrs` those of the part from `row` on, of turns or of rows; false: it cannot be cut. NULL: attributes do not depend
     * on rows. */
    bool (*cut_at)(void *attrs, const struct firn_call *part, int64_t row, bool is_turn);
    uint32_t inplace;  /* bit i: output 0 may take the storage of input i if that dies here */
    uint32_t inplace1; /* the same for output 1, beside output 0 in that of another input */
    bool alias;        /* no work: output 0 is a view of input 0 ... */
    bool join;         /* no work: the inputs, in order, are consecutive parts of output 0 */
    int64_t (*alias_offset)(const struct firn_call *call); /* elements into input 0; NULL: 0 */
    size_t attrs_size;                                     /* attributes are copied into the node */
    bool (*shape)(struct firn_infer *s);

    /* Plain C, float64 accumulators, fixed order; reads and writes any float type (f64 too, for
     * finite differences) through ops/ref.h. May use call->pool over independent outputs. */
    void (*ref)(const struct firn_call *call);
    /* Fast f32 (and what else it accepts) for the cpu device; NULL: ref is used. */
    void (*cpu)(const struct firn_call *call);
    bool (*cpu_accepts)(const struct firn_call *call); /* NULL: f32 floats only */
    size_t (*cpu_scratch)(const struct firn_call *call, int n_threads);

    /* Appends nodes for the inputs that firn_wants(); leaves the rest of dx empty. dy[j] is empty
     * when nobody uses output j. */
    void (*grad)(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx);

    const struct firn_kernel *kernels; /* ends with name == NULL */
    double (*flops)(const struct firn_call *call);

    const struct firn_case *cases;
    int n_cases;
    /* Allowed |got - ref| per element of output `out`: fills bound[] of the output's size. The call
     * holds the reference's inputs and outputs. NULL: (8 + terms) * u * max|ref|. */
    void (*bound)(const struct firn_call *call, int out, double *bound);
    int64_t (*terms)(const struct firn_call *call); /* length of the longest sum; NULL: 1 */
};

#endif
