/* SPDX-License-Identifier: Apache-2.0 */
/* `firn plan`: what a run will cost, without a device. */
#include "cli/recipe_args.h"
#include "train/step.h"
#include "train/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct flags {
    bool json, steps;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_JSON(json),
    { "steps", .type = FIRN_OPTION_BOOL, .offset = AT(steps), .help = "also list every step of the plan" },
    { NULL },
};

struct answer {
    int64_t trainable, total, batch, length, target;
    struct firn_plan_bytes bytes;
};

static void print_answer(const struct answer *a, bool json)
{
    const uint64_t base = a->bytes.leaf[FIRN_LEAF_WEIGHT], adapter = a->bytes.leaf[FIRN_LEAF_PARAM];
    const uint64_t optimizer = a->bytes.leaf[FIRN_LEAF_STATE] + a->bytes.leaf[FIRN_LEAF_GRAD];
    const uint64_t io = a->bytes.leaf[FIRN_LEAF_INPUT] + a->bytes.leaf[FIRN_LEAF_OUTPUT];
    const uint64_t all = base + adapter + optimizer + io + a->bytes.activations;
    const double flops = a->bytes.flops[0] + a->bytes.flops[1];
    if (json) {
        json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "trainable",
                              (json_int_t) a->trainable, "total", (json_int_t) a->total, "batch_size",
                              (json_int_t) a->batch, "length", (json_int_t) a->length, "base_bytes", (json_int_t) base,
                              "adapter_bytes", (json_int_t) adapter, "optimizer_bytes", (json_int_t) optimizer,
                              "activation_bytes", (json_int_t) a->bytes.activations, "workspace_bytes",
                              (json_int_t) a->bytes.workspace, "input_output_bytes", (json_int_t) io, "all_bytes",
                              (json_int_t) all, "steps", (json_int_t) (a->bytes.nodes[0] + a->bytes.nodes[1]),
                              "flops_per_step", flops);
        if (a->target > 0)
            json_object_set_new(o, "target_length", json_integer(a->target));
        json_dumpf(o, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(o);
        return;
    }
    printf("trained parameters  %" PRId64 " of %" PRId64 " (%.3f %%)\n", a->trainable, a->total,
           100.0 * (double) a->trainable / (double) a->total);
    printf("longest micro-batch %" PRId64 " x %" PRId64 " tokens\n", a->batch, a->length);
    if (a->target > 0)
        printf("of the decoder      %" PRId64 " x %" PRId64 " tokens\n", a->batch, a->target);
    printf("base                %" PRIu64 " bytes\n", base);
    printf("adapter             %" PRIu64 " bytes\n", adapter);
    printf("optimizer           %" PRIu64 " bytes (gradients and two moments)\n", optimizer);
    printf("activations         %" PRIu64 " bytes (%" PRIu64 " alive at once, %" PRIu64 " of it kernel workspace)\n",
           a->bytes.activations, a->bytes.activations_live, a->bytes.workspace);
    printf("inputs and outputs  %" PRIu64 " bytes\n", io);
    printf("all                 %" PRIu64 " bytes (%.1f MiB)\n", all, (double) all / 0x1p20);
    printf("work                %.3f GFLOP a step in %" PRIu64 " operations\n", flops * 1e-9,
           a->bytes.nodes[0] + a->bytes.nodes[1]);
}

/* As the cpu device would plan it: the limits of a host, no device opened. */
static firn_status plan_for(const struct firn_recipe *r, const struct firn_task_setup *task, struct firn_model *m,
                            const struct flags *f, struct firn_error *err)
{
    const struct firn_limits limits = { .device_class = FIRN_CLASS_HOST, .subgroup_size = 1, .max_lanes = 1,
                                        .max_groups = { UINT32_MAX, UINT32_MAX, UINT32_MAX }, .bind_align = 64,
                                        .max_binding_bytes = SIZE_MAX, .max_alloc_bytes = SIZE_MAX, .n_threads = 1 };
    struct firn_adapter adapter = { 0 };
    struct firn_counts counts = { 0 };
    struct firn_graph *g = NULL;
    struct firn_plan *plan = NULL;
    struct firn_build b;
    struct firn_build_params p = { .batch = r->train.batch_size, .length = 1,
                                         .target = task->max_target, .task = task->task,
                                         .problem = task->problem, .n_labels = firn_task_n_labels(task),
                                         .has_loss = true, .training = r->train.dropout,
                                         .smoothing = (float) r->train.label_smoothing_factor };
    firn_status status = firn_adapter_open(&adapter, m, task->task, r->method, r->path, "method.", err);
    if (status == FIRN_OK) {
        adapter.params.decays_all = r->train.decay_exclude == FIRN_DECAY_ALL;
        status = firn_model_collect(m, &adapter, &p, &counts, err);
    }
    const int64_t limit = firn_text_limit(m, &adapter), length = task->max_length < limit ? task->max_length : limit;
    p.length = length;
    if (status == FIRN_OK && (g = firn_graph_create()) == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    if (status == FIRN_OK)
        status = firn_model_build(&b, g, m, &adapter, &p, err);
    if (status == FIRN_OK)
        status = firn_step_build(&b, r->train.gradient_accumulation_steps > 1, err);
    if (status == FIRN_OK)
        status = firn_plan_create(&plan, g, &limits, true, false, err);
    if (status == FIRN_OK) {
        struct answer a = { .trainable = firn_params_count(&adapter.params),
                            .total = firn_model_total(&counts, &adapter.params), .batch = p.batch, .length = length,
                            .target = p.target };
        firn_plan_bytes(plan, &a.bytes);
        print_answer(&a, f->json);
        char *steps = f->steps ? firn_plan_print(plan) : NULL;
        if (steps != NULL)
            printf("%s", steps);
        free(steps);
    }
    firn_plan_destroy(&plan);
    firn_graph_destroy(&g);
    firn_adapter_close(&adapter);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    struct firn_recipe recipe;
    struct firn_table train = { 0 };
    struct firn_task_setup task = { 0 };
    struct firn_model model = { 0 };
    firn_status status = firn_recipe_from_args(&recipe, args, "plan", NULL, err);
    if (status)
        return status;
    status = firn_table_load(&train, recipe.data.train, err);
    if (status == FIRN_OK)
        status = firn_model_open(&model, recipe.model, err);
    model.base_dtype = firn_recipe_dtypes[recipe.base_dtype];
    if (status == FIRN_OK)
        status = firn_task_open(&task, &recipe, &train, err);
    if (status == FIRN_OK)
        status = plan_for(&recipe, &task, &model, args->values, err);
    firn_task_close(&task);
    firn_model_close(&model);
    firn_table_free(&train);
    firn_recipe_free(&recipe);
    return status;
}

const struct firn_command firn_command_plan = {
    .name = "plan",
    .words = "RECIPE [section.key=value ...]",
    .min_words = 1,
    .max_words = 1000,
    .summary = "what a run will cost: parameters, bytes by kind, FLOPs",
    .text = "Plans the longest batch of the recipe as the cpu device would run it and prints exact bytes. Touches no device.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .run = run,
};
