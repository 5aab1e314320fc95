//! Footprints of straight-line and branching kernels.

use super::common::{Fit, Launch, boxes, check, kernel, words};
use gmem_shaders::Footprint;

const GRID: [u32; 3] = [7, 1, 1];

#[test]
fn early_return_bounds_a_stream() {
    let saxpy = kernel(
        "struct P { n: u32, a: f32 }
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @group(0) @binding(2) var<uniform> p: P;
        @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            if (gid.x >= p.n) { return; }
            let i = gid.x;
            y[i] = p.a * x[i] + y[i];
        }",
    );
    for n in [0, 1, 50, 100, 112, 500] {
        for launch in boxes(GRID, &[400, 400], &[words(&[n, 0])]) {
            check(&saxpy, &launch, Fit::Exact, &|ids, touch| {
                let i = ids.gid[0];
                if i < n {
                    touch.read(0, i);
                    touch.read(1, i);
                    if i < touch.words(1) {
                        touch.write(1, i);
                    }
                }
            });
        }
    }
}

#[test]
fn array_length_bounds_a_stream() {
    let copy = kernel(
        "struct S { count: u32, items: array<vec4<f32>> }
        @group(0) @binding(0) var<storage, read> source: S;
        @group(0) @binding(1) var<storage, read_write> sink: array<vec4<f32>>;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let i = gid.x;
            if (i < arrayLength(&source.items)) { sink[i] = source.items[i] + 1.0; }
        }",
    );
    for launch in boxes(GRID, &[16 + 20 * 16, 64 * 16], &[]) {
        check(&copy, &launch, Fit::Exact, &|ids, touch| {
            let i = u64::from(ids.gid[0]);
            if i < 20 {
                touch.read_bytes(0, 16 + 16 * i, 16);
                touch.write_bytes(1, 16 * i, 16);
            }
        });
    }
}

#[test]
fn out_of_bounds_is_clipped() {
    let shifted = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            b[gid.x] = a[gid.x - 1u] + a[gid.x + 1u] + a[i32(gid.x) - 3];
        }",
    );
    for launch in boxes(GRID, &[160, 160], &[]) {
        check(&shifted, &launch, Fit::Exact, &|ids, touch| {
            let i = ids.gid[0];
            touch.read(0, i.wrapping_sub(1));
            touch.read(0, i + 1);
            touch.read(0, i.wrapping_sub(3));
            touch.write(1, i);
        });
    }
}

#[test]
fn guarded_stencil_on_rows() {
    let stencil = kernel(
        "struct P { w: u32, h: u32 }
        @group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<uniform> p: P;
        @compute @workgroup_size(8, 2) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let x = id.x; let y = id.y;
            if (x >= p.w || y >= p.h) { return; }
            var sum = a[y * p.w + x];
            if (x > 0u) { sum += a[y * p.w + x - 1u]; }
            if (y > 0u) { sum += a[(y - 1u) * p.w + x]; }
            if (x + 1u < p.w) { sum += a[y * p.w + x + 1u]; }
            if (y + 1u < p.h) { sum += a[(y + 1u) * p.w + x]; }
            b[y * p.w + x] = sum;
        }",
    );
    let (w, h) = (30, 11);
    for launch in boxes(
        [4, 6, 1],
        &[w * h * 4, w * h * 4],
        &[words(&[w as u32, h as u32])],
    ) {
        let (w, h) = (w as u32, h as u32);
        check(&stencil, &launch, Fit::Hull, &|ids, touch| {
            let [x, y, _] = ids.gid;
            if x >= w || y >= h {
                return;
            }
            let i = y * w + x;
            touch.read(0, i);
            if x > 0 {
                touch.read(0, i - 1);
            }
            if y > 0 {
                touch.read(0, i - w);
            }
            if x + 1 < w {
                touch.read(0, i + 1);
            }
            if y + 1 < h {
                touch.read(0, i + w);
            }
            touch.write(1, i);
        });
    }
}

