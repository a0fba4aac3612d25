/* SPDX-License-Identifier: Apache-2.0 */
/* Opens model, adapter and device, makes plans when a batch shape is first met, and runs them. */
#include "train/session.h"

#include "peft/mixed.h"

#include "base/file.h"
#include "base/json.h"
#include "train/step.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t flat_bytes(const struct firn_session *s)
{
    return sizeof(float) * (size_t) s->adapter.params.flat;
}

/* An adapter computes nonsense on a base that it was not trained on, silently. PEFT's own adapters do not say theirs. */
static firn_status check_base(const struct firn_session *s, const char *directory, struct firn_error *err)
{
    char fingerprint[32], *path = firn_path_join(directory, "firn.json");
    json_t *facts = NULL;
    firn_status status = path != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK && firn_path_exists(path))
        status = firn_json_load(path, &facts, err);
    const char *base = json_string_value(json_object_get(facts, "base_fingerprint"));
    if (status == FIRN_OK && base != NULL)
        status = firn_weights_fingerprint(&s->model.weights, fingerprint, err);
    if (status == FIRN_OK && base != NULL && strcmp(base, fingerprint) != 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "base_fingerprint",
                           .what = "the adapter was trained on another base; to use it all the same, remove this key",
                           .expected = FIRN_STR("%s of %s", fingerprint, s->params.model), .got = base);
    json_decref(facts);
    free(path);
    return status;
}

static firn_status open_adapter(struct firn_session *s, struct firn_error *err)
{
    const struct firn_session_params *p = &s->params;
    firn_status status = FIRN_OK;
    if (p->adapter != NULL)
        status = firn_adapter_load(&s->adapter, &s->model, p->task, p->adapter, err);
    else if (p->method != NULL)
        status = firn_adapter_open(&s->adapter, &s->model, p->task, p->method, p->method_file, p->method_section, err);
    if (status)
        return status;
    if (s->n_slots > 0)
        firn_format(s->adapter.leaf, sizeof s->adapter.leaf, "params.%zu", s->n_slots);
    s->adapter.params.decays_all = p->decays_all;
    const struct firn_build_params build = { .batch = 1, .length = 1, .target = p->task == FIRN_TASK_SEQ2SEQ_LM, .task = p->task, .problem = p->problem,
                                             .n_labels = p->n_labels };
    status = firn_model_collect(&s->model, &s->adapter, &build, &s->counts, err);
    if (status)
        return status;
    for (size_t i = 0; i < s->adapter.params.count && p->adapter == NULL; i++) {
        const struct firn_param *q = &s->adapter.params.list[i];
        if (q->base != NULL && q->init == FIRN_INIT_NORMAL && firn_is_pooler(q->base))
            firn_log_line(&p->log, FIRN_LOG_WARN, "%s: has no %s: a new one is trained, and saved with the adapter", p->model,
                          q->base);
    }
    s->flat = calloc(1, flat_bytes(s) + sizeof(float));
    if (s->flat == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the trained tensors");
    if (p->adapter == NULL)
        return FIRN_OK;
    status = firn_adapter_read(&s->adapter, &s->model, p->adapter, s->flat, err);
    return status ? status : check_base(s, p->adapter, err);
}

firn_status firn_session_open(struct firn_session *s, const struct firn_session_params *params,
                              struct firn_error *err)
{
    memset(s, 0, sizeof *s);
    s->params = *params;
    const struct firn_device_params device = { .log = params->log, .fast_matrices = params->fast_matrices };
    firn_status status = params->made != FIRN_NONE
                             ? firn_model_open_config(&s->model, params->model, params->made, err)
                             : firn_model_open(&s->model, params->model, err);
    s->model.quantised = params->quantised;
    if (status == FIRN_OK)
        s->model.base_dtype = params->base_dtype;
    if (status == FIRN_OK)
        status = open_adapter(s, err);
    if (status == FIRN_OK)
        status = firn_device_open(&s->device, params->device, &device, err);
    if (status == FIRN_OK)
        status = firn_store_create(&s->store, s->device, err);
    if (status == FIRN_OK)
        status = firn_store_add(s->store, FIRN_LEAF_PARAM, "params",
                                s->adapter.params.flat > 0 ? flat_bytes(s) : sizeof(float), s->flat, err);
    if (status)
        firn_session_close(s);
    return status;
}

static void free_plan(struct firn_session_plan *sp)
{
    firn_plan_destroy(&sp->plan);
    firn_graph_destroy(&sp->graph);
    free(sp);
}

/* Leaves out the plans that use the cache. */
static void drop_cached(struct firn_session *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_plans; i++) {
        if (s->plans[i]->build.cache_length == 0)
            s->plans[n++] = s->plans[i];
        else
            free_plan(s->plans[i]);
    }
    s->n_plans = n;
}

