/* SPDX-License-Identifier: Apache-2.0 */
/* Fills and writes the inputs of a batch. */
#include "train/inputs.h"

#include <stdlib.h>
#include <string.h>

firn_status firn_inputs_create(struct firn_inputs *in, int64_t batch, int64_t length, int64_t classes,
                               struct firn_error *err)
{
    const size_t n = (size_t) (batch * length) + 1;
    *in = (struct firn_inputs){ .batch = batch, .length = length, .classes = classes };
    int32_t **const arrays[] = { &in->input_ids, &in->token_type_ids, &in->position_ids, &in->attention_mask,
                                 &in->labels, &in->pick, &in->first, &in->virtual_ids, &in->adapter_of };
    bool made = true;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        made &= (*arrays[i] = calloc(n, sizeof(int32_t))) != NULL;
    in->targets = calloc((size_t) (batch * (classes > 0 ? classes : 1)) + 1, sizeof(float));
    if (!made || in->targets == NULL) {
        firn_inputs_free(in);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a batch");
    }
    for (size_t i = 0; i < n; i++) {
        in->labels[i] = in->first[i] = -100;
        in->virtual_ids[i] = -1;
    }
    return FIRN_OK;
}

firn_status firn_inputs_add_target(struct firn_inputs *in, int64_t target, struct firn_error *err)
{
    const size_t n = (size_t) (in->batch * target) + 1;
    int32_t *labels = malloc(sizeof *labels * n);
    in->decoder_input_ids = calloc(n, sizeof(int32_t));
    if (labels == NULL || in->decoder_input_ids == NULL) {
        free(labels);
        firn_inputs_free(in);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a batch");
    }
    for (size_t i = 0; i < n; i++)
        labels[i] = -100;
    free(in->labels);
    in->labels = labels;
    in->target = target;
    return FIRN_OK;
}

void firn_inputs_free(struct firn_inputs *in)
{
    free(in->decoder_input_ids);
    free(in->input_ids);
    free(in->token_type_ids);
    free(in->position_ids);
    free(in->attention_mask);
    free(in->labels);
    free(in->pick);
    free(in->first);
    free(in->virtual_ids);
    free(in->adapter_of);
    free(in->targets);
    memset(in, 0, sizeof *in);
}

/* transformers: the rightmost id that is not the padding id. A model without one (GPT-2 as it is published) cannot have
 * padding there; here the mask tells. */
static int64_t last_token(const struct firn_inputs *in, int64_t b, int64_t pad_id)
{
    for (int64_t t = in->length; t-- > 0;)
        if (pad_id >= 0 ? in->input_ids[b * in->length + t] != pad_id : in->attention_mask[b * in->length + t] != 0)
            return t;
    return 0;
}

static void shift_labels(struct firn_inputs *in)
{
    for (int64_t b = 0; b < in->batch; b++) {
        int32_t *row = in->labels + b * in->length;
        in->first[b] = row[0];
        memmove(row, row + 1, sizeof *row * (size_t) (in->length - 1));
        row[in->length - 1] = -100;
    }
}

/* 0 .. T - 1 whatever the padding; RoBERTa's: padding ids stand at pad_id, the others are counted from the next one on. */
static void set_positions(struct firn_inputs *in, const struct firn_model *m)
{
    const struct firn_config *c = &m->config;
    for (int64_t b = 0; b < in->batch; b++) {
        int32_t next = (int32_t) c->first_position;
        for (int64_t i = b * in->length; i < (b + 1) * in->length; i++)
            in->position_ids[i] = c->first_position > 0 && in->input_ids[i] == c->pad_id ? (int32_t) c->pad_id : next++;
    }
}

/* transformers' _shift_right: what does not count is padding to the decoder. */
static void shift_right(struct firn_inputs *in, const struct firn_config *c)
{
    for (int64_t i = 0; i < in->batch * in->target; i++) {
        const int64_t before = i % in->target == 0 ? c->decoder_start_id : in->labels[i - 1];
        in->decoder_input_ids[i] = (int32_t) (before < 0 ? c->pad_id : before);
    }
}

/* How many labels there are; with targets, none. */
static int64_t n_labels(const struct firn_inputs *in, enum firn_task task)
{
    return task == FIRN_TASK_SEQ_CLS      ? in->batch
           : task == FIRN_TASK_SEQ2SEQ_LM ? in->batch * in->target
                                          : in->batch * in->length;
}

/* Labels stand row by row beside the tokens. */
static bool has_rows(enum firn_task task)
{
    return task != FIRN_TASK_SEQ_CLS && task != FIRN_TASK_SEQ2SEQ_LM;
}

