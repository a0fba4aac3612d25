/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements: the time, work and traffic of kernels and of whole training steps, held against what the device's own
 * probes reach. Processor time is measured beside wall time: on a shared machine, and on devices that are the processor,
 * it is the figure that can be compared. */
#ifndef FIRN_BENCH_BENCH_H
#define FIRN_BENCH_BENCH_H

#include "firn/log.h"
#include "plan/plan.h"

struct firn_bench_settings {
    char *device, *caps;
    int64_t m, n, k, r;                       /* products; rows and width of the rest */
    int64_t batch, length, heads, kv_heads, head_size, window;
    int trans, dtype, task;                   /* indices into the word lists below */
    bool has_bias, has_residual, is_causal, steps, no_peaks, no_backward;
    int64_t repeat;
    double seconds;
    char *model, *method;                     /* train: a config.json, and YAML as in a recipe's `method:` */
    char *against;                            /* train: another method that takes turns; NULL: none */
    const char *tokenizer, *text;             /* tokenize: where the two are; text NULL: standard input */
};

extern const char *const firn_bench_trans[];  /* nn, nt, tn, tt */
extern const char *const firn_bench_dtypes[]; /* f32, f16, bf16 */
enum firn_dtype firn_bench_dtype(int index);

/* Seconds: medians over the runs. */
struct firn_bench_time {
    double wall, cpu, host;   /* cpu: of all threads; host: of the thread that submits */
    double spread;            /* (3rd quartile - 1st) / median of wall */
    int runs;
};

/* Of two that took turns: medians of the ratios of neighbours, and the middle half of those of processor time. */
struct firn_bench_ratio {
    double wall, cpu, low, high;
    int runs;
};

struct firn_bench_row {
    char name[160], kernel[64];
    int64_t count;            /* steps of a plan that the row sums up */
    struct firn_bench_time time;
    double flops, bytes;      /* of one run; bytes: each operand once */
};

/* What the device reaches when it does nothing else; 0: not measured. */
struct firn_bench_peaks {
    struct firn_bench_time fma_time, matrix_time, copy_time;
    double fma, matrix;       /* FLOP/s, float32 accumulation */
    double copy;              /* bytes/s, read and written */
    double fma_core, matrix_core, copy_core; /* the same per processor second */
    char matrix_name[64];
};

struct firn_bench {
    const struct firn_bench_settings *settings;
    struct firn_device *device; /* NULL: the subject needs none */
    struct firn_bench_peaks peaks;
    struct firn_bench_row *rows;
    size_t n_rows;
    /* of a whole plan */
    bool has_plan;
    struct firn_plan_bytes plan;
    uint64_t device_bytes;    /* allocated on a Vulkan device */
    int dispatches;
    struct firn_bench_ratio ratio; /* runs 0: nothing was compared */
    double longest_seconds;   /* of a command buffer, when the first runs were watched */
    double setup_seconds;     /* opening, planning, recording and the first run */
    int64_t tokens;           /* of one run; 0: none */
};

struct firn_bench_subject {
    const char *name, *help;
    firn_status (*run)(struct firn_bench *b, struct firn_error *err);
    bool has_no_device;
};
extern const struct firn_bench_subject firn_bench_subjects[]; /* name NULL at the end */

/* Opens the device, measures its peaks unless told not to, and the subject. */
firn_status firn_bench_run(struct firn_bench *b, const struct firn_bench_subject *subject,
                           const struct firn_bench_settings *settings, const struct firn_log *log,
                           struct firn_error *err);
void firn_bench_free(struct firn_bench *b);

/* ---- shared by the subjects ---- */

/* Runs body once to warm up, then until settings->repeat runs or settings->seconds are reached, 3 at least. */
firn_status firn_bench_measure(const struct firn_bench_settings *s, firn_status (*body)(void *user, struct firn_error *err),
                               void *user, struct firn_bench_time *time, struct firn_error *err);
/* The same for two that take turns; time and ratio are of the first against the second. */
firn_status firn_bench_measure_turns(const struct firn_bench_settings *s,
                                     firn_status (*body)(void *user, struct firn_error *err), void *const user[2],
                                     struct firn_bench_time time[2], struct firn_bench_ratio *ratio, struct firn_error *err);
/* Sorts all kinds of seconds in place and fills the medians. */
void firn_bench_summarize(double *wall, double *cpu, double *host, int n, struct firn_bench_time *time);
struct firn_bench_row *firn_bench_row(struct firn_bench *b, struct firn_error *err);
double firn_bench_now(int clock); /* CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID */
double firn_bench_bytes(const struct firn_call *call);
firn_status firn_bench_peaks(struct firn_bench *b, struct firn_error *err);
/* A row for the whole plan, and with settings->steps (or `each`) one for each kernel of it. */
firn_status firn_bench_plan(struct firn_bench *b, const char *name, struct firn_plan *plan, bool each,
                            struct firn_error *err);
firn_status firn_bench_generate(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_train(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_gemm(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_lowrank(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_attention(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_loss(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_norm(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_adamw(struct firn_bench *b, struct firn_error *err);
firn_status firn_bench_tokenize(struct firn_bench *b, struct firn_error *err);

/* The probes of multiply-adds and of matrix units; no operation names them. */
extern const struct firn_kernel firn_bench_fma_kernel, firn_bench_coop_kernel;

#endif
