/* SPDX-License-Identifier: Apache-2.0 */
/* A token's text depends on its neighbours (bytes of one character, a space at the start), so a short run of them is
 * decoded with and without the new one, and the difference is its text. */
#include "infer/spell.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONTEXT = 8,  /* ids of the prompt that are decoded before the first new one */
    PATIENCE = 16 /* tokens that may wait for the rest of a character */
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD: bytes that are no character yet, or never will be */

firn_status firn_spell_init(struct firn_spell *s, const struct firn_tokenizer *tokenizer, const int32_t *prompt, size_t n,
                            const char *const *stop, size_t n_stop, struct firn_error *err)
{
    const size_t kept = n < CONTEXT ? n : CONTEXT;
    *s = (struct firn_spell){ .tokenizer = tokenizer, .stop = stop, .n_stop = n_stop, .n = kept, .read = kept,
                              .capacity = kept + 64 };
    s->ids = malloc(sizeof *s->ids * s->capacity);
    if (s->ids == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a text");
    if (kept > 0)
        memcpy(s->ids, prompt + n - kept, sizeof *s->ids * kept);
    return FIRN_OK;
}

void firn_spell_finish(struct firn_spell *s)
{
    free(s->ids);
    firn_str_free(&s->text);
    memset(s, 0, sizeof *s);
}

static bool ends_open(const struct firn_str *text)
{
    const size_t n = sizeof replacement - 1;
    return text->size >= n && memcmp(text->data + text->size - n, replacement, n) == 0;
}

/* Where the new text starts: behind `before`, or at the character that it ended within. */
static size_t start_of(const struct firn_str *before, const struct firn_str *after)
{
    size_t n = 0;
    while (n < before->size && n < after->size && before->data[n] == after->data[n])
        n++;
    while (n > 0 && n < after->size && ((unsigned char) after->data[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* Moves the text of ids[read .. n) to s->text; what may still become a character waits unless `all`. */
static firn_status spell(struct firn_spell *s, bool all, struct firn_error *err)
{
    struct firn_str before = { 0 }, after = { 0 };
    firn_status status = firn_tokenizer_decode(s->tokenizer, s->ids + s->from, s->read - s->from, true, &before, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_decode(s->tokenizer, s->ids + s->from, s->n - s->from, true, &after, err);
    const bool is_ready = all || s->n - s->read > PATIENCE || !ends_open(&after);
    const size_t start = status == FIRN_OK ? start_of(&before, &after) : 0;
    if (status == FIRN_OK && after.size > start && is_ready) {
        firn_str_add_n(&s->text, after.data + start, after.size - start);
        s->from = s->read;
        s->read = s->n;
    }
    if (status == FIRN_OK && (before.failed || after.failed || s->text.failed))
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a text");
    firn_str_free(&before);
    firn_str_free(&after);
    return status;
}

static void cut(struct firn_spell *s, size_t size)
{
    s->text.size = size;
    s->text.data[size] = '\0';
    s->stopped = true;
}

/* Ends the text before the first stop string; else finds how much of its end may become one. */
static void look_for_stops(struct firn_spell *s)
{
    const char *text = s->text.data;
    size_t open = 0; /* bytes at the end that start a stop string */
    if (text == NULL)
        return;
    for (size_t at = s->searched; at < s->text.size; at++) {
        const size_t left = s->text.size - at;
        for (size_t i = 0; i < s->n_stop; i++) {
            const size_t n = strlen(s->stop[i]);
            if (n > 0 && n <= left && memcmp(text + at, s->stop[i], n) == 0) {
                cut(s, at);
                return;
            }
            if (left < n && left > open && memcmp(text + at, s->stop[i], left) == 0)
                open = left;
        }
    }
    s->searched = s->text.size - open;
}

firn_status firn_spell_add(struct firn_spell *s, int32_t id, struct firn_error *err)
{
    if (s->n == s->capacity) {
        int32_t *ids = realloc(s->ids, sizeof *ids * s->capacity * 2);
        if (ids == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a text");
        s->ids = ids;
        s->capacity *= 2;
    }
    s->ids[s->n++] = id;
    const firn_status status = spell(s, false, err);
    look_for_stops(s);
    s->ready = s->stopped ? s->text.size : s->searched;
    return status;
}

firn_status firn_spell_end(struct firn_spell *s, struct firn_error *err)
{
    const firn_status status = s->stopped ? FIRN_OK : spell(s, true, err);
    if (!s->stopped)
        look_for_stops(s);
    s->ready = s->text.size;
    return status;
}