void firn_inputs_finish(struct firn_inputs *in, const struct firn_model *m, const struct firn_adapter *a,
                        const struct firn_build_params *p)
{
    set_positions(in, m);
    for (int64_t b = 0; b < in->batch; b++)
        in->pick[b] = (int32_t) (b * in->length +
                                 (m->arch->pools_last ? last_token(in, b, m->config.pad_id) : 0));
    if (p->task == FIRN_TASK_CAUSAL_LM && in->length > 0)
        shift_labels(in);
    if (p->task == FIRN_TASK_SEQ2SEQ_LM)
        shift_right(in, &m->config);
    in->counted = 0;
    if (p->task == FIRN_TASK_SEQ_CLS && p->problem != FIRN_SINGLE_LABEL) {
        in->counted = in->batch * in->classes;
        return;
    }
    for (int64_t i = 0; i < n_labels(in, p->task); i++)
        in->counted += in->labels[i] >= 0;
    for (int64_t b = 0; b < in->batch && a != NULL && a->n_virtual > 0; b++)
        in->counted += in->first[b] >= 0;
}

void firn_inputs_count_positions(struct firn_inputs *in)
{
    for (int64_t b = 0; b < in->batch; b++) {
        int32_t position = 0;
        for (int64_t t = 0; t < in->length; t++) {
            const int64_t i = b * in->length + t;
            in->position_ids[i] = in->attention_mask[i] ? position++ : 0;
        }
    }
}

firn_status firn_inputs_check(const struct firn_inputs *in, const struct firn_model *m,
                              const struct firn_build_params *p, struct firn_error *err)
{
    const int64_t n = in->batch * in->length, rows = n_labels(in, p->task);
    const bool is_lm = p->task == FIRN_TASK_CAUSAL_LM || p->task == FIRN_TASK_MASKED_LM ||
                       p->task == FIRN_TASK_SEQ2SEQ_LM;
    const int64_t classes = is_lm ? m->config.vocabulary : p->n_labels;
    for (int64_t i = 0; i < n; i++)
        if (in->virtual_ids[i] < 0 && (in->input_ids[i] < 0 || in->input_ids[i] >= m->config.vocabulary))
            return firn_fail(err, FIRN_ERR_SHAPE, .key = "input_ids",
                             .expected = FIRN_STR("ids below the vocabulary of %lld", (long long) m->config.vocabulary),
                             .got = FIRN_STR("%d (tokenizer and model do not fit)", in->input_ids[i]));
    for (int64_t i = 0; i < n && m->config.token_types > 0; i++)
        if (in->token_type_ids[i] < 0 || in->token_type_ids[i] >= m->config.token_types)
            return firn_fail(err, FIRN_ERR_SHAPE, .key = "token_type_ids",
                             .expected = FIRN_STR("ids below type_vocab_size %lld", (long long) m->config.token_types),
                             .got = FIRN_STR("%d (tokenizer and model do not fit)", in->token_type_ids[i]));
    for (int64_t i = 0; i < rows + in->batch && p->has_loss && p->problem == FIRN_SINGLE_LABEL; i++) {
        const int32_t label = i < rows ? in->labels[i] : in->first[i - rows];
        if (label >= classes)
            return firn_fail(err, FIRN_ERR_SHAPE, .key = "labels",
                             .expected = FIRN_STR("labels below %lld", (long long) classes),
                             .got = FIRN_STR("%d", label));
    }
    return FIRN_OK;
}

/* Rows of `length` with n_virtual more before each. */
struct extended {
    int32_t *token_type_ids, *position_ids, *attention_mask, *labels, *pick;
};

static void extend_row(const struct firn_inputs *in, const struct firn_model *m, const struct firn_front *f,
                       bool with_labels, int64_t b, struct extended *e)
{
    const int64_t n = f->n_virtual, keys = n + f->n_prefix, length = in->length, from = b * length;
    /* behind embedded tokens transformers' RoBERTa sees no padding and counts it */
    const int64_t first = m->config.first_position;
    const bool counts_all = f->is_peft && n > 0 && first > 0;
    for (int64_t i = 0; i < n; i++) {
        e->token_type_ids[b * (n + length) + i] = 0;
        e->position_ids[b * (n + length) + i] = (int32_t) (first + f->n_prefix + i);
        e->labels[b * (n + length) + i] = i + 1 < n ? -100 : in->first[b];
    }
    for (int64_t i = 0; i < keys; i++)
        e->attention_mask[b * (keys + length) + i] = 1;
    for (int64_t t = 0; t < length; t++) {
        const int64_t to = b * (n + length) + n + t;
        e->token_type_ids[to] = in->token_type_ids[from + t];
        e->position_ids[to] = (int32_t) (keys + (counts_all ? first + t : in->position_ids[from + t]));
        e->attention_mask[b * (keys + length) + keys + t] = in->attention_mask[from + t];
        if (with_labels)
            e->labels[to] = in->labels[from + t];
    }
}

static int32_t picked_row(const struct firn_inputs *in, const struct firn_model *m, const struct firn_front *f,
                          bool pools, int64_t b)
{
    if (in->target > 0) /* a row of the decoder's, which has no virtual tokens */
        return in->pick[b];
    const int64_t length = f->n_virtual + in->length, t = in->pick[b] - b * in->length;
    const bool is_peft = pools && f->is_peft && f->n_virtual > 0;
    const int64_t at = !is_peft ? f->n_virtual + t : m->arch->pools_last ? length - 1 : 0;
    return (int32_t) (b * length + at);
}

