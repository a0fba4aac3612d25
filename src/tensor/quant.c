/* SPDX-License-Identifier: Apache-2.0 */
/* NF4, NF4 with quantised scales, and int8 by rows. */
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Quantiles of a normal distribution, each half of the same mass (Dettmers et al. 2023, sec. 3). */
const float firn_nf4_levels[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
    -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
    0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f
};

bool firn_dtype_is_quantised(enum firn_dtype dtype)
{
    return dtype == FIRN_NF4 || dtype == FIRN_NF4_DOUBLE || dtype == FIRN_INT8_ROWS;
}

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t rows_of(const struct firn_shape *shape)
{
    return shape->rank > 0 ? shape->dim[0] : 1;
}

/* Parts of a quantised tensor: where they start. */
struct parts {
    int64_t count, blocks, nested;
    size_t scales, nested_at, mean_at, map_at, bytes;
};

static struct parts parts_of(enum firn_dtype dtype, const struct firn_shape *shape)
{
    struct parts p = { .count = firn_shape_count(shape) };
    p.blocks = dtype == FIRN_INT8_ROWS ? rows_of(shape) : up(p.count, FIRN_NF4_BLOCK);
    p.nested = up(p.blocks, FIRN_NF4_NESTED);
    const int64_t codes = dtype == FIRN_INT8_ROWS ? p.count : up(p.count, 2);
    p.scales = (size_t) (up(codes, 4) * 4);
    p.bytes = p.scales + sizeof(float) * (size_t) p.blocks;
    if (dtype == FIRN_NF4_DOUBLE) {
        p.nested_at = p.scales + (size_t) (up(p.blocks, 4) * 4);
        p.mean_at = p.nested_at + sizeof(float) * (size_t) p.nested;
        p.map_at = p.mean_at + sizeof(float);
        p.bytes = p.map_at + sizeof(float) * 256;
    }
    return p;
}

size_t firn_quant_bytes(enum firn_dtype dtype, const struct firn_shape *shape)
{
    return parts_of(dtype, shape).bytes;
}

size_t firn_quant_scales_at(const struct firn_tensor *t)
{
    return parts_of(t->dtype, &t->shape).scales;
}

int64_t firn_quant_n_scales(const struct firn_tensor *t)
{
    return parts_of(t->dtype, &t->shape).blocks;
}

static float scale_at(const struct firn_tensor *t, const struct parts *p, int64_t i)
{
    const uint8_t *data = t->data;
    float scale, nested, mean;
    if (t->dtype != FIRN_NF4_DOUBLE) {
        memcpy(&scale, data + p->scales + sizeof scale * (size_t) i, sizeof scale);
        return scale;
    }
    memcpy(&scale, data + p->map_at + sizeof scale * data[p->scales + (size_t) i], sizeof scale);
    memcpy(&nested, data + p->nested_at + sizeof nested * (size_t) (i / FIRN_NF4_NESTED), sizeof nested);
    memcpy(&mean, data + p->mean_at, sizeof mean);
    return scale * nested + mean;
}

float firn_quant_scale(const struct firn_tensor *t, int64_t i)
{
    const struct parts p = parts_of(t->dtype, &t->shape);
    return scale_at(t, &p, i);
}

static void decode_nf4(const struct firn_tensor *t, const struct parts *p, int64_t start, int64_t n, float *out)
{
    const uint8_t *codes = t->data;
    for (int64_t i = start; i < start + n;) {
        const int64_t end = (i / FIRN_NF4_BLOCK + 1) * FIRN_NF4_BLOCK, stop = end < start + n ? end : start + n;
        const float scale = scale_at(t, p, i / FIRN_NF4_BLOCK);
        float level[16];
        for (int k = 0; k < 16; k++)
            level[k] = firn_nf4_levels[k] * scale;
        for (; i < stop && i % 2 != 0; i++)
            out[i - start] = level[codes[i / 2] & 15];
        for (; i + 1 < stop; i += 2) {
            out[i - start] = level[codes[i / 2] >> 4];
            out[i - start + 1] = level[codes[i / 2] & 15];
        }
        for (; i < stop; i++)
            out[i - start] = level[codes[i / 2] >> 4];
    }
}

static void decode_int8(const struct firn_tensor *t, const struct parts *p, int64_t start, int64_t n, float *out)
{
    const int8_t *codes = t->data;
    const int64_t cols = p->blocks > 0 ? p->count / p->blocks : 1;
    for (int64_t i = start; i < start + n;) {
        const int64_t end = (i / cols + 1) * cols, stop = end < start + n ? end : start + n;
        const float scale = scale_at(t, p, i / cols);
        for (; i < stop; i++)
            out[i - start] = (float) codes[i] * scale;
    }
}

void firn_quant_decode(const struct firn_tensor *t, int64_t start, int64_t n, float *out)
{
    const struct parts p = parts_of(t->dtype, &t->shape);
    if (t->dtype == FIRN_INT8_ROWS)
        decode_int8(t, &p, start, n, out);
    else
        decode_nf4(t, &p, start, n, out);
}

/* The nearest level; of two equally near ones the lower. Half-way points in f32 are where it changes, give or take a
 * rounding, so that only the two neighbours need to be compared. */
