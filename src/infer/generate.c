/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of generation. Prompts are padded on the left, so that the next token of every row goes to the same row of
 * the cache; positions count tokens only. An encoder reads its prompts once, padded on the right; its decoder's texts begin
 * with the start token. */
#include "infer/generate.h"

#include "model/bucket_table.h"
#include "peft/mixed.h"

#include <stdlib.h>
#include <string.h>

enum { PROMPT_STEP = 16, CACHE_STEP = 64 }; /* lengths are rounded up to these: one plan a length */

const char *const firn_finish_words[] = { "length", "end", "stop", "cancel" };

struct row {
    struct firn_spell spell;
    uint8_t *seen;
    int64_t left;      /* tokens that it may still get */
    size_t told;       /* bytes that on_text has seen */
    int32_t position;  /* of the next token */
    bool done;
};

struct run {
    struct firn_session *s;
    const struct firn_generate_params *p;
    const struct firn_prompt *prompts;
    size_t n;
    struct firn_generated *out;
    struct row *rows;
    struct firn_sampler sampler;
    float *logits;            /* [n, vocabulary] */
    int32_t *ids, *mask, *window, *at, *positions, *pick, *adapter_of; /* window: mask of layers with a sliding one */
    bool is_pair;             /* encoder and decoder */
    int64_t length;           /* of the padded prompts */
    int64_t front;            /* rows of the cache before them: prefix and virtual tokens */
    int64_t first;            /* row of the cache for the first new token */
    int32_t *buckets;         /* pair: of the position bias, by row of the cache */
    struct firn_session_plan *next;
};

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for generation");
}

int64_t firn_generate_limit(const struct firn_session *s)
{
    return firn_model_limit(&s->model) - s->adapter.n_virtual - s->adapter.n_prefix;
}

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/* A sliding window counts rows of the cache: padding between what a method puts in front and the text would push that out
 * of it too early. */
static bool has_front_window(const struct firn_session *s)
{
    return s->model.config.window > 0 && s->adapter.n_virtual + s->adapter.n_prefix > 0;
}

static bool is_virtual(const struct firn_prompt *prompt, size_t k)
{
    return prompt->virtual_ids != NULL && prompt->virtual_ids[k] >= 0;
}

static firn_status check(struct run *r, struct firn_error *err)
{
    const int64_t limit = firn_generate_limit(r->s), vocabulary = r->s->model.config.vocabulary;
    size_t longest = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct firn_prompt *prompt = &r->prompts[i];
        if (prompt->n == 0 || (int64_t) prompt->n > limit)
            return firn_fail(err, FIRN_ERR_SHAPE, .file = r->s->model.directory,
                             .key = FIRN_STR("prompt %u", prompt->number + 1),
                             .expected = FIRN_STR("1 to %lld tokens", (long long) limit),
                             .got = FIRN_STR("%zu", prompt->n));
        for (size_t k = 0; k < prompt->n; k++)
            if (!is_virtual(prompt, k) && (prompt->ids[k] < 0 || prompt->ids[k] >= vocabulary))
                return firn_fail(err, FIRN_ERR_SHAPE, .file = r->s->model.directory,
                                 .key = FIRN_STR("prompt %u", prompt->number + 1),
                                 .expected = FIRN_STR("ids below the vocabulary of %lld", (long long) vocabulary),
                                 .got = FIRN_STR("%d (tokenizer and model do not fit)", prompt->ids[k]));
        longest = prompt->n > longest ? prompt->n : longest;
    }
    /* dynamic rotary scaling turns by the length itself */
    const bool is_exact = r->s->model.config.rope.kind == FIRN_ROPE_DYNAMIC || has_front_window(r->s);
    r->length = is_exact ? (int64_t) longest : round_up((int64_t) longest, PROMPT_STEP);
    r->length = r->length > limit ? limit : r->length;
    return FIRN_OK;
}

