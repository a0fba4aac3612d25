/* SPDX-License-Identifier: Apache-2.0 */
/* RoBERTa (Liu et al. 2019), and those that differ from it by vocabulary only: XLM-RoBERTa (Conneau et al. 2020) and
 * CamemBERT (Martin et al. 2020). BERT's encoder; positions count tokens that are no padding from pad_token_id + 1 on, and
 * classification has a layer of its own in place of the pooler. */
#include "model/blocks/bert_encoder.h"

#define PREFIX "roberta"
static const struct firn_option keys[] = { FIRN_BERT_KEYS("1") };

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->pad_id < 0 || c->pad_id + 1 >= c->max_positions)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "pad_token_id",
                         .expected = FIRN_STR("0 to %lld: positions count from the next one to the end of "
                                              "max_position_embeddings", (long long) c->max_positions - 2),
                         .got = FIRN_STR("%lld", (long long) c->pad_id));
    c->first_position = c->pad_id + 1;
    return firn_bert_finish(c, path, err);
}

static firn_val body(struct firn_build *b)
{
    return firn_bert_body(b, PREFIX);
}

/* out_proj(dropout(tanh(dense(dropout(first token))))) */
static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "classifier");
    x = firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    x = firn_drop(b, x, c->classifier_dropout);
    x = firn_activate(b->g, FIRN_TANH, firn_linear(b, "dense", x, c->width, c->width, true));
    x = firn_drop(b, x, c->classifier_dropout);
    x = firn_linear(b, "out_proj", x, c->width, b->p->n_labels, true);
    firn_pop_scope(b);
    return (struct firn_head){ .logits = x };
}

/* Its activation is gelu whatever hidden_act says. */
static struct firn_head masked_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "lm_head");
    x = firn_activate(b->g, FIRN_GELU, firn_linear(b, "dense", x, c->width, c->width, true));
    x = firn_layer_norm_at(b, "layer_norm", x);
    firn_pop_scope(b);
    return firn_bert_output(b, "lm_head.decoder", "lm_head.bias", x);
}

static struct firn_head embedding_head(struct firn_build *b, firn_val x)
{
    return (struct firn_head){ .h = x, .pooled = firn_bert_pooler(b, PREFIX, x) };
}

static const char *const targets[] = { "query", "value", NULL };

// clang-format off
#define RECORD(variable, type, class)                                                                                  \
    const struct firn_arch firn_arch_##variable = {                                                                    \
        .name = type,                                                                                                  \
        .model_type = type,                                                                                            \
        .prefix = PREFIX,                                                                                              \
        .table = PREFIX ".embeddings.word_embeddings.weight",                                                          \
        .keys = keys,                                                                                                  \
        .only = firn_bert_only,                                                                                        \
        .targets = targets,                                                                                            \
        .finish = finish,                                                                                              \
        .body = body,                                                                                                  \
        .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_TOKEN_CLS] = firn_bert_token_head,                   \
                  [FIRN_TASK_MASKED_LM] = masked_head, [FIRN_TASK_EMBEDDING] = embedding_head },                       \
        .class_name = { [FIRN_TASK_SEQ_CLS] = class "ForSequenceClassification",                                       \
                        [FIRN_TASK_TOKEN_CLS] = class "ForTokenClassification",                                        \
                        [FIRN_TASK_MASKED_LM] = class "ForMaskedLM", [FIRN_TASK_EMBEDDING] = class "Model" },          \
    }
RECORD(roberta, "roberta", "Roberta");
RECORD(xlm_roberta, "xlm-roberta", "XLMRoberta");
RECORD(camembert, "camembert", "Camembert");
// clang-format on
