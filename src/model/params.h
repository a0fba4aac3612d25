/* SPDX-License-Identifier: Apache-2.0 */
/* The trained tensors of a run: names, shapes, and their places in one flat run of floats, so that the optimizer is
 * a few dispatches whatever their number. Those with weight decay come first. */
#ifndef FIRN_MODEL_PARAMS_H
#define FIRN_MODEL_PARAMS_H

#include "firn/tensor.h"
#include "model/safetensors.h"

enum firn_init {
    FIRN_INIT_BASE,    /* the base's own value (a weight that is trained) */
    FIRN_INIT_ZERO,
    FIRN_INIT_ONE,
    FIRN_INIT_CONSTANT, /* `scale` everywhere */
    FIRN_INIT_NORMAL,  /* mean 0, deviation `scale` */
    FIRN_INIT_UNIFORM, /* in [-scale, scale] */
    FIRN_INIT_TRUNCATED, /* normal of deviation `scale`, drawn again beyond 2 scale */
};

struct firn_param {
    char *name;           /* as in case.json's `trainable` and (mostly) in adapter files */
    char *base;           /* path of the base tensor that it replaces; NULL: none */
    struct firn_shape shape;
    int64_t offset;       /* elements into the flat run; valid after firn_params_finish */
    bool decays;
    bool is_head;         /* a saved module that PEFT keeps a second copy of */
    bool is_transposed;   /* a matrix that files hold with its axes swapped; `shape` is that of the flat run */
    enum firn_init init;
    double scale;
    double rate;          /* of learning: times the run's; 1 but with LoRA+ */
    bool is_peak;         /* `rate` is a rate itself, at the schedule's peak */
};

/* A stretch of the run whose parameters step alike. */
struct firn_param_group {
    int64_t from, count;
    bool decays, is_peak;
    double rate;
};
enum { FIRN_MAX_GROUPS = 8 };

struct firn_param_set {
    struct firn_param *list;
    size_t count;
    int64_t flat, flat_decay; /* elements of the run, and of its part with decay; 0 until finished */
    struct firn_param_group groups[FIRN_MAX_GROUPS];
    int n_groups;
    bool is_finished;
    bool decays_all;          /* else biases and norm weights have no decay */
};

struct firn_param *firn_params_find(const struct firn_param_set *set, const char *name);
/* Adds (once); NULL without memory. */
struct firn_param *firn_params_add(struct firn_param_set *set, const char *name, const char *base,
                                   struct firn_shape shape, enum firn_init init, double scale);
/* Fixes the places, those with decay first, then by rate: each starts at a multiple of 64 elements, so that any device can bind it. */
void firn_params_finish(struct firn_param_set *set);
void firn_params_free(struct firn_param_set *set);
int64_t firn_params_count(const struct firn_param_set *set); /* elements of all, without padding */

/* Initial values by (seed, name), independent of device and order. FIRN_INIT_BASE ones are left alone. */
void firn_params_init(const struct firn_param_set *set, uint64_t seed, float *flat);

/* Named tensors over a flat run, as files hold them (parameters, gradients: any run laid out so). They point into
 * `flat`, but for copies of transposed ones. firn_params_tensors_free() the list. */
firn_status firn_params_tensors(const struct firn_param_set *set, const char *suffix, float *flat,
                                struct firn_named_tensor **list, struct firn_error *err);
void firn_params_tensors_free(struct firn_named_tensor *list, size_t count);
/* The shape that files hold. */
struct firn_shape firn_param_shape(const struct firn_param *p);
/* One parameter from a file's tensor of any float type. */
firn_status firn_param_read(const struct firn_param *p, const struct firn_tensor *t, const char *file,
                            const char *name, float *flat, struct firn_error *err);
firn_status firn_params_read_one(const struct firn_param *p, const char *suffix, const struct firn_safetensors *file,
                                 float *flat, struct firn_error *err);
/* Reads every parameter (name + suffix) from a file into the flat run; a missing or misshapen one is an error. */
firn_status firn_params_read(const struct firn_param_set *set, const char *suffix,
                             const struct firn_safetensors *file, float *flat, struct firn_error *err);

/* Reads those parameters that the file has; a tensor that is no parameter is an error. */
firn_status firn_params_overlay(const struct firn_param_set *set, const struct firn_safetensors *file, float *flat,
                                struct firn_error *err);

#endif
