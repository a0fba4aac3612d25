/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a trie from sorted words, level by level. */
#include "text/trie.h"

#include <stdlib.h>

struct range { /* the words that share the path to a node, of at least `depth` bytes */
    uint32_t begin, end, depth;
};

static const uint8_t *bytes_of(const struct firn_vocab *v, uint32_t word)
{
    return (const uint8_t *) v->bytes + v->words[word].at;
}

static bool is_before(const struct firn_vocab *v, uint32_t a, uint32_t b)
{
    const size_t n = v->words[a].size < v->words[b].size ? v->words[a].size : v->words[b].size;
    const int order = memcmp(bytes_of(v, a), bytes_of(v, b), n);
    if (order != 0)
        return order < 0;
    return v->words[a].size != v->words[b].size ? v->words[a].size < v->words[b].size : a < b;
}

/* Merge sort: qsort has no place for the vocabulary. */
static void sort_words(const struct firn_vocab *v, uint32_t *words, uint32_t *other, size_t n)
{
    if (n < 2)
        return;
    const size_t half = n / 2;
    sort_words(v, words, other, half);
    sort_words(v, words + half, other, n - half);
    size_t a = 0, b = half, out = 0;
    while (a < half || b < n)
        other[out++] =
            b == n || (a < half && is_before(v, words[a], words[b])) ? words[a++] : words[b++];
    memcpy(words, other, n * sizeof *words);
}

static bool add_node(struct firn_trie *t, struct range **ranges, uint32_t *capacity, uint8_t label,
                     struct range r)
{
    if (t->n == *capacity) {
        const uint32_t larger = *capacity + *capacity / 2 + 256;
        struct firn_trie_node *nodes = realloc(t->nodes, larger * sizeof *nodes);
        if (nodes != NULL)
            t->nodes = nodes;
        uint8_t *labels = realloc(t->labels, larger);
        if (labels != NULL)
            t->labels = labels;
        struct range *grown = realloc(*ranges, larger * sizeof *grown);
        if (grown != NULL)
            *ranges = grown;
        if (nodes == NULL || labels == NULL || grown == NULL || larger > UINT32_MAX / 2)
            return false;
        *capacity = larger;
    }
    t->nodes[t->n] = (struct firn_trie_node){ 0, -1, 0 };
    t->labels[t->n] = label;
    (*ranges)[t->n++] = r;
    return true;
}

bool firn_trie_build(struct firn_trie *t, const struct firn_vocab *v, bool first_counts)
{
    uint32_t capacity = 0;
    struct range *ranges = NULL;
    uint32_t *words = malloc((v->n + 1) * sizeof *words);
    uint32_t *other = malloc((v->n + 1) * sizeof *other);
    bool ok = words != NULL && other != NULL;
    if (ok) {
        for (uint32_t i = 0; i < v->n; i++)
            words[i] = i;
        sort_words(v, words, other, v->n);
        ok = add_node(t, &ranges, &capacity, 0, (struct range){ 0, (uint32_t) v->n, 0 });
    }
    free(other);
    for (uint32_t node = 0; ok && node < t->n; node++) {
        struct range r = ranges[node];
        for (; r.begin < r.end && v->words[words[r.begin]].size == r.depth; r.begin++)
            if (r.depth > 0 && (t->nodes[node].id < 0 || !first_counts))
                t->nodes[node].id = v->words[words[r.begin]].id;
        t->nodes[node].first = t->n;
        while (ok && r.begin < r.end) {
            const uint8_t label = bytes_of(v, words[r.begin])[r.depth];
            uint32_t end = r.begin;
            while (end < r.end && bytes_of(v, words[end])[r.depth] == label)
                end++;
            ok =
                add_node(t, &ranges, &capacity, label, (struct range){ r.begin, end, r.depth + 1 });
            t->nodes[node].n++;
            r.begin = end;
        }
    }
    for (uint32_t i = 0; ok && i < t->nodes[0].n; i++)
        t->roots[t->labels[1 + i]] = 1 + i;
    free(words);
    free(ranges);
    return ok;
}

void firn_trie_free(struct firn_trie *t)
{
    free(t->nodes);
    free(t->labels);
    memset(t, 0, sizeof *t);
}
