/* SPDX-License-Identifier: Apache-2.0 */
/* Model directories of a few numbers in the test's scratch directory, for what recorded cases do not hold. */
#ifndef FIRN_TESTS_PEFT_TINY_H
#define FIRN_TESTS_PEFT_TINY_H

#include "../model/scratch.h"

#include "peft/peft.h"

/* Llama: width 8, 1 layer, 2 heads, hidden 6, 10 words; `dtype` of matrices and vectors. */
void tiny_llama(const char *directory, bool tied, enum firn_dtype dtype);
/* BERT: width 8, 2 layers, 2 heads, hidden 6, 10 words, 12 positions, with an MLM head. */
void tiny_bert(const char *directory);
/* The same without a pooler, as files of token classifiers and of masked language models are. */
void tiny_bert_bare(const char *directory);

/* GPT-2: width 6, 2 layers, 3 heads, hidden 6 (square matrices) or 5, 10 words, without the class prefix in names. */
void tiny_gpt2(const char *directory, int64_t hidden);

struct tiny {
    struct firn_model model;
    struct firn_adapter adapter;
    struct firn_counts counts;
    struct firn_build_params params;
    float *flat;
    struct firn_error err;
};
/* Opens a directory of scratch with a method (JSON text; NULL: none), B 2, T 5, 3 labels, and first values. Returns the
 * status of opening, or of collecting. tiny_close it either way. */
firn_status tiny_open(struct tiny *t, const char *directory, enum firn_task task, const char *method);
void tiny_close(struct tiny *t);
/* The same of two rows that have different adapters of one base: `of` [2] are numbers of `list`. *products: how often the
 * graph multiplies by the base's tensor `weight`. */
float *tiny_mixed_logits(struct tiny *const *list, size_t n, const int32_t *of, const char *weight, int *products,
                         int64_t *count);
/* Logits of fixed ids on cpu:exact; free() them. */
float *tiny_logits(struct tiny *t, int64_t *count);

#endif
