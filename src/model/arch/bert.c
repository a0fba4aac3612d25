/* SPDX-License-Identifier: Apache-2.0 */
/* BERT (Devlin et al. 2018): post-norm encoder with learned positions and token types. */
#include "model/blocks/bert_encoder.h"

#define PREFIX "bert"
static const struct firn_option keys[] = { FIRN_BERT_KEYS("0") };

static firn_val body(struct firn_build *b)
{
    return firn_bert_body(b, PREFIX);
}

static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, firn_bert_pooler(b, PREFIX, x), c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head masked_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "cls.predictions.transform");
    x = firn_linear(b, "dense", x, c->width, c->width, true);
    x = firn_activate(b->g, (enum firn_activation) c->activation, x);
    x = firn_layer_norm_at(b, "LayerNorm", x);
    firn_pop_scope(b);
    return firn_bert_output(b, "cls.predictions.decoder", "cls.predictions.bias", x);
}

static struct firn_head embedding_head(struct firn_build *b, firn_val x)
{
    return (struct firn_head){ .h = x, .pooled = firn_bert_pooler(b, PREFIX, x) };
}

static const char *const targets[] = { "query", "value", NULL };

const struct firn_arch firn_arch_bert = {
    .name = "bert",
    .model_type = "bert",
    .prefix = PREFIX,
    .table = PREFIX ".embeddings.word_embeddings.weight",
    .keys = keys,
    .only = firn_bert_only,
    .targets = targets,
    .finish = firn_bert_finish,
    .body = body,
    .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_TOKEN_CLS] = firn_bert_token_head,
              [FIRN_TASK_MASKED_LM] = masked_head, [FIRN_TASK_EMBEDDING] = embedding_head },
    .class_name = { [FIRN_TASK_SEQ_CLS] = "BertForSequenceClassification",
                    [FIRN_TASK_TOKEN_CLS] = "BertForTokenClassification",
                    [FIRN_TASK_MASKED_LM] = "BertForMaskedLM", [FIRN_TASK_EMBEDDING] = "BertModel" },
};
