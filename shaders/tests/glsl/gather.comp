#version 450
layout(local_size_x = 32) in;
layout(set = 0, binding = 0) readonly buffer Index { int index[]; };
layout(set = 0, binding = 1) readonly buffer From { vec2 from[]; };
layout(set = 0, binding = 2) buffer To { vec2 to[]; };

void main() {
    uint i = gl_GlobalInvocationID.x;
    int at = index[i];
    switch (at & 3) {
        case 0: to[i] = from[at]; break;
        case 1: to[i] = from[at].yx; break;
        default:
            vec2 sum = vec2(0.0);
            int k = 0;
            do { sum += from[at + k]; k++; } while (k < 3);
            to[i] = sum;
    }
}