static firn_status extend(const struct firn_inputs *in, const struct firn_model *m, const struct firn_front *f,
                          const struct firn_build_params *p, int32_t **block, struct extended *e,
                          struct firn_error *err)
{
    const size_t tokens = (size_t) (in->batch * (f->n_virtual + in->length)), batch = (size_t) in->batch;
    const size_t keys = (size_t) (in->batch * (f->n_virtual + f->n_prefix + in->length));
    int32_t *at = *block = malloc(sizeof *at * (3 * tokens + keys + batch + 1));
    if (at == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a batch");
    *e = (struct extended){ at, at + tokens, at + 2 * tokens, at + 2 * tokens + keys, at + 3 * tokens + keys };
    for (int64_t b = 0; b < in->batch; b++) {
        extend_row(in, m, f, has_rows(p->task), b, e);
        e->pick[b] = in->target > 0 ? in->pick[b] : picked_row(in, m, f, p->task <= FIRN_TASK_TOKEN_CLS, b);
    }
    if (!has_rows(p->task))
        e->labels = in->labels;
    return FIRN_OK;
}

/* The tokens that the mask shows, behind each other. */
static firn_status upload_packed(const struct firn_inputs *in, const struct firn_model *m, const struct firn_build_params *p,
                                 struct firn_store *store, struct firn_error *err)
{
    const size_t n = (size_t) (in->batch * in->length), packed = (size_t) p->packed;
    int32_t *block = malloc(sizeof *block * (n + 4 * packed + 1));
    if (block == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a batch");
    int32_t *ids = block, *positions = ids + packed, *labels = positions + packed, *back = labels + packed, *to = back + packed;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        to[i] = -1;
        if (in->attention_mask[i] == 0)
            continue;
        if (at == packed) {
            free(block);
            return firn_fail(err, FIRN_ERR_SHAPE, .key = "packed", .expected = FIRN_STR("at most %zu tokens", packed), .got = "more");
        }
        ids[at] = in->input_ids[i];
        positions[at] = in->position_ids[i];
        labels[at] = in->labels[i];
        back[at] = (int32_t) i;
        to[i] = (int32_t) at++;
    }
    for (; at < packed; at++) {
        ids[at] = m->config.pad_id >= 0 ? (int32_t) m->config.pad_id : 0;
        positions[at] = 0;
        labels[at] = -100;
        back[at] = -1;
    }
    const struct {
        const char *name;
        const int32_t *data;
        size_t n;
    } leaves[] = { { "input_ids", ids, packed }, { "position_ids", positions, packed }, { "labels", labels, packed },
                   { "unpack_rows", back, packed }, { "pack_rows", to, n }, { "attention_mask", in->attention_mask, n } };
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0] && status == FIRN_OK; i++)
        if (firn_store_has(store, leaves[i].name) && (leaves[i].data != labels || p->has_loss))
            status = firn_store_write(store, leaves[i].name, 0, leaves[i].data, sizeof(int32_t) * leaves[i].n, err);
    free(block);
    return status;
}

firn_status firn_inputs_upload(const struct firn_inputs *in, const struct firn_model *m, const struct firn_front *front,
                               const struct firn_build_params *p, struct firn_store *store, struct firn_error *err)
{
    if (p->packed > 0)
        return upload_packed(in, m, p, store, err);
    /* a decoder's keys have no mask, and these positions are the encoder's */
    const struct firn_front here = { front->n_virtual, in->target > 0 ? 0 : front->n_prefix, front->is_peft };
    const size_t one = sizeof(int32_t) * (size_t) in->batch, n = one * (size_t) in->length;
    const size_t tokens = n + one * (size_t) here.n_virtual, keys = tokens + one * (size_t) here.n_prefix;
    int32_t *block = NULL;
    struct extended e = { 0 };
    firn_status status = extend(in, m, &here, p, &block, &e, err);
    if (status)
        return status;
    const struct {
        const char *name;
        const void *data;
        size_t size;
    } leaves[] = {
        { "input_ids", in->input_ids, n },
        { "virtual_ids", in->virtual_ids, n },
        { "token_type_ids", e.token_type_ids, tokens },
        { "position_ids", e.position_ids, tokens },
        { "attention_mask", e.attention_mask, keys },
        { "pick", e.pick, one },
        { "labels", e.labels, has_rows(p->task) ? tokens : sizeof(int32_t) * (size_t) n_labels(in, p->task) },
        { "decoder_input_ids", in->decoder_input_ids, one * (size_t) in->target },
        { "targets", in->targets, sizeof(float) * (size_t) (in->batch * in->classes) },
    };
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0] && status == FIRN_OK; i++) {
        /* labels of another plan of the store may be of another size */
        const bool is_of_loss = leaves[i].data == e.labels || leaves[i].data == in->targets;
        if (firn_store_has(store, leaves[i].name) && (!is_of_loss || p->has_loss))
            status = firn_store_write(store, leaves[i].name, 0, leaves[i].data, leaves[i].size, err);
    }
    free(block);
    return status;
}
