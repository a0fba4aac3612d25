/* SPDX-License-Identifier: Apache-2.0 */
/* From rows of a table to token ids and labels, and from those to the inputs of a batch. */
#include "train/example.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples");
}

static firn_status allocate(struct firn_example *e, size_t n, bool has_labels, struct firn_error *err)
{
    e->ids = malloc(sizeof *e->ids * (n + 1));
    e->types = calloc(n + 1, sizeof *e->types);
    e->labels = has_labels ? malloc(sizeof *e->labels * (n + 1)) : NULL;
    e->length = (uint32_t) n;
    return e->ids != NULL && e->types != NULL && (!has_labels || e->labels != NULL) ? FIRN_OK : no_memory(err);
}

/* The template instead of a column. */
static firn_status encode_template(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                                   uint32_t most, struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_marked m = { 0 };
    const struct firn_encode_params how = { .add_special = true, .max_length = most };
    firn_status status = firn_template_fill(p->columns->template, d->table.rows[i].values, NULL, false, d->table.path,
                                            d->table.rows[i].line, &m, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_encode(p->tokenizer, m.text.data != NULL ? m.text.data : "", m.text.size, NULL, 0, &how,
                                       encoding, err);
    firn_marked_free(&m);
    return status;
}

static firn_status encode_text(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                               struct firn_encoding *encoding, struct firn_error *err)
{
    const char *text, *pair = NULL;
    size_t size, pair_size = 0;
    const struct firn_encode_params how = { .add_special = true, .max_length = p->max_length };
    if (p->columns->template != NULL)
        return encode_template(d, i, p, p->max_length, encoding, err);
    firn_status status = firn_table_text(&d->table, i, p->columns->text, &text, &size, err);
    if (status == FIRN_OK && p->columns->text_pair != NULL)
        status = firn_table_text(&d->table, i, p->columns->text_pair, &pair, &pair_size, err);
    return status ? status : firn_tokenizer_encode(p->tokenizer, text, size, pair, pair_size, &how, encoding, err);
}

static void copy_ids(struct firn_example *e, const struct firn_encoding *encoding)
{
    memcpy(e->ids, encoding->ids, sizeof *e->ids * e->length);
    memcpy(e->types, encoding->type_ids, sizeof *e->types * e->length);
}

static firn_status read_targets(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                                const json_t *value, struct firn_error *err)
{
    struct firn_example *e = &d->list[i];
    const size_t n = p->problem == FIRN_REGRESSION ? 1 : p->labels->count;
    e->targets = calloc(n + 1, sizeof *e->targets);
    if (e->targets == NULL)
        return no_memory(err);
    if (p->problem == FIRN_REGRESSION) {
        double number = 0;
        const firn_status status = firn_table_number(&d->table, i, p->columns->label, &number, err);
        e->targets[0] = (float) number;
        return status;
    }
    for (size_t k = 0; k < json_array_size(value); k++) {
        int32_t index;
        const firn_status status = firn_labels_find(p->labels, &d->table, i, json_array_get(value, k), &index, err);
        if (status)
            return status;
        e->targets[index] = 1;
    }
    return FIRN_OK;
}

static firn_status make_sequence(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                                 struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_example *e = &d->list[i];
    firn_status status = encode_text(d, i, p, encoding, err);
    if (status == FIRN_OK)
        status = allocate(e, encoding->n, false, err);
    if (status)
        return status;
    copy_ids(e, encoding);
    if (!p->has_labels)
        return FIRN_OK;
    const json_t *value = firn_table_value(&d->table, i, p->columns->label);
    if (value == NULL)
        return firn_table_missing(&d->table, i, p->columns->label, err);
    return p->problem == FIRN_SINGLE_LABEL ? firn_labels_find(p->labels, &d->table, i, value, &e->label, err)
                                           : read_targets(d, i, p, value, err);
}

/* Words and their labels: the first token of each word carries its label. */
static firn_status make_tokens(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                               struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_example *e = &d->list[i];
    const json_t *words = firn_table_value(&d->table, i, p->columns->text);
    const json_t *labels = p->has_labels ? firn_table_value(&d->table, i, p->columns->label) : NULL;
    const int32_t cls = firn_tokenizer_role(p->tokenizer, FIRN_ROLE_CLS), sep = firn_tokenizer_role(p->tokenizer, FIRN_ROLE_SEP);
    if (!json_is_array(words) || (p->has_labels && json_array_size(labels) != json_array_size(words)))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = d->table.path, .key = FIRN_STR("line %zu", e->line),
                         .expected = FIRN_STR("a list of words in %s and as many labels in %s", p->columns->text,
                                              p->columns->label), .got = "something else");
    firn_status status = allocate(e, p->max_length, true, err);
    uint32_t n = 0;
    if (cls >= 0 && status == FIRN_OK) {
        e->labels[n] = -100;
        e->ids[n++] = cls;
    }
    for (size_t w = 0; w < json_array_size(words) && status == FIRN_OK; w++) {
        const json_t *word = json_array_get(words, w);
        int32_t label = -100;
        const struct firn_encode_params how = { .add_special = false };
        if (!json_is_string(word))
            return firn_fail(err, FIRN_ERR_FORMAT, .file = d->table.path, .key = FIRN_STR("line %zu", e->line),
                             .expected = "words", .got = "something else");
        status = firn_tokenizer_encode(p->tokenizer, json_string_value(word), json_string_length(word), NULL, 0, &how,
                                       encoding, err);
        if (status == FIRN_OK && p->has_labels)
            status = firn_labels_find(p->labels, &d->table, i, json_array_get(labels, w), &label, err);
        for (size_t k = 0; k < encoding->n && status == FIRN_OK && n + (sep >= 0) < p->max_length; k++) {
            e->labels[n] = k == 0 ? label : -100;
            e->ids[n++] = encoding->ids[k];
        }
    }
    if (sep >= 0 && status == FIRN_OK) {
        e->labels[n] = -100;
        e->ids[n++] = sep;
    }
    e->length = n;
    return status;
}

