/* SPDX-License-Identifier: Apache-2.0 */
/* `firn bench`: throughput of kernels and of whole training steps, as a table or as JSON. */
#include "bench/bench.h"

#include "cli/command.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    struct firn_bench_settings s;
    char *device;
    bool json;
};

#define AT(field) offsetof(struct flags, s.field)
#define SIZE(flag, field, text)                                                                   \
    { flag, .type = FIRN_OPTION_INT, .offset = AT(field), .fallback = "0", .max = 2147483647, .help = text }
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    SIZE("m", m, "rows"),
    SIZE("n", n, "columns; words of the vocabulary; elements; new tokens"),
    SIZE("k", k, "inner size; width"),
    SIZE("r", r, "rank"),
    { "trans", .type = FIRN_OPTION_WORD, .offset = AT(trans), .fallback = "all", .words = firn_bench_trans,
      .help = "gemm: which of a and b are stored transposed: nn, nt, tn, tt, or all" },
    { "dtype", .type = FIRN_OPTION_WORD, .offset = AT(dtype), .fallback = "f32", .words = firn_bench_dtypes,
      .help = "of weights: f32, f16 or bf16" },
    { "bias", .type = FIRN_OPTION_BOOL, .offset = AT(has_bias), .help = "gemm: with a bias" },
    { "residual", .type = FIRN_OPTION_BOOL, .offset = AT(has_residual), .help = "gemm: with a residual" },
    SIZE("batch", batch, "attention, train, generate: sequences"),
    SIZE("length", length, "attention, train, generate: tokens of each; tokenize: bytes of each text, 4096 where 0"),
    SIZE("heads", heads, "attention: heads of the queries"),
    SIZE("kv-heads", kv_heads, "attention: heads of keys and values"),
    SIZE("head-size", head_size, "attention: channels of a head"),
    SIZE("window", window, "attention: keys that a causal query sees; 0: all"),
    { "causal", .type = FIRN_OPTION_BOOL, .offset = AT(is_causal), .help = "attention: causal" },
    { "no-backward", .type = FIRN_OPTION_BOOL, .offset = AT(no_backward), .help = "forward passes only" },
    { "model", .type = FIRN_OPTION_TEXT, .offset = AT(model), .unit = "PATH",
      .help = "train, generate: a config.json or a directory that holds one; weights are random" },
    { "method", .type = FIRN_OPTION_TEXT, .offset = AT(method), .fallback = "{type: lora, r: 8, lora_alpha: 16}", .unit = "YAML",
      .help = "train: as in a recipe" },
    { "against", .type = FIRN_OPTION_TEXT, .offset = AT(against), .unit = "YAML",
      .help = "train: another method; the two take turns step by step and the ratio of their times is printed" },
    { "task", .type = FIRN_OPTION_WORD, .offset = AT(task), .fallback = "causal_lm", .words = firn_task_words,
      .help = "train: as in a recipe" },
    { "steps", .type = FIRN_OPTION_BOOL, .offset = AT(steps),
      .help = "also measure every operation of a plan by itself, summed up by kernel and shape" },
    { "repeat", .type = FIRN_OPTION_INT, .offset = AT(repeat), .fallback = "20", .min = 3, .max = 1000, .unit = "runs",
      .help = "at most so many runs" },
    { "seconds", .type = FIRN_OPTION_REAL, .offset = AT(seconds), .fallback = "2", .max = 1e6, .unit = "seconds",
      .help = "no more runs after so long, 3 at least" },
    { "no-peaks", .type = FIRN_OPTION_BOOL, .offset = AT(no_peaks), .help = "leave out the device's own probes" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* The peak that a row can hope for: matrix units where there are some. */
static double peak_of(const struct firn_bench_peaks *p)
{
    return p->matrix > p->fma ? p->matrix : p->fma;
}

static void print_bytes(const char *name, uint64_t bytes)
{
    printf("%-22s %" PRIu64 " bytes (%.1f MiB)\n", name, bytes, (double) bytes / 0x1p20);
}

static void print_plan(const struct firn_bench *b)
{
    const struct firn_plan_bytes *p = &b->plan;
    static const char *const kinds[FIRN_LEAF_COUNT] = { "inputs", "base", "adapter", "gradients", "optimizer", "outputs" };
    uint64_t all = p->activations;
    printf("\n");
    for (int i = 0; i < FIRN_LEAF_COUNT; i++) {
        if (p->leaf[i] > 0 && b->tokens > 0) /* operands alone are no kind */
            print_bytes(kinds[i], p->leaf[i]);
        all += p->leaf[i];
    }
    print_bytes("activations", p->activations);
    print_bytes("all", all);
    if (b->device_bytes > 0)
        print_bytes("allocated", b->device_bytes);
    printf("%-22s %" PRIu64 " in the plan%s", "operations", p->nodes[0] + p->nodes[1], b->dispatches > 0 ? ", " : "\n");
    if (b->dispatches > 0)
        printf("%d dispatches, the longest submission %.1f ms\n", b->dispatches, 1e3 * b->longest_seconds);
    if (b->setup_seconds > 0)
        printf("%-22s %.3f s\n", "start to first step", b->setup_seconds);
}

static void print_table(const struct firn_bench *b)
{
    const struct firn_bench_peaks *p = &b->peaks;
    printf("%s: %s (%s)\n", b->device->id, b->device->name, b->device->driver);
    if (p->fma > 0)
        printf("peak: multiply-add %.1f GFLOP/s (%.1f a core second), copy %.1f GB/s (%.1f)", p->fma * 1e-9, p->fma_core * 1e-9,
               p->copy * 1e-9, p->copy_core * 1e-9);
    if (p->matrix > 0)
        printf(", matrix %.1f GFLOP/s (%.1f; %s)", p->matrix * 1e-9, p->matrix_core * 1e-9, p->matrix_name);
    printf("%s\n%-44s %-26s %4s %10s %6s %10s %9s %9s %8s %6s %6s\n", p->fma > 0 ? "\n" : "", "what", "kernel", "n", "ms",
           "+-%", "core ms", "GFLOP/s", "a core s", "GB/s", "peak%", "copy%");
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct firn_bench_row *r = &b->rows[i];
        const struct firn_bench_time *t = &r->time;
        printf("%-44.44s %-26.26s %4lld %10.3f %6.1f %10.3f %9.2f %9.2f %8.2f", r->name, r->kernel, (long long) r->count,
               t->wall * 1e3, t->spread * 100, t->cpu * 1e3, share(r->flops, t->wall) * 1e-9,
               share(r->flops, t->cpu) * 1e-9, share(r->bytes, t->wall) * 1e-9);
        if (p->fma > 0) /* on the processor, of what it reaches in the same processor time */
            printf(" %6.1f %6.1f", 100 * (b->device->is_host || b->device->is_software
                                              ? share(share(r->flops, t->cpu), p->matrix_core > p->fma_core ? p->matrix_core : p->fma_core)
                                              : share(share(r->flops, t->wall), peak_of(p))),
                   100 * share(share(r->bytes, t->wall), p->copy));
        printf("\n");
    }
    if (b->tokens > 0 && b->n_rows > 0) {
        const struct firn_bench_time *t = &b->rows[0].time;
        printf("\n%-22s %.1f a second, %.1f a core second\n", "tokens", share((double) b->tokens, t->wall),
               share((double) b->tokens, t->cpu));
        if (!b->device->is_host)
            printf("%-22s %.3f ms a step\n", "host", t->host * 1e3);
    }
    if (b->ratio.runs > 0)
        printf("%-22s %.3f in core time (middle half %.3f .. %.3f), %.3f in wall time; %d pairs\n", "of --against",
               b->ratio.cpu, b->ratio.low, b->ratio.high, b->ratio.wall, b->ratio.runs);
    if (b->has_plan)
        print_plan(b);
}

