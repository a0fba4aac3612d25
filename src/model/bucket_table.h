/* SPDX-License-Identifier: Apache-2.0 */
/* Relative positions as rows of T5's bias table (Raffel et al. 2020, section 2.1). */
#ifndef FIRN_MODEL_BUCKET_TABLE_H
#define FIRN_MODEL_BUCKET_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct firn_buckets {
    bool is_causal; /* all keys at or before the query; else half of the buckets are for keys after it */
    int64_t count, max_distance;
};

/* The bucket of a key `relative` tokens after the query (before it: negative). */
int32_t firn_bucket_of(const struct firn_buckets *b, int64_t relative);
/* ids [n_queries + n_keys - 1] for a bias by distance: entry j - i + n_queries - 1 is the bucket of query i and key j. The
 * last query stands at the last key: what more keys there are lie before the first query. */
void firn_buckets_fill(const struct firn_buckets *b, int64_t n_queries, int64_t n_keys, int32_t *ids);

#endif
