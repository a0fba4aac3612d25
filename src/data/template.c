/* SPDX-License-Identifier: Apache-2.0 */
/* Marked texts, and templates with {field}. */
#include "data/marked.h"

#include <stdlib.h>
#include <string.h>

void firn_marked_free(struct firn_marked *m)
{
    firn_str_free(&m->text);
    free(m->marks);
    memset(m, 0, sizeof *m);
}

void firn_marked_clear(struct firn_marked *m)
{
    m->text.size = 0;
    m->n = 0;
}

void firn_marked_begin(struct firn_marked *m)
{
    if (m->n == m->capacity) {
        struct firn_mark *marks = realloc(m->marks, sizeof *marks * (2 * m->capacity + 4));
        m->failed |= marks == NULL;
        if (marks == NULL)
            return;
        m->marks = marks;
        m->capacity = 2 * m->capacity + 4;
    }
    m->marks[m->n++] = (struct firn_mark){ m->text.size, m->text.size };
}

void firn_marked_end(struct firn_marked *m)
{
    if (m->n > 0)
        m->marks[m->n - 1].end = m->text.size;
}

size_t firn_marked_points(const struct firn_marked *m, size_t at)
{
    size_t n = 0;
    for (size_t i = 0; i < at && i < m->text.size; i++)
        n += ((unsigned char) m->text.data[i] & 0xc0) != 0x80;
    return n;
}

/* One step through a template: a literal of `size` bytes at `at`, or a field's name. */
struct piece {
    const char *at;
    size_t size;
    bool is_field;
};

/* False at the end; `wrong` when the braces do not pair up. */
static bool next_piece(const char **at, struct piece *p, bool *wrong)
{
    const char *s = *at;
    *wrong = false;
    if (*s == '\0')
        return false;
    if ((s[0] == '{' && s[1] == '{') || (s[0] == '}' && s[1] == '}')) {
        *p = (struct piece){ s, 1, false };
        *at = s + 2;
        return true;
    }
    if (*s == '{') {
        const size_t n = strcspn(s + 1, "{}");
        *p = (struct piece){ s + 1, n, true };
        *wrong = n == 0 || s[1 + n] != '}';
        *at = s + 2 + n;
        return !*wrong;
    }
    *p = (struct piece){ s, strcspn(s, "{}"), false };
    *wrong = *s == '}';
    *at = s + p->size;
    return !*wrong;
}

static bool is_named(const struct piece *p, const char *name)
{
    return p->is_field && name != NULL && strlen(name) == p->size && memcmp(p->at, name, p->size) == 0;
}

static firn_status bad_braces(const char *template, const char *file, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "data.template",
                     .expected = "fields as {name}, and {{ or }} for a brace", .got = FIRN_STR("%.100s", template));
}

firn_status firn_template_check(const char *template, const char *answer, const char *file, struct firn_error *err)
{
    struct piece p;
    bool wrong, found = answer == NULL, has_field = false;
    for (const char *at = template; next_piece(&at, &p, &wrong);) {
        found |= is_named(&p, answer);
        has_field |= p.is_field;
    }
    if (wrong)
        return bad_braces(template, file, err);
    if (!found || !has_field)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "data.template",
                         .expected = found ? "at least one {field}" : FIRN_STR("the answer's field {%s} in it", answer),
                         .got = FIRN_STR("%.100s", template));
    return FIRN_OK;
}

char *firn_template_only_field(const char *template, const char *answer)
{
    struct piece p, only = { 0 };
    bool wrong;
    for (const char *at = template; next_piece(&at, &p, &wrong);) {
        if (!p.is_field || is_named(&p, answer))
            continue;
        if (only.at != NULL && (only.size != p.size || memcmp(only.at, p.at, p.size) != 0))
            return NULL;
        only = p;
    }
    return only.at != NULL ? strndup(only.at, only.size) : NULL;
}

static firn_status add_field(const struct piece *p, const json_t *row, const char *file, size_t line,
                             struct firn_str *out, struct firn_error *err)
{
    const char *name = FIRN_STR("%.*s", (int) (p->size < 200 ? p->size : 200), p->at);
    const json_t *v = json_object_get(row, name);
    if (json_is_string(v))
        firn_str_add_n(out, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        firn_str_addf(out, "%lld", (long long) json_integer_value(v));
    else if (json_is_real(v))
        firn_str_add(out, firn_real_text((char[FIRN_REAL_TEXT]){ 0 }, json_real_value(v)));
    else
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = FIRN_STR("line %zu: %s", line, name),
                         .expected = "a text or a number for the template",
                         .got = v == NULL || json_is_null(v) ? "nothing" : "something else");
    return FIRN_OK;
}

firn_status firn_template_fill(const char *template, const json_t *row, const char *answer, bool is_prompt,
                               const char *file, size_t line, struct firn_marked *out, struct firn_error *err)
{
    struct piece p;
    bool wrong, in_answer = false;
    firn_status status = FIRN_OK;
    for (const char *at = template; status == FIRN_OK && next_piece(&at, &p, &wrong);) {
        if (is_named(&p, answer) && is_prompt) {
            while (out->text.size > 0 && out->text.data[out->text.size - 1] == ' ')
                out->text.data[--out->text.size] = '\0';
            break;
        }
        if (is_named(&p, answer) && !in_answer) {
            firn_marked_begin(out);
            struct firn_mark *mark = out->n > 0 ? &out->marks[out->n - 1] : NULL;
            while (mark != NULL && mark->begin > 0 && out->text.data[mark->begin - 1] == ' ')
                mark->begin--;
            in_answer = true;
        }
        if (p.is_field)
            status = add_field(&p, row, file, line, &out->text, err);
        else
            firn_str_add_n(&out->text, p.at, p.size);
    }
    if (in_answer)
        firn_marked_end(out);
    if (status == FIRN_OK && wrong)
        status = bad_braces(template, file, err);
    if (status == FIRN_OK && (out->failed || out->text.failed))
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a text");
    return status;
}
