/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of a session on a data set. */
#ifndef FIRN_TRAIN_EVALUATE_H
#define FIRN_TRAIN_EVALUATE_H

#include "train/dataset.h"
#include "train/session.h"

struct firn_metrics {
    double loss;                  /* mean over what counts */
    double perplexity;            /* language models; else NAN */
    double accuracy, f1;          /* classification: share of labels that are right, macro F1; else NAN */
    double mean_error;            /* regression: mean absolute error; else NAN */
    double token_accuracy;        /* language models: share of counted tokens that are the likeliest; else NAN */
    double exact_match;           /* causal and seq2seq: share of examples whose counted tokens all are, which is what greedy
                                   * decoding would say; else NAN */
    uint64_t examples, counted;
};

/* logits (may be NULL): called for each batch of a classification task with [rows, classes] and the batch's examples. */
firn_status firn_evaluate(struct firn_session *s, const struct firn_dataset *d, const struct firn_dataset_params *p,
                          uint32_t batch_size, uint32_t multiple, struct firn_metrics *metrics,
                          void (*logits)(void *user, const float *logits, const struct firn_inputs *in,
                                         const uint32_t *examples), void *user, struct firn_error *err);
json_t *firn_metrics_json(const struct firn_metrics *m);

#endif