static firn_status open_rows(struct run *r, struct firn_error *err)
{
    const int64_t vocabulary = r->s->model.config.vocabulary, limit = firn_generate_limit(r->s);
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < r->n && status == FIRN_OK; i++) {
        const struct firn_prompt *prompt = &r->prompts[i];
        struct row *row = &r->rows[i];
        row->left = r->is_pair ? limit : limit - (int64_t) prompt->n + 1; /* the last token needs no position */
        row->left = r->p->max_new_tokens < row->left ? r->p->max_new_tokens : row->left;
        row->done = row->left <= 0;
        row->seen = calloc((size_t) vocabulary + 1, 1);
        r->out[i].ids = malloc(sizeof(int32_t) * (size_t) (row->left > 0 ? row->left : 1));
        if (row->seen == NULL || r->out[i].ids == NULL)
            return no_memory(err);
        size_t from = 0; /* of the ids behind the last virtual token: what the first new one is spelt behind */
        for (size_t k = 0; k < prompt->n && !r->is_pair; k++) {
            if (is_virtual(prompt, k))
                from = k + 1;
            else
                row->seen[prompt->ids[k]] = 1;
        }
        if (r->is_pair)
            row->seen[r->s->model.config.decoder_start_id] = 1;
        if (r->p->tokenizer != NULL)
            status = firn_spell_init(&row->spell, r->p->tokenizer, prompt->ids + from, r->is_pair ? 0 : prompt->n - from, r->p->stop, r->p->n_stop,
                                     err);
    }
    return status;
}

/* Both plans are made before anything runs: making one may move buffers. */
static firn_status open_plans(struct run *r, struct firn_error *err)
{
    int64_t most = 0;
    struct firn_session_plan *first;
    for (size_t i = 0; i < r->n; i++)
        most = r->rows[i].left > most ? r->rows[i].left : most;
    r->front = r->s->adapter.n_prefix + (r->is_pair ? 0 : r->s->adapter.n_virtual);
    r->first = r->front + (r->is_pair ? 1 : r->length);
    const int64_t batch = (int64_t) r->n, target = r->is_pair ? 1 : 0;
    firn_session_cache(r->s, batch, round_up(r->first + most, CACHE_STEP), r->is_pair ? r->length : 0);
    const size_t n = r->n + 1, slots = (size_t) (batch * r->s->cache_length) + 1;
    r->logits = malloc(sizeof *r->logits * n * (size_t) r->s->model.config.vocabulary);
    r->ids = calloc(n, sizeof *r->ids);
    r->at = calloc(n, sizeof *r->at);
    r->positions = calloc(n, sizeof *r->positions);
    r->pick = calloc(n, sizeof *r->pick);
    r->adapter_of = calloc(n, sizeof *r->adapter_of);
    r->mask = calloc(slots, sizeof *r->mask);
    r->window = calloc(slots, sizeof *r->window);
    r->buckets = calloc((size_t) r->s->cache_length + 1, sizeof *r->buckets);
    if (!r->buckets || !r->window || !r->logits || !r->ids || !r->at || !r->positions || !r->pick || !r->mask || !r->adapter_of)
        return no_memory(err);
    const firn_status status =
        firn_session_plan_pair(r->s, FIRN_PLAN_NEXT, batch, r->is_pair ? r->length : 1, target, &r->next, err);
    return status ? status
                  : firn_session_plan_pair(r->s, FIRN_PLAN_PREFILL, batch, r->length, target, &first, err);
}

/* Writes an input of a token's graph, if it reads one of that name (where all layers slide, only the window's mask). */
static firn_status put(struct run *r, const char *name, const int32_t *data, size_t n, struct firn_error *err)
{
    const struct firn_graph *g = r->next->graph;
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && v->leaf == FIRN_LEAF_INPUT && strcmp(v->name, name) == 0)
            return firn_store_write(r->s->store, name, 0, data, sizeof *data * n, err);
    }
    return FIRN_OK;
}

