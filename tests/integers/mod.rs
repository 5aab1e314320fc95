//! Kernels over integers, in WGSL and in Rust: the Rust form runs a workgroup over flat vectors and notes the pages it touches.
//! Integers wrap and have one right answer, so both forms agree to the bit.

pub mod memory;

use std::collections::BTreeSet;

/// Invocations in a workgroup of any of them.
pub const GROUP: u64 = 64;

/// The uniform of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// Invocations that do anything.
    pub n: u32,
    /// The first invocation's element.
    pub start: u32,
    /// Elements from one invocation's to the next one's: at least 1, so that no two write the same.
    pub stride: u32,
    pub salt: u32,
    /// What loaded addresses are taken modulo of.
    pub modulo: u32,
    /// The first element read, and the distance to the next.
    pub from: u32,
    pub step: u32,
    /// Loads that depend on each other.
    pub depth: u32,
}

impl Args {
    pub const fn words(self) -> [u32; 8] {
        [
            self.n,
            self.start,
            self.stride,
            self.salt,
            self.modulo,
            self.from,
            self.step,
            self.depth,
        ]
    }
}

const HEADER: &str = "
struct Args { n: u32, start: u32, stride: u32, salt: u32, modulo: u32, origin: u32, step: u32, depth: u32 }
@group(1) @binding(3) var<uniform> p: Args;
";

const ENTRY: &str = "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.n { return; }
    let k = p.start + i * p.stride;
";

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// c = a + b + salt.
    Add,
    /// Reads through an index vector: the footprint depends on data.
    Gather,
    /// x = 5 x + salt, in place.
    Bump,
    /// Counts in atomic bins that data chooses.
    Histogram,
    /// Copies with strides of their own on both sides.
    Stride,
    /// Whole vectors of four words.
    Quads,
    /// Follows links: the footprint is found level by level.
    Chase,
    /// Reads where it has just written to say: nobody knows what it touches before it runs.
    Cursor,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Add,
        Self::Gather,
        Self::Bump,
        Self::Histogram,
        Self::Stride,
        Self::Quads,
        Self::Chase,
        Self::Cursor,
    ];

    /// Its storage bindings, and whether it writes them.
    pub const fn bindings(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Add => &[("a", false), ("b", false), ("c", true)],
            Self::Gather => &[("indices", false), ("src", false), ("dst", true)],
            Self::Bump => &[("x", true)],
            Self::Histogram => &[("data", false), ("bins", true)],
            Self::Stride | Self::Quads => &[("src", false), ("dst", true)],
            Self::Chase => &[("next", false), ("dst", true)],
            Self::Cursor => &[("src", false), ("cursor", true), ("dst", true)],
        }
    }

    /// Words in one of its elements.
    pub const fn width(self) -> u64 {
        if matches!(self, Self::Quads) { 4 } else { 1 }
    }

    pub fn source(self) -> String {
        let body = match self {
            Self::Add => "c[k] = a[k] + b[k] + p.salt;",
            Self::Gather => "dst[k] = src[p.origin + indices[k] % p.modulo] ^ p.salt;",
            Self::Bump => "x[k] = x[k] * 5u + p.salt;",
            Self::Histogram => "atomicAdd(&bins[p.origin + data[k] % p.modulo], p.salt);",
            Self::Stride => "dst[k] = src[p.origin + i * p.step];",
            Self::Quads => "dst[k] = src[k].wzyx * p.salt + vec4<u32>(i, k, 3u, 4u);",
            Self::Chase => {
                "var at = p.origin + i;
                 for (var level = 0u; level < p.depth; level++) { at = next[at % p.modulo]; }
                 dst[k] = at + p.salt;"
            }
            Self::Cursor => {
                "cursor[k] = cursor[k] * 5u + p.salt;
                 // Modulo, in a way that says nothing of its range.
                 let c = cursor[k];
                 dst[k] = src[c - c / p.modulo * p.modulo];"
            }
        };
        let mut source = HEADER.to_owned();
        for (number, &(name, writes)) in self.bindings().iter().enumerate() {
            let (access, element) = match (writes, self) {
                (true, Self::Histogram) => ("read_write", "atomic<u32>"),
                (true, Self::Quads) => ("read_write", "vec4<u32>"),
                (false, Self::Quads) => ("read", "vec4<u32>"),
                (true, _) => ("read_write", "u32"),
                (false, _) => ("read", "u32"),
            };
            source += &format!(
                "@group(0) @binding({number}) var<storage, {access}> {name}: array<{element}>;\n"
            );
        }
        format!("{source}{ENTRY}    {body}\n}}\n")
    }
}

