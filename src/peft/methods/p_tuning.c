/* SPDX-License-Identifier: Apache-2.0 */
/* P-tuning (Liu et al. 2021): a prompt that a small network makes out of trained vectors. Adapter files hold what it
 * makes, so that they are read as a prompt's; layout, names and starts are PEFT's. */
#include "peft/prompt_encoder.h"
#include "peft/soft.h"

struct p_tuning {
    struct firn_soft soft;
    struct firn_prompt_encoder encoder;
};

#define AT(field) offsetof(struct p_tuning, encoder.field)
// clang-format off
static const struct firn_option keys[] = {
    FIRN_SOFT_KEYS(struct p_tuning),
    { "encoder_reparameterization_type", .also = { "encoder" }, .type = FIRN_OPTION_WORD, .offset = AT(kind), .fallback = "MLP",
      .words = firn_encoder_words, .words_also = firn_encoder_words_also,
      .help = "the network: three linear layers, or a bidirectional LSTM and two" },
    { "encoder_hidden_size",             .type = FIRN_OPTION_INT, .offset = AT(hidden), .fallback = "0", .max = 65536,
      .help = "its width; unset: token_dim" },
    { "encoder_num_layers",              .type = FIRN_OPTION_INT, .offset = AT(n_layers), .fallback = "2", .min = 1, .max = 64,
      .help = "layers of the LSTM" },
    { "encoder_dropout",                 .type = FIRN_OPTION_REAL, .offset = AT(dropout), .fallback = "0", .max = 0.99,
      .help = "dropout between them" },
    { NULL }
};
// clang-format on

static firn_status open_p_tuning(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                                 struct firn_error *err)
{
    struct p_tuning *p = settings;
    if (p->encoder.hidden == 0)
        p->encoder.hidden = m->config.width;
    return firn_soft_open(&p->soft, m, task, m->config.width, m->config.n_heads, file, err);
}

/* [virtual submodules, C]; of an encoder-decoder all rows go through the network, though half of what comes out is read. */
static firn_val table(const void *settings, struct firn_build *b)
{
    const struct p_tuning *p = settings;
    const struct firn_shape shape = firn_dims(p->soft.n_virtual * p->soft.n_submodules, p->soft.token_dim);
    if (b->adapter->is_loaded)
        return firn_trained(b, FIRN_TABLE, shape, FIRN_INIT_NORMAL, 1);
    const firn_val x = firn_trained(b, "prompt_encoder.embedding.weight", shape, FIRN_INIT_NORMAL, 1);
    return firn_prompt_encode(&p->encoder, b, x, 1, p->soft.token_dim);
}

static firn_val input(const void *settings, struct firn_build *b, firn_val x)
{
    return firn_soft_front(settings, b, table(settings, b), x);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct p_tuning *p = settings;
    (void) params;
    firn_soft_describe(&p->soft, config);
    json_object_set_new(config, "encoder_dropout", json_real(p->encoder.dropout));
    json_object_set_new(config, "encoder_hidden_size", json_integer(p->encoder.hidden));
    json_object_set_new(config, "encoder_num_layers", json_integer(p->encoder.n_layers));
    json_object_set_new(config, "encoder_reparameterization_type", json_string(firn_encoder_words[p->encoder.kind]));
}

const struct firn_method firn_method_p_tuning = {
    .name = "p_tuning",
    .peft_type = "P_TUNING",
    .keys = keys,
    .settings_size = sizeof(struct p_tuning),
    .open = open_p_tuning,
    .copies = firn_soft_copies,
    .trains = firn_soft_trains,
    .input = input,
    .table = table,
    .describe = describe,
};
