// Attention with rows in registers and no shared memory: a lane owns ROWS rows of the output, LANES apart, and the rows
// of the other side pass by, at the same address for all lanes. WIDE: D is a multiple of 4 and rows are
// read as vec4. ROW_BUFFER(binding, Name, x) declares x_at4(first float of a row, part of it).
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint ROWS = 1;
#if WIDE == 1
#define VECTOR vec4
const uint PARTS = D / 4u;
#define ROW_BUFFER(number, Name, x)                                                               \
    layout(binding = number) readonly buffer Name { vec4 x[]; };                                  \
    vec4 x##_at4(uint row, uint c) { return x[row / 4u + c]; }
#define OUT_BUFFER(number, Name, x)                                                               \
    layout(binding = number) writeonly buffer Name { vec4 x[]; };                                 \
    void x##_put(uint row, uint c, vec4 value) { x[row / 4u + c] = value; }
#else
#define VECTOR float
const uint PARTS = D;
#define ROW_BUFFER(number, Name, x)                                                               \
    layout(binding = number) readonly buffer Name { float x[]; };                                 \
    float x##_at4(uint row, uint c) { return x[row + c]; }
#define OUT_BUFFER(number, Name, x)                                                               \
    layout(binding = number) writeonly buffer Name { float x[]; };                                \
    void x##_put(uint row, uint c, float value) { x[row + c] = value; }
#endif
#define LANES gl_WorkGroupSize.x
#define EACH_ROW(r) [[unroll]] for (uint r = 0u; r < ROWS; r++)
#define EACH_PART(c) [[unroll]] for (uint c = 0u; c < PARTS; c++)
