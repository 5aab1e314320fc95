#version 450
layout(local_size_x = 8, local_size_y = 8) in;
layout(constant_id = 7) const uint WIDTH = 16u;
struct Particle { vec4 position; vec3 velocity; float mass; mat3 turn; };
layout(set = 0, binding = 0) buffer Particles { uint count; Particle all[]; } particles;
layout(set = 0, binding = 1) buffer Counters { uint hits[4]; };

vec3 turned(Particle p) { return p.turn * p.velocity; }

void main() {
    uint i = gl_GlobalInvocationID.y * WIDTH + gl_GlobalInvocationID.x;
    if (i >= particles.count) return;
    Particle p = particles.all[i];
    particles.all[i].position.xyz = p.position.xyz + turned(p) / p.mass;
    particles.all[i].velocity[i % 3u] *= -1.0;
    if (p.mass > 1.0) {
        hits[i & 3u] += 1u;
    }
}
