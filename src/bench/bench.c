/* SPDX-License-Identifier: Apache-2.0 */
/* The subjects, and a run of one of them. */
#include "bench/bench.h"

#include <stdlib.h>
#include <string.h>

const char *const firn_bench_trans[] = { "nn", "nt", "tn", "tt", "all", NULL };
const char *const firn_bench_dtypes[] = { "f32", "f16", "bf16", NULL };

enum firn_dtype firn_bench_dtype(int index)
{
    static const enum firn_dtype dtypes[] = { FIRN_F32, FIRN_F16, FIRN_BF16 };
    return dtypes[index];
}

const struct firn_bench_subject firn_bench_subjects[] = {
    { "gemm", "a product [m, k] [k, n] in one transposition or all; --r: with more columns of K", firn_bench_gemm },
    { "lowrank", "a linear layer [m, k] -> [m, n] alone and with a rank-r update, forward and backward", firn_bench_lowrank },
    { "attention", "attention and its backward pass", firn_bench_attention },
    { "loss", "output product and cross entropy in chunks: m rows, n words, width k", firn_bench_loss },
    { "norm", "layer norm and RMS norm of m rows of n, and their backward passes", firn_bench_norm },
    { "adamw", "gradient norm and one step over n elements", firn_bench_adamw },
    { "train", "training steps of the model in --model with the method in --method", firn_bench_train },
    { "generate", "a prompt of --length tokens of the model in --model, and each of --n tokens behind it", firn_bench_generate },
    { "tokenize", "a text through a tokenizer", firn_bench_tokenize, .has_no_device = true },
    { NULL }
};

firn_status firn_bench_run(struct firn_bench *b, const struct firn_bench_subject *subject,
                           const struct firn_bench_settings *settings, const struct firn_log *log,
                           struct firn_error *err)
{
    *b = (struct firn_bench){ .settings = settings };
    if (subject->has_no_device)
        return subject->run(b, err);
    const struct firn_device_params params = { .log = *log };
    firn_status status = firn_device_open(&b->device, settings->device, &params, err);
    if (status == FIRN_OK && !settings->no_peaks)
        status = firn_bench_peaks(b, err);
    return status == FIRN_OK ? subject->run(b, err) : status;
}

void firn_bench_free(struct firn_bench *b)
{
    free(b->rows);
    firn_device_close(&b->device);
    memset(b, 0, sizeof *b);
}
