//! Elements, what kernels do with them, and the same on the host.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// An element type, what a kernel does with an element `e` and its invocation's number `i`, and the same on the host.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) declaration: &'static str,
    pub(super) element: &'static str,
    pub(super) stride: u64,
    /// Gives `got`, of zeroes zero, and may change `far[j]`.
    pub(super) act: &'static str,
    pub(super) host: fn(&mut [u32], u32) -> u32,
}

pub(super) const KINDS: [Kind; 7] = [
    Kind {
        name: "words",
        declaration: "",
        element: "u32",
        stride: 4,
        act: "let got = far[j]; far[j] = got * 3u + i;",
        host: |e, i| {
            let got = e[0];
            e[0] = got.wrapping_mul(3).wrapping_add(i);
            got
        },
    },
    Kind {
        name: "atomics",
        declaration: "",
        element: "atomic<i32>",
        stride: 4,
        act: "let got = bitcast<u32>(atomicAdd(&far[j], 5)); atomicMax(&far[j], i32(i));",
        host: |e, i| {
            let got = e[0];
            e[0] = (got.wrapping_add(5) as i32).max(i as i32) as u32;
            got
        },
    },
    Kind {
        name: "vectors",
        declaration: "",
        element: "vec4<u32>",
        stride: 16,
        act: "let v = far[j]; far[j] = v.wzyx + i; let got = v.x ^ v.y ^ v.z ^ v.w;",
        host: |e, i| {
            let got = e[0] ^ e[1] ^ e[2] ^ e[3];
            e.reverse();
            e.iter_mut().for_each(|x| *x = x.wrapping_add(i));
            got
        },
    },
    Kind {
        name: "components",
        declaration: "",
        element: "vec2<u32>",
        stride: 8,
        act: "let got = far[j].y; far[j][i % 2u] = got + i;",
        host: |e, i| {
            let got = e[1];
            e[i as usize % 2] = got.wrapping_add(i);
            got
        },
    },
    Kind {
        name: "triples",
        declaration: "struct Triple { a: u32, b: u32, c: u32 }",
        element: "Triple",
        stride: 12,
        act: "var t = far[j]; let got = t.a ^ t.b ^ t.c; t.b += t.a; t.a = i; far[j] = t;",
        host: |e, i| {
            let got = e[0] ^ e[1] ^ e[2];
            e[1] = e[1].wrapping_add(e[0]);
            e[0] = i;
            got
        },
    },
    Kind {
        name: "records",
        declaration: "struct Record { head: vec2<u32>, rows: array<mat2x2<f32>, 9>, tail: array<u32, 22> }",
        element: "Record",
        stride: 240,
        act: "let k = i % 22u; let got = far[j].tail[k] ^ far[j].head.y; far[j].tail[21u - k] = got + i;
        far[j].rows[i % 9u][1] = vec2<f32>(0.5, f32(i));",
        host: |e, i| {
            let k = i as usize % 22;
            let got = e[38 + k] ^ e[1];
            e[38 + 21 - k] = got.wrapping_add(i);
            e[2 + 4 * (i as usize % 9) + 2] = 0.5f32.to_bits();
            e[2 + 4 * (i as usize % 9) + 3] = (i as f32).to_bits();
            got
        },
    },
    // Half a megabyte each, and no power of two.
    Kind {
        name: "giants",
        declaration: "",
        element: "array<array<u32, 3>, 50000>",
        stride: 600_000,
        act: "let k = 49999u - i; let got = far[j][k][i % 3u]; far[j][i * 7u][2] = got + i;",
        host: |e, i| {
            let k = 49_999 - i as usize;
            let got = e[3 * k + i as usize % 3];
            e[3 * 7 * i as usize + 2] = got.wrapping_add(i);
            got
        },
    },
];

impl Kind {
    pub(super) fn source(&self) -> String {
        let mut s = format!("{}\n", self.declaration);
        let _ = writeln!(
            s,
            "@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> far: array<{}>;
@group(0) @binding(2) var<storage, read_write> results: array<u32>;
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x;
    if i == 0u {{ results[arrayLength(&results) - 1u] = arrayLength(&far); }}
    if i >= arrayLength(&at) {{ return; }}
    let j = at[i];
    {}
    results[i] = got;
}}",
            self.element, self.act
        );
        s
    }

    /// Indices around each end of a number of bits, and behind the end of the binding.
    pub(super) fn indices(&self, bytes: u64) -> Vec<u32> {
        let elements = bytes / self.stride;
        let ends = [31, 32, 33, 34, 35].map(|bits| (1_u64 << bits) / self.stride);
        let counts = [(1 << 31), (1 << 30), (1 << 28), elements, elements / 2, 1];
        let near = |at: u64| [at.wrapping_sub(1), at, at.wrapping_add(1)];
        let mut out: BTreeSet<u32> = (ends.into_iter().chain(counts))
            .flat_map(near)
            .filter_map(|index| u32::try_from(index).ok())
            .collect();
        out.insert(u32::MAX);
        out.into_iter().collect()
    }
}