static void fill_row(struct run *r, struct firn_inputs *in, int64_t b, int32_t pad)
{
    const struct firn_prompt *prompt = &r->prompts[b];
    const int64_t n = (int64_t) prompt->n, before = r->is_pair ? 0 : r->length - n;
    for (int64_t t = 0; t < r->length; t++) {
        const bool inside = t >= before && t < before + n;
        in->input_ids[b * r->length + t] = inside ? prompt->ids[t - before] : pad;
        in->virtual_ids[b * r->length + t] = inside && prompt->virtual_ids != NULL ? prompt->virtual_ids[t - before] : -1;
        in->attention_mask[b * r->length + t] = inside;
    }
    for (int64_t t = 0; t < r->first; t++)
        r->mask[b * r->s->cache_length + t] = t < r->front || t >= r->front + before;
    in->adapter_of[b] = r->adapter_of[b] = (int32_t) prompt->adapter;
    in->pick[b] = (int32_t) (r->is_pair ? b : b * r->length + r->length - 1);
    if (r->is_pair)
        in->decoder_input_ids[b] = (int32_t) r->s->model.config.decoder_start_id;
    r->pick[b] = (int32_t) b;
}

static firn_status prefill(struct run *r, struct firn_error *err)
{
    struct firn_inputs in;
    const int64_t batch = (int64_t) r->n, pad_id = r->s->model.config.pad_id;
    const int32_t pad = pad_id >= 0 && pad_id < r->s->model.config.vocabulary ? (int32_t) pad_id : 0;
    firn_status status = firn_inputs_create(&in, batch, r->length, 0, err);
    if (status == FIRN_OK && r->is_pair)
        status = firn_inputs_add_target(&in, 1, err);
    for (int64_t b = 0; b < batch && status == FIRN_OK; b++)
        fill_row(r, &in, b, pad);
    if (status == FIRN_OK)
        firn_inputs_count_positions(&in);
    if (status == FIRN_OK && firn_store_has(r->s->store, "cache_at")) /* an earlier batch left its own */
        status = firn_store_write(r->s->store, "cache_at", 0, r->at, sizeof *r->at * r->n, err);
    if (status == FIRN_OK)
        status = firn_session_forward(r->s, FIRN_PLAN_PREFILL, &in, 1, NULL, r->logits,
                                      batch * r->s->model.config.vocabulary, err);
    for (int64_t b = 0; b < batch && status == FIRN_OK; b++)
        r->rows[b].position = in.position_ids[b * r->length + r->length - 1] + 1 + (int32_t) r->front;
    firn_inputs_free(&in);
    return status;
}

static bool is_end(const struct run *r, int32_t id)
{
    for (size_t i = 0; i < r->p->n_ends; i++)
        if (r->p->ends[i] == id)
            return true;
    return false;
}

static bool tell(struct run *r, size_t i)
{
    struct row *row = &r->rows[i];
    const size_t n = row->spell.ready - row->told;
    if (n == 0 || r->p->on_text == NULL)
        return true;
    const char *text = row->spell.text.data + row->told;
    row->told = row->spell.ready;
    return r->p->on_text(r->p->user, i, text, n);
}

static firn_status end_row(struct run *r, size_t i, enum firn_finish finish, bool *goes_on, struct firn_error *err)
{
    r->rows[i].done = true;
    r->out[i].finish = finish;
    if (r->p->tokenizer == NULL)
        return FIRN_OK;
    const firn_status status = firn_spell_end(&r->rows[i].spell, err);
    if (status == FIRN_OK && !tell(r, i))
        *goes_on = false;
    return status;
}

