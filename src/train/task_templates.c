/* SPDX-License-Identifier: Apache-2.0 */
/* Reads templates of several tasks, and lays rows of data out by them. */
#include "train/task_templates.h"

#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MARK "<|VIRTUAL_PROMPT_"

enum piece_kind { PIECE_TEXT, PIECE_FIELD, PIECE_VIRTUAL };

struct piece {
    enum piece_kind kind;
    char *text;            /* of the template, or a field's name */
    int64_t first, n;      /* virtual tokens */
};

struct template {
    const char *name, *truncate_field, *answer_field;
    bool answer_only;
    int64_t total;
    struct piece *pieces;
    size_t n;
};

struct firn_task_templates {
    struct template *list;
    size_t n;
};

static firn_status bad(const char *file, const char *key, const char *expected, const char *got, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = expected, .got = got);
}

static bool has_field(const struct template *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->pieces[i].kind == PIECE_FIELD && strcmp(t->pieces[i].text, name) == 0)
            return true;
    return false;
}

static bool add_piece(struct template *t, enum piece_kind kind, const char *text, size_t size)
{
    struct piece *pieces = realloc(t->pieces, sizeof *pieces * (t->n + 1));
    char *copy = malloc(size + 1);
    if (pieces != NULL)
        t->pieces = pieces;
    if (pieces == NULL || copy == NULL) {
        free(copy);
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    pieces[t->n++] = (struct piece){ .kind = kind, .text = copy };
    return true;
}

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for templates");
}

/* Cuts a template at its markers and fields; markers get their split's number in `first` for now. */
static firn_status cut(struct template *t, const char *text, const char *file, const char *key, struct firn_error *err)
{
    while (*text != '\0') {
        const char *mark = strstr(text, MARK), *field = strchr(text, '{');
        const char *next = mark == NULL || (field != NULL && field < mark) ? field : mark;
        const size_t plain = next != NULL ? (size_t) (next - text) : strlen(text);
        if (plain > 0 && !add_piece(t, PIECE_TEXT, text, plain))
            return no_memory(err);
        text += plain;
        if (next == NULL)
            break;
        const bool is_mark = next == mark;
        const char *end = strstr(text, is_mark ? "|>" : "}");
        const size_t skip = is_mark ? sizeof MARK - 1 : 1, size = end != NULL ? (size_t) (end - text) - skip : 0;
        if (end == NULL || size == 0 || size > 200)
            return bad(file, key, is_mark ? MARK "N|>" : "{field}", FIRN_STR("%.30s", text), err);
        if (!add_piece(t, is_mark ? PIECE_VIRTUAL : PIECE_FIELD, text + skip, size))
            return no_memory(err);
        text = end + (is_mark ? 2 : 1);
    }
    return FIRN_OK;
}

/* Markers are numbered from 0; splits say how many virtual tokens each stands for, counted through all in that order. */
static firn_status place_splits(struct template *t, const json_t *splits, const char *file, const char *key,
                                struct firn_error *err)
{
    const size_t n = json_array_size(splits);
    int64_t sum = 0;
    size_t marks = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(splits, i);
        if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 65536)
            return bad(file, FIRN_STR("%s.virtual_token_splits", key), "whole numbers from 1 on", "something else", err);
        sum += json_integer_value(v);
    }
    if (sum != t->total)
        return bad(file, FIRN_STR("%s.virtual_token_splits", key),
                   FIRN_STR("a sum of %lld, the total_virtual_tokens", (long long) t->total), FIRN_STR("%lld", (long long) sum), err);
    bool *met = calloc(n + 1, sizeof *met);
    firn_status status = met != NULL ? FIRN_OK : no_memory(err);
    for (size_t i = 0; i < t->n && status == FIRN_OK; i++) {
        struct piece *p = &t->pieces[i];
        int64_t number;
        if (p->kind != PIECE_VIRTUAL)
            continue;
        marks++;
        if (!firn_int_parse(p->text, &number) || number < 0 || number >= (int64_t) n || met[number]) {
            status = bad(file, FIRN_STR("%s.prompt_template", key), FIRN_STR("each of " MARK "0|> to %zu|> once", n > 0 ? n - 1 : 0),
                         FIRN_STR(MARK "%s|>", p->text), err);
            continue;
        }
        met[number] = true;
        for (int64_t k = 0; k < number; k++)
            p->first += json_integer_value(json_array_get(splits, (size_t) k));
        p->n = json_integer_value(json_array_get(splits, (size_t) number));
    }
    free(met);
    if (status == FIRN_OK && marks != n)
        status = bad(file, FIRN_STR("%s.prompt_template", key), FIRN_STR("%zu markers, one for each of virtual_token_splits", n),
                     FIRN_STR("%zu", marks), err);
    return status;
}

