// One lane per element, 1024 elements a work group; the first push constant is the element count.
layout(local_size_x = 64) in;
#define FOR_ELEMENTS(i, n)                                                                        \
    for (uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 1024u +            \
                  gl_LocalInvocationID.x, i##_end = min((n), (i / 1024u + 1u) * 1024u);           \
         i < i##_end; i += 64u)