/* Takes the next token of a row. */
static firn_status take(struct run *r, size_t i, bool *goes_on, struct firn_error *err)
{
    struct row *row = &r->rows[i];
    struct firn_generated *out = &r->out[i];
    const int64_t vocabulary = r->s->model.config.vocabulary;
    const int32_t id = firn_sample(&r->sampler, &r->p->sampling, r->logits + (int64_t) i * vocabulary, row->seen,
                                   r->prompts[i].number, (uint32_t) out->n);
    firn_status status = FIRN_OK;
    if (id < 0)
        return firn_fail(err, FIRN_ERR_DEVICE, .file = r->s->model.directory, .key = "logits",
                         .expected = "finite numbers",
                         .got = FIRN_STR("none for token %zu of prompt %u", out->n + 1, r->prompts[i].number + 1));
    if (is_end(r, id))
        return end_row(r, i, FIRN_FINISH_END, goes_on, err);
    out->ids[out->n++] = id;
    row->seen[id] = 1;
    r->ids[i] = id;
    if (r->p->tokenizer != NULL)
        status = firn_spell_add(&row->spell, id, err);
    if (status == FIRN_OK && !tell(r, i))
        *goes_on = false;
    if (status == FIRN_OK && row->spell.stopped)
        status = end_row(r, i, FIRN_FINISH_STOP, goes_on, err);
    else if (status == FIRN_OK && --row->left == 0)
        status = end_row(r, i, FIRN_FINISH_LENGTH, goes_on, err);
    return status;
}

/* What the tokens of a step may see: everything that is written, and they themselves. */
static void show(struct run *r, int64_t slot)
{
    const struct firn_config *c = &r->s->model.config;
    const int64_t slots = r->s->cache_length, hidden = c->window > 0 ? slot + 1 - c->window : 0;
    const struct firn_buckets buckets = { true, c->n_buckets, c->max_distance };
    for (size_t i = 0; i < r->n; i++)
        r->mask[(int64_t) i * slots + slot] = 1;
    memcpy(r->window, r->mask, sizeof *r->mask * r->n * (size_t) slots);
    for (size_t i = 0; i < r->n && hidden > 0; i++)
        memset(r->window + (int64_t) i * slots, 0, sizeof *r->window * (size_t) hidden);
    for (int64_t j = 0; j < slots && r->is_pair; j++)
        r->buckets[j] = firn_bucket_of(&buckets, j - slot);
}

/* Runs the tokens that were taken: step 0 is the first behind the prompt. Rows that are done go along. */
static firn_status step(struct run *r, int64_t at, struct firn_error *err)
{
    const int64_t slot = r->first + at, most = firn_generate_limit(r->s) + r->front;
    const size_t slots = (size_t) r->s->cache_length;
    for (size_t i = 0; i < r->n; i++) {
        const int64_t position = r->rows[i].position + at;
        r->positions[i] = position < most ? (int32_t) position : 0; /* of a row that is done */
        r->at[i] = (int32_t) slot;
    }
    show(r, slot);
    const struct {
        const char *name;
        const int32_t *data;
        size_t n;
    } inputs[] = {
        { r->is_pair ? "decoder_input_ids" : "input_ids", r->ids, r->n },
        { "position_ids", r->positions, r->n },
        { "cache_at", r->at, r->n },
        { "pick", r->pick, r->n },
        { FIRN_MIXED_INPUT, r->adapter_of, r->n },
        { r->is_pair ? "cache_mask" : "attention_mask", r->mask, r->n * slots },
        { "window_mask", r->window, r->n * slots },
        { "cache_buckets", r->buckets, slots },
    };
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0] && status == FIRN_OK; i++)
        status = put(r, inputs[i].name, inputs[i].data, inputs[i].n, err);
    if (status == FIRN_OK)
        status = firn_plan_run(r->next->plan, true, false, err);
    return status ? status
                  : firn_store_read(r->s->store, "logits", 0, r->logits,
                                    sizeof *r->logits * r->n * (size_t) r->s->model.config.vocabulary, err);
}

