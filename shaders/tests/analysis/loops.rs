//! Footprints of kernels with loops.

use super::common::{Fit, boxes, check, kernel, words};

const GRID: [u32; 3] = [5, 1, 1];

#[test]
fn rows_of_a_matrix() {
    let sources = [
        "for (var k = 0u; k < K; k++) { sum += a[row * K + k]; }",
        "for (var k = 0u; k < K; k += 1u) { sum += a[row * K + k]; }",
        "var k = 0u; while (k < K) { sum += a[row * K + k]; k = k + 1u; }",
        "var k = 0u; loop { if (k >= K) { break; } sum += a[row * K + k]; continuing { k++; } }",
        "var k = 0u; loop { sum += a[row * K + k]; k++; if (k == K) { break; } }",
        "var k = 0u; loop { sum += a[row * K + k]; continuing { k++; break if k >= K; } }",
        "for (var k = i32(K) - 1; k >= 0; k--) { sum += a[row * K + u32(k)]; }",
        "for (var k = K; k > 0u; k--) { sum += a[row * K + k - 1u]; }",
        "for (var k = K - 1u; k < K; k--) { sum += a[row * K + k]; }",
        "for (var k = 0u; k < K; k++) { if (k % 2u == 0u) { continue; } sum += a[row * K + k]; } sum += a[row * K];",
        "let end = row * K + K; for (var k = row * K; k < end; k++) { sum += a[k]; }",
        "for (var k = 0; k < i32(K); k++) { sum += a[i32(row * K) + k]; }",
        "for (var k = 0u; k != K; k++) { if (k < K) { sum += a[row * K + k]; } }",
        "sum += total(row);",
        "var c = Walk(row * K, K); for (; c.left > 0u; c.left--) { sum += a[c.at + c.left - 1u]; }",
    ];
    for source in sources {
        println!("{source}");
        let gemv = kernel(&format!(
            "struct Walk {{ at: u32, left: u32 }}
            @group(0) @binding(0) var<storage, read> a: array<f32>;
            @group(0) @binding(1) var<storage, read_write> y: array<f32>;
            @group(0) @binding(2) var<uniform> K: u32;
            fn total(row: u32) -> f32 {{
                var sum = 0.0;
                for (var k = 0u; k < K; k++) {{ sum += a[row * K + k]; }}
                return sum;
            }}
            @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                let row = id.x;
                if (row >= arrayLength(&y)) {{ return; }}
                var sum = 0.0;
                {source}
                y[row] = sum;
            }}"
        ));
        for launch in boxes(GRID, &[4 * 18 * 9, 4 * 18], &[words(&[9])]) {
            check(&gemv, &launch, Fit::Exact, &|ids, touch| {
                let row = ids.gid[0];
                if row < 18 {
                    for k in 0..9 {
                        touch.read(0, row * 9 + k);
                    }
                    touch.write(1, row);
                }
            });
        }
    }
}

#[test]
fn grid_strided_loop() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<uniform> n: u32;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>,
                @builtin(num_workgroups) nwg: vec3<u32>) {
            for (var i = gid.x; i < n; i += nwg.x * 4u) { b[i] = a[i]; }
        }",
    );
    for launch in boxes(GRID, &[4 * 90, 4 * 90], &[words(&[90])]) {
        let whole = launch.count == GRID;
        check(
            &kernel,
            &launch,
            if whole { Fit::Exact } else { Fit::Contains },
            &|ids, touch| {
                for i in (ids.gid[0]..90).step_by(20) {
                    touch.read(0, i);
                    touch.write(1, i);
                }
            },
        );
        let found = kernel.footprint(&launch);
        let first = u64::from(launch.start[0]) * 16;
        assert_eq!(
            found[0].reads,
            gmem_shaders::Footprint::Ranges(vec![first..360]),
            "from the first id on"
        );
    }
}

