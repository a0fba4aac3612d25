// Attention for any shape with few registers: a lane owns 16 columns of one row of the output and computes the row's
// scores by itself.
layout(local_size_x = 64) in;
const uint CHUNKS = (D + 15u) / 16u;
#define EACH_COLUMN(c) for (uint c = 0u; c < 16u; c++)
#define INDEX (GROUP % tiles * 64u + gl_LocalInvocationID.x)
#define IS_COLUMN(c) (column + (c) < D)