static firn_status check_answer(const struct template *t, const char *file, const char *key, struct firn_error *err)
{
    const struct piece *last = t->n > 0 ? &t->pieces[t->n - 1] : NULL;
    if (t->truncate_field != NULL && !has_field(t, t->truncate_field))
        return bad(file, FIRN_STR("%s.truncate_field", key), "a field of the template", t->truncate_field, err);
    if (t->answer_field != NULL && !has_field(t, t->answer_field))
        return bad(file, FIRN_STR("%s.answer_field", key), "a field of the template", t->answer_field, err);
    if (!t->answer_only)
        return FIRN_OK;
    if (t->answer_field == NULL)
        return bad(file, FIRN_STR("%s.answer_field", key), "a field of the template (answer_only_loss is true)", "none", err);
    if (t->truncate_field != NULL && strcmp(t->truncate_field, t->answer_field) == 0)
        return bad(file, FIRN_STR("%s.truncate_field", key), "another field than the answer", t->truncate_field, err);
    if (last->kind != PIECE_FIELD || strcmp(last->text, t->answer_field) != 0)
        return bad(file, FIRN_STR("%s.prompt_template", key),
                   FIRN_STR("{%s} at the end (answer_only_loss is true)", t->answer_field), "something else there", err);
    return FIRN_OK;
}

static firn_status read_text(const json_t *tree, const char *word, const char **text, const char *file, const char *key,
                             struct firn_error *err)
{
    const json_t *v = json_object_get(tree, word);
    *text = json_string_value(v);
    if (v == NULL || json_is_null(v) || *text != NULL)
        return FIRN_OK;
    return bad(file, FIRN_STR("%s.%s", key, word), "a text", firn_value_kind(v), err);
}

static firn_status check_keys(const json_t *tree, const char *file, const char *key, struct firn_error *err)
{
    static const char *const words[] = { "taskname", "prompt_template", "total_virtual_tokens", "virtual_token_splits",
                                         "truncate_field", "answer_only_loss", "answer_field", "name", "init_text", NULL };
    const char *word;
    json_t *value;
    json_object_foreach ((json_t *) tree, word, value) {
        bool is_known = false;
        for (int i = 0; words[i] != NULL; i++)
            is_known |= strcmp(words[i], word) == 0;
        const char *near = firn_nearest(word, words);
        if (!is_known)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%s.%s", key, word),
                             .what = near != NULL ? FIRN_STR("unknown key; did you mean %s?", near) : "unknown key of a task");
    }
    return FIRN_OK;
}

