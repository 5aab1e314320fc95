// Heat in a square plate whose rim is kept at 0, a step at a time from `now` to `next`. It begins as a wave that only fades: each step
// multiplies all of it by the same factor, so what it is after any number of steps is known.

struct Wave {
    // The sine of the wave's angle from one cell to the next, and twice its cosine.
    sine: f32,
    twice_cosine: f32,
    // How much of it should be left.
    left: f32,
}

const SIDE = 256u;
// Part of the difference to its neighbours that a cell takes over in a step.
const RATE = 0.2;
// How far rounding may take it.
const TOLERANCE = 0.001;

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read> now: array<f32>;
@group(0) @binding(2) var<storage, read_write> next: array<f32>;
@group(0) @binding(3) var<storage, read_write> wrong: atomic<u32>;
@group(0) @binding(4) var<uniform> wave: Wave;

fn rim(id: vec3<u32>) -> bool {
    return id.x == 0u || id.y == 0u || id.x == SIDE - 1u || id.y == SIDE - 1u;
}

// The sine of `n` times the angle, by the recurrence of sines: the same on every device, whatever its own sine is worth.
fn sine_of(n: u32) -> f32 {
    var before = 0.0;
    var sine = wave.sine;
    for (var i = 0u; i < n; i++) {
        let following = wave.twice_cosine * sine - before;
        before = sine;
        sine = following;
    }
    return before;
}

@compute @workgroup_size(16, 16)
fn start(@builtin(global_invocation_id) id: vec3<u32>) {
    next[id.y * SIDE + id.x] = select(sine_of(id.x) * sine_of(id.y), 0.0, rim(id));
}

@compute @workgroup_size(16, 16)
fn step(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * SIDE + id.x;
    let own = now[i];
    if (rim(id)) {
        next[i] = own;
        return;
    }
    let around = now[i - 1u] + now[i + 1u] + now[i - SIDE] + now[i + SIDE];
    next[i] = own + RATE * (around - 4.0 * own);
}

@compute @workgroup_size(16, 16)
fn check(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * SIDE + id.x;
    // Written so that what is no number is wrong.
    if (!(abs(now[i] - wave.left * first[i]) <= TOLERANCE)) {
        atomicAdd(&wrong, 1u);
    }
}