/// What is bound to a kernel, as flat words.
pub struct Flat {
    /// The words of each binding.
    pub words: Vec<Vec<u32>>,
    /// The address of each binding.
    pub at: Vec<u64>,
    /// Bytes in a page.
    pub page: u64,
    /// Pages touched so far.
    pub touched: BTreeSet<u64>,
}

impl Flat {
    fn touch(&mut self, binding: usize, word: u32) -> bool {
        let inside = (word as usize) < self.words[binding].len();
        if inside {
            let byte = self.at[binding] + u64::from(word) * 4;
            self.touched.insert(byte / self.page);
        }
        inside
    }

    /// Out of bounds it is zero.
    fn get(&mut self, binding: usize, word: u32) -> u32 {
        if self.touch(binding, word) {
            self.words[binding][word as usize]
        } else {
            0
        }
    }

    /// Out of bounds it is dropped.
    fn put(&mut self, binding: usize, word: u32, value: u32) {
        if self.touch(binding, word) {
            self.words[binding][word as usize] = value;
        }
    }

    /// A whole element of four words: the words past the last whole one are out of bounds.
    fn has_quad(&self, binding: usize, quad: u32) -> bool {
        (quad as usize) < self.words[binding].len() / 4
    }

    /// Runs a workgroup, by its number in row-major order.
    pub fn run(&mut self, kind: Kind, p: Args, workgroup: u64) {
        let first = workgroup * GROUP;
        for i in (first..first + GROUP).map(|i| i as u32) {
            if i >= p.n {
                return;
            }
            let k = p.start.wrapping_add(i.wrapping_mul(p.stride));
            match kind {
                Kind::Add => {
                    let sum = self.get(0, k).wrapping_add(self.get(1, k));
                    self.put(2, k, sum.wrapping_add(p.salt));
                }
                Kind::Gather => {
                    let at = p.from.wrapping_add(self.get(0, k) % p.modulo);
                    let value = self.get(1, at) ^ p.salt;
                    self.put(2, k, value);
                }
                Kind::Bump => {
                    let value = self.get(0, k).wrapping_mul(5).wrapping_add(p.salt);
                    self.put(0, k, value);
                }
                Kind::Histogram => {
                    let bin = p.from.wrapping_add(self.get(0, k) % p.modulo);
                    let count = self.get(1, bin).wrapping_add(p.salt);
                    self.put(1, bin, count);
                }
                Kind::Stride => {
                    let value = self.get(0, p.from.wrapping_add(i.wrapping_mul(p.step)));
                    self.put(1, k, value);
                }
                Kind::Quads => {
                    let mut quad = [0; 4];
                    if self.has_quad(0, k) {
                        quad = [0, 1, 2, 3].map(|c| self.get(0, k * 4 + c));
                    }
                    quad.reverse();
                    if self.has_quad(1, k) {
                        for (c, (q, plus)) in (0..).zip(quad.into_iter().zip([i, k, 3, 4])) {
                            self.put(1, k * 4 + c, q.wrapping_mul(p.salt).wrapping_add(plus));
                        }
                    }
                }
                Kind::Chase => {
                    let mut at = p.from.wrapping_add(i);
                    for _ in 0..p.depth {
                        at = self.get(0, at % p.modulo);
                    }
                    self.put(1, k, at.wrapping_add(p.salt));
                }
                Kind::Cursor => {
                    let next = self.get(1, k).wrapping_mul(5).wrapping_add(p.salt);
                    self.put(1, k, next);
                    // A store out of bounds is dropped, and what is loaded there is zero again.
                    let at = self.get(1, k) % p.modulo;
                    let value = self.get(0, at);
                    self.put(2, k, value);
                }
            }
        }
    }
}