static firn_status read_template(struct template *t, const json_t *tree, int64_t n_virtual, uint32_t max_length,
                                 const char *file, const char *key, struct firn_error *err)
{
    const json_t *total = json_object_get(tree, "total_virtual_tokens"), *only = json_object_get(tree, "answer_only_loss");
    const char *text = NULL;
    if (!json_is_object(tree))
        return bad(file, key, "a mapping: taskname, prompt_template, ...", firn_value_kind(tree), err);
    firn_status status = check_keys(tree, file, key, err);
    if (status == FIRN_OK)
        status = read_text(tree, json_object_get(tree, "taskname") != NULL ? "taskname" : "name", &t->name, file, key, err);
    if (status == FIRN_OK)
        status = read_text(tree, "prompt_template", &text, file, key, err);
    if (status == FIRN_OK)
        status = read_text(tree, "truncate_field", &t->truncate_field, file, key, err);
    if (status == FIRN_OK)
        status = read_text(tree, "answer_field", &t->answer_field, file, key, err);
    if (status)
        return status;
    if (t->name == NULL || text == NULL)
        return bad(file, FIRN_STR("%s.%s", key, t->name == NULL ? "taskname" : "prompt_template"), "a text", "none", err);
    t->total = json_is_integer(total) ? (int64_t) json_integer_value(total) : n_virtual;
    t->answer_only = json_is_true(only);
    if (only != NULL && !json_is_boolean(only))
        return bad(file, FIRN_STR("%s.answer_only_loss", key), "true or false", firn_value_kind(only), err);
    if (t->total < 1 || t->total >= (int64_t) max_length)
        return bad(file, FIRN_STR("%s.total_virtual_tokens", key), FIRN_STR("1 to %u, below max_length", max_length - 1),
                   FIRN_STR("%lld", (long long) t->total), err);
    status = cut(t, text, file, FIRN_STR("%s.prompt_template", key), err);
    if (status == FIRN_OK)
        status = place_splits(t, json_object_get(tree, "virtual_token_splits"), file, key, err);
    return status ? status : check_answer(t, file, key, err);
}

firn_status firn_task_templates_open(struct firn_task_templates **out, const json_t *tasks, int64_t n_virtual,
                                     uint32_t max_length, const char *file, struct firn_error *err)
{
    const size_t n = json_array_size(tasks);
    struct firn_task_templates *t = *out = calloc(1, sizeof *t);
    if (t == NULL || (t->list = calloc(n + 1, sizeof *t->list)) == NULL) {
        firn_task_templates_close(out);
        return no_memory(err);
    }
    firn_status status = n > 0 ? FIRN_OK : bad(file, "tasks", "a list of tasks", firn_value_kind(tasks), err);
    for (; t->n < n && status == FIRN_OK; t->n++)
        status = read_template(&t->list[t->n], json_array_get(tasks, t->n), n_virtual, max_length, file,
                               FIRN_STR("tasks[%zu]", t->n), err);
    if (status)
        firn_task_templates_close(out);
    return status;
}

void firn_task_templates_close(struct firn_task_templates **templates)
{
    struct firn_task_templates *t = *templates;
    for (size_t i = 0; t != NULL && i < t->n; i++) {
        for (size_t k = 0; k < t->list[i].n; k++)
            free(t->list[i].pieces[k].text);
        free(t->list[i].pieces);
    }
    if (t != NULL)
        free(t->list);
    free(t);
    *templates = NULL;
}

/* Ids of a row as they grow. */
struct line {
    int32_t *ids, *virtual_ids;
    size_t n, capacity;
};

static bool push(struct line *l, int32_t id, int32_t virtual_id)
{
    if (l->n == l->capacity) {
        const size_t more = l->capacity * 2 + 64;
        int32_t *ids = realloc(l->ids, sizeof *ids * more), *virtual_ids = NULL;
        if (ids != NULL) {
            l->ids = ids;
            virtual_ids = realloc(l->virtual_ids, sizeof *virtual_ids * more);
        }
        if (virtual_ids == NULL)
            return false;
        l->virtual_ids = virtual_ids;
        l->capacity = more;
    }
    l->ids[l->n] = id;
    l->virtual_ids[l->n++] = virtual_id;
    return true;
}

static firn_status encode(const struct firn_tokenizer *tokenizer, const char *text, size_t size,
                          struct firn_encoding *encoding, struct firn_error *err)
{
    const struct firn_encode_params how = { .add_special = false };
    return firn_tokenizer_encode(tokenizer, text, size, NULL, 0, &how, encoding, err);
}

