/* SPDX-License-Identifier: Apache-2.0 */
/// Element types, shapes, and tensors in host memory.
///
/// Tensors are dense and row-major, outermost axis first: element [i, j] of [T, C] is i * C + j.
#ifndef FIRN_TENSOR_H
#define FIRN_TENSOR_H

#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum firn_dtype {
    FIRN_NONE = 0, // no tensor: an optional input that is absent
    FIRN_F32,
    FIRN_F16,  // IEEE binary16
    FIRN_BF16, // upper half of a binary32
    FIRN_F64,
    FIRN_I32,
    FIRN_I64,
    FIRN_I16,
    FIRN_I8,
    FIRN_U8,
    FIRN_BOOL,
    FIRN_NF4,        // 4 bits: codes in blocks of 64, then their scales; read as floats, written whole
    FIRN_NF4_DOUBLE, // the same with 8-bit scales
    FIRN_INT8_ROWS,  // 8 bits, a scale for each row
    FIRN_DTYPE_COUNT
};

enum { FIRN_MAX_RANK = 8 };

struct firn_shape {
    int rank;                   // 0: a single element
    int64_t dim[FIRN_MAX_RANK]; // dim[0] is outermost
};

/// A tensor in host memory. Owns nothing.
struct firn_tensor {
    enum firn_dtype dtype;
    struct firn_shape shape;
    void *data;
};

/// firn_dims(2, 3) is the shape [2, 3].
#define firn_dims(...)                                                                            \
    (struct firn_shape) { (int) (sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)),          \
                          { __VA_ARGS__ } }
/// The same as a constant initialiser: .shape = FIRN_DIMS(2, 3)
#define FIRN_DIMS(...)                                                                            \
    { (int) (sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } }

FIRN_API size_t firn_dtype_size(enum firn_dtype dtype);    // bytes; 0 for FIRN_NONE and for quantised types
FIRN_API const char *firn_dtype_name(enum firn_dtype dtype); // "f32"
FIRN_API bool firn_dtype_is_float(enum firn_dtype dtype);

/// Bytes of a whole tensor, of quantised types too.
FIRN_API size_t firn_tensor_bytes(enum firn_dtype dtype, const struct firn_shape *shape);

FIRN_API int64_t firn_shape_count(const struct firn_shape *shape); // number of elements
FIRN_API bool firn_shape_eq(const struct firn_shape *a, const struct firn_shape *b);
/// Writes "[2, 3]" and returns `buffer`.
FIRN_API const char *firn_shape_format(char *buffer, size_t size, const struct firn_shape *shape);
#define FIRN_SHAPE_STR(shape) firn_shape_format((char[160]){ 0 }, 160, (shape))

/// Elements [start, start + n) as doubles or floats, whatever the type (bool and integers too).
FIRN_API void firn_tensor_read_f64(const struct firn_tensor *t, int64_t start, int64_t n,
                                   double *out);
FIRN_API void firn_tensor_read_f32(const struct firn_tensor *t, int64_t start, int64_t n,
                                   float *out);
/// Stores rounded to nearest even in the tensor's type.
FIRN_API void firn_tensor_write_f64(const struct firn_tensor *t, int64_t start, int64_t n,
                                    const double *values);
FIRN_API void firn_tensor_write_f32(const struct firn_tensor *t, int64_t start, int64_t n,
                                    const float *values);

#ifdef __cplusplus
}
#endif
#endif