#[test]
fn tiled_gemm() {
    let gemm = kernel(
        "struct P { m: u32, n: u32, k: u32 }
        @group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read> b: array<f32>;
        @group(0) @binding(2) var<storage, read_write> c: array<f32>;
        @group(0) @binding(3) var<uniform> p: P;
        var<workgroup> ta: array<array<f32, 4>, 4>;
        var<workgroup> tb: array<array<f32, 4>, 4>;
        @compute @workgroup_size(4, 4) fn main(@builtin(workgroup_id) wid: vec3<u32>,
                @builtin(local_invocation_id) lid: vec3<u32>) {
            let row = wid.y * 4u + lid.y;
            let col = wid.x * 4u + lid.x;
            var acc = 0.0;
            let tiles = (p.k + 3u) / 4u;
            for (var t = 0u; t < tiles; t++) {
                let ka = t * 4u + lid.x;
                let kb = t * 4u + lid.y;
                ta[lid.y][lid.x] = 0.0;
                tb[lid.y][lid.x] = 0.0;
                if (row < p.m && ka < p.k) { ta[lid.y][lid.x] = a[row * p.k + ka]; }
                if (kb < p.k && col < p.n) { tb[lid.y][lid.x] = b[kb * p.n + col]; }
                workgroupBarrier();
                for (var k = 0u; k < 4u; k++) { acc += ta[lid.y][k] * tb[k][lid.x]; }
                workgroupBarrier();
            }
            if (row < p.m && col < p.n) { c[row * p.n + col] = acc; }
        }",
    );
    let (m, n, k) = (11_u32, 14, 10);
    let lens = [
        u64::from(m * k) * 4,
        u64::from(k * n) * 4,
        u64::from(m * n) * 4,
    ];
    for launch in boxes([4, 3, 1], &lens, &[words(&[m, n, k])]) {
        check(&gemm, &launch, Fit::Hull, &|ids, touch| {
            let [col, row, _] = ids.gid;
            for t in 0..k.div_ceil(4) {
                let (ka, kb) = (t * 4 + ids.lid[0], t * 4 + ids.lid[1]);
                if row < m && ka < k {
                    touch.read(0, row * k + ka);
                }
                if kb < k && col < n {
                    touch.read(1, kb * n + col);
                }
            }
            if row < m && col < n {
                touch.write(2, row * n + col);
            }
        });
    }
    assert!(gemm.feeding().is_empty());
    gemm.probeable().unwrap();
}

#[test]
fn convolution_with_four_loops() {
    let conv = kernel(
        "struct P { c: i32, h: i32, w: i32, r: i32 }
        @group(0) @binding(0) var<storage, read> image: array<f32>;
        @group(0) @binding(1) var<storage, read> taps: array<f32>;
        @group(0) @binding(2) var<storage, read_write> out: array<f32>;
        @group(0) @binding(3) var<uniform> p: P;
        @compute @workgroup_size(4, 4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let x = i32(gid.x); let y = i32(gid.y); let f = i32(gid.z);
            if (x >= p.w || y >= p.h) { return; }
            var acc = 0.0;
            for (var c = 0; c < p.c; c++) {
                for (var dy = -p.r; dy <= p.r; dy++) {
                    let sy = y + dy;
                    if (sy < 0 || sy >= p.h) { continue; }
                    for (var dx = -p.r; dx <= p.r; dx++) {
                        let sx = x + dx;
                        if (sx >= 0 && sx < p.w) {
                            let tap = ((f * p.c + c) * (2 * p.r + 1) + dy + p.r) * (2 * p.r + 1) + dx + p.r;
                            acc += image[(c * p.h + sy) * p.w + sx] * taps[tap];
                        }
                    }
                }
            }
            out[(f * p.h + y) * p.w + x] = acc;
        }",
    );
    let (c, h, w, r) = (2_i32, 9_i32, 10_i32, 1_i32);
    let lens = [c * h * w, 3 * c * 9, 3 * h * w].map(|words| words as u64 * 4);
    let uniform = words(&[c as u32, h as u32, w as u32, r as u32]);
    for launch in boxes([3, 3, 3], &lens, &[uniform]) {
        // At a corner whole rows of taps fall away, which intervals do not tell from others.
        let fit = if launch.count[0] == 1 {
            Fit::Contains
        } else {
            Fit::Hull
        };
        check(&conv, &launch, fit, &|ids, touch| {
            let [x, y, f] = ids.gid.map(|id| id as i32);
            if x >= w || y >= h {
                return;
            }
            for c_ in 0..c {
                for dy in -r..=r {
                    for dx in -r..=r {
                        let (sx, sy) = (x + dx, y + dy);
                        if sx >= 0 && sx < w && sy >= 0 && sy < h {
                            touch.read(0, ((c_ * h + sy) * w + sx) as u32);
                            let tap = ((f * c + c_) * 3 + dy + r) * 3 + dx + r;
                            touch.read(1, tap as u32);
                        }
                    }
                }
            }
            touch.write(2, ((f * h + y) * w + x) as u32);
        });
    }
}

#[test]
fn butterflies() {
    let fft = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<vec2<f32>>;
        @group(0) @binding(1) var<storage, read_write> b: array<vec2<f32>>;
        @group(0) @binding(2) var<uniform> half: u32;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let n = arrayLength(&a);
            let i = gid.x;
            if (i >= n / 2u) { return; }
            let k = i & (half - 1u);
            let even = a[i];
            let odd = a[i + n / 2u];
            let j = ((i - k) << 1u) + k;
            b[j] = even + odd;
            b[j + half] = even - odd;
        }",
    );
    for half in [1_u32, 4, 16] {
        for launch in boxes([4, 1, 1], &[8 * 32, 8 * 32], &[words(&[half])]) {
            check(&fft, &launch, Fit::Contains, &|ids, touch| {
                let i = u64::from(ids.gid[0]);
                if i < 16 {
                    let half = u64::from(half);
                    let k = i & (half - 1);
                    touch.read_bytes(0, 8 * i, 8);
                    touch.read_bytes(0, 8 * (i + 16), 8);
                    let j = ((i - k) << 1) + k;
                    touch.write_bytes(1, 8 * j, 8);
                    touch.write_bytes(1, 8 * (j + half), 8);
                }
            });
        }
    }
}

