/* SPDX-License-Identifier: Apache-2.0 */
/* Prefix tuning (Li & Liang 2021, sec. 4): trained keys and values in front of each layer's own. The table is trained
 * itself, or is the output of a small network (sec. 4.3) that is left behind after training. Layout and names are PEFT's. */
#include "peft/soft.h"

#include <stdlib.h>
#include <string.h>

enum init_rule { INIT_NORMAL, INIT_ZERO };

struct prefix {
    struct firn_soft soft;
    int64_t encoder_hidden_size;
    bool projects;
    int init_weights; /* enum init_rule */
};

#define AT(field) offsetof(struct prefix, field)
static const char *const init_words[] = { "normal", "zero", NULL };
// clang-format off
static const struct firn_option keys[] = {
    FIRN_SOFT_KEYS(struct prefix),
    { "prefix_projection",   .type = FIRN_OPTION_BOOL, .offset = AT(projects), .fallback = "false",
      .help = "train the table through a network: linear, tanh, linear" },
    { "encoder_hidden_size", .type = FIRN_OPTION_INT, .offset = AT(encoder_hidden_size), .fallback = "0", .max = 1048576,
      .help = "width of that network; unset: token_dim" },
    { "init_weights",        .type = FIRN_OPTION_WORD, .offset = AT(init_weights), .fallback = "normal", .words = init_words,
      .help = "what the table starts from" },
    { NULL }
};
// clang-format on

static firn_status open_prefix(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                               struct firn_error *err)
{
    struct prefix *p = settings;
    const int64_t heads = m->config.n_kv_heads, width = heads * m->config.head_dim;
    if (task == FIRN_TASK_SEQ2SEQ_LM && m->config.n_decoder_layers > m->config.n_layers)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "method prefix_tuning",
                         .expected = "a decoder with no more layers than the encoder (as PEFT's table has)",
                         .got = FIRN_STR("%lld and %lld", (long long) m->config.n_decoder_layers,
                                         (long long) m->config.n_layers));
    const firn_status status = firn_soft_open(&p->soft, m, task, width, heads, file, err);
    if (p->encoder_hidden_size == 0)
        p->encoder_hidden_size = width;
    return status;
}

/* [virtual, layers 2 D]: key of layer 0, value of layer 0, key of layer 1, ... */
static firn_val table(const void *settings, struct firn_build *b)
{
    const struct prefix *p = settings;
    const int64_t n = p->soft.n_virtual, d = p->soft.token_dim, hidden = p->encoder_hidden_size;
    const int64_t width = p->soft.n_layers * 2 * d;
    if (!p->projects || b->adapter->is_loaded)
        return firn_trained(b, FIRN_TABLE, firn_dims(n, width),
                            p->init_weights == INIT_ZERO ? FIRN_INIT_ZERO : FIRN_INIT_NORMAL, 1);
    firn_val x = firn_trained(b, "prompt_encoder.embedding.weight", firn_dims(n, d), FIRN_INIT_NORMAL, 1);
    x = firn_activate(b->g, FIRN_TANH, firn_soft_linear(b, "transform.0", x, d, hidden));
    if (p->init_weights != INIT_ZERO)
        return firn_soft_linear(b, "transform.2", x, hidden, width);
    const firn_val w = firn_trained(b, "prompt_encoder.transform.2.weight", firn_dims(width, hidden), FIRN_INIT_ZERO, 0);
    const firn_val bias = firn_trained(b, "prompt_encoder.transform.2.bias", firn_dims(width), FIRN_INIT_ZERO, 0);
    return firn_matmul(b->g, x, w, firn_matmul_params(.trans_b = true, .bias = bias));
}

/* [prefix; own] of keys and values; keys of the prefix have no rotary position. */
static void kv(const void *settings, struct firn_build *b, int64_t layer, firn_val *k, firn_val *v)
{
    const struct prefix *p = settings;
    const int64_t n = 2 * p->soft.n_layers, batch = b->p->batch;
    if (b->slots == NULL) {
        b->slots = calloc((size_t) n, sizeof *b->slots);
        if (b->slots == NULL) {
            firn_graph_fail(b->g, "out of memory for a prefix");
            return;
        }
        firn_part_columns(b->g, table(settings, b), n, b->slots);
        b->n_prefix = p->soft.n_virtual;
    }
    /* PEFT doubles an encoder-decoder's table and gives each layer four entries, of which the decoder's first two are
     * read: layer l takes entry 4 l of 2 L, and some entries serve two layers or none */
    const int64_t at = b->p->task == FIRN_TASK_SEQ2SEQ_LM ? 4 * layer % n : 2 * layer;
    *k = firn_concat(b->g, b->slots[at], *k, batch);
    *v = firn_concat(b->g, b->slots[at + 1], *v, batch);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct prefix *p = settings;
    (void) params;
    firn_soft_describe(&p->soft, config);
    json_object_set_new(config, "encoder_hidden_size", json_integer(p->encoder_hidden_size));
    json_object_set_new(config, "init_weights", p->init_weights == INIT_ZERO ? json_string("zero") : json_null());
    json_object_set_new(config, "prefix_projection", json_boolean(p->projects));
}

/* P-tuning v2 (Liu et al. 2022) is a prefix with a head of its own in place of words for labels. */
static firn_status open_v2(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                           struct firn_error *err)
{
    if (task == FIRN_TASK_SEQ_CLS || task == FIRN_TASK_TOKEN_CLS)
        return open_prefix(settings, m, task, file, err);
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "method p_tuning_v2",
                     .expected = "sequence_classification or token_classification (else prefix_tuning)",
                     .got = firn_task_words[task]);
}

const struct firn_method firn_method_prefix = {
    .name = "prefix_tuning",
    .peft_type = "PREFIX_TUNING",
    .keys = keys,
    .settings_size = sizeof(struct prefix),
    .open = open_prefix,
    .copies = firn_soft_copies,
    .trains = firn_soft_trains,
    .kv = kv,
    .table = table,
    .describe = describe,
};

/* Files call it PREFIX_TUNING too, and are opened as the record above. */
const struct firn_method firn_method_prefix_v2 = {
    .name = "p_tuning_v2",
    .peft_type = "PREFIX_TUNING",
    .keys = keys,
    .settings_size = sizeof(struct prefix),
    .open = open_v2,
    .copies = firn_soft_copies,
    .trains = firn_soft_trains,
    .kv = kv,
    .table = table,
    .describe = describe,
};
