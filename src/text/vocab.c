/* SPDX-License-Identifier: Apache-2.0 */
/* Builds vocabularies and tables of merges; see vocab.h. */
#include "text/vocab.h"

#include <stdlib.h>
#include <time.h>

uint64_t firn_hash_seed(uintptr_t address)
{
    struct timespec now = { 0 };
    timespec_get(&now, TIME_UTC);
    return firn_hash_mix((uint64_t) address ^ 0x8EBC6AF09C88C6E3u,
                         (uint64_t) now.tv_nsec ^ (uint64_t) now.tv_sec << 30);
}

bool firn_vocab_add(struct firn_vocab *v, const char *text, size_t size, int32_t id)
{
    const size_t need = v->bytes_size + size + 1;
    if (size > INT32_MAX || need > UINT32_MAX || v->n >= INT32_MAX)
        return false;
    if (need > v->bytes_capacity) {
        const size_t capacity = need + need / 2 + 256;
        char *bytes = realloc(v->bytes, capacity);
        if (bytes == NULL)
            return false;
        v->bytes = bytes;
        v->bytes_capacity = capacity;
    }
    if (v->n == v->capacity) {
        const size_t capacity = v->n + v->n / 2 + 64;
        struct firn_word *words = realloc(v->words, capacity * sizeof *words);
        if (words == NULL)
            return false;
        v->words = words;
        v->capacity = capacity;
    }
    v->words[v->n++] = (struct firn_word){ (uint32_t) v->bytes_size, (uint32_t) size, id };
    memcpy(v->bytes + v->bytes_size, text, size);
    v->bytes[v->bytes_size + size] = '\0';
    v->bytes_size = need;
    if (size > v->longest)
        v->longest = size;
    if (id >= v->id_limit)
        v->id_limit = id < INT32_MAX ? id + 1 : id;
    return true;
}

/* Sorts word numbers by id, equal ones in the order of the file. */
static bool sort_by_id(struct firn_vocab *v)
{
    v->by_id = malloc((v->n + 1) * sizeof *v->by_id);
    uint32_t *other = malloc((v->n + 1) * sizeof *other);
    if (v->by_id == NULL || other == NULL) {
        free(other);
        return false;
    }
    bool is_sorted = true;
    for (size_t i = 0; i < v->n; i++) {
        v->by_id[i] = (uint32_t) i;
        is_sorted = is_sorted && (i == 0 || v->words[i - 1].id <= v->words[i].id);
    }
    for (int shift = 0; shift < 32 && !is_sorted; shift += 8) {
        size_t counts[257] = { 0 };
        for (size_t i = 0; i < v->n; i++)
            counts[((uint32_t) v->words[v->by_id[i]].id >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++)
            counts[i + 1] += counts[i];
        for (size_t i = 0; i < v->n; i++)
            other[counts[(uint32_t) v->words[v->by_id[i]].id >> shift & 255]++] = v->by_id[i];
        uint32_t *swap = v->by_id;
        v->by_id = other;
        other = swap;
    }
    free(other);
    v->n_by_id = 0;
    for (size_t i = 0; i < v->n; i++)
        if (i + 1 == v->n || v->words[v->by_id[i]].id != v->words[v->by_id[i + 1]].id)
            v->by_id[v->n_by_id++] = v->by_id[i];
    return true;
}

bool firn_vocab_finish(struct firn_vocab *v, uint32_t *twice)
{
    *twice = 0;
    size_t n_slots = 16;
    while (n_slots < v->n * 2)
        n_slots *= 2;
    v->seed = firn_hash_seed((uintptr_t) v->words);
    v->mask = n_slots - 1;
    v->slots = calloc(n_slots, sizeof *v->slots);
    if (v->slots == NULL || !sort_by_id(v))
        return false;
    for (size_t w = 0; w < v->n; w++) {
        const struct firn_word *word = &v->words[w];
        const char *text = v->bytes + word->at;
        const uint64_t hash = firn_hash_bytes(v->seed, text, word->size);
        size_t i = hash & v->mask;
        for (; v->slots[i].word != 0; i = (i + 1) & v->mask) {
            if (v->slots[i].hash != (uint32_t) (hash >> 32))
                continue;
            const struct firn_word *there = &v->words[v->slots[i].word - 1];
            if (there->size == word->size && memcmp(v->bytes + there->at, text, word->size) == 0) {
                *twice = (uint32_t) w + 1;
                break;
            }
        }
        v->slots[i].hash = (uint32_t) (hash >> 32);
        v->slots[i].word = (uint32_t) w + 1;
    }
    return true;
}

void firn_vocab_free(struct firn_vocab *v)
{
    free(v->bytes);
    free(v->words);
    free(v->by_id);
    free(v->slots);
    memset(v, 0, sizeof *v);
}

int32_t firn_vocab_find(const struct firn_vocab *v, const void *text, size_t size)
{
    if (v->slots == NULL || size > v->longest)
        return -1;
    const uint64_t hash = firn_hash_bytes(v->seed, text, size);
    for (size_t i = hash & v->mask; v->slots[i].word != 0; i = (i + 1) & v->mask) {
        if (v->slots[i].hash != (uint32_t) (hash >> 32))
            continue;
        const struct firn_word *word = &v->words[v->slots[i].word - 1];
        if (word->size == size && memcmp(v->bytes + word->at, text, size) == 0)
            return word->id;
    }
    return -1;
}

const char *firn_vocab_text(const struct firn_vocab *v, int32_t id, size_t *size)
{
    const struct firn_word *word = NULL;
    if (id >= 0 && (size_t) id < v->n_by_id && v->words[v->by_id[id]].id == id) {
        word = &v->words[v->by_id[id]];
    } else {
        size_t low = 0, high = v->n_by_id;
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (v->words[v->by_id[middle]].id < id)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < v->n_by_id && v->words[v->by_id[low]].id == id)
            word = &v->words[v->by_id[low]];
    }
    if (size != NULL)
        *size = word == NULL ? 0 : word->size;
    return word == NULL ? NULL : v->bytes + word->at;
}

/* Puts a merge where there is room. */
static void place(struct firn_merges *m, const struct firn_merge *merge)
{
    const uint64_t key = (uint64_t) (uint32_t) merge->left << 32 | (uint32_t) merge->right;
    for (size_t i = (size_t) firn_hash_mix(key, m->seed);; i++) {
        struct firn_merge *slot = &m->slots[i & m->mask];
        if (slot->left < 0)
            m->n++;
        if (slot->left < 0 || (slot->left == merge->left && slot->right == merge->right)) {
            *slot = *merge;
            return;
        }
    }
}

static bool make_room(struct firn_merges *m)
{
    const size_t n_slots = m->slots == NULL ? 64 : (m->mask + 1) * 2;
    struct firn_merges larger = { .mask = n_slots - 1 };
    larger.slots = malloc(n_slots * sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    larger.seed = firn_hash_seed((uintptr_t) larger.slots);
    for (size_t i = 0; i < n_slots; i++)
        larger.slots[i] = (struct firn_merge){ .left = -1 };
    for (size_t i = 0; m->slots != NULL && i <= m->mask; i++)
        if (m->slots[i].left >= 0)
            place(&larger, &m->slots[i]);
    free(m->slots);
    *m = larger;
    return true;
}

bool firn_merges_put(struct firn_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    if ((m->slots == NULL || m->n * 2 > m->mask) && !make_room(m))
        return false;
    place(m, &(const struct firn_merge){ left, right, rank, id });
    return true;
}

void firn_merges_free(struct firn_merges *m)
{
    free(m->slots);
    memset(m, 0, sizeof *m);
}
