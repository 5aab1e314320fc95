//! The prelude's declarations, one for each name, and what they are made of.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{FAULTS, FAULTS_KEPT, GROUP, REACH, SPACE};

/// Declarations that reach no memory.
const PURE: [(&str, &str); 12] = [
    ("gm_ptr", "alias gm_ptr = vec2<u32>;"),
    ("gm_null", "const gm_null = vec2<u32>(0u, 0u);"),
    (
        "gm_is_null",
        "fn gm_is_null(p: vec2<u32>) -> bool { return (p.x | p.y) == 0u; }",
    ),
    (
        "gm_equal",
        "fn gm_equal(a: vec2<u32>, b: vec2<u32>) -> bool { return a.x == b.x && a.y == b.y; }",
    ),
    (
        "gm_less",
        "fn gm_less(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }",
    ),
    (
        "gm_add",
        "fn gm_add(p: vec2<u32>, bytes: u32) -> vec2<u32> { let low = p.x + bytes; \
         return vec2<u32>(low, p.y + select(0u, 1u, low < p.x)); }",
    ),
    (
        "gm_sub",
        "fn gm_sub(p: vec2<u32>, bytes: u32) -> vec2<u32> { \
         return vec2<u32>(p.x - bytes, p.y - select(0u, 1u, p.x < bytes)); }",
    ),
    (
        "gm_offset",
        "fn gm_offset(p: vec2<u32>, bytes: i32) -> vec2<u32> { let part = bitcast<u32>(bytes); let low = p.x + part; \
         return vec2<u32>(low, p.y + select(0u, 0xffffffffu, bytes < 0) + select(0u, 1u, low < part)); }",
    ),
    (
        "gm_element",
        "fn gm_element(p: vec2<u32>, index: u32, stride: u32) -> vec2<u32> { \
         let a = index & 0xffffu; let b = index >> 16u; let c = stride & 0xffffu; let d = stride >> 16u; \
         let middle = b * c + ((a * c) >> 16u); let more = (middle & 0xffffu) + a * d; \
         let high = b * d + (middle >> 16u) + (more >> 16u); let low = p.x + index * stride; \
         return vec2<u32>(low, p.y + high + select(0u, 1u, low < p.x)); }",
    ),
    (
        "gm_difference",
        "fn gm_difference(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { \
         return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x)); }",
    ),
    (
        "gm_to_u64",
        "fn gm_to_u64(p: vec2<u32>) -> u64 { return (u64(p.y) << 32u) | u64(p.x); }",
    ),
    (
        "gm_from_u64",
        "fn gm_from_u64(bits: u64) -> vec2<u32> { return vec2<u32>(u32(bits & 0xfffffffflu), u32(bits >> 32u)); }",
    ),
];

/// Types that are loaded and stored: the name, the WGSL type, whether it has two words, how it is made of `low` (and `high`),
/// and how `v` is taken apart.
const LOADED: [(&str, &str, &[&str], &str); 6] = [
    ("u32", "u32", &["v"], "low"),
    ("i32", "i32", &["bitcast<u32>(v)"], "bitcast<i32>(low)"),
    ("f32", "f32", &["bitcast<u32>(v)"], "bitcast<f32>(low)"),
    ("ptr", "vec2<u32>", &["v.x", "v.y"], "vec2<u32>(low, high)"),
    (
        "u64",
        "u64",
        &["u32(v & 0xfffffffflu)", "u32(v >> 32u)"],
        "(u64(high) << 32u) | u64(low)",
    ),
    (
        "i64",
        "i64",
        &[
            "u32(bitcast<u64>(v) & 0xfffffffflu)",
            "u32(bitcast<u64>(v) >> 32u)",
        ],
        "bitcast<i64>((u64(high) << 32u) | u64(low))",
    ),
];

/// Types of atomics: the name, the hidden binding that has it, and its bytes.
const ATOMIC: [(&str, u32, u32); 3] = [("u32", 3, 4), ("i32", 4, 4), ("u64", 5, 8)];

/// Atomics that give what was there: our name and WGSL's.
const CHANGES: [(&str, &str); 8] = [
    ("add", "atomicAdd"),
    ("sub", "atomicSub"),
    ("min", "atomicMin"),
    ("max", "atomicMax"),
    ("and", "atomicAnd"),
    ("or", "atomicOr"),
    ("xor", "atomicXor"),
    ("exchange", "atomicExchange"),
];

/// What an access is, as in a record.
const LOAD: u32 = 1;
const STORE: u32 = 2;
const ATOMICALLY: u32 = 3;

