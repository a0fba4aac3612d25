/* SPDX-License-Identifier: Apache-2.0 */
/* The host side of a graph's inputs: one batch, filled from token rows, written into the leaves that the graph has. */
#ifndef FIRN_TRAIN_INPUTS_H
#define FIRN_TRAIN_INPUTS_H

#include "model/model.h"

struct firn_inputs {
    int64_t batch, length, classes;
    int64_t packed;      /* places for the tokens that the mask shows; 0: all rows go to the device as they are */
    int32_t *input_ids, *token_type_ids, *position_ids, *attention_mask; /* [batch, length] */
    int64_t target;      /* seq2seq_lm: tokens that the decoder reads; else 0 */
    int32_t *decoder_input_ids; /* [batch, target]; NULL without */
    int32_t *labels;     /* [batch], [batch, length] or [batch, target] */
    int32_t *virtual_ids; /* [batch, length]: rows of a method's table where input_ids is -1, else -1 */
    int32_t *first;      /* [batch]: causal_lm, the label of the first token, which only a virtual token can predict */
    int32_t *pick;       /* [batch]: rows without virtual tokens: b length + t */
    int32_t *adapter_of; /* [batch]: which adapter of a mixed batch is the row's */
    float *targets;      /* [batch, classes] */
    int64_t counted;     /* labels (or target entries) that count in the loss */
};

/* What a method puts in front of every row; the inputs that a host fills know only the text. */
struct firn_front {
    int64_t n_virtual, n_prefix;
    bool is_peft;        /* pooling as PEFT has it: the first position (the last, for models that pool the last token) */
};

/* Room for a batch; contents are padding (mask 0, label -100). */
firn_status firn_inputs_create(struct firn_inputs *in, int64_t batch, int64_t length, int64_t classes,
                               struct firn_error *err);
/* Room for a decoder: labels are [batch, target] from now on. */
firn_status firn_inputs_add_target(struct firn_inputs *in, int64_t target, struct firn_error *err);
void firn_inputs_free(struct firn_inputs *in);
/* Positions 0 .. T - 1, the pooled row of each example, labels shifted for causal language models, what a decoder reads (its labels one
 * to the right, behind the start token), and the count. Call it when ids, mask and labels are filled (labels unshifted, as Hugging Face has them).
 * `a` may be NULL. */
void firn_inputs_finish(struct firn_inputs *in, const struct firn_model *m, const struct firn_adapter *a,
                        const struct firn_build_params *p);
/* Positions that count tokens only (generation after left padding). */
void firn_inputs_count_positions(struct firn_inputs *in);
/* Ids below the vocabulary, labels below the classes: an error names the first that is not. */
firn_status firn_inputs_check(const struct firn_inputs *in, const struct firn_model *m,
                              const struct firn_build_params *p, struct firn_error *err);
/* Writes what the store has leaves for, with what the front asks for before each row: positions 0 .. n - 1, visible, token
 * type 0, not counted but for the last virtual token, which predicts the first of the text. */
firn_status firn_inputs_upload(const struct firn_inputs *in, const struct firn_model *m, const struct firn_front *front,
                               const struct firn_build_params *p, struct firn_store *store, struct firn_error *err);

#endif
