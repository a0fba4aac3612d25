/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's precompiled normalization: a double-array trie (Darts) from pieces of text to
 * their replacements. A grapheme of less than six bytes is looked up as a whole, else its code
 * points one by one; what counts is the shortest entry that it starts with, as in the reference
 * library. */
#include "text/normalize.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes padded base64; the bytes written, or SIZE_MAX when it is none. */
static size_t base64_decode(const char *text, size_t size, uint8_t *out)
{
    if (size % 4 != 0)
        return SIZE_MAX;
    size_t n = 0;
    for (size_t i = 0; i < size; i += 4) {
        const bool is_last = i + 4 == size;
        const int pad = is_last && text[i + 3] == '=' ? 1 + (text[i + 2] == '=') : 0;
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            const int v = k >= 4 - pad ? 0 : base64_value(text[i + (size_t) k]);
            if (v < 0)
                return SIZE_MAX;
            bits = bits << 6 | (uint32_t) v;
        }
        for (int k = 0; k < 3 - pad; k++)
            out[n++] = (uint8_t) (bits >> (16 - 8 * k));
    }
    return n;
}

static uint32_t little(const uint8_t *b)
{
    return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 | (uint32_t) b[3] << 24;
}

/* The replacement of the shortest entry that `text` starts with, or NULL. */
static const char *look_up(const struct firn_charsmap *map, const uint8_t *text, size_t size,
                           size_t *n)
{
    size_t node = 0;
    for (size_t i = 0; i <= size; i++) {
        if (node >= map->n_units)
            return NULL;
        const uint32_t unit = map->units[node];
        if (i > 0 && (unit & 0x800000FFu) != text[i - 1])
            return NULL;
        node ^= (size_t) (unit >> 10) << ((unit & 0x200u) >> 6);
        if (i > 0 && (unit >> 8 & 1) != 0) {
            if (node >= map->n_units)
                return NULL;
            const size_t at = map->units[node] & 0x7FFFFFFFu;
            if (at > map->texts_size)
                return NULL;
            *n = strlen(map->texts + at);
            return firn_utf8_valid((const uint8_t *) map->texts + at, *n) == *n ? map->texts + at
                                                                                : NULL;
        }
        if (i == size || text[i] == 0)
            return NULL;
        node ^= text[i];
    }
    return NULL;
}

firn_status firn_charsmap_read(struct firn_charsmap *map, const struct firn_place *at,
                               const char *base64, size_t size)
{
    const char *key = FIRN_STR("%s.precompiled_charsmap", at->path);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = key);
    const size_t n = base64_decode(base64, size, bytes);
    const size_t trie_size = n != SIZE_MAX && n >= 4 ? little(bytes) & ~(size_t) 3 : 0;
    firn_status s = FIRN_OK;
    if (n == SIZE_MAX || n < 4 || trie_size > n - 4)
        s = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = key,
                      .expected = "a character map in base64", .got = "something else");
    else if (firn_utf8_valid(bytes + 4 + trie_size, n - 4 - trie_size) != n - 4 - trie_size)
        s = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = key,
                      .expected = "replacements in UTF-8", .got = "other bytes");
    if (s != FIRN_OK)
        goto done;
    map->n_units = trie_size / 4;
    map->texts_size = n - 4 - trie_size;
    map->units = malloc(trie_size + 4);
    map->texts = malloc(map->texts_size + 1);
    if (map->units == NULL || map->texts == NULL) {
        s = firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = key);
        goto done;
    }
    for (size_t i = 0; i < map->n_units; i++)
        map->units[i] = little(bytes + 4 + 4 * i);
    memcpy(map->texts, bytes + 4 + trie_size, map->texts_size);
    map->texts[map->texts_size] = '\0';
    for (uint8_t c = 0; c < 128; c++) {
        size_t length;
        map->changes_ascii[c] = look_up(map, &c, 1, &length) != NULL;
    }
done:
    free(bytes);
    return s;
}

void firn_charsmap_free(struct firn_charsmap *map)
{
    free(map->units);
    free(map->texts);
    memset(map, 0, sizeof *map);
}

/* Puts a replacement for `n_old` code points: the first ones replace, the rest are inserted; what
 * is missing is taken off the code point before, even if that belongs to the replacement before. */
static void replace(struct firn_changes *work, size_t n_old, const char *text, size_t size)
{
    size_t n_new = 0;
    for (size_t i = 0; i < size; n_new++) {
        const uint8_t *c = (const uint8_t *) text + i;
        firn_change_add(work, firn_utf8_get(c), 0);
        i += firn_utf8_size(*c);
    }
    if (work->failed)
        return;
    for (size_t i = n_old; i < n_new; i++)
        work->items[work->n - 1 - (i - n_old)].change = 1;
    if (n_new < n_old && work->n > 0)
        work->items[work->n - 1].change -= (int32_t) (n_old - n_new);
}

/* The end of the grapheme that begins at i. */
static uint32_t grapheme_end(const struct firn_text *t, uint32_t i, uint32_t end)
{
    utf8proc_int32_t state = 0;
    uint32_t c = firn_utf8_get(t->bytes + i);
    i += firn_utf8_size(t->bytes[i]);
    while (i < end) {
        const uint32_t next = firn_utf8_get(t->bytes + i);
        if (c < 0x80 && next < 0x80 && c != '\r')
            break;
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t) c, (utf8proc_int32_t) next, &state))
            break;
        c = next;
        i += firn_utf8_size(t->bytes[i]);
    }
    return i;
}

void firn_charsmap_apply(const struct firn_charsmap *map, struct firn_text *t,
                         const struct firn_piece *piece, struct firn_changes *work)
{
    work->n = 0;
    bool is_changed = false;
    for (uint32_t i = piece->begin, end; i < piece->end; i = end) {
        end = grapheme_end(t, i, piece->end);
        if (end - i == 1 && !map->changes_ascii[t->bytes[i]]) {
            firn_change_add(work, t->bytes[i], 0);
            continue;
        }
        size_t size;
        const char *text = end - i < 6 ? look_up(map, t->bytes + i, end - i, &size) : NULL;
        if (text != NULL) {
            size_t n_old = 0;
            for (uint32_t k = i; k < end; k++)
                n_old += (t->bytes[k] & 0xC0) != 0x80;
            replace(work, n_old, text, size);
            is_changed = true;
            continue;
        }
        for (uint32_t k = i; k < end;) {
            const unsigned c_size = firn_utf8_size(t->bytes[k]);
            text = look_up(map, t->bytes + k, c_size, &size);
            if (text != NULL)
                replace(work, 1, text, size);
            else
                firn_change_add(work, firn_utf8_get(t->bytes + k), 0);
            is_changed = is_changed || text != NULL;
            k += c_size;
        }
    }
    if (!is_changed || work->failed) {
        firn_rewrite_copy(t, piece);
        return;
    }
    firn_rewrite_open(t, piece, 0);
    for (size_t i = 0; i < work->n; i++)
        firn_rewrite_put(t, work->items[i].c, work->items[i].change);
    firn_rewrite_close(t);
}
