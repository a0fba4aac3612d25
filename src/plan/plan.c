/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a plan of a graph (passes, kernels, offsets) and runs it on a device. */
#include "base/str.h"
#include "plan/passes.h"
#include "plan/store.h"

#include <stdlib.h>
#include <string.h>

/* One node of the plan: what to run, without buffers. */
struct planned {
    uint32_t node;
    const struct firn_kernel *kernel;
    void (*host)(const struct firn_call *call);
    size_t scratch; /* bytes */
    uint32_t scratch_life; /* index into life */
};

struct firn_plan {
    struct firn_graph *g;
    struct firn_limits limits;
    bool is_host, is_exact;
    struct planned *steps;
    uint32_t n_steps;
    struct firn_life *life; /* values, then one entry per step for its scratch */
    size_t arena, lower_bound;
    char **labels;
    struct firn_store *store;
    struct firn_program *programs[FIRN_PHASE_COUNT];
    uint64_t generation, tuning; /* of store and device when the programs were recorded */
};

static bool kernel_fits(const struct firn_kernel *k, const struct firn_call *call,
                        const struct firn_limits *limits)
{
    return (limits->caps & k->needs) == k->needs && (limits->caps & k->never) == 0 &&
           (k->accepts == NULL || k->accepts(call, limits));
}

static bool all_f32(const struct firn_call *call)
{
    for (int i = 0; i < FIRN_MAX_IN; i++)
        if (firn_dtype_is_float(call->in[i].dtype) && call->in[i].dtype != FIRN_F32)
            return false;
    return true;
}

static firn_status choose(struct firn_plan *plan, struct planned *step, struct firn_error *err)
{
    const struct firn_node *n = firn_graph_node(plan->g, step->node);
    const struct firn_op *op = n->op;
    struct firn_call call;
    firn_node_call(plan->g, n, &call);
    if (plan->is_host) {
        const bool fast = !plan->is_exact && op->cpu != NULL &&
                          (op->cpu_accepts != NULL ? op->cpu_accepts(&call) : all_f32(&call));
        step->host = fast ? op->cpu : op->ref;
        if (fast && op->cpu_scratch != NULL)
            step->scratch = op->cpu_scratch(&call, plan->limits.n_threads);
        return FIRN_OK;
    }
    for (const struct firn_kernel *k = op->kernels; k != NULL && k->name != NULL; k++) {
        if (!kernel_fits(k, &call, &plan->limits))
            continue;
        step->kernel = k;
        if (k->scratch != NULL)
            step->scratch = k->scratch(&call, &plan->limits);
        return FIRN_OK;
    }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = op->name,
                     .what = FIRN_STR("no kernel for this device takes %s %s",
                                      firn_dtype_name(call.in[0].dtype),
                                      FIRN_SHAPE_STR(&call.in[0].shape)));
}

static bool does_work(const struct firn_node *n)
{
    return !n->dead && !n->op->alias && !n->op->join;
}

