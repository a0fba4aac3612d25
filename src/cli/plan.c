/* SPDX-License-Identifier: Apache-2.0 */
/* `firn plan`: what a run will cost, without a device or as the recipe's device would run it. */
#include "cli/recipe_args.h"

#include "base/file.h"
#include "train/fit.h"
#include "train/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    bool json, steps, on_device;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_JSON(json),
    { "on-device", .type = FIRN_OPTION_BOOL, .offset = AT(on_device),
      .help = "open the recipe's device and plan with its limits and kernels; nothing is allocated on it" },
    { "steps", .type = FIRN_OPTION_BOOL, .offset = AT(steps), .help = "also list every step of the plan" },
    { NULL },
};

struct answer {
    int64_t trainable, total, batch, length, target;
    struct firn_fit fit;
    struct firn_plan_bytes bytes;
    uint64_t by_level[FIRN_RECOMPUTE_COUNT]; /* all bytes, with the same micro-batch */
};

static void print_answer(const struct answer *a, bool json)
{
    const uint64_t base = a->bytes.leaf[FIRN_LEAF_WEIGHT], adapter = a->bytes.leaf[FIRN_LEAF_PARAM];
    const uint64_t optimizer = a->bytes.leaf[FIRN_LEAF_STATE] + a->bytes.leaf[FIRN_LEAF_GRAD];
    const uint64_t io = a->bytes.leaf[FIRN_LEAF_INPUT] + a->bytes.leaf[FIRN_LEAF_OUTPUT];
    const uint64_t all = base + adapter + optimizer + io + a->bytes.activations;
    const double flops = a->bytes.flops[0] + a->bytes.flops[1];
    const double live = (double) a->bytes.activations_live;
    if (json) {
        json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "trainable",
                              (json_int_t) a->trainable, "total", (json_int_t) a->total, "batch_size",
                              (json_int_t) a->batch, "length", (json_int_t) a->length, "base_bytes", (json_int_t) base,
                              "adapter_bytes", (json_int_t) adapter, "optimizer_bytes", (json_int_t) optimizer,
                              "activation_bytes", (json_int_t) a->bytes.activations, "workspace_bytes",
                              (json_int_t) a->bytes.workspace, "input_output_bytes", (json_int_t) io, "all_bytes",
                              (json_int_t) all, "steps", (json_int_t) (a->bytes.nodes[0] + a->bytes.nodes[1]),
                              "flops_per_step", flops);
        json_t *levels = json_object();
        for (int i = 0; i < FIRN_RECOMPUTE_COUNT; i++)
            json_object_set_new(levels, firn_recompute_words[i], json_integer((json_int_t) a->by_level[i]));
        json_object_set_new(o, "gradient_checkpointing", json_string(firn_recompute_words[a->fit.recompute]));
        json_object_set_new(o, "gradient_accumulation_steps", json_integer(a->fit.accumulation));
        json_object_set_new(o, "all_bytes_by_checkpointing", levels);
        json_object_set_new(o, "activation_bytes_live", json_integer((json_int_t) a->bytes.activations_live));
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
    printf("micro-batches       %" PRId64 " a step, gradient_checkpointing %s\n", a->fit.accumulation,
           firn_recompute_words[a->fit.recompute]);
    if (a->target > 0)
        printf("of the decoder      %" PRId64 " x %" PRId64 " tokens\n", a->batch, a->target);
    printf("base                %" PRIu64 " bytes\n", base);
    printf("adapter             %" PRIu64 " bytes\n", adapter);
    printf("optimizer           %" PRIu64 " bytes (gradients and two moments)\n", optimizer);
    printf("activations         %" PRIu64 " bytes (%.3f times the %" PRIu64 " alive at once; %" PRIu64 " of kernel workspace)\n",
           a->bytes.activations, live > 0 ? (double) a->bytes.activations / live : 1, a->bytes.activations_live,
           a->bytes.workspace);
    printf("inputs and outputs  %" PRIu64 " bytes\n", io);
    printf("all                 %" PRIu64 " bytes (%.1f MiB)\n", all, (double) all / 0x1p20);
    for (int i = 0; i < FIRN_RECOMPUTE_COUNT; i++)
        printf("%s%s %.1f MiB", i == 0 ? "by checkpointing    " : ", ", firn_recompute_words[i], (double) a->by_level[i] / 0x1p20);
    printf("\n");
    printf("work                %.3f GFLOP a step in %" PRIu64 " operations\n", flops * 1e-9,
           a->bytes.nodes[0] + a->bytes.nodes[1]);
}

static firn_status print_steps(const struct firn_fit_params *p, const struct firn_fit *fit, struct firn_error *err)
{
    struct firn_plan *plan = NULL;
    struct firn_graph *g = NULL;
    firn_status status = firn_fit_plan(&g, &plan, p, fit, err);
    char *steps = status == FIRN_OK ? firn_plan_print(plan) : NULL;
    if (steps != NULL)
        printf("%s", steps);
    free(steps);
    firn_plan_destroy(&plan);
    firn_graph_destroy(&g);
    return status;
}

