/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised matrices: codes, then what scales them, in one run of bytes. They are read like any other tensor
 * (firn_tensor_read_*), written whole, and only products take them.
 *
 *   FIRN_NF4         a code a nibble (element 2i in the high half of byte i), then absmax f32 [blocks of 64]
 *   FIRN_NF4_DOUBLE  the same codes; absmax as u8 [blocks], f32 [blocks of 256 of those], their mean f32 [1] and
 *                    the map f32 [256] that u8 stands for: absmax = map[u8] * f32 + mean
 *   FIRN_INT8_ROWS   a code a byte, then scale f32 [rows]
 *
 * Blocks run over the whole matrix row by row; the last may be short. Each part starts at a multiple of 4 bytes.
 * Dettmers et al. 2023 (QLoRA), 2022 (block-wise quantisation); layouts as in bitsandbytes but for being one run. */
#ifndef FIRN_TENSOR_QUANT_H
#define FIRN_TENSOR_QUANT_H

#include "firn/tensor.h"

enum { FIRN_NF4_BLOCK = 64, FIRN_NF4_NESTED = 256 };
extern const float firn_nf4_levels[16];

bool firn_dtype_is_quantised(enum firn_dtype dtype);
size_t firn_quant_bytes(enum firn_dtype dtype, const struct firn_shape *shape);
/* Elements start .. start + n as floats. */
void firn_quant_decode(const struct firn_tensor *t, int64_t start, int64_t n, float *out);
/* Quantises all of `from` (same element count, any float type) into t; `is_transposed`: `from` is [cols, rows] of t [rows,
 * cols]. */
firn_status firn_quant_encode(const struct firn_tensor *t, const struct firn_tensor *from, bool is_transposed,
                              struct firn_error *err);
/* Where codes end and scales start. */
size_t firn_quant_scales_at(const struct firn_tensor *t);
/* The absmax (NF4) or scale (int8) of block or row i. */
float firn_quant_scale(const struct firn_tensor *t, int64_t i);
int64_t firn_quant_n_scales(const struct firn_tensor *t);

#endif