/* A text, and what the decoder is to say: both end with the end token, as T5's tokenizer writes them. */
static firn_status make_pair(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                             struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_example *e = &d->list[i];
    const int32_t eos = firn_tokenizer_role(p->tokenizer, FIRN_ROLE_EOS);
    const char *columns[2] = { p->columns->prompt, p->columns->completion };
    firn_status status = FIRN_OK;
    for (int part = 0; part < (p->has_labels ? 2 : 1) && status == FIRN_OK; part++) {
        const char *text;
        size_t size;
        const uint32_t most = part == 0 ? p->max_length : p->max_target;
        const struct firn_encode_params how = { .add_special = true, .max_length = most };
        if (part == 0 && p->columns->template != NULL) {
            status = encode_template(d, i, p, most, encoding, err);
        } else {
            status = firn_table_text(&d->table, i, columns[part], &text, &size, err);
            if (status == FIRN_OK)
                status = firn_tokenizer_encode(p->tokenizer, text, size, NULL, 0, &how, encoding, err);
        }
        if (status)
            return status;
        uint32_t n = (uint32_t) encoding->n;
        if (part == 0) {
            status = allocate(e, most > n ? n + 1 : n, false, err);
        } else {
            e->labels = malloc(sizeof *e->labels * ((size_t) n + 1));
            status = e->labels != NULL ? FIRN_OK : no_memory(err);
        }
        if (status)
            return status;
        int32_t *ids = part == 0 ? e->ids : e->labels;
        memcpy(ids, encoding->ids, sizeof *ids * n);
        if (eos >= 0 && n < most && (n == 0 || ids[n - 1] != eos)) /* a tokenizer file that adds none */
            ids[n++] = eos;
        *(part == 0 ? &e->length : &e->target) = n;
    }
    return FIRN_OK;
}

static firn_status make_masked(struct firn_dataset *d, uint32_t i, const struct firn_dataset_params *p,
                               struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_example *e = &d->list[i];
    firn_status status = encode_text(d, i, p, encoding, err);
    if (status == FIRN_OK)
        status = allocate(e, encoding->n, true, err);
    if (status)
        return status;
    copy_ids(e, encoding);
    for (uint32_t k = 0; k < e->length; k++) /* which may be masked; the choice is made batch by batch */
        e->labels[k] = encoding->special[k] ? -100 : e->ids[k];
    return FIRN_OK;
}

/* A row by its task's template, appended to the list unless it is too long. */
static firn_status make_templated(struct firn_dataset *d, uint32_t row, const struct firn_dataset_params *p,
                                  struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_laid_out line;
    const firn_status status = firn_task_templates_lay_out(p->templates, &d->table, row, p->tokenizer, p->max_length,
                                                           p->has_labels, encoding, &line, err);
    if (status)
        return status;
    if (line.n == 0) {
        d->skipped++;
        return FIRN_OK;
    }
    struct firn_example *e = &d->list[d->count];
    *e = (struct firn_example){ .ids = line.ids, .labels = line.labels, .virtual_ids = line.virtual_ids,
                                .prompt_task = line.task, .length = line.n, .line = d->table.rows[row].line };
    d->lengths[d->count++] = line.n;
    d->tokens += line.n;
    e->types = calloc((size_t) line.n + 1, sizeof *e->types);
    return e->types != NULL ? FIRN_OK : no_memory(err);
}

