/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan says of memory is what a device holds, to the byte and by kind: every recorded case on every device, in each level
 * of checkpointing, with a quantised base too. And the arena stays within a tenth of the bytes that live at one time. */
#include "../base/check.h"
#include "device/vulkan/vulkan.h"
#include "train/case.h"
#include "train/fit.h"

#include <dirent.h>

#ifndef FIRN_TESTS_GOLDEN
#define FIRN_TESTS_GOLDEN "tests/golden"
#endif

struct tried {
    const char *device, *only; /* only: cases whose name starts so */
    bool all_levels;
    int cases, compared;
    double worst; /* arena against its lower bound */
    char where[160];
};

static void note_arena(struct tried *t, const struct firn_plan_bytes *b, const char *what)
{
    const double ratio = b->activations_live > 0 ? (double) b->activations / (double) b->activations_live : 1;
    assert_true(b->activations >= b->activations_live);
    if (ratio > t->worst) {
        t->worst = ratio;
        snprintf(t->where, sizeof t->where, "%s", what);
    }
    if (ratio > 1.1)
        print_message("%s: the arena has %llu bytes, %llu live at most: %.4f\n", what, (unsigned long long) b->activations,
                      (unsigned long long) b->activations_live, ratio);
}

/* Kind by kind: what firn_fit_measure (as `firn plan` does) says, without a buffer, against the buffers of the device. */
static void compare(const struct firn_plan_bytes *b, const struct firn_device *d, const char *what)
{
    const uint64_t input = b->leaf[FIRN_LEAF_INPUT], output = b->leaf[FIRN_LEAF_OUTPUT];
    const uint64_t inside = b->leaf[FIRN_LEAF_WEIGHT] + b->leaf[FIRN_LEAF_PARAM] + b->leaf[FIRN_LEAF_GRAD] +
                            b->leaf[FIRN_LEAF_STATE] + b->activations;
    if (input != d->bytes[FIRN_MEM_INPUT] || output != d->bytes[FIRN_MEM_OUTPUT] ||
        inside != d->bytes[FIRN_MEM_DEVICE] + d->borrowed)
        fail_msg("%s: planned %llu + %llu + %llu bytes, allocated %llu + %llu + %llu (inputs, outputs, device)", what,
                 (unsigned long long) input, (unsigned long long) output, (unsigned long long) inside,
                 (unsigned long long) d->bytes[FIRN_MEM_INPUT], (unsigned long long) d->bytes[FIRN_MEM_OUTPUT],
                 (unsigned long long) (d->bytes[FIRN_MEM_DEVICE] + d->borrowed));
}

/* What the driver was asked for: no more than the plan, blocks that are not full, staging, and a buffer of nothing. */
static void compare_driver(const struct firn_device *d, const char *what)
{
    struct firn_vulkan_stats stats;
    firn_vulkan_stats(d, &stats);
    uint64_t asked = 0;
    for (int m = 0; m < FIRN_MEM_COUNT; m++)
        asked += d->bytes[m];
    const uint64_t most = asked + FIRN_MEM_COUNT * FIRN_VK_BLOCK_BYTES + 2 * FIRN_VK_STAGING_BYTES;
    if (!d->is_host && (stats.memory_bytes < asked || stats.memory_bytes > most))
        fail_msg("%s: buffers of %llu bytes, %llu allocated", what, (unsigned long long) asked, (unsigned long long) stats.memory_bytes);
}

static void one(struct tried *t, struct firn_case_file *c, const char *name, enum firn_recompute level, enum firn_dtype quantised)
{
    static const struct firn_log silent;
    struct firn_session s = { 0 };
    struct firn_error err = { 0 };
    struct firn_inputs in = { 0 };
    struct firn_session_plan *sp;
    struct firn_fit fit = { 0 };
    char what[160];
    snprintf(what, sizeof what, "%s, %s, checkpointing %s, %s", name, t->device, firn_recompute_words[level], firn_dtype_name(quantised));
    const enum firn_dtype before = c->quantised;
    c->quantised = quantised;
    check_ok(firn_case_session(c, NULL, t->device, &silent, &s, &err), &err);
    c->quantised = before;
    s.params.recompute = level;
    const bool trains = c->task != FIRN_TASK_EMBEDDING && s.adapter.params.flat > 0;
    if (trains) {
        check_ok(firn_case_inputs(c, &s, 0, &in, &err), &err);
        const struct firn_fit_params p = {
            .model = &s.model, .adapter = &s.adapter, .accumulation = c->grad_accum, .limits = &s.device->limits,
            .build = firn_session_build(&s, FIRN_PLAN_TRAIN, in.batch, in.length, in.target),
            .is_host = s.device->is_host, .is_exact = s.device->is_exact };
        check_ok(firn_fit_measure(&fit, &p, 1, level, &err), &err);
        note_arena(t, &fit.bytes, what);
        check_ok(firn_session_plan_pair(&s, FIRN_PLAN_TRAIN, in.batch, in.length, in.target, &sp, &err), &err);
        compare(&fit.bytes, s.device, what);
        compare_driver(s.device, what);
        t->compared++;
    }
    firn_inputs_free(&in);
    firn_session_close(&s);
}