static void free_slot(struct firn_session_slot *slot)
{
    for (size_t i = 0; i < slot->n_plans; i++)
        free_plan(slot->plans[i]);
    free(slot->plans);
    if (firn_adapter_is_mixed(&slot->adapter))
        firn_mixed_close(&slot->adapter);
    else
        firn_adapter_close(&slot->adapter);
    free(slot->flat);
}

static struct firn_session_slot take_current(struct firn_session *s)
{
    drop_cached(s); /* the cache is of whoever runs */
    return (struct firn_session_slot){ s->params, s->adapter, s->counts, s->plans, s->n_plans, s->flat };
}

static void put_current(struct firn_session *s, const struct firn_session_slot *slot)
{
    s->params = slot->params;
    s->adapter = slot->adapter;
    s->counts = slot->counts;
    s->plans = slot->plans;
    s->n_plans = slot->n_plans;
    s->flat = slot->flat;
}

void firn_session_use(struct firn_session *s, size_t number)
{
    if (number == s->current)
        return;
    assert(number < s->n_slots);
    s->slots[s->current] = take_current(s);
    put_current(s, &s->slots[number]);
    s->current = number;
}

firn_status firn_session_add(struct firn_session *s, const struct firn_session_params *params, struct firn_error *err)
{
    const size_t n = s->n_slots > 0 ? s->n_slots : 1;
    struct firn_session_slot *slots = realloc(s->slots, sizeof *slots * (n + 1));
    if (slots == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    s->slots = slots;
    s->n_slots = n;
    if (params->quantised != s->params.quantised)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = params->adapter, .key = "quantization",
                         .expected = "the base as the other adapters have it", .got = "another");
    const struct firn_session_slot before = take_current(s);
    const struct firn_session_slot empty = { .params = *params };
    put_current(s, &empty);
    firn_status status = open_adapter(s, err);
    if (status == FIRN_OK)
        status = firn_store_add(s->store, FIRN_LEAF_PARAM, firn_params_leaf(&s->adapter),
                                s->adapter.params.flat > 0 ? flat_bytes(s) : sizeof(float), s->flat, err);
    if (status) {
        struct firn_session_slot failed = take_current(s);
        free_slot(&failed);
        put_current(s, &before);
        return status;
    }
    s->slots[s->current] = before;
    s->current = s->n_slots++;
    return FIRN_OK;
}

firn_status firn_session_mix(struct firn_session *s, bool *can, size_t *number, struct firn_error *err)
{
    const size_t n = s->n_slots;
    const struct firn_adapter **list = calloc(n + 1, sizeof *list);
    struct firn_session_slot *slots = realloc(s->slots, sizeof *slots * (n + 1));
    if (slots != NULL)
        s->slots = slots;
    if (list == NULL || slots == NULL) {
        free(list);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for adapters");
    }
    bool is_one_task = true; /* a head's problem and labels too */
    for (size_t k = 0; k < n; k++) {
        const struct firn_session_params *p = k == s->current ? &s->params : &slots[k].params;
        const struct firn_session_params *q = s->current == 0 ? &s->params : &slots[0].params;
        list[k] = k == s->current ? &s->adapter : &slots[k].adapter;
        is_one_task &= p->task == q->task && p->problem == q->problem && p->n_labels == q->n_labels;
    }
    *can = n > 1 && is_one_task && firn_mixed_can(list, n);
    firn_status status = FIRN_OK;
    if (*can) {
        slots[n] = (struct firn_session_slot){ .params = s->current == 0 ? s->params : slots[0].params };
        status = firn_mixed_open(&slots[n].adapter, list, n, err);
        *number = n;
        s->n_slots += status == FIRN_OK;
    }
    free(list);
    return status;
}

void firn_session_close(struct firn_session *s)
{
    struct firn_session_slot current = take_current(s);
    for (size_t i = 0; i < s->n_slots; i++)
        if (i != s->current)
            free_slot(&s->slots[i]);
    free_slot(&current);
    free(s->slots);
    firn_store_destroy(&s->store);
    firn_device_close(&s->device);
    firn_model_close(&s->model);
    memset(s, 0, sizeof *s);
}

