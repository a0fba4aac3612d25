// One lane per element, 1024 elements a work group; the first push constant is the element count. With WIDE 4
// (counts that are multiples of 4) a lane takes four neighbours: REAL is vec4, and indices count vectors.
#ifndef WIDE
#define WIDE 1
#endif
#if WIDE == 4
#define REAL vec4
#define EACH(f, value) vec4(f((value).x), f((value).y), f((value).z), f((value).w))
#else
#define REAL float
#define EACH(f, value) f(value)
#endif
layout(local_size_x = 64) in;
#define FOR_ELEMENTS(i, n)                                                                        \
    for (uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (1024u / WIDE) +   \
                  gl_LocalInvocationID.x,                                                         \
              i##_end = min((n) / WIDE, (i / (1024u / WIDE) + 1u) * (1024u / WIDE));              \
         i < i##_end; i += 64u)