static firn_status loop(struct run *r, struct firn_error *err)
{
    bool goes_on = true;
    firn_status status = prefill(r, err);
    for (int64_t at = 0; status == FIRN_OK; at++) {
        size_t open = 0;
        for (size_t i = 0; i < r->n && status == FIRN_OK; i++) {
            if (!r->rows[i].done)
                status = take(r, i, &goes_on, err);
            open += !r->rows[i].done;
        }
        const bool is_cancelled = !goes_on || (r->p->cancel != NULL && *r->p->cancel != 0);
        if (status || open == 0 || is_cancelled)
            break;
        status = step(r, at, err);
    }
    for (size_t i = 0; i < r->n && status == FIRN_OK; i++)
        if (!r->rows[i].done)
            status = end_row(r, i, FIRN_FINISH_CANCEL, &goes_on, err);
    return status;
}

static firn_status generate_rows(struct firn_session *s, const struct firn_prompt *prompts, size_t n,
                          const struct firn_generate_params *p, struct firn_generated *out, struct firn_error *err)
{
    struct run r = { .s = s, .p = p, .prompts = prompts, .n = n, .out = out, .rows = calloc(n + 1, sizeof *r.rows),
                     .is_pair = s->params.task == FIRN_TASK_SEQ2SEQ_LM };
    memset(out, 0, sizeof *out * n);
    firn_status status = r.rows == NULL ? no_memory(err) : n > 0 ? check(&r, err) : FIRN_OK;
    if (status == FIRN_OK)
        status = firn_sampler_init(&r.sampler, s->model.config.vocabulary, err);
    if (status == FIRN_OK)
        status = open_rows(&r, err);
    if (status == FIRN_OK && n > 0 && p->max_new_tokens > 0)
        status = open_plans(&r, err);
    if (status == FIRN_OK && n > 0 && p->max_new_tokens > 0)
        status = loop(&r, err);
    for (size_t i = 0; i < n && r.rows != NULL; i++) {
        out[i].text = r.rows[i].spell.text.data; /* moved */
        r.rows[i].spell.text = (struct firn_str){ 0 };
        if (out[i].text == NULL && p->tokenizer != NULL && status == FIRN_OK)
            out[i].text = firn_strdup("");
        firn_spell_finish(&r.rows[i].spell);
        free(r.rows[i].seen);
    }
    firn_sampler_finish(&r.sampler);
    free(r.rows);
    free(r.logits);
    free(r.ids);
    free(r.mask);
    free(r.window);
    free(r.buckets);
    free(r.at);
    free(r.positions);
    free(r.pick);
    free(r.adapter_of);
    return status;
}

/* The row of a text that is computed alone. */
struct alone {
    const struct firn_generate_params *p;
    size_t row;
    bool stopped;
};

static bool tell_row(void *user, size_t row, const char *text, size_t size)
{
    struct alone *a = user;
    (void) row;
    a->stopped = a->stopped || !a->p->on_text(a->p->user, a->row, text, size);
    return !a->stopped;
}

firn_status firn_generate(struct firn_session *s, const struct firn_prompt *prompts, size_t n,
                          const struct firn_generate_params *p, struct firn_generated *out, struct firn_error *err)
{
    if (!has_front_window(s) || n < 2)
        return generate_rows(s, prompts, n, p, out, err);
    struct firn_generate_params one = *p;
    struct alone a = { .p = p };
    firn_status status = FIRN_OK;
    memset(out, 0, sizeof *out * n);
    one.on_text = p->on_text != NULL ? tell_row : NULL;
    one.user = &a;
    for (; a.row < n && status == FIRN_OK; a.row++) {
        one.max_new_tokens = a.stopped ? 0 : p->max_new_tokens;
        status = generate_rows(s, &prompts[a.row], 1, &one, &out[a.row], err);
    }
    return status;
}

void firn_generated_free(struct firn_generated *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].ids);
        free(list[i].text);
    }
    memset(list, 0, sizeof *list * n);
}