#[test]
fn clamped_stencil() {
    let blur = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<uniform> w: u32;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let x = id.x;
            if (!(x < w)) { return; }
            let left = max(x, 1u) - 1u;
            let right = min(x + 1u, w - 1u);
            let far = clamp(i32(x) - 5, 0, i32(w) - 1);
            b[x] = a[left] + a[x] + a[right] + a[far];
        }",
    );
    for launch in boxes(GRID, &[200, 200], &[words(&[50])]) {
        check(&blur, &launch, Fit::Exact, &|ids, touch| {
            let x = ids.gid[0];
            if x < 50 {
                for i in x.saturating_sub(1)..=(x + 1).min(49) {
                    touch.read(0, i);
                }
                touch.read(0, x.saturating_sub(5));
                touch.write(1, x);
            }
        });
    }
}

#[test]
fn linear_index_taken_apart() {
    let transpose = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<storage, read_write> column: array<f32>;
        @group(0) @binding(3) var<storage, read_write> row: array<f32>;
        @group(0) @binding(4) var<uniform> w: u32;
        @compute @workgroup_size(10) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = id.x;
            if (i >= arrayLength(&a)) { return; }
            let x = i % w;
            let y = i / w;
            b[y * w + x] = a[i];
            column[x] = 1.0;
            row[y] = 1.0;
        }",
    );
    for launch in boxes(GRID, &[260, 260, 80, 80], &[words(&[20])]) {
        check(&transpose, &launch, Fit::Hull, &|ids, touch| {
            let i = ids.gid[0];
            if i < 65 {
                touch.read(0, i);
                touch.write(1, i);
                touch.write(2, i % 20);
                touch.write(3, i / 20);
            }
        });
    }
}

#[test]
fn bounds_in_every_form() {
    let forms = [
        "if (i < n) { f(i); }",
        "if (n > i) { f(i); }",
        "if (!(i >= n)) { f(i); }",
        "if (i + 1u <= n) { f(i); }",
        "let inside = i < n && id.y == 0u; if (inside) { f(i); }",
        "var ok = i < n; if (ok) { f(i); }",
        "let outside = i >= n || id.y > 0u; if (outside) { return; } f(i);",
        "if (any(id >= vec3(n, 1u, 1u))) { return; } f(id.x);",
        "if (all(id.xy < vec2(n, 1u))) { f(id.x); }",
        "if (i32(i) < i32(n)) { f(i); }",
        "if (i * 4u < n * 4u) { f(i); }",
        "var k = i; if (k >= n) { return; } f(k);",
        "var k = i; if (k >= n) { return; } f(i);",
        "if (i < n) { if (i < 3u) { f(i); } else { f(i); } }",
        "let m = min(n, arrayLength(&a)); if (i >= m) { return; } f(i);",
        "f(select(n, i, i < n));",
        "switch (u32(i < n)) { case 1u: { f(i); } default: {} }",
        "let p = id.xy; if (p.x < n) { f(p.x); }",
        "var p = id.xy; if (p.x < n && p.y < 1u) { f(p.x); }",
        "loop { if (i >= n) { break; } f(i); break; }",
        "if ((i < n) & (id.y < 1u)) { f(i); }",
        "if (i < n && a[i] > 0.0) { f(i); }",
        "if (!check(i)) { return; } f(i);",
    ];
    // What a function tests is not known to its caller.
    let loose = [22];
    for (number, form) in forms.into_iter().enumerate() {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
            @group(0) @binding(1) var<uniform> n: u32;
            fn f(i: u32) {{ a[i] = 1.0; }}
            fn check(i: u32) -> bool {{ return i < n; }}
            @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                let i = id.x;
                {form}
            }}"
        );
        let kernel = kernel(&source);
        let reads = form.contains("a[i]");
        for launch in boxes(GRID, &[400], &[words(&[77])]) {
            let fit = if loose.contains(&number) {
                Fit::Contains
            } else {
                Fit::Exact
            };
            println!("{form}");
            check(&kernel, &launch, fit, &|ids, touch| {
                if ids.gid[0] < 77 {
                    touch.write(0, ids.gid[0]);
                    if reads {
                        touch.read(0, ids.gid[0]);
                    }
                } else if form.contains("select") {
                    touch.write(0, 77);
                }
            });
        }
    }
}

