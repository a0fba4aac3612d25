/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles and runs patterns. A pattern of a hostile file may need more steps than anybody has time
 * for: the number of steps, the depth and the heap of one match are bounded. */
#include "text/pattern.h"

#include "text/regex.h"
#include "text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX 8192        /* bytes of a regular expression */
#define MATCH_STEPS (1u << 20)  /* for a subject of no size, and three more for each of its bytes */
#define MATCH_HEAP_KIB (64u << 10)

void firn_matcher_free(struct firn_matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    memset(m, 0, sizeof *m);
}

static firn_status matcher_ready(struct firn_matcher *m, struct firn_error *err)
{
    if (m->data != NULL)
        return FIRN_OK;
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    if (m->data == NULL || m->context == NULL) {
        firn_matcher_free(m);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory to match a pattern");
    }
    pcre2_set_heap_limit(m->context, MATCH_HEAP_KIB);
    m->stack = pcre2_jit_stack_create(32 << 10, 1 << 20, NULL);
    if (m->stack != NULL)
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return FIRN_OK;
}

firn_status firn_pattern_compile(struct firn_pattern *p, const struct firn_place *at,
                                 const char *regex, size_t size)
{
    if (size > PATTERN_MAX)
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                         .expected = FIRN_STR("a pattern of at most %d bytes", PATTERN_MAX),
                         .got = FIRN_STR("%zu", size));
    struct firn_str text = { 0 };
    char what[100];
    firn_status s = firn_regex_translate(regex, size, &text, what);
    pcre2_compile_context *context = NULL;
    if (s != FIRN_OK) {
        firn_fail(at->err, s, .file = at->file, .key = at->path,
                  .what = FIRN_STR("cannot use the pattern: %s",
                                   s == FIRN_ERR_MEMORY ? "no memory" : what));
        goto done;
    }
    context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        s = firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
        goto done;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
    int code = 0;
    PCRE2_SIZE where = 0;
    p->code = pcre2_compile((PCRE2_SPTR) (text.data != NULL ? text.data : ""), text.size,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                            &code, &where, context);
    if (p->code == NULL) {
        PCRE2_UCHAR message[120] = { 0 };
        pcre2_get_error_message(code, message, sizeof message);
        s = firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                      .what = FIRN_STR("cannot use the pattern: %s", (const char *) message));
        goto done;
    }
    p->has_jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
done:
    pcre2_compile_context_free(context);
    firn_str_free(&text);
    return s;
}

firn_status firn_pattern_read(struct firn_pattern *p, const struct firn_place *at,
                              const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const json_t *text = json_object_get(value, "String");
    const json_t *regex = json_object_get(value, "Regex");
    if (json_is_string(regex))
        return firn_pattern_compile(p, at, json_string_value(regex), json_string_length(regex));
    if (!json_is_string(text))
        return firn_fail(
            at->err, FIRN_ERR_FORMAT, .file = at->file, .key = FIRN_STR("%s.%s", at->path, key),
            .expected = "{\"String\": text} or {\"Regex\": text}", .got = firn_json_kind(value));
    p->size = json_string_length(text);
    p->text = malloc(p->size + 1);
    if (p->text == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    memcpy(p->text, json_string_value(text), p->size + 1);
    return FIRN_OK;
}

void firn_pattern_free(struct firn_pattern *p)
{
    pcre2_code_free(p->code);
    free(p->text);
    memset(p, 0, sizeof *p);
}

static const uint8_t *find_text(const uint8_t *s, size_t size, const char *text, size_t n)
{
    if (n == 0)
        return s;
    while (size >= n) {
        const uint8_t *hit = memchr(s, text[0], size - n + 1);
        if (hit == NULL)
            return NULL;
        if (memcmp(hit, text, n) == 0)
            return hit;
        size -= (size_t) (hit + 1 - s);
        s = hit + 1;
    }
    return NULL;
}

static firn_status search(const struct firn_pattern *p, struct firn_matcher *m, struct firn_walk *w,
                          bool *found, struct firn_error *err)
{
    if (p->code == NULL) {
        const uint8_t *hit = find_text(w->subject + w->from, w->size - w->from, p->text, p->size);
        *found = hit != NULL;
        if (hit != NULL) {
            w->begin = (size_t) (hit - w->subject);
            w->end = w->begin + p->size;
        }
        return FIRN_OK;
    }
    firn_status s = matcher_ready(m, err);
    if (s != FIRN_OK)
        return s;
    if (w->from == 0)
        pcre2_set_match_limit(m->context, MATCH_STEPS + 3 * (uint32_t) w->size);
    int n = p->has_jit ? pcre2_jit_match(p->code, w->subject, w->size, w->from, PCRE2_NO_UTF_CHECK,
                                         m->data, m->context)
                       : PCRE2_ERROR_JIT_STACKLIMIT;
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(p->code, w->subject, w->size, w->from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        m->data, m->context);
    if (n == PCRE2_ERROR_NOMATCH) {
        *found = false;
        return FIRN_OK;
    }
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(m->data);
    if (n < 0 || pair[0] > pair[1] || pair[0] < w->from || pair[1] > w->size) {
        PCRE2_UCHAR message[120] = { 0 };
        pcre2_get_error_message(n, message, sizeof message);
        return firn_fail(err, n == PCRE2_ERROR_NOMEMORY ? FIRN_ERR_MEMORY : FIRN_ERR_UNSUPPORTED,
                         .what = FIRN_STR("a pattern of the tokenizer cannot be matched: %s",
                                          n < 0 ? (const char *) message : "it ends early"));
    }
    *found = true;
    w->begin = pair[0];
    w->end = pair[1];
    return FIRN_OK;
}

firn_status firn_pattern_next(const struct firn_pattern *p, struct firn_matcher *m,
                              struct firn_walk *w, bool *found, struct firn_error *err)
{
    for (;;) {
        *found = false;
        if (w->from > w->size)
            return FIRN_OK;
        const firn_status s = search(p, m, w, found, err);
        if (s != FIRN_OK || !*found)
            return s;
        if (w->begin != w->end || !w->has_last || w->last != w->end)
            break;
        w->from += w->from < w->size ? firn_utf8_size(w->subject[w->from]) : 1;
    }
    w->from = w->last = w->end;
    w->has_last = true;
    return FIRN_OK;
}
