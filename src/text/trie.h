/* SPDX-License-Identifier: Apache-2.0 */
/* All words of a vocabulary that a text starts with, shortest first. */
#ifndef FIRN_TEXT_TRIE_H
#define FIRN_TEXT_TRIE_H

#include "text/vocab.h"

/* Nodes in the order of their depth: the children of a node are neighbours, sorted by label. */
struct firn_trie {
    struct firn_trie_node {
        uint32_t first; /* child */
        int32_t id;     /* of the word that ends here, or -1 */
        uint16_t n;     /* children */
    } * nodes;
    uint8_t *labels; /* of each node: the byte that leads to it */
    uint32_t n;
    uint32_t roots[256]; /* the child of the root for a first byte, or 0 */
};

/* Builds the trie of all words; of words that are there twice the first or the last counts. False
 * without memory. */
bool firn_trie_build(struct firn_trie *t, const struct firn_vocab *v, bool first_counts);
void firn_trie_free(struct firn_trie *t);

/* The child of a node (0: the root) for a byte, or 0. */
static inline uint32_t firn_trie_child(const struct firn_trie *t, uint32_t node, uint8_t byte)
{
    if (node == 0)
        return t->roots[byte];
    const struct firn_trie_node *at = &t->nodes[node];
    const uint8_t *labels = t->labels + at->first;
    uint32_t low = 0, high = at->n;
    while (high - low > 4) {
        const uint32_t middle = (low + high) / 2;
        if (labels[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    for (; low < high; low++)
        if (labels[low] == byte)
            return at->first + low;
    return 0;
}

#endif
