/* SPDX-License-Identifier: Apache-2.0 */
/* Hard prompts: words in front of the text (`text`), or a template around its fields (which the reader of the data
 * fills), and nothing that trains: the baseline that trained prompts are held against. */
#include "peft/soft.h"

#include "firn/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct hard {
    char *text;
    /* made by open */
    int32_t *ids;
    int64_t n;
};

static const struct firn_option keys[] = {
    { "text", .also = { "prompt_tuning_init_text" }, .type = FIRN_OPTION_TEXT, .offset = offsetof(struct hard, text),
      .help = "words in front of every text" },
    { NULL }
};

static firn_status open_hard(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    struct hard *h = settings;
    struct firn_tokenizer *tokenizer = NULL;
    struct firn_encoding encoding = { 0 };
    const struct firn_encode_params how = { .add_special = false };
    (void) task;
    (void) file;
    if (h->text == NULL)
        return FIRN_OK;
    firn_status status = firn_tokenizer_open(&tokenizer, m->directory, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_encode(tokenizer, h->text, strlen(h->text), NULL, 0, &how, &encoding, err);
    h->n = status == FIRN_OK ? (int64_t) encoding.n : 0;
    h->ids = malloc(sizeof *h->ids * (size_t) (h->n + 1));
    if (status == FIRN_OK && h->ids == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a prompt");
    if (status == FIRN_OK && h->n > 0)
        memcpy(h->ids, encoding.ids, sizeof *h->ids * (size_t) h->n);
    firn_encoding_free(&encoding);
    firn_tokenizer_close(&tokenizer);
    return status;
}

static void close_hard(void *settings)
{
    free(((struct hard *) settings)->ids);
}

/* The words' rows, made once and kept with the weights. */
static bool make_words(const struct hard *h, struct firn_build *b)
{
    struct firn_weights *w = &b->model->weights;
    struct firn_error why = { 0 };
    if (firn_weights_copy(w, "hard.words") != NULL)
        return true;
    float *rows = malloc(sizeof *rows * (size_t) (h->n * b->model->config.width));
    firn_status status = rows != NULL ? firn_soft_words(b->model, h->ids, h->n, rows, &why) : FIRN_ERR_MEMORY;
    if (status == FIRN_OK)
        status = firn_weights_keep(w, "hard.words", rows);
    if (status) {
        free(rows);
        firn_graph_fail(b->g, "the words of a prompt: %s", why.text[0] != '\0' ? why.text : "out of memory");
    }
    return status == FIRN_OK;
}

static firn_val input(const void *settings, struct firn_build *b, firn_val x)
{
    const struct hard *h = settings;
    if (h->n == 0 || !make_words(h, b))
        return x;
    const firn_val words = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, "hard.words", FIRN_F32,
                                           firn_dims(h->n, b->model->config.width));
    b->n_virtual = h->n;
    return firn_concat(b->g, words, x, b->p->batch);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct hard *h = settings;
    (void) params;
    json_object_set_new(config, "text", h->text != NULL ? json_string(h->text) : json_null());
}

const struct firn_method firn_method_hard = {
    .name = "hard",
    .peft_type = "HARD",
    .keys = keys,
    .settings_size = sizeof(struct hard),
    .open = open_hard,
    .close = close_hard,
    .input = input,
    .describe = describe,
};