static firn_status build(struct firn_session *s, struct firn_session_plan *sp, struct firn_error *err)
{
    struct firn_build b;
    sp->graph = firn_graph_create();
    if (sp->graph == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    firn_graph_set_binding_limit(sp->graph, s->device->limits.max_binding_bytes);
    firn_status status = firn_model_build(&b, sp->graph, &s->model, &s->adapter, &sp->build, err);
    if (status == FIRN_OK)
        sp->front = (struct firn_front){ b.n_virtual, b.n_prefix, s->adapter.peft_compatible };
    if (status == FIRN_OK && sp->kind == FIRN_PLAN_TRAIN)
        status = firn_step_build(&b, s->params.accumulates, err);
    if (sp->kind == FIRN_PLAN_TRAIN)
        firn_graph_set_recompute(sp->graph, s->params.recompute);
    if (status == FIRN_OK)
        status = firn_model_load(&s->model, sp->graph, s->store, err);
    if (status == FIRN_OK)
        status = firn_plan_create(&sp->plan, sp->graph, &s->device->limits, s->device->is_host, s->device->is_exact,
                                  err);
    if (status == FIRN_OK)
        status = firn_plan_bind(sp->plan, s->store, err);
    return status ? status : firn_store_check(s->store, err);
}

firn_status firn_session_plan(struct firn_session *s, enum firn_plan_kind kind, int64_t batch, int64_t length,
                              struct firn_session_plan **out, struct firn_error *err)
{
    return firn_session_plan_pair(s, kind, batch, length, 0, out, err);
}

struct firn_build_params firn_session_build(const struct firn_session *s, enum firn_plan_kind kind, int64_t batch,
                                            int64_t length, int64_t target)
{
    const bool is_cached = kind == FIRN_PLAN_PREFILL || kind == FIRN_PLAN_NEXT;
    const bool is_picked = kind == FIRN_PLAN_PICKED || is_cached;
    return (struct firn_build_params){
        .batch = batch, .length = length, .target = target, .task = s->params.task, .problem = s->params.problem,
        .n_labels = s->params.n_labels, .has_loss = kind == FIRN_PLAN_TRAIN || kind == FIRN_PLAN_EVAL,
        .training = kind == FIRN_PLAN_TRAIN && s->params.training, .fills_blind = s->params.fills_blind,
        .smoothing = kind == FIRN_PLAN_TRAIN ? s->params.smoothing : 0,
        .is_bare = kind == FIRN_PLAN_BARE, .is_step = kind == FIRN_PLAN_TRAIN,
        .wants_hits = kind == FIRN_PLAN_EVAL && (s->params.task == FIRN_TASK_MASKED_LM ||
                                                 s->params.task == FIRN_TASK_CAUSAL_LM ||
                                                 s->params.task == FIRN_TASK_SEQ2SEQ_LM),
        .wants_logits = kind == FIRN_PLAN_LOGITS || is_picked || kind == FIRN_PLAN_BARE ||
                        (kind == FIRN_PLAN_EVAL && (s->params.task == FIRN_TASK_SEQ_CLS ||
                                                    s->params.task == FIRN_TASK_TOKEN_CLS)),
        .picked_logits = is_picked, .cache_length = is_cached ? s->cache_length : 0,
        .continues = kind == FIRN_PLAN_NEXT };
}

firn_status firn_session_plan_pair(struct firn_session *s, enum firn_plan_kind kind, int64_t batch, int64_t length,
                                   int64_t target, struct firn_session_plan **out, struct firn_error *err)
{
    struct firn_build_params build = firn_session_build(s, kind, batch, length, target);
    return firn_session_plan_of(s, kind, &build, out, err);
}

firn_status firn_session_plan_of(struct firn_session *s, enum firn_plan_kind kind, const struct firn_build_params *params,
                                 struct firn_session_plan **out, struct firn_error *err)
{
    for (size_t i = 0; i < s->n_plans; i++) {
        struct firn_session_plan *sp = s->plans[i];
        if (sp->kind == kind && sp->build.batch == params->batch && sp->build.length == params->length &&
            sp->build.target == params->target && sp->build.packed == params->packed) {
            *out = sp;
            return FIRN_OK;
        }
    }
    struct firn_session_plan **plans = realloc(s->plans, sizeof *plans * (s->n_plans + 1));
    struct firn_session_plan *sp = calloc(1, sizeof *sp);
    if (plans != NULL)
        s->plans = plans;
    if (plans == NULL || sp == NULL) {
        free(sp);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a plan");
    }
    sp->kind = kind;
    sp->build = *params;
    const firn_status status = build(s, sp, err);
    if (status) {
        firn_plan_destroy(&sp->plan);
        firn_graph_destroy(&sp->graph);
        free(sp);
        return status;
    }
    s->plans[s->n_plans++] = *out = sp;
    return FIRN_OK;
}

void firn_session_cache(struct firn_session *s, int64_t batch, int64_t length, int64_t source)
{
    char name[64];
    if (s->cache_batch == batch && s->cache_length >= length && s->cache_source == source)
        return;
    drop_cached(s);
    const struct firn_config *c = &s->model.config;
    const int64_t layers = c->n_decoder_layers > c->n_layers ? c->n_decoder_layers : c->n_layers;
    for (int64_t i = 0; i < layers; i++)
        for (const char *const *what = firn_cached; *what != NULL; what++)
            firn_store_remove(s->store, firn_cache_name(name, sizeof name, *what, i));
    s->cache_batch = batch;
    s->cache_length = length;
    s->cache_source = source;
}

firn_status firn_session_push(struct firn_session *s, const char *name, const float *flat, struct firn_error *err)
{
    const enum firn_leaf kind = strcmp(name, "params") == 0  ? FIRN_LEAF_PARAM
                                : strcmp(name, "grads") == 0 ? FIRN_LEAF_GRAD
                                                             : FIRN_LEAF_STATE;
    name = kind == FIRN_LEAF_PARAM ? firn_params_leaf(&s->adapter) : name;
    return s->adapter.params.flat > 0 ? firn_store_add(s->store, kind, name, flat_bytes(s), flat, err) : FIRN_OK;
}

firn_status firn_session_pull(struct firn_session *s, const char *name, float *flat, struct firn_error *err)
{
    if (strcmp(name, "params") == 0)
        name = firn_params_leaf(&s->adapter);
    if (!firn_store_has(s->store, name)) { /* not stepped yet: moments are zero */
        memset(flat, 0, flat_bytes(s));
        return FIRN_OK;
    }
    return firn_store_read(s->store, name, 0, flat, flat_bytes(s), err);
}

static firn_status write_if(struct firn_session *s, const char *name, const void *data, size_t size,
                            struct firn_error *err)
{
    return firn_store_has(s->store, name) ? firn_store_write(s->store, name, 0, data, size, err) : FIRN_OK;
}

static firn_status write_rates(struct firn_session *s, const struct firn_rates *r, struct firn_error *err)
{
    float rates[8] = { (float) r->lr, (float) (1 - r->beta1), (float) (1 - r->beta2), (float) r->eps, (float) r->decay,
                       (float) (1 - pow(r->beta1, (double) r->t)), (float) (1 - pow(r->beta2, (double) r->t)),
                       (float) r->max_norm };
    const struct firn_param_set *set = &s->adapter.params;
    firn_status status = FIRN_OK;
    for (int i = 0; i < set->n_groups && status == FIRN_OK; i++) {
        const struct firn_param_group *g = &set->groups[i];
        const double of_peak = r->peak > 0 ? r->lr / r->peak : 0;
        rates[0] = (float) (g->is_peak ? g->rate * of_peak : g->rate * r->lr);
        rates[4] = (float) (g->decays ? r->decay : 0);
        status = write_if(s, FIRN_STR("rates.%d", i), rates, sizeof rates, err);
    }
    return status;
}

/* What a method does after each step, with the gradients as the optimizer saw them. A step that changed nothing is none. */
static firn_status look_back(struct firn_session *s, const struct firn_micro *micro, struct firn_error *err)
{
    const struct firn_adapter *a = &s->adapter;
    float norm = 0;
    float *grads = calloc((size_t) a->params.flat + 1, sizeof *grads);
    firn_status status = grads != NULL ? firn_store_read(s->store, "grad_norm", 0, &norm, sizeof norm, err)
                                       : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for gradients");
    if (status == FIRN_OK && isfinite(norm)) {
        const double most = micro->rates->max_norm, clip = most > 0 ? fmin(1, most / ((double) norm + 1e-6)) : 1;
        status = firn_session_pull(s, "grads", grads, err);
        if (status == FIRN_OK)
            status = firn_session_pull(s, "params", s->flat, err);
        for (int64_t i = 0; i < a->params.flat && clip < 1; i++)
            grads[i] *= (float) clip;
        if (status == FIRN_OK)
            status = a->method->after_step(a, micro->step, s->flat, grads, err);
        if (status == FIRN_OK)
            status = firn_session_push(s, "params", s->flat, err);
    }
    free(grads);
    return status;
}

/* The plan for a batch that is filled. */
static firn_status plan_for(struct firn_session *s, enum firn_plan_kind kind, const struct firn_inputs *in,
                            struct firn_session_plan **out, struct firn_error *err)
{
    struct firn_build_params build = firn_session_build(s, kind, in->batch, in->length, in->target);
    build.packed = in->packed;
    return firn_session_plan_of(s, kind, &build, out, err);
}

firn_status firn_session_micro(struct firn_session *s, const struct firn_micro *micro, double *loss, double *norm,
                               struct firn_error *err)
{
    const struct firn_inputs *in = micro->inputs;
    const float keep = micro->index > 0 ? 1 : 0;
    const int32_t rng[4] = { (int32_t) (uint32_t) micro->seed, (int32_t) (uint32_t) (micro->seed >> 32),
                             (int32_t) micro->step, (int32_t) micro->index };
    struct firn_session_plan *sp;
    float value = 0;
    firn_status status = plan_for(s, FIRN_PLAN_TRAIN, in, &sp, err);
    if (status == FIRN_OK)
        status = firn_inputs_check(in, &s->model, &sp->build, err);
    if (status == FIRN_OK)
        status = firn_inputs_upload(in, &s->model, &sp->front, &sp->build, s->store, err);
    if (status == FIRN_OK)
        status = write_if(s, "scale", &micro->scale, sizeof micro->scale, err);
    const float share = micro->count > 1 ? 1.0f / (float) micro->count : 1;
    if (status == FIRN_OK)
        status = write_if(s, "share", &share, sizeof share, err);
    if (status == FIRN_OK)
        status = write_if(s, "keep", &keep, sizeof keep, err);
    if (status == FIRN_OK)
        status = write_if(s, "rng", rng, sizeof rng, err);
    if (status == FIRN_OK && micro->rates != NULL)
        status = write_rates(s, micro->rates, err);
    if (status == FIRN_OK && micro->check != NULL)
        status = firn_plan_check(sp->plan, s->store, true, micro->rates != NULL, micro->check, err);
    else if (status == FIRN_OK)
        status = firn_plan_run(sp->plan, true, micro->rates != NULL, err);
    if (status == FIRN_OK && loss != NULL) {
        status = firn_store_read(s->store, "loss", 0, &value, sizeof value, err);
        *loss = (double) value;
    }
    if (status == FIRN_OK && norm != NULL && micro->rates != NULL) {
        status = firn_store_read(s->store, "grad_norm", 0, &value, sizeof value, err);
        *norm = (double) value;
    }
    const bool looks_back = s->adapter.method != NULL && s->adapter.method->after_step != NULL;
    return status == FIRN_OK && looks_back && micro->rates != NULL ? look_back(s, micro, err) : status;
}

firn_status firn_session_forward(struct firn_session *s, enum firn_plan_kind kind, const struct firn_inputs *in,
                                 float scale, double *loss, float *logits, int64_t n_logits, struct firn_error *err)
{
    struct firn_session_plan *sp;
    float value = 0;
    firn_status status = plan_for(s, kind, in, &sp, err);
    if (status == FIRN_OK)
        status = firn_inputs_check(in, &s->model, &sp->build, err);
    if (status == FIRN_OK)
        status = firn_inputs_upload(in, &s->model, &sp->front, &sp->build, s->store, err);
    if (status == FIRN_OK && firn_adapter_is_mixed(&s->adapter))
        status = write_if(s, FIRN_MIXED_INPUT, in->adapter_of, sizeof *in->adapter_of * (size_t) in->batch, err);
    if (status == FIRN_OK)
        status = write_if(s, "scale", &scale, sizeof scale, err);
    if (status == FIRN_OK)
        status = firn_plan_run(sp->plan, true, false, err);
    if (status == FIRN_OK && loss != NULL && kind == FIRN_PLAN_EVAL) {
        status = firn_store_read(s->store, "loss", 0, &value, sizeof value, err);
        *loss = (double) value;
    }
    if (status == FIRN_OK && logits != NULL)
        status = firn_store_read(s->store, "logits", 0, logits, sizeof *logits * (size_t) n_logits, err);
    return status;
}
