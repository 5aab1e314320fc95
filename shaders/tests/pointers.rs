//! Kernels that follow 64-bit pointers: what is supplied, which class they are of, and that positions stay those of the source.

use gmem_shaders::{Entry, HazardClass, How, Mode, Program, ShaderError, Variant};

fn entry(source: &str) -> Entry {
    Program::parse(source)
        .and_then(|program| program.entry(None, &[]))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn walker(change: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> heads: array<gm_ptr>;
         @group(0) @binding(1) var<storage, read_write> sums: array<u32>;
         @compute @workgroup_size(64) fn walk(@builtin(global_invocation_id) id: vec3<u32>) {{
             var at = heads[id.x];
             var sum = 0u;
             while (!gm_is_null(at)) {{
                 sum += gm_load_u32(at);
                 {change}
                 at = gm_load_ptr(gm_add(at, 8u));
             }}
             sums[id.x] = sum;
         }}"
    )
}

/// Whether a probe tells what it touches, with bindings that lie apart but for those that are one space.
fn probeable(entry: &Entry) -> Result<(), String> {
    let space = entry.storage.iter().position(|b| b.follows_pointers());
    let alias = |(i, b): (usize, &gmem_shaders::StorageBinding)| match space {
        Some(space) if b.follows_pointers() => space,
        _ => i,
    };
    let alias: Vec<usize> = entry.storage.iter().enumerate().map(alias).collect();
    entry.analysis.probeable(&alias)
}

#[test]
fn a_walk_is_probed_and_a_walk_that_writes_is_attempted() {
    let reads = entry(&walker(""));
    assert_eq!(reads.hazard().class, HazardClass::A);
    assert_eq!(probeable(&reads), Ok(()));
    for (change, class) in [
        ("gm_store_u32(at, sum);", HazardClass::C),
        (
            "if (sum == 7u) { gm_store_u32(gm_add(at, 4u), 1u); }",
            HazardClass::C,
        ),
        ("gm_atomic_add_u32(at, 1u);", HazardClass::D),
        (
            "loop { let old = gm_atomic_load_u32(at); \
             if (gm_atomic_compare_exchange_u32(at, old, old * 3u).exchanged) { break; } }",
            HazardClass::D,
        ),
    ] {
        let writes = entry(&walker(change));
        let hazard = writes.hazard();
        assert_eq!(hazard.class, class, "{change}: {:?}", hazard.waits);
        assert!(probeable(&writes).is_err(), "{change}");
    }
}

#[test]
fn waiting_for_what_a_pointer_leads_to_is_waiting() {
    let waits = entry(
        "@group(0) @binding(0) var<uniform> flag: gm_ptr;
         @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
             while (gm_atomic_load_u32(flag) < id.x) {}
             gm_atomic_store_u32(flag, id.x + 1u);
         }",
    );
    let hazard = waits.hazard();
    assert_eq!(hazard.class, HazardClass::E);
    assert_eq!(hazard.waits[0].line, 3, "{:?}", hazard.waits);
}

#[test]
fn every_variant_is_valid() {
    let source =
        walker("gm_store_u32(at, sum); gm_atomic_max_i32(at, 3); gm_atomic_add_u64(at, 1lu);");
    for (entry, probes) in [(entry(&walker("")), true), (entry(&source), false)] {
        for mode in [Mode::Run, Mode::Checked, Mode::Probe] {
            for how in [
                How::Paged,
                How::Far,
                How::PagedIn { window: 1 },
                How::Whole { window: 0 },
            ] {
                let whole = matches!(how, How::Whole { .. });
                if mode == Mode::Probe && (!probes || whole) {
                    continue;
                }
                let done = entry.rewrite(&Variant {
                    mode,
                    page_shift: 12,
                    windows: 3,
                    bindings: vec![how; entry.storage.len()],
                });
                assert!(done.is_ok(), "{mode:?} {how:?}: {:?}", done.err());
            }
        }
    }
}

#[test]
fn positions_are_those_of_the_source() {
    let wrong = "\nalias Link = gm_ptr;\nfn f(p: Link) -> u32 {\n    return gm_load_u32(p) + 1.5f;\n}\n@compute @workgroup_size(1) fn main() { _ = f(gm_null); }";
    match Program::parse(wrong).err() {
        Some(ShaderError::Invalid { line, .. } | ShaderError::Parse { line, .. }) => {
            assert_eq!(line, 4);
        }
        other => panic!("{other:?}"),
    }
    let right = wrong.replace("1.5f", "1u");
    let entry = entry(&right);
    assert_eq!(
        entry.text(),
        right,
        "what is supplied is no text of the kernel's"
    );
    assert!(entry.storage.iter().all(|b| b.is_hidden()));
    assert_eq!(entry.storage.len(), 3);
}

#[test]
fn a_kernel_may_have_such_names_for_its_own() {
    let own = entry(
        "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
         fn gm_load_u32(i: u32) -> u32 { return x[i]; }
         @compute @workgroup_size(1) fn main() { x[1] = gm_load_u32(0u); }",
    );
    assert_eq!(own.storage.len(), 1);
}

#[test]
fn names_of_what_is_hidden_are_a_kernels_own_where_it_follows_no_pointers() {
    // Not of the types that the prelude has under these names.
    let source = "var<private> gm_hidden_line: f32;
var<private> gm_hidden_workgroup: u32;
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
fn gm_load_u32() -> u32 { return 3u; }
@compute @workgroup_size(1) fn main() { gm_hidden_line = 5.0; let x = gm_load_u32(); out[0] = u32(gm_hidden_line) + x; }";
    let entry = Program::from_wgsl(source)
        .unwrap()
        .entry(None, &[])
        .unwrap();
    assert_eq!(entry.storage.len(), 1);
    let (_, main) = (&entry.module, &entry.module.entry_points[0].function);
    assert!(main.arguments.is_empty(), "its workgroup is not asked for");
}

#[test]
fn the_group_of_what_is_hidden_is_refused() {
    let group = gmem_shaders::prelude::GROUP;
    let source = format!(
        "@group({group}) @binding(0) var<storage, read_write> all: array<array<u32, 1024>>;
@group(0) @binding(0) var<uniform> p: gm_ptr;
@compute @workgroup_size(1) fn main() {{ all[0][0] = gm_load_u32(p); }}"
    );
    let error = Program::from_wgsl(&source).err().unwrap().to_string();
    assert!(
        error.contains("line 1") && error.contains("not supported"),
        "{error}"
    );
}
