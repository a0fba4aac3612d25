/* SPDX-License-Identifier: Apache-2.0 */
/* A model with an adapter on a device: plans by batch shape, one set of weights and trained tensors. `firn train`, `eval`,
 * `classify` and `replay` all run through it. */
#ifndef FIRN_TRAIN_SESSION_H
#define FIRN_TRAIN_SESSION_H

#include "peft/peft.h"
#include "plan/check.h"
#include "train/inputs.h"

struct firn_session_params {
    const char *model;          /* directory */
    enum firn_dtype base_dtype; /* of the frozen matrices; FIRN_NONE: as stored */
    enum firn_dtype made;       /* not FIRN_NONE: of `model` only config.json is read, matrices of this type are made */
    const char *device;
    bool fast_matrices;         /* see firn_device_params */
    enum firn_task task;
    enum firn_problem problem;
    int64_t n_labels;
    float smoothing;
    bool training;              /* dropouts */
    bool fills_blind;           /* see firn_build_params */
    enum firn_recompute recompute; /* checkpointing of training plans */
    bool accumulates;           /* several micro-batches a step */
    bool decays_all;
    const json_t *method;       /* a recipe's or an adapter_config.json's settings; NULL: no adapter ... */
    const char *method_file, *method_section; /* ... and where they come from, for messages */
    enum firn_dtype quantised;  /* of the frozen base; FIRN_NONE: as its files have it */
    const char *adapter;        /* directory to load from instead; NULL: none */
    struct firn_log log;
};

/* BARE: logits of the base without the method's hooks (the head and the biases that train stay). */
/* PREFILL and NEXT use the session's cache; NEXT: one token a row. */
enum firn_plan_kind { FIRN_PLAN_TRAIN, FIRN_PLAN_EVAL, FIRN_PLAN_LOGITS, FIRN_PLAN_PICKED, FIRN_PLAN_BARE,
                      FIRN_PLAN_PREFILL, FIRN_PLAN_NEXT };

struct firn_session_plan {
    enum firn_plan_kind kind;
    struct firn_build_params build;
    struct firn_front front;
    struct firn_graph *graph;
    struct firn_plan *plan;
};

/* An adapter that waits for its turn; the one in use is in the session itself. */
struct firn_session_slot {
    struct firn_session_params params;
    struct firn_adapter adapter;
    struct firn_counts counts;
    struct firn_session_plan **plans;
    size_t n_plans;
    float *flat;
};

struct firn_session {
    struct firn_session_params params;
    struct firn_device *device;
    struct firn_model model;
    struct firn_adapter adapter;
    struct firn_counts counts;
    struct firn_store *store;
    struct firn_session_plan **plans;
    size_t n_plans;
    /* The cache of PREFILL and NEXT plans: sequences, rows of each, and tokens that an encoder reads (else 0). */
    int64_t cache_batch, cache_length, cache_source;
    float *flat;                /* host copy of the trained tensors; see firn_session_pull */
    struct firn_session_slot *slots; /* with further adapters: all of them */
    size_t n_slots, current;
};

firn_status firn_session_open(struct firn_session *s, const struct firn_session_params *params,
                              struct firn_error *err);
void firn_session_close(struct firn_session *s);

/* Several adapters of any kind on one base, which is in memory once: opens one more (params->adapter; of the others task,
 * problem, n_labels and quantised matter) and uses it. The first is number 0. When it fails, the one before stays in use. */
firn_status firn_session_add(struct firn_session *s, const struct firn_session_params *params, struct firn_error *err);
/* Whether rows of one batch can have different ones of the session's adapters; then *number is one that stands for all of
 * them: used, each row's own is what firn_inputs' adapter_of says. Call it when all have been added. */
firn_status firn_session_mix(struct firn_session *s, bool *can, size_t *number, struct firn_error *err);
/* What is called next runs with that adapter. */
void firn_session_use(struct firn_session *s, size_t number);

/* The plan of a kind for a batch shape; made once. */
firn_status firn_session_plan(struct firn_session *s, enum firn_plan_kind kind, int64_t batch, int64_t length,
                              struct firn_session_plan **plan, struct firn_error *err);
/* The same for an encoder-decoder: `target` tokens for the decoder (0: another task). */
firn_status firn_session_plan_pair(struct firn_session *s, enum firn_plan_kind kind, int64_t batch, int64_t length,
                                   int64_t target, struct firn_session_plan **plan, struct firn_error *err);

/* The same of what firn_session_build() said, or that with `packed`. */
firn_status firn_session_plan_of(struct firn_session *s, enum firn_plan_kind kind, const struct firn_build_params *params,
                                 struct firn_session_plan **plan, struct firn_error *err);

/* Makes the cache hold at least `length` rows for each of `batch` sequences; `source` tokens are what an encoder reads (else
 * 0). When it must change, the plans that use it and what it held are dropped. */
void firn_session_cache(struct firn_session *s, int64_t batch, int64_t length, int64_t source);

/* What such a plan's graph is built of. */
struct firn_build_params firn_session_build(const struct firn_session *s, enum firn_plan_kind kind, int64_t batch,
                                            int64_t length, int64_t target);

/* Trained tensors (`name` "params"), gradients ("grads") and moments ("moment1", "moment2") to and from the host. */
firn_status firn_session_push(struct firn_session *s, const char *name, const float *flat, struct firn_error *err);
firn_status firn_session_pull(struct firn_session *s, const char *name, float *flat, struct firn_error *err);

/* One optimizer step's rates, for the parameters with decay and for those without. */
struct firn_rates {
    double lr, peak, beta1, beta2, eps, decay, max_norm; /* peak: of the schedule that lr follows */
    int64_t t; /* 1 for the first step */
};

/* Runs one micro-batch; with `rates` also the update, in the same submission. `scale` multiplies each counted row's loss.
 * loss and norm (of the whole step, with rates) may be NULL. */
struct firn_micro {
    const struct firn_inputs *inputs;
    float scale;
    int64_t index, count, step; /* micro-batch of how many of the step; step from 0 */
    uint64_t seed;
    const struct firn_rates *rates;
    struct firn_check *check; /* not NULL: each step of the plan is held against the reference (plan/check.h) */
};
firn_status firn_session_micro(struct firn_session *s, const struct firn_micro *micro, double *loss, double *norm,
                               struct firn_error *err);

/* Runs an EVAL, LOGITS, PICKED or PREFILL plan; logits gets the floats that the plan's leaf holds, loss their scaled sum. */
firn_status firn_session_forward(struct firn_session *s, enum firn_plan_kind kind, const struct firn_inputs *inputs,
                                 float scale, double *loss, float *logits, int64_t n_logits, struct firn_error *err);

#endif
