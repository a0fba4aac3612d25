// Rows of attention's tensors four columns at a time, zeros from D on: TILE_BUFFER(binding, Name, x) declares
// x_at4(first float of a row, column), OUT_BUFFER x_put(row, column, value). WIDE: D is a multiple of 4 and rows are vec4.
#if WIDE == 1
#define TILE_BUFFER(number, Name, x)                                                              \
    layout(binding = number) readonly buffer Name { vec4 x[]; };                                  \
    vec4 x##_at4(uint row, uint c) { return c < D ? x[(row + c) / 4u] : vec4(0.0); }
#define OUT_BUFFER(number, Name, x)                                                               \
    layout(binding = number) writeonly buffer Name { vec4 x[]; };                                 \
    void x##_put(uint row, uint c, vec4 value) { if (c < D) x[(row + c) / 4u] = value; }
#else
#define TILE_BUFFER(number, Name, x)                                                              \
    layout(binding = number) readonly buffer Name { float x[]; };                                 \
    float x##_one(uint row, uint c) { return c < D ? x[row + c] : 0.0; }                          \
    vec4 x##_at4(uint row, uint c)                                                                \
    {                                                                                             \
        return vec4(x##_one(row, c), x##_one(row, c + 1u), x##_one(row, c + 2u), x##_one(row, c + 3u)); \
    }
#define OUT_BUFFER(number, Name, x)                                                               \
    layout(binding = number) writeonly buffer Name { float x[]; };                                \
    void x##_put(uint row, uint c, vec4 value)                                                    \
    {                                                                                             \
        for (uint i = 0u; i < 4u && c + i < D; i++)                                               \
            x[row + c + i] = value[i];                                                            \
    }
#endif