/* A text through a tokenizer, by one thread. */
static void print_text(const struct firn_bench *b, bool json)
{
    const struct firn_bench_row *r = &b->rows[0];
    const struct firn_bench_time *t = &r->time;
    if (json) {
        json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:i,s:f,s:f}", "tokenizer", r->name, "bytes",
                              (json_int_t) r->bytes, "texts", (json_int_t) r->count, "tokens", (json_int_t) b->tokens,
                              "seconds", t->wall, "core_seconds", t->cpu, "spread", t->spread, "runs", t->runs,
                              "bytes_per_core_second", share(r->bytes, t->cpu), "tokens_per_core_second",
                              share((double) b->tokens, t->cpu));
        json_dumpf(o, stdout, JSON_INDENT(1));
        printf("\n");
        json_decref(o);
        return;
    }
    printf("%s: %.0f bytes in %lld texts, %" PRId64 " tokens, %d runs\n", r->name, r->bytes, (long long) r->count, b->tokens,
           t->runs);
    printf("%.2f MB, %.0f tokens a core second; %.2f MB, %.0f tokens a second (+-%.1f %%)\n", share(r->bytes, t->cpu) * 1e-6,
           share((double) b->tokens, t->cpu), share(r->bytes, t->wall) * 1e-6, share((double) b->tokens, t->wall),
           t->spread * 100);
}

static json_t *row_json(const struct firn_bench_row *r)
{
    const struct firn_bench_time *t = &r->time;
    return json_pack("{s:s,s:s,s:I,s:f,s:f,s:f,s:f,s:i,s:f,s:f,s:f,s:f,s:f}", "name", r->name, "kernel", r->kernel, "count",
                     (json_int_t) r->count, "seconds", t->wall, "spread", t->spread, "core_seconds", t->cpu,
                     "host_seconds", t->host, "runs", t->runs, "flops", r->flops, "bytes", r->bytes, "flops_per_second",
                     share(r->flops, t->wall), "flops_per_core_second", share(r->flops, t->cpu), "bytes_per_second",
                     share(r->bytes, t->wall));
}