/* As `device` would plan it; NULL: as a cpu device of one thread. */
static firn_status plan_for(const struct firn_recipe *r, const struct firn_task_setup *task, struct firn_model *m,
                            const struct firn_device *device, const struct flags *f, struct firn_error *err)
{
    const struct firn_limits limits = device != NULL ? device->limits : (struct firn_limits){ .device_class = FIRN_CLASS_HOST, .subgroup_size = 1, .max_lanes = 1,
                                        .max_groups = { UINT32_MAX, UINT32_MAX, UINT32_MAX }, .bind_align = 64,
                                        .max_binding_bytes = SIZE_MAX, .max_alloc_bytes = SIZE_MAX, .n_threads = 1 };
    struct firn_adapter adapter = { 0 };
    struct firn_counts counts = { 0 };
    const int wish = r->train.gradient_checkpointing;
    /* auto, without a limit: what a quantised base is for is little memory */
    const bool is_small = wish == 0 && r->memory_limit == 0 && m->quantised != FIRN_NONE;
    struct firn_fit_params p = {
        .model = m, .adapter = &adapter, .accumulation = r->train.gradient_accumulation_steps, .limits = &limits,
        .is_host = device == NULL || device->is_host, .is_exact = device != NULL && device->is_exact, .is_fixed = wish > 0 || is_small, .may_split = r->memory_limit > 0,
        .recompute = is_small ? FIRN_RECOMPUTE_NESTED : (enum firn_recompute) (wish > 0 ? wish - 1 : 0),
        .limit = (uint64_t) r->memory_limit,
        .build = { .batch = r->train.batch_size, .length = 1, .target = task->max_target, .task = task->task,
                   .problem = task->problem, .n_labels = firn_task_n_labels(task), .has_loss = true,
                   .training = r->train.dropout, .smoothing = (float) r->train.label_smoothing_factor } };
    struct answer a = { 0 };
    firn_status status = firn_adapter_open(&adapter, m, task->task, r->method, r->path, "method.", err);
    if (status == FIRN_OK) {
        adapter.params.decays_all = r->train.decay_exclude == FIRN_DECAY_ALL;
        status = firn_model_collect(m, &adapter, &p.build, &counts, err);
    }
    if (status == FIRN_OK) {
        const int64_t limit = firn_text_limit(m, &adapter);
        p.build.length = task->max_length < limit ? task->max_length : limit;
        if (r->data.packing) { /* at most: attention's rows may be padded to twice the tokens */
            p.build.packed = p.build.batch * p.build.length;
            p.build.batch *= 2;
            p.may_split = false;
        }
        status = firn_fit_choose(&a.fit, &p, err);
    }
    if (status == FIRN_OK && !a.fit.fits)
        status = firn_fit_fail(&a.fit, p.limit, r->path, err);
    for (int level = 0; level < FIRN_RECOMPUTE_COUNT && status == FIRN_OK; level++) {
        struct firn_fit other;
        status = firn_fit_measure(&other, &p, p.build.batch / a.fit.batch, (enum firn_recompute) level, err);
        a.by_level[level] = other.total;
    }
    if (status == FIRN_OK) {
        a.trainable = firn_params_count(&adapter.params);
        a.total = firn_model_total(&counts, &adapter.params);
        a.batch = r->data.packing ? a.fit.batch / 2 : a.fit.batch;
        a.length = p.build.length;
        a.target = p.build.target;
        a.bytes = a.fit.bytes;
        print_answer(&a, f->json);
    }
    if (status == FIRN_OK && f->steps)
        status = print_steps(&p, &a.fit, err);
    firn_adapter_close(&adapter);
    return status;
}

/* Files are not needed: without them config.json says what there would be, and in which type. */
static firn_status open_model(struct firn_model *m, const char *directory, struct firn_error *err)
{
    char *path = firn_path_join(directory, "config.json");
    json_t *config = NULL;
    if (firn_weights_check(directory, NULL) == FIRN_OK || path == NULL || !firn_path_exists(path)) {
        free(path);
        return firn_model_open(m, directory, err);
    }
    const firn_status status = firn_json_load(path, &config, err);
    const json_t *named = json_object_get(config, "dtype");
    const char *word = json_string_value(named != NULL ? named : json_object_get(config, "torch_dtype"));
    const enum firn_dtype dtype = word != NULL && strcmp(word, "bfloat16") == 0  ? FIRN_BF16
                                  : word != NULL && strcmp(word, "float16") == 0 ? FIRN_F16
                                                                                 : FIRN_F32;
    json_decref(config);
    free(path);
    return status ? status : firn_model_open_config(m, directory, dtype, err);
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    struct firn_recipe recipe;
    struct firn_table train = { 0 };
    struct firn_task_setup task = { 0 };
    struct firn_model model = { 0 };
    struct firn_device *device = NULL;
    const struct flags *f = args->values;
    firn_status status = firn_recipe_from_args(&recipe, args, "plan", NULL, err);
    if (status)
        return status;
    /* a language model's plan depends on the data by train.max_length only */
    const bool needs_data = recipe.task == FIRN_TASK_SEQ_CLS || recipe.task == FIRN_TASK_TOKEN_CLS;
    if (needs_data || firn_path_exists(recipe.data.train))
        status = firn_table_load(&train, recipe.data.train, err);
    if (status == FIRN_OK)
        status = open_model(&model, recipe.model, err);
    model.base_dtype = firn_recipe_dtypes[recipe.base_dtype];
    model.quantised = recipe.quantised;
    if (status == FIRN_OK)
        status = firn_task_open_bare(&task, &recipe, &train, err);
    if (status == FIRN_OK && f->on_device)
        status = firn_device_open(&device, recipe.device, NULL, err);
    if (status == FIRN_OK)
        status = plan_for(&recipe, &task, &model, device, f, err);
    firn_device_close(&device);
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
    .text = "Plans the longest batch of the recipe as the cpu device would run it and prints exact bytes. Touches no device, "
            "but for --on-device, which plans as the recipe's device would.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .run = run,
};
