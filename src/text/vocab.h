/* SPDX-License-Identifier: Apache-2.0 */
/* A vocabulary: texts to ids by hashing, ids to texts. Also the hash and the table of pairs that
 * BPE merges are kept in. */
#ifndef FIRN_TEXT_VOCAB_H
#define FIRN_TEXT_VOCAB_H

#include "firn/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct firn_word {
    uint32_t at, size; /* in the vocabulary's bytes; a NUL follows */
    int32_t id;
};

struct firn_vocab {
    char *bytes;
    size_t bytes_size, bytes_capacity;
    struct firn_word *words; /* in the order of the file */
    size_t n, capacity;
    uint32_t *by_id; /* words sorted by id; of equal ids only the last */
    size_t n_by_id;
    struct firn_vocab_slot {
        uint32_t hash, word; /* word + 1; 0 is an empty slot */
    } * slots;
    size_t mask;
    uint64_t seed;
    size_t longest; /* bytes of the longest text */
    int32_t id_limit;
};

/* Fast and, for who does not know the seed, hard to collide on purpose. */
static inline uint64_t firn_hash_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b << 32 | b >> 32)) * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 32 ^ b) * 0xD6E8FEB86659FD93u;
    return x ^ x >> 29;
}

static inline uint64_t firn_hash_bytes(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *s = data;
    uint64_t h = seed ^ size * 0x9E3779B97F4A7C15u, a, b;
    for (; size > 16; s += 16, size -= 16) {
        memcpy(&a, s, 8);
        memcpy(&b, s + 8, 8);
        h = firn_hash_mix(a ^ 0xA0761D6478BD642Fu ^ h, b ^ 0xE7037ED1A0B428DBu);
    }
    a = b = 0;
    if (size >= 8) {
        memcpy(&a, s, 8);
        memcpy(&b, s + size - 8, 8);
    } else if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, s, 4);
        memcpy(&high, s + size - 4, 4);
        a = (uint64_t) low << 32 | high;
    } else if (size > 0) {
        a = (uint64_t) s[0] << 16 | (uint64_t) s[size >> 1] << 8 | s[size - 1];
    }
    return firn_hash_mix(a ^ 0xA0761D6478BD642Fu ^ h, b ^ 0xE7037ED1A0B428DBu ^ seed);
}

/* A seed that differs from run to run. */
uint64_t firn_hash_seed(uintptr_t address);

/* Adds a word at the end; false without memory or when it would be too large. */
bool firn_vocab_add(struct firn_vocab *v, const char *text, size_t size, int32_t id);
/* Builds the tables; nothing is added after. With `is_unique` a text that is there twice is the
 * result in *twice (word + 1), else the last one counts. False without memory. */
bool firn_vocab_finish(struct firn_vocab *v, uint32_t *twice);
void firn_vocab_free(struct firn_vocab *v);

/* The id of a text, or -1. */
int32_t firn_vocab_find(const struct firn_vocab *v, const void *text, size_t size);
/* The text of an id, or NULL. */
const char *firn_vocab_text(const struct firn_vocab *v, int32_t id, size_t *size);

/* Merges: (left, right) to the rank and the id of what they become. */
struct firn_merge {
    int32_t left, right; /* left -1: empty */
    uint32_t rank;
    int32_t id;
};
struct firn_merges {
    struct firn_merge *slots;
    size_t mask, n;
    uint64_t seed;
};
/* Adds a merge, or replaces the one of that pair; grows as needed. False without memory. */
bool firn_merges_put(struct firn_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id);
void firn_merges_free(struct firn_merges *m);

static inline const struct firn_merge *firn_merges_find(const struct firn_merges *m, int32_t left,
                                                        int32_t right)
{
    if (m->n == 0)
        return NULL;
    const uint64_t key = (uint64_t) (uint32_t) left << 32 | (uint32_t) right;
    for (size_t i = (size_t) firn_hash_mix(key, m->seed);; i++) {
        const struct firn_merge *slot = &m->slots[i & m->mask];
        if (slot->left == left && slot->right == right)
            return slot;
        if (slot->left < 0)
            return NULL;
    }
}

#endif
