/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model on a piece, in parts where that is allowed, and remembers the tokens of short parts:
 * text repeats its words. */
#include "text/model.h"

#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64          /* bytes of a word that is worth remembering */
#define SLOTS_MIN (1u << 9)  /* a power of two, like the other; half of them are used */
#define SLOTS_MAX (1u << 16) /* then all words are forgotten */

void firn_model_scratch_free(struct firn_model_scratch *scratch)
{
    free(scratch->data);
    free(scratch->cache.slots);
    free(scratch->cache.text);
    free(scratch->cache.tokens.items);
    memset(scratch, 0, sizeof *scratch);
}

/* Twice the slots, with the words that are in them. */
static bool grow(struct firn_word_cache *c)
{
    const size_t n_slots = c->n_slots == 0 ? SLOTS_MIN : c->n_slots * 2;
    struct firn_cached_word *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->slots[i].size == 0)
            continue;
        size_t k = c->slots[i].hash;
        while (slots[k & (n_slots - 1)].size > 0)
            k++;
        slots[k & (n_slots - 1)] = c->slots[i];
    }
    free(c->slots);
    c->slots = slots;
    c->n_slots = n_slots;
    return true;
}

/* Makes room for one more word of this owner. */
static bool cache_ready(struct firn_word_cache *c, uint64_t owner)
{
    const bool is_full = c->n * 2 >= c->n_slots;
    if (c->n_slots > 0 &&
        (c->owner != owner || c->tokens.failed || (is_full && c->n_slots == SLOTS_MAX))) {
        memset(c->slots, 0, c->n_slots * sizeof *c->slots);
        c->n = c->text_size = c->tokens.n = 0;
        c->tokens.failed = false;
    } else if (is_full && !grow(c)) {
        return false;
    }
    c->owner = owner;
    return true;
}

/* Keeps the tokens from `from` on. */
static void remember(struct firn_word_cache *c, struct firn_cached_word *slot, uint64_t hash,
                     const uint8_t *text, uint32_t size, const struct firn_token_list *list,
                     size_t from)
{
    if (c->text_size + size > c->text_capacity) {
        const size_t capacity = (c->text_size + size) * 2 + 4096;
        char *grown = realloc(c->text, capacity);
        if (grown == NULL)
            return;
        c->text = grown;
        c->text_capacity = capacity;
    }
    const uint32_t first = (uint32_t) c->tokens.n;
    for (size_t i = from; i < list->n; i++)
        firn_token_add(&c->tokens, list->items[i].id, list->items[i].begin, list->items[i].end);
    if (c->tokens.failed)
        return;
    memcpy(c->text + c->text_size, text, size);
    *slot = (struct firn_cached_word){ hash, (uint32_t) c->text_size, size, first,
                                       (uint32_t) (list->n - from) };
    c->text_size += size;
    c->n++;
}

/* Appends the tokens of a part, moved by *base; *base then moves by what they stand for. */
static firn_status run_part(const struct firn_model *m, const uint8_t *text, uint32_t size,
                            bool is_byte_mapped, struct firn_model_scratch *scratch, uint32_t *base,
                            struct firn_token_list *out, struct firn_error *err)
{
    struct firn_word_cache *c = &scratch->cache;
    struct firn_cached_word *slot = NULL;
    uint64_t hash = 0;
    const size_t first = out->n;
    if (size <= WORD_MAX && cache_ready(c, m->identity ^ is_byte_mapped)) {
        hash = firn_hash_bytes(m->vocab.seed, text, size);
        for (size_t i = hash;; i++) {
            slot = &c->slots[i & (c->n_slots - 1)];
            if (slot->size == 0 || (slot->hash == hash && slot->size == size &&
                                    memcmp(c->text + slot->text, text, size) == 0))
                break;
        }
    }
    if (slot != NULL && slot->size > 0) {
        for (uint32_t i = slot->tokens; i < slot->tokens + slot->n; i++) {
            const struct firn_token *t = &c->tokens.items[i];
            firn_token_add(out, t->id, *base + t->begin, *base + t->end);
        }
    } else {
        const firn_status s = m->kind->run(m, text, size, is_byte_mapped, scratch, out, err);
        if (s != FIRN_OK)
            return s;
        if (slot != NULL && !out->failed)
            remember(c, slot, hash, text, size, out, first);
        for (size_t i = first; i<out->n && * base> 0; i++) {
            out->items[i].begin += *base;
            out->items[i].end += *base;
        }
    }
    if (out->n > first)
        *base = out->items[out->n - 1].end;
    return out->failed ? firn_fail(err, FIRN_ERR_MEMORY, .key = "text") : FIRN_OK;
}

firn_status firn_model_run(const struct firn_model *m, const uint8_t *text, uint32_t size,
                           bool is_byte_mapped, struct firn_model_scratch *scratch,
                           struct firn_token_list *out, struct firn_error *err)
{
    uint32_t base = 0;
    if (!m->parts_at_spaces || is_byte_mapped || size <= 3)
        return run_part(m, text, size, is_byte_mapped, scratch, &base, out, err);
    static const uint8_t mark[] = { 0xE2, 0x96, 0x81 };
    firn_status s = FIRN_OK;
    uint32_t begin = 0;
    for (uint32_t i = 1; s == FIRN_OK && i < size; i++) {
        const uint8_t *hit = memchr(text + i, mark[0], size - i);
        if (hit == NULL)
            break;
        i = (uint32_t) (hit - text);
        if (size - i < 3 || memcmp(hit, mark, 3) != 0 || (i >= 3 && memcmp(hit - 3, mark, 3) == 0))
            continue;
        s = run_part(m, text + begin, i - begin, false, scratch, &base, out, err);
        begin = i;
    }
    return s == FIRN_OK ? run_part(m, text + begin, size - begin, false, scratch, &base, out, err)
                        : s;
}