/* The text between two runs of virtual tokens, as one: a word may begin in the template and end in a field. */
static firn_status flush(struct line *l, struct firn_str *text, bool strips_left, bool strips_right,
                         const struct firn_tokenizer *tokenizer, struct firn_encoding *encoding, struct firn_error *err)
{
    size_t begin = 0, end = text->size;
    while (strips_left && begin < end && isspace((unsigned char) text->data[begin]))
        begin++;
    while (strips_right && end > begin && isspace((unsigned char) text->data[end - 1]))
        end--;
    if (text->failed)
        return no_memory(err);
    firn_status status = end > begin ? encode(tokenizer, text->data + begin, end - begin, encoding, err) : FIRN_OK;
    for (size_t i = 0; end > begin && status == FIRN_OK && i < encoding->n; i++)
        if (!push(l, encoding->ids[i], -1))
            status = no_memory(err);
    firn_str_free(text);
    return status;
}

static firn_status fill(const struct template *t, const struct firn_table *table, size_t row,
                        const struct firn_tokenizer *tokenizer, struct line *l, struct firn_encoding *encoding,
                        struct firn_error *err)
{
    struct firn_str text = { 0 };
    bool lacks_field = false;
    for (size_t i = 0; i < t->n; i++)
        lacks_field |= t->pieces[i].kind == PIECE_FIELD && firn_table_value(table, row, t->pieces[i].text) == NULL;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < t->n && status == FIRN_OK; i++) {
        const struct piece *p = &t->pieces[i];
        const char *value = p->text;
        size_t size = strlen(value);
        if (p->kind == PIECE_VIRTUAL) {
            status = flush(l, &text, lacks_field && l->n == 0, false, tokenizer, encoding, err);
            for (int64_t k = 0; k < p->n && status == FIRN_OK; k++)
                if (!push(l, -1, (int32_t) (p->first + k)))
                    status = no_memory(err);
            continue;
        }
        if (p->kind == PIECE_FIELD && firn_table_value(table, row, value) == NULL)
            continue;
        if (p->kind == PIECE_FIELD)
            status = firn_table_text(table, row, p->text, &value, &size, err);
        if (status == FIRN_OK)
            firn_str_add_n(&text, value, size);
    }
    if (status == FIRN_OK)
        status = flush(l, &text, lacks_field && l->n == 0, lacks_field, tokenizer, encoding, err);
    firn_str_free(&text);
    return status;
}

/* The ids of a field alone, with the blank that the template has before it. */
static firn_status field_ids(const struct template *t, const char *name, const struct firn_table *table, size_t row,
                             const struct firn_tokenizer *tokenizer, struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_str text = { 0 };
    const char *value = "";
    size_t size = 0;
    for (size_t i = 1; i < t->n; i++) {
        const struct piece *p = &t->pieces[i], *before = p - 1;
        const size_t length = strlen(before->text);
        if (p->kind == PIECE_FIELD && strcmp(p->text, name) == 0 && before->kind == PIECE_TEXT && before->text[length - 1] == ' ')
            firn_str_add(&text, " ");
    }
    firn_status status = firn_table_value(table, row, name) != NULL ? firn_table_text(table, row, name, &value, &size, err) : FIRN_OK;
    firn_str_add_n(&text, value, size);
    encoding->n = 0;
    if (status == FIRN_OK && text.failed)
        status = no_memory(err);
    if (status == FIRN_OK && size > 0)
        status = encode(tokenizer, text.data, text.size, encoding, err);
    firn_str_free(&text);
    return status;
}

/* Takes `over` ids off the end of the run that equals the field's. */
static bool shorten(struct line *l, const int32_t *field, size_t n, size_t over)
{
    for (size_t at = 0; n >= over && at + n <= l->n; at++) {
        if (memcmp(l->ids + at, field, sizeof *field * n) != 0)
            continue;
        const size_t end = at + n;
        memmove(l->ids + end - over, l->ids + end, sizeof *l->ids * (l->n - end));
        memmove(l->virtual_ids + end - over, l->virtual_ids + end, sizeof *l->ids * (l->n - end));
        l->n -= over;
        return true;
    }
    return false;
}

static firn_status check_row(const struct template *t, const struct firn_table *table, size_t row, bool has_answer,
                             struct firn_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach (table->rows[row].values, key, value)
        if (strcmp(key, "taskname") != 0 && !has_field(t, key))
            return bad(table->path, FIRN_STR("line %zu: %s", table->rows[row].line, key),
                       FIRN_STR("fields of the template of task %s", t->name), "one that is not in it", err);
    if (has_answer && t->answer_field != NULL && firn_table_value(table, row, t->answer_field) == NULL)
        return firn_table_missing(table, row, t->answer_field, err);
    return FIRN_OK;
}