static firn_status choose_all(struct firn_plan *plan, struct firn_error *err)
{
    const uint32_t n = firn_graph_n_nodes(plan->g), n_values = firn_graph_n_values(plan->g);
    plan->steps = calloc(n + 1, sizeof *plan->steps);
    plan->labels = calloc(n + 1, sizeof *plan->labels);
    plan->life = calloc(n_values + n + 1, sizeof *plan->life);
    if (plan->steps == NULL || plan->labels == NULL || plan->life == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    firn_pass_live(plan->g, plan->life);
    for (uint32_t i = 0; i < n; i++) {
        const struct firn_node *node = firn_graph_node(plan->g, i);
        if (!does_work(node))
            continue;
        struct planned *step = &plan->steps[plan->n_steps];
        *step = (struct planned){ .node = i, .scratch_life = n_values + plan->n_steps };
        const firn_status status = choose(plan, step, err);
        if (status)
            return status;
        plan->life[step->scratch_life] = (struct firn_life){ .in_arena = step->scratch > 0,
                                              .first = i, .last = i, .size = step->scratch };
        struct firn_str label = { 0 };
        firn_str_addf(&label, "%s%s%s", node->scope != NULL ? node->scope : "",
                      node->scope != NULL && node->scope[0] != '\0' ? " " : "", node->op->name);
        plan->labels[plan->n_steps++] = label.data;
    }
    const size_t align = plan->limits.bind_align > 64 ? plan->limits.bind_align : 64;
    return firn_pass_place(plan->life, n_values + plan->n_steps, align, &plan->arena,
                           &plan->lower_bound, err);
}

firn_status firn_plan_create(struct firn_plan **out, struct firn_graph *g,
                             const struct firn_limits *limits, bool is_host, bool is_exact,
                             struct firn_error *err)
{
    firn_status status = firn_graph_check(g, err);
    if (status)
        return status;
    struct firn_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    plan->g = g;
    plan->limits = *limits;
    plan->is_host = is_host;
    plan->is_exact = is_exact;
    status = firn_pass_prune(g, err);
    if (status == FIRN_OK)
        status = firn_pass_fuse(g, err);
    if (status == FIRN_OK)
        status = firn_pass_checkpoint(g, firn_graph_recompute(g), err);
    if (status == FIRN_OK)
        status = firn_pass_inplace(g, err);
    if (status == FIRN_OK)
        status = choose_all(plan, err);
    if (status != FIRN_OK)
        firn_plan_destroy(&plan);
    *out = plan;
    return status;
}

static void drop_programs(struct firn_plan *plan)
{
    for (int p = 0; p < FIRN_PHASE_COUNT && plan->store != NULL; p++)
        firn_program_destroy(plan->store->device, &plan->programs[p]);
}

void firn_plan_destroy(struct firn_plan **out)
{
    struct firn_plan *plan = *out;
    if (plan == NULL)
        return;
    drop_programs(plan);
    for (uint32_t i = 0; i < plan->n_steps && plan->labels != NULL; i++)
        free(plan->labels[i]);
    free(plan->labels);
    free(plan->steps);
    free(plan->life);
    free(plan);
    *out = NULL;
}

static size_t value_size(const struct firn_value *v)
{
    return firn_tensor_bytes(v->dtype, &v->shape);
}

/* Makes or checks the storage of every leaf, and notes what the plan says of it. */
static firn_status bind_leaves(const struct firn_plan *plan, struct firn_error *err)
{
    for (uint32_t id = 1; id < firn_graph_n_values(plan->g); id++) {
        const struct firn_value *v = firn_graph_value(plan->g, (firn_val){ id });
        if (v->node != FIRN_NO_NODE || firn_is_value(v->base))
            continue;
        const bool made_here = v->leaf != FIRN_LEAF_WEIGHT && v->leaf != FIRN_LEAF_PARAM;
        firn_status status = FIRN_OK;
        if (made_here)
            status = firn_store_add(plan->store, v->leaf, v->name, value_size(v), NULL, err);
        else if (!firn_store_has(plan->store, v->name))
            status = firn_fail(err, FIRN_ERR_USAGE, .key = v->name, .what = "this leaf has no data");
        if (status)
            return status;
        struct firn_entry *e = firn_store_find(plan->store, v->name);
        const size_t planned = firn_store_room(value_size(v));
        e->planned = planned > e->planned ? planned : e->planned;
    }
    return firn_store_arena(plan->store, plan->arena, err);
}

static struct firn_bind bind_value(const struct firn_plan *plan, firn_val v)
{
    if (!firn_is_value(v))
        return (struct firn_bind){ 0 };
    int64_t offset;
    const firn_val root = firn_graph_root(plan->g, v, &offset);
    const struct firn_value *x = firn_graph_value(plan->g, v);
    const struct firn_value *r = firn_graph_value(plan->g, root);
    struct firn_bind bind = { .offset = (size_t) offset * firn_dtype_size(r->dtype),
                              .size = value_size(x) };
    if (r->node == FIRN_NO_NODE) {
        bind.buffer = firn_store_find(plan->store, r->name)->buffer;
    } else {
        bind.buffer = plan->store->arena;
        bind.offset += plan->life[root.id].offset;
    }
    return bind;
}

/* What a step takes, in about floating-point operations: memory counts as much as a GPU computes while it is read. */
static double cost_of(const struct firn_node *n, const struct firn_step *s)
{
    double bytes = 0;
    for (int k = 0; k < s->n_in; k++)
        bytes += (double) s->in[k].size;
    for (int j = 0; j < s->n_out; j++)
        bytes += (double) s->out[j].size;
    return (n->op->flops != NULL ? n->op->flops(&s->call) : 0) + 16 * bytes;
}

bool firn_plan_step(const struct firn_plan *plan, uint32_t index, struct firn_step *s, enum firn_phase *phase)
{
    if (index >= plan->n_steps)
        return false;
    const struct planned *p = &plan->steps[index];
    const struct firn_node *n = firn_graph_node(plan->g, p->node);
    *s = (struct firn_step){ .label = plan->labels[index] != NULL ? plan->labels[index] : n->op->name,
                             .n_in = n->op->n_in, .n_out = n->op->n_out, .updates = n->op->updates,
                             .host = p->host, .kernel = p->kernel };
    *phase = n->phase;
    firn_node_call(plan->g, n, &s->call);
    for (int k = 0; k < s->n_in; k++)
        s->in[k] = bind_value(plan, n->in[k]);
    for (int j = 0; j < s->n_out; j++)
        s->out[j] = bind_value(plan, n->out[j]);
    if (p->scratch > 0)
        s->scratch = (struct firn_bind){ plan->store->arena, plan->life[p->scratch_life].offset, p->scratch };
    s->cost = cost_of(n, s);
    return true;
}

const struct firn_op *firn_plan_op(const struct firn_plan *plan, uint32_t index)
{
    return firn_graph_node(plan->g, plan->steps[index].node)->op;
}

static firn_status record(struct firn_plan *plan, enum firn_phase phase, struct firn_error *err)
{
    struct firn_cut list = { 0 };
    struct firn_step step;
    enum firn_phase of;
    firn_status status = FIRN_OK;
    for (uint32_t i = 0; status == FIRN_OK && firn_plan_step(plan, i, &step, &of); i++)
        if (of == phase)
            status = firn_cut_step(&list, firn_graph_node(plan->g, plan->steps[i].node)->op, &step, &plan->store->device->limits, err);
    if (status == FIRN_OK)
        status = firn_program_create(plan->store->device, list.steps, list.n, &plan->programs[phase], err);
    firn_cut_free(&list);
    return status;
}

firn_status firn_plan_bind(struct firn_plan *plan, struct firn_store *store, struct firn_error *err)
{
    drop_programs(plan);
    plan->store = store;
    firn_status status = bind_leaves(plan, err);
    for (int phase = 0; phase < FIRN_PHASE_COUNT && status == FIRN_OK; phase++)
        status = record(plan, (enum firn_phase) phase, err);
    plan->generation = store->generation;
    plan->tuning = store->device->tuning;
    return status;
}

firn_status firn_plan_refresh(struct firn_plan *plan, struct firn_error *err)
{
    const bool is_fresh = plan->generation == plan->store->generation && plan->tuning == plan->store->device->tuning;
    return is_fresh ? FIRN_OK : firn_plan_bind(plan, plan->store, err);
}

firn_status firn_plan_run(struct firn_plan *plan, bool micro, bool update, struct firn_error *err)
{
    const firn_status status = firn_plan_refresh(plan, err);
    if (status)
        return status;
    struct firn_program *programs[FIRN_PHASE_COUNT];
    int n = 0;
    if (micro)
        programs[n++] = plan->programs[FIRN_PHASE_MICRO];
    if (update)
        programs[n++] = plan->programs[FIRN_PHASE_UPDATE];
    return firn_program_run(plan->store->device, programs, n, err);
}

void firn_plan_bytes(const struct firn_plan *plan, struct firn_plan_bytes *bytes)
{
    memset(bytes, 0, sizeof *bytes);
    for (uint32_t id = 1; id < firn_graph_n_values(plan->g); id++) {
        const struct firn_value *v = firn_graph_value(plan->g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && !firn_is_value(v->base))
            bytes->leaf[v->leaf] += firn_store_room(value_size(v));
    }
    bytes->activations = plan->arena;
    bytes->activations_live = plan->lower_bound;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct firn_node *n = firn_graph_node(plan->g, plan->steps[i].node);
        struct firn_call call;
        firn_node_call(plan->g, n, &call);
        bytes->nodes[n->phase]++;
        if (n->op->flops != NULL)
            bytes->flops[n->phase] += n->op->flops(&call);
        if (plan->steps[i].scratch > bytes->workspace)
            bytes->workspace = plan->steps[i].scratch;
    }
}

char *firn_plan_print(const struct firn_plan *plan)
{
    struct firn_str s = { 0 };
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct planned *p = &plan->steps[i];
        const struct firn_node *n = firn_graph_node(plan->g, p->node);
        firn_str_addf(&s, "%u %s %s", i, plan->labels[i] != NULL ? plan->labels[i] : "",
                      p->kernel != NULL ? p->kernel->name : p->host == n->op->ref ? "ref" : "cpu");
        for (int j = 0; j < n->op->n_out; j++) {
            const firn_val root = firn_graph_root(plan->g, n->out[j], NULL);
            const struct firn_value *v = firn_graph_value(plan->g, n->out[j]);
            firn_str_addf(&s, " %s%s", firn_dtype_name(v->dtype), FIRN_SHAPE_STR(&v->shape));
            if (plan->life[root.id].in_arena)
                firn_str_addf(&s, "@%zu", plan->life[root.id].offset);
        }
        firn_str_add(&s, "\n");
    }
    return s.data;
}