firn_status firn_dataset_make(struct firn_dataset *d, struct firn_table *table, const struct firn_dataset_params *p,
                              struct firn_error *err)
{
    struct firn_encoding encoding = { 0 };
    uint64_t size;
    memset(d, 0, sizeof *d);
    d->table = *table;
    memset(table, 0, sizeof *table);
    d->list = calloc(d->table.count + 1, sizeof *d->list);
    d->lengths = calloc(d->table.count + 1, sizeof *d->lengths);
    const bool has_pairs = p->task == FIRN_TASK_SEQ2SEQ_LM;
    if (has_pairs)
        d->targets = calloc(d->table.count + 1, sizeof *d->targets);
    firn_status status = d->list == NULL || d->lengths == NULL || (has_pairs && d->targets == NULL)
                             ? no_memory(err)
                             : firn_crc32c_file(d->table.path, &d->crc, &size, NULL);
    if (status == FIRN_ERR_IO) /* standard input: no file to come back to */
        status = FIRN_OK;
    for (uint32_t i = 0; i < d->table.count && status == FIRN_OK; i++) {
        if (p->templates != NULL) {
            status = make_templated(d, i, p, &encoding, err);
            continue;
        }
        d->list[i].line = d->table.rows[i].line;
        status = p->task == FIRN_TASK_SEQ_CLS     ? make_sequence(d, i, p, &encoding, err)
                 : p->task == FIRN_TASK_TOKEN_CLS ? make_tokens(d, i, p, &encoding, err)
                 : p->task == FIRN_TASK_MASKED_LM ? make_masked(d, i, p, &encoding, err)
                 : has_pairs                      ? make_pair(d, i, p, &encoding, err)
                                                  : firn_example_causal(&d->list[i], &d->table, i, p, &encoding, err);
        d->count++;
        d->lengths[i] = d->list[i].length;
        d->tokens += d->list[i].length + d->list[i].target;
        if (has_pairs)
            d->targets[i] = d->list[i].target;
    }
    firn_encoding_free(&encoding);
    if (status == FIRN_OK && d->count == 0 && d->skipped > 0)
        status = firn_fail(err, FIRN_ERR_SHAPE, .file = d->table.path, .key = "max_length",
                           .expected = "examples that fit (truncate_field names what may give way)",
                           .got = FIRN_STR("%u tokens, which none does", p->max_length));
    if (status)
        firn_dataset_free(d);
    return status;
}

void firn_dataset_free(struct firn_dataset *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        free(d->list[i].ids);
        free(d->list[i].types);
        free(d->list[i].virtual_ids);
        free(d->list[i].labels);
        free(d->list[i].targets);
    }
    free(d->list);
    free(d->lengths);
    free(d->targets);
    firn_table_free(&d->table);
    memset(d, 0, sizeof *d);
}

/* Devlin et al. 2018, 3.1: 15 % of tokens are predicted; of those 80 % are masked, 10 % random, 10 % kept. */
static void mask_tokens(struct firn_inputs *in, const struct firn_model *m, int32_t mask_id, uint64_t seed,
                        uint32_t step)
{
    enum { STREAM_MASK = 0x6d61736b };
    for (int64_t i = 0; i < in->batch * in->length; i++) {
        const float choice = firn_uniform(seed, STREAM_MASK, step, (uint64_t) i * 3);
        const float kind = firn_uniform(seed, STREAM_MASK, step, (uint64_t) i * 3 + 1);
        if (in->labels[i] < 0 || choice >= 0.15f) {
            in->labels[i] = -100;
            continue;
        }
        if (kind < 0.8f && mask_id >= 0)
            in->input_ids[i] = mask_id;
        else if (kind < 0.9f)
            in->input_ids[i] = (int32_t) (firn_uniform(seed, STREAM_MASK, step, (uint64_t) i * 3 + 2) *
                                          (float) m->config.vocabulary);
    }
}

/* Virtual tokens as rows of the session's table. */
static firn_status place_virtual(const struct firn_example *e, const struct firn_session *s, int64_t row,
                                 struct firn_inputs *in, struct firn_error *err)
{
    const struct firn_method *method = s->adapter.method;
    int64_t n = 0;
    const int64_t first = method != NULL && method->task_row != NULL
                              ? method->task_row(s->adapter.settings, e->prompt_task, &n) : -1;
    for (uint32_t t = 0; t < e->length; t++) {
        if (e->virtual_ids[t] >= 0 && (first < 0 || e->virtual_ids[t] >= n))
            return firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("task %s", e->prompt_task),
                             .expected = "an adapter with its prompt",
                             .got = first < 0 ? "one without this task" : FIRN_STR("one of %lld tokens", (long long) n));
        in->virtual_ids[row + t] = e->virtual_ids[t] < 0 ? -1 : (int32_t) (first + e->virtual_ids[t]);
    }
    return FIRN_OK;
}

