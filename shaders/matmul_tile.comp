// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual by tiles of 64 x 64 in shared memory, 16 of K at a time; 128 lanes, each 4 x 8 results
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 128) in;
#include "matmul.glsl"
shared float tile_a[16][68]; // padded: lanes of a row read without bank conflicts
shared float tile_b[16][68];
float sum[4][8];

void add_tile(uint ty, uint tx)
{
    for (uint kk = 0u; kk < 16u; kk++) {
        float x[4], w[8];
        for (uint i = 0u; i < 4u; i++)
            x[i] = tile_a[kk][ty * 4u + i];
        for (uint j = 0u; j < 8u; j++)
            w[j] = tile_b[kk][tx + 8u * j];
        for (uint i = 0u; i < 4u; i++)
            for (uint j = 0u; j < 8u; j++)
                sum[i][j] += x[i] * w[j];
    }
}

void main()
{
    const uint lane = gl_LocalInvocationID.x;
    const uint row0 = gl_WorkGroupID.y * 64u, col0 = gl_WorkGroupID.x * 64u;
    const uint ty = lane / 8u, tx = lane % 8u; // 16 x 8 lanes: rows ty * 4 .., cols tx + 8 j
    for (uint i = 0u; i < 4u; i++)
        for (uint j = 0u; j < 8u; j++)
            sum[i][j] = 0.0;
    for (uint k0 = 0u; k0 < k; k0 += 16u) {
        for (uint l = lane; l < 1024u; l += 128u) {
#if TRANS_A == 0
            const uint kk = l % 16u, x = l / 16u; // neighbours along the contiguous axis
#else
            const uint kk = l / 64u, x = l % 64u;
#endif
            const bool inside = k0 + kk < k && row0 + x < m;
            tile_a[kk][x] = inside ? A_AT(row0 + x, k0 + kk) : 0.0;
        }
        for (uint l = lane; l < 1024u; l += 128u) {
#if TRANS_B == 1
            const uint kk = l % 16u, x = l / 16u;
#else
            const uint kk = l / 64u, x = l % 64u;
#endif
            const bool inside = k0 + kk < k && col0 + x < n;
            tile_b[kk][x] = inside ? B_AT(k0 + kk, col0 + x) : 0.0;
        }
        barrier();
        add_tile(ty, tx);
        barrier();
    }
    for (uint i = 0u; i < 4u; i++)
        for (uint j = 0u; j < 8u; j++)
            sum[i][j] *= alpha;
    // u v: more columns of K
    for (uint k0 = 0u; MORE != 0u && k0 < r; k0 += 16u) {
        for (uint l = lane; l < 1024u; l += 128u) {
            const uint kk = l % 16u, x = l / 16u;
            tile_a[kk][x] = k0 + kk < r && row0 + x < m ? u[(row0 + x) * r + k0 + kk] : 0.0;
        }
        for (uint l = lane; l < 1024u; l += 128u) {
            const uint kk = MORE == 2u ? l % 16u : l / 64u, x = MORE == 2u ? l / 16u : l % 64u;
            const bool inside = k0 + kk < r && col0 + x < n;
            tile_b[kk][x] = inside ? v[MORE == 2u ? (col0 + x) * r + k0 + kk : (k0 + kk) * n + col0 + x] : 0.0;
        }
        barrier();
        add_tile(ty, tx);
        barrier();
    }
    for (uint i = 0u; i < 4u; i++)
        for (uint j = 0u; j < 8u; j++) {
            const uint row = row0 + ty * 4u + i, col = col0 + tx + 8u * j;
            if (row < m && col < n)
                y[row * n + col] = with_added(sum[i][j], row, col);
        }
}
