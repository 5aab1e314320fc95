#version 460
#define SIZE 128
#define HALF(x) ((x) / 2u)
layout(local_size_x = SIZE, local_size_y = 1, local_size_z = 1) in;
layout(set = 1, binding = 4) readonly buffer Input { uint data[]; } source;
layout(set = 1, binding = 5) writeonly buffer Output { uint sums[]; } result;
shared uint part[SIZE];

uint at(uint i) {
    return i < uint(source.data.length()) ? source.data[i] : 0u;
}

void main() {
    uint lane = gl_LocalInvocationIndex;
    part[lane] = at(gl_GlobalInvocationID.x);
    barrier();
    for (uint step = HALF(uint(SIZE)); step > 0u; step = HALF(step)) {
        if (lane < step) {
            part[lane] += part[lane + step];
        }
        barrier();
    }
    if (lane == 0u) {
        result.sums[gl_WorkGroupID.x] = part[0];
    }
}
