#version 450
layout(local_size_x = 64) in;
layout(std430, set = 0, binding = 0) readonly buffer Left { float x[]; };
layout(std430, set = 0, binding = 1) buffer Right { float y[]; };
layout(std140, set = 0, binding = 2) uniform Args { float a; uint n; } args;

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < args.n) {
        y[i] = args.a * x[i] + y[i];
    }
}
