//! Reading, analysing and rewriting a module: all that is done before a driver sees it. The baseline is what nobody can do
//! without, naga's parser and validator over the same text.

use std::fmt::Write;
use std::hint::black_box;

use gmem::Source;
use gmem::gpu::shaders::naga::front::wgsl;
use gmem::gpu::shaders::naga::valid::{Capabilities, ValidationFlags, Validator};
use gmem::gpu::shaders::{Cache, Entry, Footprint, How, Mode, Program, Variant};
use vello_shaders::SHADERS;

use crate::common;

const ROUNDS: usize = 31;
const GRID: [u32; 3] = [64, 1, 1];

pub fn measure() {
    let stage = |stage: &str, code: &str| (format!("vello {stage}"), code.to_owned());
    let modules = [
        ("state machine".to_owned(), state_machine(110)),
        stage("coarse", &SHADERS.coarse.wgsl.code),
        stage("flatten", &SHADERS.flatten.wgsl.code),
    ];
    for (name, source) in modules {
        let lines = source.lines().count();
        let name = format!("{name}, {lines} lines");
        let source = Source::wgsl(source);
        let entry = first(&source);
        verify(&name, &entry);
        let read = || {
            common::seconds(|| {
                black_box(first(&source));
            })
        };
        let all = || {
            common::seconds(|| {
                let entry = first(&source);
                for rewritten in variants(&entry) {
                    black_box(rewritten);
                }
                black_box(footprints(&entry));
            })
        };
        let naga = || common::seconds(|| validated(&source));
        let plain = "naga's parser and validator";
        common::ratio(
            &format!("rewriting: {name}: read"),
            plain,
            ROUNDS,
            read,
            naga,
        );
        common::ratio(
            &format!("rewriting: {name}: read, footprint, run, probe"),
            plain,
            ROUNDS,
            all,
            naga,
        );
        let cache = Cache::default();
        let again = || {
            common::seconds(|| {
                let entry = cache.entry(&source, Some(&entry.name), &[]);
                black_box(entry.expect("it was read before"));
            })
        };
        common::ratio(
            &format!("rewriting: {name}: again"),
            plain,
            ROUNDS,
            again,
            naga,
        );
    }
}

fn first(source: &Source<'_>) -> Entry {
    let program = Program::parse(source).expect("it is a shader");
    let name = program.entry_points()[0].to_owned();
    program.entry(Some(&name), &[]).expect("it is supported")
}

/// The kernel and, where there can be one, its probe, with all bindings paged.
fn variants(entry: &Entry) -> Vec<gmem::gpu::shaders::Rewritten> {
    let apart: Vec<usize> = (0..entry.storage.len()).collect();
    let mut modes = vec![Mode::Run];
    if entry.analysis.probeable(&apart).is_ok() {
        modes.push(Mode::Probe);
    }
    let variant = |mode| Variant {
        mode,
        page_shift: 16,
        windows: 1,
        bindings: vec![How::PagedIn { window: 0 }; entry.storage.len()],
    };
    let rewritten = modes.into_iter().map(|mode| entry.rewrite(&variant(mode)));
    rewritten.map(|r| r.expect("it is rewritten")).collect()
}

fn footprints(entry: &Entry) -> usize {
    let lens = vec![4 << 20; entry.storage.len()];
    let values: Vec<Vec<u8>> = (entry.values.iter())
        .map(|value| vec![1; value.bytes as usize])
        .collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let (module, info) = (&entry.module, &entry.info);
    let found = (entry.analysis).footprint(module, info, ([0; 3], GRID), GRID, &lens, &values);
    let known = found.iter().filter(|b| b.writes != Footprint::Unknown);
    known.count()
}

fn validated(source: &Source<'_>) {
    let Source::Wgsl(text) = source else {
        return;
    };
    let module = wgsl::parse_str(text).expect("it is WGSL");
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    black_box(validator.validate(&module).expect("it is valid"));
}

/// What comes out is what the backends take, and the analysis has not given up.
fn verify(name: &str, entry: &Entry) {
    for rewritten in variants(entry) {
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator
            .validate(&rewritten.module)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    assert!(footprints(entry) > 0, "{name}: nothing is known of it");
}

/// A parser of bytes: in three loops inside each other, with many constants that its state is compared with.
fn state_machine(phases: u32) -> String {
    let mut text = String::from(
        "@group(0) @binding(0) var<storage, read> bytes: array<u32>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> accepted: array<u32>;
var<private> st: array<u32, 64>;

fn step(phase: u32, byte: u32) -> bool {
",
    );
    for phase in 0..phases {
        let (byte, next) = (phase * 7 % 256, (phase + 1) % phases);
        let (other, jump) = ((phase * 11 + 3) % 256, (phase * 5 + 2) % phases);
        writeln!(
            text,
            "    if phase == {phase}u {{
        if byte == {byte}u {{ st[1] = {next}u; return true; }}
        if byte == {other}u {{ st[1] = {jump}u; return byte != st[2]; }}
    }}"
        )
        .expect("a string takes it");
    }
    text.push_str(
        "    return false;
}

fn walk(byte: u32) -> bool {
    for (var i = 0u; i < 128u; i = i + 1u) {
        let depth = st[0];
        if depth == 0u { return false; }
        var mask = 0u;
        for (var c = 0u; c < table[depth]; c = c + 1u) {
            if table[depth + c] == byte { mask = mask | (1u << (c & 31u)); }
        }
        if mask == 0u { continue; }
        st[2] = mask;
        return step(st[1], byte);
    }
    return false;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x + 1u >= arrayLength(&starts) { return; }
    for (var w = 0u; w < 64u; w = w + 1u) { st[w] = table[w]; }
    var ok = true;
    for (var p = starts[id.x]; p < starts[id.x + 1u]; p = p + 1u) {
        if !walk(bytes[p]) { ok = false; break; }
    }
    accepted[id.x] = select(0u, 1u, ok);
}
",
    );
    text
}