/// Where an access goes: every load, store and atomic asks here first. A range is looked for by halves; a lane that finds none
/// leaves a record and goes nowhere.
const FIND: &str = "
struct gm_hidden_place { page: u32, word: u32, here: bool }
fn gm_hidden_find(p: vec2<u32>, bytes: u32, access: u32) -> gm_hidden_place {
    var low = 0u;
    var high = arrayLength(&gm_reachable_ranges);
    while (high > low + 1u) {
        let middle = low + (high - low) / 2u;
        let first = gm_reachable_ranges[middle].xy;
        if (first.y < p.y || (first.y == p.y && first.x <= p.x)) { low = middle; } else { high = middle; }
    }
    let range = gm_reachable_ranges[low];
    let last = p.x | (bytes - 1u);
    let end = range.w & 0x7fffffffu;
    var fault = 0u;
    if ((p.x & (bytes - 1u)) != 0u) {
        fault = 3u;
    } else if (low == 0u || p.y > end || (p.y == end && last >= range.z)) {
        fault = 1u;
    } else if (access != 1u && (range.w >> 31u) == 0u) {
        fault = 2u;
    }
    if (fault != 0u) {
        gm_hidden_fault(p, access | (fault << 4u) | (bytes << 8u));
        return gm_hidden_place(0u, 0u, false);
    }
    let origin = gm_reachable_ranges[0].xy;
    let offset = p.x - origin.x;
    let above = p.y - origin.y - select(0u, 1u, p.x < origin.x);
    return gm_hidden_place((above << 20u) | (offset >> 12u), (offset >> 2u) & 1023u, true);
}
fn gm_hidden_fault(p: vec2<u32>, what: u32) {
    let line = gm_hidden_line;
    let group = gm_hidden_workgroup;
    var sum = 7u * 31u + p.x;
    sum = sum * 31u + p.y;
    sum = sum * 31u + what;
    sum = sum * 31u + line;
    sum = sum * 31u + group.x;
    sum = sum * 31u + group.y;
    sum = sum * 31u + group.z;
    let slot = ((sum * 0x9e3779b1u) >> 16u) % KEPTu;
    gm_wild_accesses[slot][0] = p.x;
    gm_wild_accesses[slot][1] = p.y;
    gm_wild_accesses[slot][2] = what;
    gm_wild_accesses[slot][3] = line;
    gm_wild_accesses[slot][4] = group.x;
    gm_wild_accesses[slot][5] = group.y;
    gm_wild_accesses[slot][6] = group.z;
    gm_wild_accesses[slot][7] = sum | 1u;
}
";

/// What an access is.
enum Access {
    Load(usize),
    Store(usize),
    /// An operation of [`operations`] on one of [`ATOMIC`].
    Atomic(&'static str, usize),
}

fn operations() -> impl Iterator<Item = &'static str> {
    let changes = CHANGES.iter().map(|change| change.0);
    changes.chain(["load", "store", "compare_exchange"])
}

fn access(name: &str) -> Option<Access> {
    let rest = name.strip_prefix("gm_")?;
    let loaded = |ty: &str| LOADED.iter().position(|l| l.0 == ty);
    if let Some(ty) = rest.strip_prefix("load_") {
        return Some(Access::Load(loaded(ty)?));
    }
    if let Some(ty) = rest.strip_prefix("store_") {
        return Some(Access::Store(loaded(ty)?));
    }
    let (operation, ty) = rest.strip_prefix("atomic_")?.rsplit_once('_')?;
    let operation = operations().find(|o| *o == operation)?;
    Some(Access::Atomic(
        operation,
        ATOMIC.iter().position(|a| a.0 == ty)?,
    ))
}

/// Whether a function of the prelude reaches memory.
pub(super) fn is_access(name: &str) -> bool {
    access(name).is_some()
}

/// Whether the prelude has this name.
pub(super) fn is_known(name: &str) -> bool {
    PURE.iter().any(|(known, _)| *known == name) || is_access(name) || exchanged(name).is_some()
}

/// The type of what a `gm_atomic_compare_exchange_*` gives.
fn exchanged(name: &str) -> Option<usize> {
    let ty = name.strip_prefix("gm_exchanged_")?;
    ATOMIC.iter().position(|a| a.0 == ty)
}

/// Every name.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<String> = PURE.iter().map(|p| p.0.to_owned()).collect();
    for (ty, ..) in LOADED {
        names.extend([format!("gm_load_{ty}"), format!("gm_store_{ty}")]);
    }
    for (ty, ..) in ATOMIC {
        names.push(format!("gm_exchanged_{ty}"));
        names.extend(operations().map(|o| format!("gm_atomic_{o}_{ty}")));
    }
    names.into_iter().map(|name| &*name.leak()).collect()
}

/// Declares names, and what they need.
pub(super) fn declare(names: &BTreeSet<&str>, out: &mut String) {
    let mut needs = Needs::default();
    let mut own = String::new();
    for name in names {
        if let Some((_, text)) = PURE.iter().find(|(known, _)| known == name) {
            own.push_str(text);
            own.push('\n');
        } else if let Some(found) = access(name) {
            needs.of(&found);
            function(name, &found, &mut own);
        } else if let Some(of) = exchanged(name) {
            needs.exchanged.insert(of);
        }
    }
    needs.declare(out);
    out.push_str(&own);
}