firn_status firn_dataset_inputs(const struct firn_dataset *d, const struct firn_batches *plan, uint32_t index,
                                const struct firn_session *s, const struct firn_dataset_params *p, uint64_t seed,
                                uint32_t step, struct firn_inputs *in, struct firn_error *err)
{
    const struct firn_batch *batch = &plan->list[index];
    const struct firn_model *m = &s->model;
    const bool has_targets = p->task == FIRN_TASK_SEQ_CLS && p->problem != FIRN_SINGLE_LABEL;
    const int64_t classes = !has_targets ? 0 : p->problem == FIRN_REGRESSION ? 1 : (int64_t) p->labels->count;
    const int32_t pad = m->config.pad_id >= 0 ? (int32_t) m->config.pad_id : 0;
    const bool has_pairs = p->task == FIRN_TASK_SEQ2SEQ_LM;
    firn_status status = firn_inputs_create(in, batch->rows, batch->length, classes, err);
    if (status == FIRN_OK && has_pairs)
        status = firn_inputs_add_target(in, batch->target > 0 ? batch->target : 1, err);
    if (status)
        return status;
    in->packed = batch->packed;
    /* a table of one row (RoBERTa's) is for type 0, whatever the tokenizer says */
    const bool has_types = m->config.token_types > 1;
    for (uint32_t b = 0; b < batch->count; b++) {
        const struct firn_example *e = &d->list[plan->order[batch->first + b]];
        const int64_t row = (int64_t) b * batch->length;
        in->adapter_of[b] = e->adapter;
        for (uint32_t t = 0; t < batch->length; t++) {
            const bool inside = t < e->length;
            in->input_ids[row + t] = inside ? e->ids[t] : pad;
            in->token_type_ids[row + t] = inside && has_types ? e->types[t] : 0;
            in->attention_mask[row + t] = inside;
            if (e->labels != NULL && !has_pairs)
                in->labels[row + t] = inside ? e->labels[t] : -100;
        }
        if (has_pairs && e->labels != NULL)
            memcpy(in->labels + (int64_t) b * in->target, e->labels, sizeof *e->labels * e->target);
        else if (e->labels == NULL && !has_pairs)
            in->labels[b] = e->label;
        if (e->virtual_ids != NULL)
            status = place_virtual(e, s, row, in, err);
        if (status) {
            firn_inputs_free(in);
            return status;
        }
        if (e->targets != NULL)
            memcpy(in->targets + b * classes, e->targets, sizeof *e->targets * (size_t) classes);
    }
    if (p->task == FIRN_TASK_MASKED_LM)
        mask_tokens(in, m, firn_tokenizer_role(p->tokenizer, FIRN_ROLE_MASK), seed, step);
    const struct firn_build_params build = { .task = p->task, .problem = p->problem };
    firn_inputs_finish(in, m, &s->adapter, &build);
    return FIRN_OK;
}

firn_status firn_problem_of(const struct firn_table *t, const char *column, const char *said,
                            enum firn_problem *problem, struct firn_error *err)
{
    *problem = FIRN_SINGLE_LABEL;
    for (int i = 0; i < 3 && said != NULL; i++)
        if (strcmp(said, firn_problem_words[i]) == 0) {
            *problem = (enum firn_problem) i;
            return FIRN_OK;
        }
    if (said != NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "data.problem_type",
                         .expected = "single_label_classification, multi_label_classification or regression",
                         .got = said);
    bool has_fraction = false, only_numbers = true;
    for (size_t i = 0; i < t->count; i++) {
        const json_t *v = firn_table_value(t, i, column);
        const char *text = json_string_value(v);
        double number;
        if (json_is_array(v)) {
            *problem = FIRN_MULTI_LABEL;
            return FIRN_OK;
        }
        const bool is_number = json_is_number(v) || (text != NULL && firn_real_parse(text, &number));
        only_numbers &= is_number;
        has_fraction |= json_is_real(v) || (is_number && text != NULL && strpbrk(text, ".eE") != NULL);
    }
    if (only_numbers && has_fraction)
        *problem = FIRN_REGRESSION;
    return FIRN_OK;
}
