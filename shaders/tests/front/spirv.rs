//! SPIR-V in: what naga's own back end makes of the kernels, and modules by hand.

use gmem_shaders::{Entry, Program, ShaderError, Source};

use super::assembler::{Assembler, instructions, string, with};
use super::{entry, kernels, refused, rewrites, to_spirv};

const NAME: u16 = 5;
const MEMBER_NAME: u16 = 6;
const STRING: u16 = 7;
const LINE: u16 = 8;
const ENTRY_POINT: u16 = 15;
const EXECUTION_MODE: u16 = 16;
const CAPABILITY: u16 = 17;
const MEMORY_MODEL: u16 = 14;
const FUNCTION: u16 = 54;
const STORE: u16 = 62;
const DECORATE: u16 = 71;
const EXECUTION_MODE_ID: u16 = 331;

/// A type of 32-bit words, whatever its name.
fn code(instruction: &[u32]) -> u16 {
    instruction[0] as u16
}

fn made(code: u16, operands: &[u32]) -> Vec<u32> {
    let mut out = vec![((operands.len() as u32 + 1) << 16) | u32::from(code)];
    out.extend_from_slice(operands);
    out
}

/// Kernels that naga writes as SPIR-V and does not read again, and why.
pub(super) const UNREAD: [(&str, &str); 1] = [("i16", "constants of 16 bits")];

fn readable() -> Vec<(String, String)> {
    let mut all = kernels();
    all.retain(|(name, _)| !UNREAD.iter().any(|(unread, _)| name == unread));
    all
}