#[test]
fn workgroup_and_local_ids_add_up() {
    let reduce = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> partial: array<f32>;
        var<workgroup> tile: array<f32, 32>;
        struct In { @builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>,
                    @builtin(local_invocation_index) k: u32 }
        @compute @workgroup_size(16, 2) fn main(in: In) {
            tile[in.k] = a[in.w.x * 32u + in.k] + a[in.w.x * 32u + in.l.y * 16u + in.l.x];
            workgroupBarrier();
            for (var s = 16u; s > 0u; s >>= 1u) {
                if (in.k < s) { tile[in.k] += tile[in.k + s]; }
                workgroupBarrier();
            }
            if (in.k == 0u) { partial[in.w.x] = tile[0]; }
        }",
    );
    for launch in boxes(GRID, &[4 * 200, 4 * 7], &[]) {
        check(&reduce, &launch, Fit::Exact, &|ids, touch| {
            touch.read(0, ids.wid[0] * 32 + ids.index);
            if ids.index == 0 {
                touch.write(1, ids.wid[0]);
            }
        });
    }
}

#[test]
fn helpers_structs_and_pointers() {
    let kernel = kernel(
        "struct Particle { pos: vec3<f32>, mass: f32, id: u32 }
        struct Cursor { at: u32, step: u32 }
        @group(0) @binding(0) var<storage, read_write> ps: array<Particle>;
        @group(0) @binding(1) var<storage, read_write> m: array<mat3x2<f32>>;
        var<private> origin: u32 = 2u;
        fn advance(c: ptr<function, Cursor>) -> u32 { (*c).at += (*c).step; return (*c).at; }
        fn cell(x: u32) -> u32 { if (x > 5u) { return x - 5u; } return x + origin; }
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            origin = 3u;
            var c = Cursor(id.x, 2u);
            let here = advance(&c);
            let p = &ps[here];
            (*p).mass = 1.0;
            (*p).pos.y = 2.0;
            m[cell(c.at)][1] = vec2(1.0);
        }",
    );
    for launch in boxes([3, 1, 1], &[32 * 20, 24 * 30], &[]) {
        check(&kernel, &launch, Fit::Hull, &|ids, touch| {
            let here = u64::from(ids.gid[0] + 2);
            touch.write_bytes(0, 32 * here + 4, 4);
            touch.write_bytes(0, 32 * here + 12, 4);
            let cell = if here > 5 { here - 5 } else { here + 3 };
            touch.write_bytes(1, 24 * cell + 8, 8);
        });
    }
}

#[test]
fn constants_and_uniform_arrays() {
    let kernel = kernel(
        "struct P { shape: vec4<u32>, offsets: array<vec4<i32>, 3> }
        const SHIFT = array<i32, 3>(-2, 0, 4);
        @group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<uniform> p: P;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let base = i32(dot(id, vec3(p.shape.x, p.shape.y, p.shape.z)));
            let lo = base + SHIFT[0];
            let hi = base + SHIFT[2];
            b[id.x] = a[lo] + a[base] + a[hi] + a[base + p.offsets[1].y] + a[1u << (id.x & 1u)];
        }",
    );
    let mut uniform = vec![0_u32; 16];
    uniform[..3].copy_from_slice(&[3, 7, 1]);
    uniform[9] = (-4_i32) as u32;
    for launch in boxes([3, 1, 1], &[4 * 100, 4 * 10], &[words(&uniform)]) {
        check(&kernel, &launch, Fit::Contains, &|ids, touch| {
            let base = ids.gid[0] * 3;
            for i in [
                base.wrapping_sub(2),
                base,
                base + 4,
                base.wrapping_sub(4),
                1 << (ids.gid[0] & 1),
            ] {
                touch.read(0, i);
            }
            touch.write(1, ids.gid[0]);
        });
    }
    let found = kernel.footprint(&Launch {
        start: [1, 0, 0],
        count: [1, 1, 1],
        grid: [3, 1, 1],
        lens: vec![400, 40],
        uniforms: vec![words(&uniform)],
    });
    // base is 12..=21: from 12 - 4 to 21 + 4, and words 1 and 2.
    assert_eq!(found[0].reads, Footprint::Ranges(vec![4..12, 32..104]));
}

