/* SPDX-License-Identifier: Apache-2.0 */
/* Half of the buckets hold one distance each; the others grow with its logarithm up to max_distance. */
#include "model/bucket_table.h"

#include <math.h>

/* exact + floor(ln(distance / exact) / ln(max_distance / exact) (count - exact)), in float32 step by step: where the
 * quotient is whole, the rounding decides, and the table was trained with that of Hugging Face's code. */
static int32_t bucket_of_distance(int64_t distance, int64_t count, int64_t max_distance)
{
    const int64_t exact = count / 2;
    if (distance < exact)
        return (int32_t) distance;
    const float all = (float) log((double) max_distance / (double) exact);
    const float part = logf((float) distance / (float) exact) / all * (float) (count - exact);
    const int64_t bucket = part < (float) count ? exact + (int64_t) part : count - 1;
    return (int32_t) (bucket < count - 1 ? bucket : count - 1);
}

int32_t firn_bucket_of(const struct firn_buckets *b, int64_t relative)
{
    if (b->is_causal)
        return bucket_of_distance(relative < 0 ? -relative : 0, b->count, b->max_distance);
    const int64_t half = b->count / 2;
    return (relative > 0 ? (int32_t) half : 0) +
           bucket_of_distance(relative < 0 ? -relative : relative, half, b->max_distance);
}

void firn_buckets_fill(const struct firn_buckets *b, int64_t n_queries, int64_t n_keys, int32_t *ids)
{
    for (int64_t d = 0; d < n_queries + n_keys - 1; d++)
        ids[d] = firn_bucket_of(b, d - (n_keys - 1));
}
