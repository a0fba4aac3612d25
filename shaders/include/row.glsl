// Row reductions. LANES 1: a lane a row, 8 rows a work group, no barriers. LANES 64: a work group a row, sums by
// a tree in shared memory, in fixed order; with SUBGROUPS by subgroups first (in the driver's order, the same each time), of
// which some devices have one here: then there is no barrier. Push constants start with rows and cols.
#define FOR_COLS(c, n) for (uint c = COL; c < (n); c += LANES)
#if LANES == 1
layout(local_size_x = 8) in;
#define ROW (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 8u + gl_LocalInvocationID.x
#define COL 0u
float row_sum(float x) { return x; }
float row_max(float x) { return x; }
#else
layout(local_size_x = 64) in;
#define ROW (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)
#define COL gl_LocalInvocationID.x
shared float row_parts[64];
#ifdef SUBGROUPS
#extension GL_KHR_shader_subgroup_arithmetic : require
float row_sum(float x)
{
    float sum = subgroupAdd(x);
    if (gl_NumSubgroups == 1u)
        return sum;
    if (gl_SubgroupInvocationID == 0u)
        row_parts[gl_SubgroupID] = sum;
    barrier();
    sum = 0.0;
    for (uint i = 0u; i < gl_NumSubgroups; i++)
        sum += row_parts[i];
    barrier();
    return sum;
}
float row_max(float x)
{
    float most = subgroupMax(x);
    if (gl_NumSubgroups == 1u)
        return most;
    if (gl_SubgroupInvocationID == 0u)
        row_parts[gl_SubgroupID] = most;
    barrier();
    for (uint i = 0u; i < gl_NumSubgroups; i++)
        most = max(most, row_parts[i]);
    barrier();
    return most;
}
#else
float row_sum(float x)
{
    const uint lane = gl_LocalInvocationID.x;
    row_parts[lane] = x;
    barrier();
    for (uint s = 32u; s > 0u; s >>= 1) {
        if (lane < s)
            row_parts[lane] += row_parts[lane + s];
        barrier();
    }
    const float sum = row_parts[0];
    barrier();
    return sum;
}
float row_max(float x)
{
    const uint lane = gl_LocalInvocationID.x;
    row_parts[lane] = x;
    barrier();
    for (uint s = 32u; s > 0u; s >>= 1) {
        if (lane < s)
            row_parts[lane] = max(row_parts[lane], row_parts[lane + s]);
        barrier();
    }
    const float most = row_parts[0];
    barrier();
    return most;
}
#endif
#endif
