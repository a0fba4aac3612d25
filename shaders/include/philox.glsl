// Philox 4x32-10 (Salmon et al. 2011): block `block` (low, high word) of (seed, stream, step), as src/base/rng.c.
uvec4 philox(uvec2 seed, uint stream, uint step, uvec2 block)
{
    uvec4 c = uvec4(block, step, stream);
    uvec2 k = seed;
    for (int round = 0; round < 10; round++) {
        uint high0, low0, high1, low1;
        umulExtended(0xd2511f53u, c.x, high0, low0);
        umulExtended(0xcd9e8d57u, c.z, high1, low1);
        c = uvec4(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
        k += uvec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}
// The block of dropout's decisions (src/ops/draw.c): a micro-batch starts at block 2^40 * micro. Element e of a
// stream is kept when the upper 24 bits of word e % 4 of block e / 4 are not below ceil(p 2^24).
uvec4 draw_block(ivec4 rng, uint stream, uvec2 block)
{
    return philox(uvec2(rng.xy), stream, uint(rng.z), block + uvec2(0u, uint(rng.w) << 8)) >> 8u;
}