static bool has_weights(const struct firn_case_file *c)
{
    const char *slash = strrchr(c->model, '/');
    char path[512];
    snprintf(path, sizeof path, "%s/../../models/%s/model.safetensors", c->directory, slash != NULL ? slash + 1 : c->model);
    return firn_path_exists(path);
}

static void every_case(struct tried *t, const char *root)
{
    char path[512];
    snprintf(path, sizeof path, "%s/cases", root);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct firn_case_file c = { 0 };
        struct firn_error err = { 0 };
        if (e->d_name[0] == '.' || strncmp(e->d_name, t->only, strlen(t->only)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/cases/%.200s", root, e->d_name);
        check_ok(firn_case_open(&c, path, &err), &err);
        t->cases++;
        for (int level = 0; level < FIRN_RECOMPUTE_COUNT && has_weights(&c); level++)
            if (t->all_levels || level == t->cases % FIRN_RECOMPUTE_COUNT)
                one(t, &c, e->d_name, (enum firn_recompute) level, c.quantised);
        const bool is_lora = has_weights(&c) && strcmp(e->d_name, "llama-lora") == 0;
        for (int q = FIRN_NF4; q <= FIRN_INT8_ROWS && is_lora; q++)
            one(t, &c, e->d_name, FIRN_RECOMPUTE_NONE, (enum firn_dtype) q);
        firn_case_close(&c);
    }
    closedir(dir);
}

static void planned_on(const char *device, const char *only, bool all_levels, int least)
{
    struct tried t = { .device = device, .only = only, .all_levels = all_levels };
    struct firn_device *d = NULL;
    if (firn_device_open(&d, device, NULL, NULL) != FIRN_OK)
        skip();
    firn_device_close(&d);
    every_case(&t, FIRN_TESTS_GOLDEN);
    every_case(&t, FIRN_TESTS_GOLDEN "/../recorded");
    print_message("%s: %d plans are what is allocated; arena at most %.4f of its bound (%s)\n", device, t.compared, t.worst, t.where);
    assert_true(t.compared >= least);
    assert_true(t.worst <= 1.1);
}

/* Shapes of real models, planned only: MiniLM 32 x 64, Llama 3.1 8B 1 x 2048 with NF4. */
static void arenas_of_real_models_are_near_their_bound(void **state)
{
    static const struct {
        const char *config;
        enum firn_task task;
        enum firn_dtype quantised;
        int64_t batch, length;
    } models[] = {
        { "{\"model_type\": \"bert\", \"hidden_size\": 384, \"num_hidden_layers\": 6, \"num_attention_heads\": 12, "
          "\"intermediate_size\": 1536, \"vocab_size\": 30522, \"max_position_embeddings\": 512, \"type_vocab_size\": 2}",
          FIRN_TASK_SEQ_CLS, FIRN_NONE, 32, 64 },
        { "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32, "
          "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"rms_norm_eps\": 1e-5, "
          "\"rope_theta\": 500000.0, \"max_position_embeddings\": 131072}",
          FIRN_TASK_CAUSAL_LM, FIRN_NF4, 1, 2048 },
    };
    struct firn_error err = { 0 };
    json_t *method = json_pack("{s:s, s:i, s:s}", "type", "lora", "r", 16, "target_modules", "all-linear");
    for (size_t i = 0; i < N_OF(models); i++) {
        struct tried t = { .device = "cpu" };
        struct firn_session s;
        const struct firn_session_params params = {
            .model = *state, .made = FIRN_BF16, .device = "cpu", .task = models[i].task, .n_labels = 2, .training = true,
            .method = method, .method_file = "the test", .method_section = "method.", .quantised = models[i].quantised };
        scratch_file(state, "config.json", models[i].config, strlen(models[i].config));
        check_ok(firn_session_open(&s, &params, &err), &err);
        for (int level = 0; level < FIRN_RECOMPUTE_COUNT; level++)
            for (int64_t split = 1; split <= 2 && split <= models[i].batch; split++) {
                struct firn_fit fit;
                const struct firn_fit_params p = {
                    .model = &s.model, .adapter = &s.adapter, .accumulation = 1, .limits = &s.device->limits,
                    .build = firn_session_build(&s, FIRN_PLAN_TRAIN, models[i].batch, models[i].length, 0), .is_host = true };
                check_ok(firn_fit_measure(&fit, &p, split, (enum firn_recompute) level, &err), &err);
                note_arena(&t, &fit.bytes, firn_recompute_words[level]);
            }
        print_message("%s: arena at most %.4f of its bound (%s)\n", s.model.arch->name, t.worst, t.where);
        assert_true(t.worst <= 1.1);
        firn_session_close(&s);
    }
    json_decref(method);
}

static void plans_are_what_cpu_holds(void **state)
{
    (void) state;
    planned_on("cpu", "", true, 120);
}

static void plans_are_what_cpu_exact_holds(void **state)
{
    (void) state;
    planned_on("cpu:exact", "", true, 120);
}

static void plans_are_what_vulkan_holds(void **state)
{
    (void) state;
    planned_on("vulkan:0", "", false, 40);
}

/* Nothing is used in place, and weights go through staging. */
static void plans_are_what_a_card_holds(void **state)
{
    (void) state;
    const char *caps = getenv("FIRN_CAPS");
    char before[256];
    snprintf(before, sizeof before, "%s", caps != NULL ? caps : "");
    setenv("FIRN_CAPS", "-unified", 1);
    planned_on("vulkan:0", "llama", false, 5);
    setenv("FIRN_CAPS", before, 1);
}

static uint64_t held(const struct firn_device *d)
{
    uint64_t sum = d->borrowed;
    for (int m = 0; m < FIRN_MEM_COUNT; m++)
        sum += d->bytes[m];
    return sum;
}

enum { N_ADAPTERS = 10 };

/* Plans of the kinds that a command runs, for adapter `number`; what the device holds then. */
static uint64_t with_plans(struct firn_session *s, size_t number, const enum firn_plan_kind *kinds, int n_kinds)
{
    struct firn_session_plan *sp;
    struct firn_error err = { 0 };
    firn_session_use(s, number);
    for (int i = 0; i < n_kinds; i++)
        check_ok(firn_session_plan(s, kinds[i], 2, kinds[i] == FIRN_PLAN_NEXT ? 1 : 12, &sp, &err), &err);
    return held(s->device);
}

/* Every further adapter costs the bytes of what it trained, and nothing of the base, of activations or of the cache. */
static void ten_cost_ten(const char *name, const char *device, const enum firn_plan_kind *kinds, int n_kinds)
{
    struct firn_case_file c = { 0 };
    struct firn_session s = { 0 };
    struct firn_error err = { 0 };
    char directory[512], model[512], adapter[600];
    snprintf(directory, sizeof directory, FIRN_TESTS_GOLDEN "/cases/%s", name);
    check_ok(firn_case_open(&c, directory, &err), &err);
    snprintf(model, sizeof model, FIRN_TESTS_GOLDEN "/models%s", strrchr(c.model, '/'));
    snprintf(adapter, sizeof adapter, "%s/adapter_final", directory);
    const struct firn_session_params params = { .model = model, .device = device, .task = c.task, .problem = c.problem,
                                                .n_labels = c.n_labels, .adapter = adapter };
    check_ok(firn_session_open(&s, &params, &err), &err);
    if (c.task == FIRN_TASK_CAUSAL_LM)
        firn_session_cache(&s, 2, 24, 0);
    const uint64_t first = with_plans(&s, 0, kinds, n_kinds);
    const uint64_t flat = sizeof(float) * (uint64_t) s.adapter.params.flat;
    assert_true(flat > 0 && first > 10 * flat);
    for (size_t k = 1; k < N_ADAPTERS; k++) {
        check_ok(firn_session_add(&s, &params, &err), &err);
        check_ok(firn_session_push(&s, "params", s.flat, &err), &err);
        assert_int_equal(with_plans(&s, k, kinds, n_kinds), first + k * flat);
    }
    print_message("%s on %s: one adapter %llu bytes, ten %llu: nine times %llu more\n", name, device, (unsigned long long) first,
                  (unsigned long long) held(s.device), (unsigned long long) flat);
    firn_session_close(&s);
    firn_case_close(&c);
}

static void ten_adapters_cost_ten_adapters(void **state)
{
    static const enum firn_plan_kind classify[] = { FIRN_PLAN_EVAL }, generate[] = { FIRN_PLAN_PREFILL, FIRN_PLAN_NEXT };
    static const char *const devices[] = { "cpu", "vulkan:0" };
    (void) state;
    for (size_t i = 0; i < N_OF(devices); i++) {
        struct firn_device *d = NULL;
        if (firn_device_open(&d, devices[i], NULL, NULL) != FIRN_OK)
            continue;
        firn_device_close(&d);
        ten_cost_ten("bert-lora", devices[i], classify, N_OF(classify));
        ten_cost_ten("gpt2-prefix", devices[i], generate, N_OF(generate));
        ten_cost_ten("llama-lora", devices[i], generate, N_OF(generate));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arenas_of_real_models_are_near_their_bound, scratch_setup, scratch_teardown),
        cmocka_unit_test(ten_adapters_cost_ten_adapters),
        cmocka_unit_test(plans_are_what_cpu_holds),
        cmocka_unit_test(plans_are_what_cpu_exact_holds),
        cmocka_unit_test(plans_are_what_vulkan_holds),
        cmocka_unit_test(plans_are_what_a_card_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