#[test]
fn every_kernel_comes_back_from_spirv_with_the_same_bindings() {
    let mut failures = Vec::new();
    for (name, text) in readable() {
        let original = entry(&text);
        let words = to_spirv(&original, true);
        let program = Program::parse(Source::spirv_words(&words));
        let again = program.and_then(|p| p.entry(None, &[])).and_then(|again| {
            rewrites(&again)?;
            Ok(again)
        });
        let again = match again {
            Ok(again) => again,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let shape = |e: &Entry| {
            let storage: Vec<_> = (e.storage.iter())
                .map(|s| {
                    let slot = (s.name.clone(), s.group, s.binding);
                    (slot, s.runtime, (s.reads, s.writes, s.atomics))
                })
                .collect();
            let values: Vec<_> = (e.values.iter())
                .map(|v| {
                    (
                        v.name.clone(),
                        v.leaves.iter().map(|l| l.offset).collect::<Vec<_>>(),
                    )
                })
                .collect();
            (e.workgroup_size, storage, values)
        };
        if shape(&again) != shape(&original) {
            failures.push(format!(
                "{name}: {:#?} instead of {:#?}",
                shape(&again),
                shape(&original)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn footprints_are_those_of_the_wgsl() {
    let mut others = Vec::new();
    for (name, text) in readable() {
        let original = entry(&text);
        let again = entry(Source::spirv_words(&to_spirv(&original, true)));
        let found = |e: &Entry| {
            let lens = vec![1 << 16; e.storage.len()];
            let values: Vec<Vec<u8>> = e.values.iter().map(|v| vec![8; v.bytes as usize]).collect();
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let boxed = ([1, 0, 0], [1, 1, 1]);
            let (module, info) = (&e.module, &e.info);
            e.analysis
                .footprint(module, info, boxed, [4, 1, 1], &lens, &values)
        };
        if found(&again) != found(&original) {
            others.push(name);
        }
    }
    // In SPIR-V `||` is a branch that sets a variable, which tells nothing of what was compared; and a structure is
    // copied member by member, without the padding behind the last.
    assert_eq!(others, ["nested_calls", "stencil", "structs"]);
}

#[test]
fn without_names_bindings_go_by_their_numbers() {
    for (name, text) in readable() {
        let original = entry(&text);
        let words = to_spirv(&original, false);
        let mut left = instructions(&words);
        left.retain(|i| ![NAME, MEMBER_NAME].contains(&code(i)));
        let again = entry(Source::spirv_words(&with(&words, &left)));
        rewrites(&again).unwrap_or_else(|e| panic!("{name}: {e}"));
        let names: Vec<_> = again.storage.iter().map(|s| s.name.clone()).collect();
        let numbers: Vec<_> = (original.storage.iter())
            .map(|s| format!("b{}_{}", s.group, s.binding))
            .collect();
        assert_eq!(names, numbers, "{name}");
    }
}

#[test]
fn two_blocks_of_one_name_are_refused() {
    const LABEL: u16 = 248;
    let source = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1) fn main() { if x[0] > 3u { x[1] = x[2]; } x[3] = x[4]; }";
    let words = to_spirv(&entry(source), true);
    let mut all = instructions(&words);
    let labels: Vec<usize> = (0..all.len()).filter(|i| code(&all[*i]) == LABEL).collect();
    for &other in &labels[1..] {
        let first = all[labels[0]][1];
        let kept = std::mem::replace(&mut all[other][1], first);
        let error = refused(Source::spirv_words(&with(&words, &all))).to_string();
        assert!(error.contains("two blocks"), "{error}");
        all[other][1] = kept;
    }
    entry(Source::spirv_words(&with(&words, &all)));
}

#[test]
fn either_byte_order_is_read_and_nothing_else() {
    let (_, text) = kernels().swap_remove(0);
    let words = to_spirv(&entry(&text), true);
    let swapped: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    entry(Source::spirv(swapped.clone()));
    for (bytes, what) in [
        (swapped[..4 * 20 + 2].to_vec(), "cut off"),
        (swapped[..12].to_vec(), "cut off"),
        (b"fn main() {}".to_vec(), "no SPIR-V"),
        (Vec::new(), "no SPIR-V"),
    ] {
        let error = refused(Source::spirv(bytes)).to_string();
        assert!(error.contains(what), "{error}");
    }
    let mut cut = swapped;
    let last = cut.len() - 4;
    // The last instruction claims a word that is not there.
    cut[last + 1] = 2;
    let error = refused(Source::spirv(cut)).to_string();
    assert!(error.contains("cut off"), "{error}");
}

/// A kernel with two entry points that each store to a buffer of the older kind, marked as one block.
fn by_hand(sizes: impl FnOnce(&mut Assembler, [u32; 2]) -> Vec<Vec<u32>>) -> Vec<u32> {
    let mut a = Assembler::default();
    let (one, two) = (a.id(), a.id());
    let ids = [one, two];
    let (void, function, uint, pointer, element, block) =
        (a.id(), a.id(), a.id(), a.id(), a.id(), a.id());
    let (array, global) = (a.id(), a.id());
    let zero = a.id();
    let extra = sizes(&mut a, ids);
    let (modes, rest): (Vec<_>, Vec<_>) = extra
        .into_iter()
        .partition(|i| [EXECUTION_MODE, EXECUTION_MODE_ID].contains(&code(i)));
    let (decorations, constants): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|i| code(i) == DECORATE);
    a.op(CAPABILITY, &[1]).op(MEMORY_MODEL, &[0, 1]);
    for (id, name) in [(one, "one"), (two, "two")] {
        let mut operands = vec![5, id];
        operands.extend(string(name));
        a.op(ENTRY_POINT, &operands);
    }
    let raw = |a: &mut Assembler, all: &[Vec<u32>]| {
        for i in all {
            a.op(code(i), &i[1..]);
        }
    };
    raw(&mut a, &modes);
    let mut name = vec![block];
    name.extend(string("Out"));
    a.op(NAME, &name);
    raw(&mut a, &decorations);
    // ArrayStride, Offset, BufferBlock, DescriptorSet, Binding.
    a.op(DECORATE, &[array, 6, 4])
        .op(72, &[block, 0, 35, 0])
        .op(DECORATE, &[block, 3])
        .op(DECORATE, &[global, 34, 2])
        .op(DECORATE, &[global, 33, 9]);
    a.op(19, &[void])
        .op(33, &[function, void])
        .op(21, &[uint, 32, 0])
        .op(29, &[array, uint])
        .op(30, &[block, array])
        .op(32, &[pointer, 2, block])
        .op(32, &[element, 2, uint])
        .op(43, &[uint, zero, 0]);
    raw(&mut a, &constants);
    a.op(59, &[pointer, global, 2]);
    for id in ids {
        a.op(FUNCTION, &[void, id, 0, function]);
        let label = a.id();
        a.op(248, &[label]);
        let at = a.made(65, Some(element), &[global, zero, zero]);
        a.op(STORE, &[at, zero]).op(253, &[]).op(56, &[]);
    }
    a.finished()
}

/// `LocalSize` for both.
fn plain_sizes(_: &mut Assembler, [one, two]: [u32; 2]) -> Vec<Vec<u32>> {
    vec![
        made(EXECUTION_MODE, &[one, 17, 4, 2, 1]),
        made(EXECUTION_MODE, &[two, 17, 8, 1, 1]),
    ]
}

#[test]
fn entry_points_are_named_and_old_blocks_are_storage() {
    let program = Program::parse(Source::spirv_words(&by_hand(plain_sizes))).unwrap();
    assert_eq!(program.entry_points(), ["one", "two"]);
    let sizes = ["one", "two"].map(|n| program.entry(Some(n), &[]).unwrap().workgroup_size);
    assert_eq!(sizes, [[4, 2, 1], [8, 1, 1]]);
    let one = program.entry(Some("one"), &[]).unwrap();
    rewrites(&one).unwrap();
    let binding = &one.storage[0];
    // The variable has no name: it goes by its block's.
    assert_eq!(
        (binding.name.as_str(), binding.group, binding.binding),
        ("Out", 2, 9)
    );
    assert!(binding.writes && !binding.reads);
    assert_eq!(binding.runtime.map(|r| r.stride), Some(4));
}

/// Ids of the types and constants that the sizes are made of; `uint` is the third id after the entry points'.
const UINT: u32 = 5;

fn spec_sizes(mode: bool) -> Vec<u32> {
    by_hand(move |a, [one, two]| {
        let (x, y, z) = (a.id(), a.id(), a.id());
        let (vector, size) = (a.id(), a.id());
        let mut all = vec![
            made(EXECUTION_MODE, &[two, 17, 1, 1, 1]),
            made(DECORATE, &[x, 1, 30]),
            made(50, &[UINT, x, 16]),
            made(43, &[UINT, y, 2]),
            made(50, &[UINT, z, 1]),
            made(DECORATE, &[z, 1, 32]),
        ];
        if mode {
            all.push(made(EXECUTION_MODE_ID, &[one, 38, x, y, z]));
        } else {
            all.push(made(EXECUTION_MODE, &[one, 17, 1, 1, 1]));
            all.push(made(DECORATE, &[size, 11, 25]));
            all.push(made(23, &[vector, UINT, 3]));
            all.push(made(51, &[vector, size, x, y, z]));
        }
        all
    })
}

#[test]
fn workgroup_sizes_may_be_specialisation_constants() {
    for mode in [true, false] {
        let program = Program::parse(Source::spirv_words(&spec_sizes(mode))).unwrap();
        let size = |name: &str, values: &[(String, f64)]| {
            program.entry(Some(name), values).unwrap().workgroup_size
        };
        assert_eq!(size("one", &[]), [16, 2, 1], "{mode}");
        let set = [("30".to_owned(), 64.0), ("32".to_owned(), 3.0)];
        assert_eq!(size("one", &set), [64, 2, 3], "{mode}");
        // The decorated constant is for all of them, the mode for one.
        let two = if mode { [1, 1, 1] } else { [64, 2, 3] };
        assert_eq!(size("two", &set), two, "{mode}");
    }
}

#[test]
fn a_workgroup_size_out_of_nowhere_is_refused() {
    let words = by_hand(|a, [one, two]| {
        let x = a.id();
        vec![
            made(EXECUTION_MODE, &[two, 17, 1, 1, 1]),
            made(EXECUTION_MODE_ID, &[one, 38, x, x, x]),
        ]
    });
    let error = Program::parse(Source::spirv_words(&words)).err();
    assert!(
        matches!(error, Some(ShaderError::Unsupported { .. })),
        "{error:?}"
    );
}

#[test]
fn elements_that_overlap_are_refused() {
    let words = by_hand(plain_sizes);
    let mut all = instructions(&words);
    let at = all
        .iter()
        .position(|i| code(i) == DECORATE && i[2] == 6)
        .unwrap();
    all[at][3] = 3;
    let error = refused(Source::spirv_words(&with(&words, &all)));
    assert!(
        matches!(&error, ShaderError::Invalid { message, .. } if message.contains("3 bytes apart")),
        "{error}"
    );
}

#[test]
fn noted_lines_are_found_again() {
    let words = by_hand(plain_sizes);
    let mut all = instructions(&words);
    let file = words[3] + 1;
    let first = all.iter().position(|i| code(i) == NAME).unwrap();
    let mut name = vec![file];
    name.extend(string("k.hlsl"));
    all.insert(first, made(STRING, &name));
    let mut stores = (0..all.len()).filter(|&i| code(&all[i]) == STORE);
    let (one, two) = (stores.next().unwrap(), stores.next().unwrap());
    all.insert(two, made(LINE, &[file, 41, 3]));
    all.insert(one, made(LINE, &[file, 17, 3]));
    let program = Program::parse(Source::spirv_words(&with(&words, &all))).unwrap();
    let line_of_store = |name: &str| {
        let entry = program.entry(Some(name), &[]).unwrap();
        let functions = entry.module.functions.iter().map(|(_, f)| f);
        let mut lines = Vec::new();
        for function in functions.filter(|f| !f.body.is_empty()) {
            for (statement, span) in function.body.span_iter() {
                if matches!(statement, naga::Statement::Store { .. }) {
                    lines.push(span.location(entry.text()).line_number);
                }
            }
        }
        lines
    };
    assert_eq!(line_of_store("one"), [17]);
    assert_eq!(line_of_store("two"), [41]);
}

#[test]
fn storage_pointers_cross_calls() {
    let mut a = Assembler::default();
    let main = a.id();
    let (void, function, uint, block, array) = (a.id(), a.id(), a.id(), a.id(), a.id());
    let (to_block, to_uint, taking, x, y) = (a.id(), a.id(), a.id(), a.id(), a.id());
    let (zero, three, callee) = (a.id(), a.id(), a.id());
    a.op(CAPABILITY, &[1]).op(MEMORY_MODEL, &[0, 1]);
    let mut operands = vec![5, main];
    operands.extend(string("main"));
    a.op(ENTRY_POINT, &operands)
        .op(EXECUTION_MODE, &[main, 17, 1, 1, 1])
        .op(DECORATE, &[array, 6, 4])
        .op(72, &[block, 0, 35, 0])
        .op(DECORATE, &[block, 2]);
    for (id, binding) in [(x, 0), (y, 1)] {
        a.op(DECORATE, &[id, 34, 0])
            .op(DECORATE, &[id, 33, binding]);
    }
    a.op(19, &[void])
        .op(33, &[function, void])
        .op(21, &[uint, 32, 0])
        .op(29, &[array, uint])
        .op(30, &[block, array])
        .op(32, &[to_block, 12, block])
        .op(32, &[to_uint, 12, uint])
        .op(33, &[taking, void, to_block, to_uint])
        .op(43, &[uint, zero, 0])
        .op(43, &[uint, three, 3])
        .op(59, &[to_block, x, 12])
        .op(59, &[to_block, y, 12]);
    // callee(p, q) { *q = p->data[length(p) - 3]; }
    a.op(FUNCTION, &[void, callee, 0, taking]);
    let p = a.made(55, Some(to_block), &[]);
    let q = a.made(55, Some(to_uint), &[]);
    let label = a.id();
    a.op(248, &[label]);
    let length = a.made(68, Some(uint), &[p, 0]);
    let at = a.made(130, Some(uint), &[length, three]);
    let from = a.made(65, Some(to_uint), &[p, zero, at]);
    let value = a.made(61, Some(uint), &[from]);
    a.op(STORE, &[q, value]).op(253, &[]).op(56, &[]);
    // main() { callee(x, &y.data[3]); callee(y, &x.data[y.data[0]]); }
    a.op(FUNCTION, &[void, main, 0, function]);
    let label = a.id();
    a.op(248, &[label]);
    let element = a.made(65, Some(to_uint), &[y, zero, three]);
    a.made(57, Some(void), &[callee, x, element]);
    let first = a.made(65, Some(to_uint), &[y, zero, zero]);
    let index = a.made(61, Some(uint), &[first]);
    let element = a.made(65, Some(to_uint), &[x, zero, index]);
    a.made(57, Some(void), &[callee, y, element]);
    a.op(253, &[]).op(56, &[]);
    let entry = entry(Source::spirv_words(&a.finished()));
    rewrites(&entry).unwrap();
    let uses: Vec<_> = entry
        .storage
        .iter()
        .map(|s| (s.name.as_str(), s.reads, s.writes))
        .collect();
    assert_eq!(uses, [("b0_0", true, true), ("b0_1", true, true)]);
}

#[test]
fn many_branches_and_deep_ones_are_told() {
    // 30,000 selections, as a binary may claim them without being one.
    let words = by_hand(plain_sizes);
    let mut all = instructions(&words);
    let function = all.iter().position(|i| code(i) == FUNCTION).unwrap();
    for _ in 0..30_000 {
        all.insert(function + 2, made(247, &[1, 0]));
    }
    let error = refused(Source::spirv_words(&with(&words, &all)));
    assert!(error.to_string().contains("branches"), "{error}");
}

#[test]
fn nothing_is_stored_to_shared_atomics_one_by_one() {
    let text =
        "struct Cell { n: atomic<u32>, more: array<array<atomic<i32>, 3>, 2>, plain: vec2<f32> }
var<workgroup> counts: array<atomic<u32>, 256>;
var<workgroup> cell: Cell;
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
    atomicAdd(&counts[a[i] % 256u], 1u);
    atomicMax(&cell.more[1][i % 3u], 2);
    cell.plain.x = 1.0;
    workgroupBarrier();
    a[i] = atomicLoad(&counts[i]) + atomicAdd(&cell.n, 1u);
}";
    // naga writes stores of null constants, since workgroup memory begins with nothing in it.
    let entry = entry(Source::spirv_words(&to_spirv(&entry(text), true)));
    rewrites(&entry).unwrap();
    let loops = entry
        .module
        .functions
        .iter()
        .flat_map(|(_, f)| f.body.iter());
    assert!(
        format!("{:?}", loops.collect::<Vec<_>>())
            .matches("Loop")
            .count()
            >= 3
    );
}

#[test]
fn vectors_of_conditions_are_joined() {
    let text = "@group(0) @binding(0) var<storage, read_write> v: array<vec4<f32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let low = v[id.x] < vec4<f32>(1.0);
    let high = v[id.x] > vec4<f32>(2.0);
    v[id.x] = select(v[id.x], vec4<f32>(3.0), (low | high) & (high | vec4<bool>(id.y > 3u)));
}";
    rewrites(&entry(Source::spirv_words(&to_spirv(&entry(text), true)))).unwrap();
}