static int nearest_level(float v)
{
    int low = 0, high = 15;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (firn_nf4_levels[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    return fabsf(v - firn_nf4_levels[low]) <= fabsf(v - firn_nf4_levels[high]) ? low : high;
}

static float most_of(const float *x, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* code = nearest level of w / absmax; a block of zeros is zero. */
static void encode_block(uint8_t *codes, float *absmax, const float *x, int64_t n)
{
    *absmax = most_of(x, n);
    for (int64_t i = 0; i < n; i += 2) {
        const int high = nearest_level(*absmax > 0 ? x[i] / *absmax : 0);
        const int low = i + 1 < n ? nearest_level(*absmax > 0 ? x[i + 1] / *absmax : 0) : 0;
        codes[i / 2] = (uint8_t) (high << 4 | low);
    }
}

/* scale = absmax / 127, code = w / scale rounded half to even */
static void encode_row(int8_t *codes, float *scale, const float *x, int64_t n)
{
    *scale = most_of(x, n) / 127.0f;
    for (int64_t i = 0; i < n; i++) {
        const float code = *scale > 0 ? rintf(x[i] / *scale) : 0;
        codes[i] = (int8_t) (code > 127 ? 127 : code < -127 ? -127 : code);
    }
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *) a, y = *(const float *) b;
    return (x > y) - (x < y);
}

/* The signed dynamic map of 8 bits: for i = 0 .. 6 the midpoints of 2^i equal parts of [0.1, 1], times 10^(i - 6), with
 * both signs; 0 and 1 (Dettmers et al. 2022, sec. 2.1). */
static void dynamic_map(float *map)
{
    static const float powers[7] = { 1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1 };
    int n = 0;
    for (int i = 0; i < 7; i++) {
        const int parts = 1 << i;
        for (int k = 0; k < parts; k++) {
            const double step = 0.9 / parts;
            const float left = (float) (0.1 + step * k), right = (float) (0.1 + step * (k + 1));
            map[n] = (left + right) / 2 * powers[i];
            map[n + 1] = -map[n];
            n += 2;
        }
    }
    map[n++] = 0;
    map[n++] = 1;
    qsort(map, 256, sizeof *map, by_value);
}

static int nearest_in_map(const float *map, float v)
{
    int low = 0, high = 255;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (map[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    return v - map[low] <= map[high] - v ? low : high;
}

/* absmax - mean, in blocks of 256, by the map. */
static void encode_scales(const struct firn_tensor *t, const struct parts *p, const float *absmax)
{
    uint8_t *data = t->data;
    float map[256], block[FIRN_NF4_NESTED];
    double sum = 0;
    for (int64_t i = 0; i < p->blocks; i++)
        sum += (double) absmax[i];
    const float mean = p->blocks > 0 ? (float) (sum / (double) p->blocks) : 0;
    dynamic_map(map);
    for (int64_t i = 0; i < p->nested; i++) {
        const int64_t first = i * FIRN_NF4_NESTED, left = p->blocks - first;
        const int64_t n = left < FIRN_NF4_NESTED ? left : FIRN_NF4_NESTED;
        for (int64_t k = 0; k < n; k++)
            block[k] = absmax[first + k] - mean;
        const float most = most_of(block, n);
        for (int64_t k = 0; k < n; k++)
            data[p->scales + (size_t) (first + k)] = (uint8_t) nearest_in_map(map, most > 0 ? block[k] / most : 0);
        memcpy(data + p->nested_at + sizeof most * (size_t) i, &most, sizeof most);
    }
    memcpy(data + p->mean_at, &mean, sizeof mean);
    memcpy(data + p->map_at, map, sizeof map);
}

/* Elements start .. start + n of t's order. */
static void gather(const struct firn_tensor *t, const struct firn_tensor *from, bool is_transposed, int64_t start, int64_t n,
                   float *out)
{
    if (!is_transposed) {
        firn_tensor_read_f32(from, start, n, out);
        return;
    }
    const int64_t rows = t->shape.dim[0], cols = t->shape.dim[1];
    for (int64_t i = 0; i < n; i++)
        firn_tensor_read_f32(from, (start + i) % cols * rows + (start + i) / cols, 1, out + i);
}

firn_status firn_quant_encode(const struct firn_tensor *t, const struct firn_tensor *from, bool is_transposed,
                              struct firn_error *err)
{
    const struct parts p = parts_of(t->dtype, &t->shape);
    const bool by_rows = t->dtype == FIRN_INT8_ROWS;
    const int64_t unit = by_rows ? (p.blocks > 0 ? p.count / p.blocks : 0) : FIRN_NF4_BLOCK;
    float *x = malloc(sizeof *x * (size_t) (unit + 1)), *scales = malloc(sizeof *scales * (size_t) (p.blocks + 1));
    uint8_t *data = t->data;
    if (x == NULL || scales == NULL) {
        free(x);
        free(scales);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory to quantise a matrix");
    }
    memset(data, 0, p.scales);
    for (int64_t i = 0; i < p.blocks; i++) {
        const int64_t first = i * unit, n = p.count - first < unit ? p.count - first : unit;
        gather(t, from, is_transposed, first, n, x);
        if (by_rows)
            encode_row((int8_t *) data + first, &scales[i], x, n);
        else
            encode_block(data + first / 2, &scales[i], x, n);
    }
    if (t->dtype == FIRN_NF4_DOUBLE)
        encode_scales(t, &p, scales);
    else
        memcpy(data + p.scales, scales, sizeof *scales * (size_t) p.blocks);
    free(x);
    free(scales);
    return FIRN_OK;
}