#[test]
fn bits_make_addresses() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = id.x;
            a[i >> 2u] |= 1u << ((i & 3u) * 8u);
            b[(i & ~3u) | (3u - (i & 3u))] = 1u;
        }",
    );
    for launch in boxes(GRID, &[4 * 40, 4 * 128], &[]) {
        check(&kernel, &launch, Fit::Contains, &|ids, touch| {
            let i = ids.gid[0];
            touch.update(0, i >> 2);
            touch.write(1, (i & !3) | (3 - (i & 3)));
        });
        let found = kernel.footprint(&launch);
        let first = u64::from(launch.start[0]) * 16;
        let last = first + u64::from(launch.count[0]) * 16 - 1;
        assert_eq!(
            found[0].writes,
            Footprint::Ranges(vec![first..(last + 1)]),
            "four invocations share a word"
        );
    }
}

#[test]
fn a_switch_on_a_uniform_takes_one_case() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @group(0) @binding(2) var<storage, read_write> c: array<u32>;
        @group(0) @binding(3) var<uniform> mode: u32;
        @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var at = id.x;
            switch mode {
                case 0u: { a[at] = 1u; }
                case 1u, 2u: { if (id.x > 20u) { break; } at += 5u; b[at] = 1u; }
                default: { c[at] = 1u; return; }
            }
            a[at + 1u] = 2u;
        }",
    );
    for mode in 0..4 {
        let lens = [4 * 120; 3];
        for launch in boxes(GRID, &lens, &[words(&[mode])]) {
            check(&kernel, &launch, Fit::Contains, &|ids, touch| {
                let mut at = ids.gid[0];
                match mode {
                    0 => touch.write(0, at),
                    1 | 2 => {
                        if at <= 20 {
                            at += 5;
                            touch.write(1, at);
                        }
                    }
                    _ => return touch.write(2, at),
                }
                touch.write(0, at + 1);
            });
            let found = kernel.footprint(&launch);
            let used: Vec<bool> = found.iter().map(|b| !b.writes.is_empty()).collect();
            match mode {
                0 => assert_eq!(used, [true, false, false]),
                3 => assert_eq!(used, [false, false, true]),
                _ => assert!(!used[2]),
            }
        }
    }
}

#[test]
fn sixty_four_bit_and_signed_arithmetic() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let centre = i32(id.x) - 30;
            a[abs(centre)] = 1u;
            a[u32(-centre + 40)] = 1u;
            a[(centre * centre) / 10] = 1u;
            a[u32(u64(id.x) * 4294967296lu / 4294967296lu)] = 2u;
        }",
    );
    for launch in boxes(GRID, &[4 * 120], &[]) {
        check(&kernel, &launch, Fit::Contains, &|ids, touch| {
            let centre = ids.gid[0] as i32 - 30;
            touch.write(0, centre.unsigned_abs());
            touch.write(0, (40 - centre) as u32);
            touch.write(0, (centre * centre / 10) as u32);
            touch.write(0, ids.gid[0]);
        });
    }
}

#[test]
fn atomics_read_and_write() {
    let histogram = kernel(
        "@group(0) @binding(0) var<storage, read> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>>;
        @group(0) @binding(2) var<storage, read_write> total: atomic<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if (id.x >= arrayLength(&data)) { return; }
            atomicAdd(&bins[data[id.x] & 15u], 1u);
            atomicMax(&total, id.x);
        }",
    );
    let launch = Launch {
        start: [0; 3],
        count: [4, 1, 1],
        grid: [4, 1, 1],
        lens: vec![100, 4 * 64, 4],
        uniforms: Vec::new(),
    };
    let found = histogram.footprint(&launch);
    assert_eq!(found[0].reads, Footprint::Ranges(vec![0..100]));
    assert!(found[0].writes.is_empty());
    assert_eq!(found[1].reads, Footprint::Ranges(vec![0..64]));
    assert_eq!(found[1].writes, Footprint::Ranges(vec![0..64]));
    assert!(found[1].scattered && !found[0].scattered);
    assert_eq!(found[2].writes, Footprint::Ranges(vec![0..4]));
    let uses = histogram.analysis.uses();
    assert!(uses[0].reads && !uses[0].writes && !uses[0].atomics);
    assert!(uses[1].reads && uses[1].writes && uses[1].atomics);
}