static const struct template *find(const struct firn_task_templates *templates, const char *name)
{
    for (size_t i = 0; i < templates->n; i++)
        if (strcmp(templates->list[i].name, name) == 0)
            return &templates->list[i];
    return NULL;
}

const char *firn_task_templates_only_field(const struct firn_task_templates *templates, const char *task)
{
    const struct template *t = find(templates, task);
    const char *only = NULL;
    for (size_t i = 0; t != NULL && i < t->n; i++) {
        const struct piece *p = &t->pieces[i];
        if (p->kind != PIECE_FIELD || (t->answer_field != NULL && strcmp(p->text, t->answer_field) == 0))
            continue;
        if (only != NULL && strcmp(only, p->text) != 0)
            return NULL;
        only = p->text;
    }
    return only;
}

/* Answer only: the last ids, as many as the answer alone has; else all but virtual tokens. */
static firn_status set_labels(const struct template *t, const struct firn_table *table, size_t row,
                              const struct firn_tokenizer *tokenizer, size_t n_end, struct firn_encoding *encoding,
                              struct firn_laid_out *out, struct firn_error *err)
{
    firn_status status = t->answer_only ? field_ids(t, t->answer_field, table, row, tokenizer, encoding, err) : FIRN_OK;
    const size_t counted = t->answer_only ? encoding->n + n_end : out->n;
    out->labels = malloc(sizeof *out->labels * ((size_t) out->n + 1));
    if (status == FIRN_OK && out->labels == NULL)
        status = no_memory(err);
    for (size_t i = 0; i < out->n && status == FIRN_OK; i++)
        out->labels[i] = i + counted >= out->n && out->virtual_ids[i] < 0 ? out->ids[i] : -100;
    return status;
}

firn_status firn_task_templates_lay_out(const struct firn_task_templates *templates, const struct firn_table *table,
                                        size_t row, const struct firn_tokenizer *tokenizer, uint32_t max_length,
                                        bool has_answer, struct firn_encoding *encoding, struct firn_laid_out *out,
                                        struct firn_error *err)
{
    const char *name;
    size_t size;
    struct line l = { 0 };
    memset(out, 0, sizeof *out);
    firn_status status = firn_table_text(table, row, "taskname", &name, &size, err);
    const struct template *t = status == FIRN_OK ? find(templates, name) : NULL;
    if (status == FIRN_OK && t == NULL)
        status = bad(table->path, FIRN_STR("line %zu: taskname", table->rows[row].line), "a task of the recipe", name, err);
    if (status == FIRN_OK)
        status = check_row(t, table, row, has_answer, err);
    if (status == FIRN_OK)
        status = fill(t, table, row, tokenizer, &l, encoding, err);
    const int32_t end = firn_tokenizer_role(tokenizer, FIRN_ROLE_EOS);
    const bool ends = end >= 0 && has_answer;
    if (status == FIRN_OK && ends && !push(&l, end, -1))
        status = no_memory(err);
    bool fits = l.n <= max_length;
    if (status == FIRN_OK && !fits && t->truncate_field != NULL) {
        status = field_ids(t, t->truncate_field, table, row, tokenizer, encoding, err);
        fits = status == FIRN_OK && shorten(&l, encoding->ids, encoding->n, l.n - max_length);
    }
    if (status == FIRN_OK && fits && l.n > 0) {
        *out = (struct firn_laid_out){ .task = t->name, .ids = l.ids, .virtual_ids = l.virtual_ids, .n = (uint32_t) l.n };
        status = set_labels(t, table, row, tokenizer, ends, encoding, out, err);
        if (status == FIRN_OK)
            return FIRN_OK;
        free(out->labels);
        memset(out, 0, sizeof *out);
    }
    free(l.ids);
    free(l.virtual_ids);
    return status;
}