#[test]
fn binary_search_stays_inside() {
    let search = kernel(
        "@group(0) @binding(0) var<storage, read> keys: array<u32>;
        @group(0) @binding(1) var<storage, read> wanted: array<u32>;
        @group(0) @binding(2) var<storage, read_write> found: array<u32>;
        @group(0) @binding(3) var<uniform> n: u32;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let x = wanted[gid.x];
            var lo = 0u;
            var hi = n;
            while (lo < hi) {
                let mid = (lo + hi) / 2u;
                if (keys[mid] < x) { lo = mid + 1u; } else { hi = mid; }
            }
            found[gid.x] = lo;
        }",
    );
    for launch in boxes(GRID, &[4 * 100, 80, 80], &[words(&[60])]) {
        let found = check(&search, &launch, Fit::Contains, &|ids, touch| {
            for i in 0..60 {
                touch.read(0, i);
            }
            touch.read(1, ids.gid[0]);
            touch.write(2, ids.gid[0]);
        });
        assert_eq!(
            found[0].reads,
            gmem_shaders::Footprint::Ranges(vec![0..240]),
            "never beyond n"
        );
    }
    assert_eq!(search.feeding(), ["keys", "wanted"]);
    search.probeable().unwrap();
}

#[test]
fn double_buffers_and_doubling_strides() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<uniform> n: u32;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            var side = 0u;
            var sums = array<u32, 4>(0u, 1u, 2u, 3u);
            for (var d = 1u; d < n; d *= 2u) {
                if (gid.x + d < n) { a[side * 64u + gid.x + d] = 1u; }
                side = 1u - side;
                sums[d & 3u] = side + 1u;
            }
            a[128u + sums[gid.x & 3u]] = 1u;
        }",
    );
    for launch in boxes(GRID, &[4 * 140], &[words(&[40])]) {
        check(&kernel, &launch, Fit::Contains, &|ids, touch| {
            let (mut side, mut d) = (0, 1);
            let mut sums = [0, 1, 2, 3];
            while d < 40 {
                if ids.gid[0] + d < 40 {
                    touch.write(0, side * 64 + ids.gid[0] + d);
                }
                side = 1 - side;
                sums[(d & 3) as usize] = side + 1;
                d *= 2;
            }
            touch.write(0, 128 + sums[(ids.gid[0] & 3) as usize]);
        });
        let found = kernel.footprint(&launch);
        let gmem_shaders::Footprint::Ranges(ranges) = &found[0].writes else {
            panic!("the loop is bounded");
        };
        assert_eq!(ranges.last(), Some(&(512..528)), "sums lie in 0..=3");
    }
}

#[test]
fn loops_that_never_run_touch_nothing() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @group(0) @binding(2) var<uniform> n: u32;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            for (var i = 0u; i < n; i++) { a[i] = 1u; }
            if (n > 5u) { b[gid.x] = 1u; }
            if (gid.x > 1000u) { b[0] = 1u; }
        }",
    );
    for launch in boxes(GRID, &[80, 80], &[words(&[0])]) {
        check(&kernel, &launch, Fit::Exact, &|_, _| {});
    }
}

#[test]
fn what_a_state_is_compared_with_does_not_slow_other_loops_down() {
    let phases: String = (0..30)
        .map(|p| {
            format!(
                "if phase == {}u {{ st[1] = {}u; continue; }}\n",
                p * 3,
                p * 5
            )
        })
        .collect();
    let machine = kernel(&format!(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        @group(0) @binding(2) var<uniform> K: u32;
        var<private> st: array<u32, 20>;
        @compute @workgroup_size(4) fn main() {{
            for (var k = 0u; k < K; k++) {{
                st[2] = a[k];
                for (var i = 0u; i < 128u; i++) {{
                    let phase = st[1];
                    {phases}
                }}
            }}
            for (var w = 0u; w < 20u; w++) {{ y[w] = st[w]; }}
        }}"
    ));
    for launch in boxes(GRID, &[4 * 18 * 9, 4 * 40], &[words(&[9])]) {
        check(&machine, &launch, Fit::Exact, &|_, touch| {
            (0..9).for_each(|k| touch.read(0, k));
            (0..20).for_each(|w| touch.write(1, w));
        });
    }
}
