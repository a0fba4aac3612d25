// Attention on tiles of 32 x 32 in shared memory (13.5 KiB), 128 lanes, any head size in chunks of 32 columns. Lane
// (ty, tx) has rows 2 ty and 2 ty + 1 of the tile that owns the output; of a tile of scores it has columns 4 tx to
// 4 tx + 3, of a chunk of the output the same columns. WIDE: D is a multiple of 4 and rows are read as vec4.
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 128) in;
const uint CHUNKS = (D + 31u) / 32u;
const uint PITCH = 9u; // vec4 from row to row: 8 rows in a column lie in different banks
shared vec4 own_tile[32 * 9], other_tile[32 * 9], score_tile[32 * 9];
#define LANE gl_LocalInvocationID.x
#define TY (gl_LocalInvocationID.x / 8u)
#define TX (gl_LocalInvocationID.x % 8u)
#define EACH_CHUNK(c) [[unroll]] for (uint c = 0u; c < CHUNKS; c++)
#include "attention_buffers.glsl"
// Loads rows start .. start + 31 (zeros from `end` on), columns 32 chunk .. 32 chunk + 31. `place` maps a row to its
// place in the tile: SPREAD so that lanes reading rows 4 tx + x for one x find them in different banks.
#define SPREAD(row) ((row & 3u) * 8u + (row >> 2))
#define IN_ORDER(row) (row)
#define LOAD_TILE(tile, x_at4, at, start, end, chunk, place)                                      \
    for (uint e = LANE; e < 256u; e += 128u) {                                                    \
        const uint row_ = e / 8u, part_ = e % 8u, from_ = (start) + row_;                         \
        tile[place(row_) * PITCH + part_] =                                                       \
            from_ < (end) ? x_at4(at(from_), 32u * (chunk) + 4u * part_) : vec4(0.0);             \
    }
// s0, s1 += own rows times the spread other rows, one chunk of the head
void multiply(inout vec4 s0, inout vec4 s1)
{
    for (uint c = 0u; c < 8u; c++) {
        const vec4 a0 = own_tile[2u * TY * PITCH + c], a1 = own_tile[(2u * TY + 1u) * PITCH + c];
        [[unroll]] for (uint x = 0u; x < 4u; x++) {
            const vec4 b = other_tile[(x * 8u + TX) * PITCH + c];
            s0[x] += dot(a0, b);
            s1[x] += dot(a1, b);
        }
    }
}
// o0, o1 += scores times the other rows in order, one chunk of the output
void accumulate(inout vec4 o0, inout vec4 o1)
{
    for (uint j = 0u; j < 8u; j++) {
        const vec4 p0 = score_tile[2u * TY * PITCH + j], p1 = score_tile[(2u * TY + 1u) * PITCH + j];
        [[unroll]] for (uint x = 0u; x < 4u; x++) {
            const vec4 b = other_tile[(4u * j + x) * PITCH + TX];
            o0 += p0[x] * b;
            o1 += p1[x] * b;
        }
    }
}
