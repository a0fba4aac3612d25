/* SPDX-License-Identifier: Apache-2.0 */
/* Sums and maxima of f32 rows in 16 interleaved parts that are joined in order: they vectorise, and give the
 * same bits at every vector width. Inlined, so that they are compiled for the width of their caller. */
#ifndef FIRN_OPS_REDUCE_H
#define FIRN_OPS_REDUCE_H

#include <stdint.h>

enum { FIRN_PARTS = 16 };

static inline float firn_join_parts(const float *part, float tail)
{
    for (int l = 0; l < FIRN_PARTS; l++)
        tail += part[l];
    return tail;
}

static inline float firn_sum_f32(const float *x, int64_t n)
{
    float part[FIRN_PARTS] = { 0 }, tail = 0;
    int64_t i = 0;
    for (; i + FIRN_PARTS <= n; i += FIRN_PARTS)
        for (int l = 0; l < FIRN_PARTS; l++)
            part[l] += x[i + l];
    for (; i < n; i++)
        tail += x[i];
    return firn_join_parts(part, tail);
}

static inline float firn_dot_f32(const float *x, const float *y, int64_t n)
{
    float part[FIRN_PARTS] = { 0 }, tail = 0;
    int64_t i = 0;
    for (; i + FIRN_PARTS <= n; i += FIRN_PARTS)
        for (int l = 0; l < FIRN_PARTS; l++)
            part[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        tail += x[i] * y[i];
    return firn_join_parts(part, tail);
}

/* Sum of (x - mean)^2. */
static inline float firn_spread_f32(const float *x, float mean, int64_t n)
{
    float part[FIRN_PARTS] = { 0 }, tail = 0;
    int64_t i = 0;
    for (; i + FIRN_PARTS <= n; i += FIRN_PARTS)
        for (int l = 0; l < FIRN_PARTS; l++)
            part[l] += (x[i + l] - mean) * (x[i + l] - mean);
    for (; i < n; i++)
        tail += (x[i] - mean) * (x[i] - mean);
    return firn_join_parts(part, tail);
}

/* The largest of x[0 .. n), n > 0. */
static inline float firn_max_f32(const float *x, int64_t n)
{
    float part[FIRN_PARTS], most = x[0];
    int64_t i = 0;
    for (int l = 0; l < FIRN_PARTS; l++)
        part[l] = most;
    for (; i + FIRN_PARTS <= n; i += FIRN_PARTS)
        for (int l = 0; l < FIRN_PARTS; l++)
            part[l] = x[i + l] > part[l] ? x[i + l] : part[l];
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int l = 0; l < FIRN_PARTS; l++)
        most = part[l] > most ? part[l] : most;
    return most;
}

#endif