/// What some accesses are made of.
#[derive(Default)]
struct Needs {
    space: bool,
    stores: bool,
    atomics: BTreeSet<usize>,
    exchanged: BTreeSet<usize>,
}

impl Needs {
    fn of(&mut self, access: &Access) {
        match *access {
            Access::Load(_) => self.space = true,
            Access::Store(_) => (self.space, self.stores) = (true, true),
            Access::Atomic(operation, of) => {
                self.atomics.insert(of);
                if operation == "compare_exchange" {
                    self.exchanged.insert(of);
                }
            }
        }
    }

    fn declare(&self, out: &mut String) {
        for &of in &self.exchanged {
            let ty = ATOMIC[of].0;
            let _ = writeln!(
                out,
                "struct gm_exchanged_{ty} {{ old_value: {ty}, exchanged: bool }}"
            );
        }
        if !self.space && self.atomics.is_empty() {
            return;
        }
        let mut variable = |binding: u32, mode: &str, name: &str, ty: &str| {
            let _ = writeln!(
                out,
                "@group({GROUP}) @binding({binding}) var<storage, {mode}> {name}: {ty};"
            );
        };
        if self.space {
            let mode = if self.stores { "read_write" } else { "read" };
            variable(SPACE, mode, "gm_reached_memory", "array<array<u32, 1024>>");
        }
        variable(REACH, "read", "gm_reachable_ranges", "array<vec4<u32>>");
        let faults = format!("array<array<u32, 8>, {FAULTS_KEPT}>");
        variable(FAULTS, "read_write", "gm_wild_accesses", &faults);
        for &of in &self.atomics {
            let (ty, binding, bytes) = ATOMIC[of];
            let array = format!("array<array<atomic<{ty}>, {}>>", 4096 / bytes);
            variable(
                binding,
                "read_write",
                &format!("gm_reached_atomics_{ty}"),
                &array,
            );
        }
        out.push_str("var<private> gm_hidden_line: u32;\n");
        out.push_str("var<private> gm_hidden_workgroup: vec3<u32>;\n");
        out.push_str(&FIND.replace("KEPT", &FAULTS_KEPT.to_string()));
    }
}

/// Declares a function that reaches memory.
fn function(name: &str, access: &Access, out: &mut String) {
    let find = |bytes: u32, kind: u32, without: &str| {
        format!(
            "let at = gm_hidden_find(p, {bytes}u, {kind}u); if (!at.here) {{ return{without}; }}"
        )
    };
    match *access {
        Access::Load(of) => {
            let (_, ty, words, value) = LOADED[of];
            let find = find(4 * words.len() as u32, LOAD, &format!(" {ty}()"));
            let _ = write!(out, "fn {name}(p: vec2<u32>) -> {ty} {{ {find} ");
            for (i, part) in ["low", "high"].iter().enumerate().take(words.len()) {
                let _ = write!(
                    out,
                    "let {part} = gm_reached_memory[at.page][at.word + {i}u]; "
                );
            }
            let _ = writeln!(out, "return {value}; }}");
        }
        Access::Store(of) => {
            let (_, ty, words, _) = LOADED[of];
            let find = find(4 * words.len() as u32, STORE, "");
            let _ = write!(out, "fn {name}(p: vec2<u32>, v: {ty}) {{ {find} ");
            for (i, word) in words.iter().enumerate() {
                let _ = write!(out, "gm_reached_memory[at.page][at.word + {i}u] = {word}; ");
            }
            out.push_str("}\n");
        }
        Access::Atomic(operation, of) => {
            let (ty, _, bytes) = ATOMIC[of];
            let find = |without: &str| find(bytes, ATOMICALLY, without);
            let word = if bytes == 8 {
                "at.word >> 1u"
            } else {
                "at.word"
            };
            let place = format!("&gm_reached_atomics_{ty}[at.page][{word}]");
            let _ = match operation {
                "load" => writeln!(
                    out,
                    "fn {name}(p: vec2<u32>) -> {ty} {{ {} return atomicLoad({place}); }}",
                    find(&format!(" {ty}()"))
                ),
                "store" => writeln!(
                    out,
                    "fn {name}(p: vec2<u32>, v: {ty}) {{ {} atomicStore({place}, v); }}",
                    find("")
                ),
                "compare_exchange" => writeln!(
                    out,
                    "fn {name}(p: vec2<u32>, expected: {ty}, v: {ty}) -> gm_exchanged_{ty} {{ {} \
                     let done = atomicCompareExchangeWeak({place}, expected, v); \
                     return gm_exchanged_{ty}(done.old_value, done.exchanged); }}",
                    find(&format!(" gm_exchanged_{ty}()"))
                ),
                _ => {
                    let change = CHANGES.iter().find(|change| change.0 == operation);
                    let wgsl = change.map_or("", |change| change.1);
                    writeln!(
                        out,
                        "fn {name}(p: vec2<u32>, v: {ty}) -> {ty} {{ {} return {wgsl}({place}, v); }}",
                        find(&format!(" {ty}()"))
                    )
                }
            };
        }
    }
}
