/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: sizes, names, and conversion of runs of elements. */
#include "firn/tensor.h"
#include "tensor/half.h"
#include "tensor/quant.h"

#include <assert.h>
#include <math.h>

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} types[FIRN_DTYPE_COUNT] = {
    [FIRN_NONE] = { "none", 0, false }, [FIRN_F32] = { "f32", 4, true },
    [FIRN_F16] = { "f16", 2, true },    [FIRN_BF16] = { "bf16", 2, true },
    [FIRN_F64] = { "f64", 8, true },    [FIRN_I32] = { "i32", 4, false },
    [FIRN_I64] = { "i64", 8, false },   [FIRN_I16] = { "i16", 2, false },
    [FIRN_I8] = { "i8", 1, false },     [FIRN_U8] = { "u8", 1, false },
    [FIRN_BOOL] = { "bool", 1, false },
    [FIRN_NF4] = { "nf4", 0, true },     [FIRN_NF4_DOUBLE] = { "nf4 (double)", 0, true },
    [FIRN_INT8_ROWS] = { "int8 rows", 0, true },
};

size_t firn_dtype_size(enum firn_dtype dtype)
{
    return (unsigned) dtype < FIRN_DTYPE_COUNT ? types[dtype].size : 0;
}

const char *firn_dtype_name(enum firn_dtype dtype)
{
    return (unsigned) dtype < FIRN_DTYPE_COUNT ? types[dtype].name : "unknown";
}

bool firn_dtype_is_float(enum firn_dtype dtype)
{
    return (unsigned) dtype < FIRN_DTYPE_COUNT && types[dtype].is_float;
}

size_t firn_tensor_bytes(enum firn_dtype dtype, const struct firn_shape *shape)
{
    return firn_dtype_is_quantised(dtype) ? firn_quant_bytes(dtype, shape)
                                          : (size_t) firn_shape_count(shape) * firn_dtype_size(dtype);
}

/* One loop per stored type; FROM converts an element, TYPE is the stored C type. */
#define READ(TYPE, FROM)                                                                          \
    do {                                                                                          \
        const TYPE *from = (const TYPE *) t->data + start;                                        \
        for (int64_t i = 0; i < n; i++)                                                           \
            out[i] = FROM(from[i]);                                                               \
    } while (0)
#define READ_ALL(OUT)                                                                             \
    switch (t->dtype) {                                                                           \
    case FIRN_F32: READ(float, (OUT)); break;                                                     \
    case FIRN_F16: READ(uint16_t, firn_f16_to_f32); break;                                        \
    case FIRN_BF16: READ(uint16_t, firn_bf16_to_f32); break;                                      \
    case FIRN_F64: READ(double, (OUT)); break;                                                    \
    case FIRN_I32: READ(int32_t, (OUT)); break;                                                   \
    case FIRN_I64: READ(int64_t, (OUT)); break;                                                   \
    case FIRN_I16: READ(int16_t, (OUT)); break;                                                   \
    case FIRN_I8: READ(int8_t, (OUT)); break;                                                     \
    case FIRN_U8:                                                                                 \
    case FIRN_BOOL: READ(uint8_t, (OUT)); break;                                                  \
    case FIRN_NF4:                                                                                \
    case FIRN_NF4_DOUBLE:                                                                         \
    case FIRN_INT8_ROWS: READ_QUANTISED break;                                                    \
    case FIRN_NONE:                                                                               \
    case FIRN_DTYPE_COUNT: break;                                                                 \
    }

static void read_quantised(const struct firn_tensor *t, int64_t start, int64_t n, double *out)
{
    float part[256];
    for (int64_t at = 0; at < n; at += 256) {
        const int64_t m = n - at < 256 ? n - at : 256;
        firn_quant_decode(t, start + at, m, part);
        for (int64_t i = 0; i < m; i++)
            out[at + i] = (double) part[i];
    }
}

void firn_tensor_read_f64(const struct firn_tensor *t, int64_t start, int64_t n, double *out)
{
#define READ_QUANTISED read_quantised(t, start, n, out);
    READ_ALL(double)
#undef READ_QUANTISED
}

void firn_tensor_read_f32(const struct firn_tensor *t, int64_t start, int64_t n, float *out)
{
#define READ_QUANTISED firn_quant_decode(t, start, n, out);
    READ_ALL(float)
#undef READ_QUANTISED
}

#define WRITE(TYPE, TO)                                                                           \
    do {                                                                                          \
        TYPE *to = (TYPE *) t->data + start;                                                      \
        for (int64_t i = 0; i < n; i++)                                                           \
            to[i] = TO(values[i]);                                                                \
    } while (0)
#define ROUND_F16(x) firn_f32_to_f16((float) (x))
#define ROUND_BF16(x) firn_f32_to_bf16((float) (x))
#define ROUND_INT(x) llrint((double) (x))
#define WRITE_ALL                                                                                 \
    switch (t->dtype) {                                                                           \
    case FIRN_F32: WRITE(float, (float)); break;                                                  \
    case FIRN_F16: WRITE(uint16_t, ROUND_F16); break;                                             \
    case FIRN_BF16: WRITE(uint16_t, ROUND_BF16); break;                                           \
    case FIRN_F64: WRITE(double, (double)); break;                                                \
    case FIRN_I32: WRITE(int32_t, (int32_t) ROUND_INT); break;                                    \
    case FIRN_I64: WRITE(int64_t, ROUND_INT); break;                                              \
    case FIRN_I16: WRITE(int16_t, (int16_t) ROUND_INT); break;                                    \
    case FIRN_I8: WRITE(int8_t, (int8_t) ROUND_INT); break;                                       \
    case FIRN_U8:                                                                                 \
    case FIRN_BOOL: WRITE(uint8_t, (uint8_t) ROUND_INT); break;                                   \
    case FIRN_NF4:                                                                                \
    case FIRN_NF4_DOUBLE:                                                                         \
    case FIRN_INT8_ROWS: WRITE_QUANTISED break;                                                   \
    case FIRN_NONE:                                                                               \
    case FIRN_DTYPE_COUNT: break;                                                                 \
    }

/* Whole tensors only: a scale depends on all that it scales. A test's data, so memory is no error to report. */
static void write_quantised(const struct firn_tensor *t, int64_t start, int64_t n, enum firn_dtype type, const void *values)
{
    const struct firn_tensor from = { type, t->shape, (void *) (uintptr_t) values };
    assert(start == 0 && n == firn_shape_count(&t->shape));
    (void) start;
    (void) n;
    (void) firn_quant_encode(t, &from, false, NULL);
}

void firn_tensor_write_f64(const struct firn_tensor *t, int64_t start, int64_t n,
                           const double *values)
{
#define WRITE_QUANTISED write_quantised(t, start, n, FIRN_F64, values);
    WRITE_ALL
#undef WRITE_QUANTISED
}

void firn_tensor_write_f32(const struct firn_tensor *t, int64_t start, int64_t n,
                           const float *values)
{
#define WRITE_QUANTISED write_quantised(t, start, n, FIRN_F32, values);
    WRITE_ALL
#undef WRITE_QUANTISED
}