static void print_json(const struct firn_bench *b)
{
    const struct firn_bench_peaks *p = &b->peaks;
    json_t *rows = json_array();
    for (size_t i = 0; i < b->n_rows; i++)
        json_array_append_new(rows, row_json(&b->rows[i]));
    json_t *peaks = json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:s}", "fma_flops_per_second", p->fma, "fma_flops_per_core_second",
                              p->fma_core, "matrix_flops_per_second", p->matrix, "matrix_flops_per_core_second",
                              p->matrix_core, "copy_bytes_per_second", p->copy, "copy_bytes_per_core_second", p->copy_core,
                              "matrix", p->matrix_name);
    json_t *o = json_pack("{s:s,s:s,s:s,s:o,s:o,s:I,s:f}", "device", b->device->id, "name", b->device->name, "driver",
                          b->device->driver, "peaks", peaks, "rows", rows, "tokens", (json_int_t) b->tokens,
                          "setup_seconds", b->setup_seconds);
    if (b->has_plan) {
        const struct firn_plan_bytes *n = &b->plan;
        json_object_set_new(o, "bytes",
                            json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "base", (json_int_t) n->leaf[FIRN_LEAF_WEIGHT],
                                      "adapter", (json_int_t) n->leaf[FIRN_LEAF_PARAM], "gradients",
                                      (json_int_t) n->leaf[FIRN_LEAF_GRAD], "optimizer",
                                      (json_int_t) n->leaf[FIRN_LEAF_STATE], "inputs",
                                      (json_int_t) n->leaf[FIRN_LEAF_INPUT], "outputs",
                                      (json_int_t) n->leaf[FIRN_LEAF_OUTPUT], "activations",
                                      (json_int_t) n->activations, "allocated", (json_int_t) b->device_bytes));
        json_object_set_new(o, "operations", json_integer((json_int_t) (n->nodes[0] + n->nodes[1])));
        json_object_set_new(o, "dispatches", json_integer(b->dispatches));
        json_object_set_new(o, "longest_submission_seconds", json_real(b->longest_seconds));
    }
    const struct firn_bench_ratio *ratio = &b->ratio;
    if (ratio->runs > 0)
        json_object_set_new(o, "ratio", json_pack("{s:f,s:f,s:f,s:f,s:i}", "core", ratio->cpu, "core_low", ratio->low,
                                                  "core_high", ratio->high, "wall", ratio->wall, "pairs", ratio->runs));
    json_dumpf(o, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(o);
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    struct flags *f = args->values;
    const char *names[16];
    int n = 0;
    const struct firn_bench_subject *subject = NULL;
    for (const struct firn_bench_subject *s = firn_bench_subjects; s->name != NULL; s++) {
        names[n++] = s->name;
        if (strcmp(args->words[0], s->name) == 0)
            subject = s;
    }
    names[n] = NULL;
    if (subject == NULL) {
        const char *near = firn_nearest(args->words[0], names);
        return firn_fail(err, FIRN_ERR_USAGE, .key = args->words[0],
                         .what = near != NULL ? FIRN_STR("nothing to measure; did you mean %s?", near)
                                              : "nothing to measure; see firn bench --help");
    }
    if (args->n_words > 1 && !subject->has_no_device)
        return firn_fail(err, FIRN_ERR_USAGE, .key = args->words[1], .what = "only tokenize takes more words");
    struct firn_bench bench;
    f->s.device = f->device;
    f->s.tokenizer = args->n_words > 1 ? args->words[1] : NULL;
    f->s.text = args->n_words > 2 ? args->words[2] : NULL;
    const firn_status status = firn_bench_run(&bench, subject, &f->s, &firn_stderr_log, err);
    if (status == FIRN_OK && subject->has_no_device)
        print_text(&bench, f->json);
    else if (status == FIRN_OK && f->json)
        print_json(&bench);
    else if (status == FIRN_OK)
        print_table(&bench);
    firn_bench_free(&bench);
    return status;
}

const struct firn_command firn_command_bench = {
    .name = "bench",
    .words = "SUBJECT [TOKENIZER [TEXT]]",
    .min_words = 1,
    .max_words = 3,
    .summary = "throughput of kernels, of whole training steps and of tokenizers",
    .text = "SUBJECT is one of\n"
            "  gemm       a product [m, k] [k, n], in one transposition or all\n"
            "  lowrank    a linear layer [m, k] -> [m, n] alone, then with a rank-r update, forward and backward\n"
            "  attention  attention and its backward pass\n"
            "  loss       output product and cross entropy: m rows, n words, width k\n"
            "  norm       layer norm and RMS norm of m rows of n, forward and backward\n"
            "  adamw      gradient norm and one step over n elements\n"
            "  train      training steps of a config.json with random weights: no other file is needed\n"
            "  generate   a prompt of --length tokens, then --n tokens one by one, of a config.json\n"
            "  tokenize   the file TEXT (or standard input) through TOKENIZER, a tokenizer.json or a model directory\n"
            "Times are medians; +-% is the middle half of the runs. `core ms` is processor time of all threads: on the\n"
            "cpu device and on drivers that run on the processor it can be compared on a machine that others use too.\n"
            "peak% is the share of what the device's own probes reach: multiply-adds in registers, or the matrix product\n"
            "of its library or units where that is more; copy% of a copy of memory.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
