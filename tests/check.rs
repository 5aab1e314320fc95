//! `gmem check`: what it says of kernels, of files that are none, and of the kernels that others have published.

#[path = "command/mod.rs"]
mod command;
#[allow(dead_code, reason = "the tests of the other commands use the rest")]
#[path = "cli/rig.rs"]
mod rig;
#[path = "skipped/mod.rs"]
mod skipped;

use rig::{Done, Folder};
use serde_json::Value;

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {done:#?}"))
}

/// What is said of the only entry point of a kernel.
fn checked(folder: &Folder, wgsl: &str) -> Value {
    folder.write("k.wgsl", wgsl);
    let all = json(&folder.gmem("check k.wgsl --json").ok());
    let entries = all["files"][0]["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 1, "{all}");
    entries[0].clone()
}

const HEAD: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> bins: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> n: u32;
var<workgroup> part: array<u32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
";

#[test]
fn classes_and_footprints_are_what_the_kernel_does() {
    let folder = Folder::new("check-classes");
    for (body, hazard, footprint) in [
        ("if (id.x < n) { y[id.x] = x[id.x]; }", "A", "static"),
        (
            "part[lane] = x[id.x]; workgroupBarrier(); y[id.x] = part[63u - lane];",
            "B",
            "static",
        ),
        ("y[id.x] += x[id.x];", "C", "static"),
        ("if (id.x < n) { y[id.x] = x[x[id.x]]; }", "A", "probe"),
        ("atomicAdd(&bins[x[id.x]], 1u);", "D", "probe"),
        ("atomicAdd(&bins[x[id.x] % 256u], 1u);", "D", "static"),
        ("y[atomicAdd(&bins[0], 1u)] = id.x;", "D", "attempt"),
        ("x[x[id.x] % 64u] = n;", "C", "static"),
        ("x[x[id.x]] = n;", "C", "attempt"),
        (
            "if (id.x > 0u) { while (atomicLoad(&bins[id.x - 1u]) == 0u) {} } atomicStore(&bins[id.x], n);",
            "E",
            "resident",
        ),
        (
            "loop { let old = atomicLoad(&bins[0]); if (atomicCompareExchangeWeak(&bins[0], old, old + x[id.x]).exchanged) { break; } }",
            "D",
            "static",
        ),
    ] {
        let entry = checked(&folder, &format!("{HEAD}{body}\n}}"));
        assert_eq!(entry["hazard"], hazard, "{body}: {entry:#}");
        assert_eq!(entry["footprint"], footprint, "{body}: {entry:#}");
        assert!(
            entry["why"].as_str().is_some_and(|why| why.len() > 20),
            "{entry:#}"
        );
        assert!(entry.get("unsupported").is_none(), "{entry:#}");
        let variants = entry["variants"].as_array().expect("variants");
        let checked = variants.iter().any(|v| v["mode"] == "checked");
        // Within bounds, but of what it writes itself: no probe narrows them.
        assert_eq!(
            checked,
            footprint == "attempt" || body.contains("% 64u"),
            "{entry:#}"
        );
        let probes = variants.iter().any(|v| v["mode"] == "probe");
        assert_eq!(
            probes,
            footprint == "probe" || body.contains("% 256u"),
            "{body}: {entry:#}"
        );
        for translation in ["whole", "slid", "paged"] {
            assert!(
                variants
                    .iter()
                    .any(|v| v["mode"] == "run" && v["translation"] == translation),
                "{entry:#}"
            );
        }
    }
}

#[test]
fn bindings_are_shown_as_declared_and_as_used() {
    let folder = Folder::new("check-bindings");
    let entry = checked(
        &folder,
        &format!("{HEAD} if (id.x < n) {{ y[x[id.x]] = arrayLength(&bins); }} \n}}"),
    );
    assert_eq!(entry["workgroup_size"], serde_json::json!([64, 1, 1]));
    let bindings = entry["bindings"].as_array().expect("bindings");
    let named = |name: &str| {
        let mut all = bindings.iter();
        all.find(|b| b["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {entry:#}"))
    };
    let (x, y, bins, n) = (named("x"), named("y"), named("bins"), named("n"));
    assert_eq!(
        (&x["declared"], &x["used"]["loads"], &x["used"]["stores"]),
        (&"read_write".into(), &1.into(), &0.into())
    );
    assert_eq!(
        (&x["footprint"], &x["type"]),
        (&"static".into(), &"array<u32>".into())
    );
    assert_eq!(y["footprint"], "probe");
    assert!(
        y["why"]
            .as_str()
            .is_some_and(|why| why.contains("`x` (line 9)")),
        "{y}"
    );
    assert_eq!(y["used"]["stores"], 1);
    assert_eq!(bins["used"]["atomic_updates"], 0);
    assert_eq!(n["kind"], "uniform");

    let text = folder.gmem("check k.wgsl").ok().out;
    for words in [
        "main, workgroups of 64 x 1 x 1",
        "0.0  x     array<u32>          read_write  1 load",
        "only its length",
        "hazard class A: ",
        "footprint probe: ",
        "`y` probe: its addresses come from a value of `x` (line 9)",
        "variants: run whole, run slid, run paged, probe paged; valid",
        "1 file, 1 entry point: all supported",
    ] {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }
}

#[test]
fn the_line_of_a_wait_is_told() {
    let folder = Folder::new("check-wait");
    let entry = checked(
        &folder,
        &format!(
            "{HEAD}\n\nwhile (atomicExchange(&bins[0], 1u) != 0u) {{}}\ny[0] = n;\natomicStore(&bins[0], 0u);\n}}"
        ),
    );
    let why = entry["hazard_why"].as_str().expect("why");
    assert!(why.contains("`bins` (line 11)"), "{why}");
}

#[test]
fn constants_without_a_value_are_taken_to_be_1() {
    let folder = Folder::new("check-overrides");
    folder.write(
        "k.wgsl",
        "override WIDE: u32; override ON: bool; override LANES = 32u;
         @group(0) @binding(0) var<storage, read_write> y: array<u32>;
         @compute @workgroup_size(LANES) fn main(@builtin(global_invocation_id) id: vec3<u32>) { if (ON) { y[id.x * WIDE] = 1u; } }",
    );
    let done = folder.gmem("check k.wgsl").ok();
    for words in ["override `WIDE`", "override `ON`", "--override ON=VALUE"] {
        assert!(done.out.contains(words), "{done:#?}");
    }
    let done = folder
        .gmem("check k.wgsl --json --override WIDE=4 --override LANES=128")
        .ok();
    let entry = &json(&done)["files"][0]["entries"][0];
    assert_eq!(entry["assumed"], serde_json::json!(["ON"]));
    assert_eq!(entry["workgroup_size"], serde_json::json!([128, 1, 1]));
    folder
        .gmem("check k.wgsl --override HIGH=4")
        .refused(2, &["no file has an override constant `HIGH`"]);
    folder
        .gmem("check k.wgsl --override WIDE=-1")
        .refused(2, &["k.wgsl", "`WIDE`", "does not fit"]);
    // In another file it is none.
    folder.write("other.wgsl", format!("{HEAD} y[id.x] = n; \n}}"));
    folder
        .gmem("check k.wgsl other.wgsl --override WIDE=4")
        .ok();
}

#[test]
fn entry_points_are_chosen_by_name() {
    let folder = Folder::new("check-entries");
    folder.write(
        "k.wgsl",
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
         @compute @workgroup_size(1) fn one() { y[0] = 1u; }
         @compute @workgroup_size(1) fn two() { y[1] = 2u; }
         @fragment fn paint() {}",
    );
    let names = |line: &str| -> Vec<String> {
        let all = json(&folder.gmem(line).ok());
        let entries = all["files"][0]["entries"]
            .as_array()
            .expect("entries")
            .clone();
        entries
            .iter()
            .map(|e| e["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names("check k.wgsl --json"), ["one", "two"]);
    assert_eq!(names("check k.wgsl --json --entry two"), ["two"]);
    folder
        .gmem("check k.wgsl --entry three")
        .refused(2, &["`three`", "one, two"]);
}

#[test]
fn a_file_without_a_compute_entry_point_is_no_failure() {
    let folder = Folder::new("check-none");
    folder.write(
        "k.wgsl",
        "@fragment fn paint() {} fn helper() -> u32 { return 1u; }",
    );
    let done = folder.gmem("check k.wgsl").ok();
    assert!(done.out.contains("no compute entry point"), "{done:#?}");
    let all = json(&folder.gmem("check k.wgsl --json").ok());
    assert_eq!(all["files"][0]["entries"], serde_json::json!([]));
}

#[test]
fn what_is_no_kernel_is_told_with_its_line_and_the_rest_is_checked() {
    let folder = Folder::new("check-broken");
    folder.write("good.wgsl", format!("{HEAD} y[id.x] = n; \n}}"));
    folder.write("parse.wgsl", "\n\nfn main( {");
    folder.write(
        "invalid.wgsl",
        "\n@compute @workgroup_size(1) fn main() { let a: u32 = 1.5; }",
    );
    folder.write("latin.wgsl", [0xff, 0xfe, 0x40]);
    folder.write(
        "noise.spv",
        [
            3, 2, 35, 7, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255,
        ],
    );
    folder.write(
        "broken.comp",
        "#version 450\nlayout(local_size_x = 64) in;\nvoid main() { x = 1; }\n",
    );
    let names = [
        "parse.wgsl",
        "invalid.wgsl",
        "latin.wgsl",
        "noise.spv",
        "broken.comp",
    ];
    let done = folder.gmem(&format!("check {} good.wgsl --json", names.join(" ")));
    assert_eq!(done.status, Some(1), "{done:#?}");
    assert!(done.err.is_empty(), "{done:#?}");
    let all = json(&done);
    let files = all["files"].as_array().expect("files");
    assert_eq!(files.len(), 6);
    for (file, name) in files.iter().zip(names) {
        assert_eq!(file["file"], name);
        assert!(
            file["error"].as_str().is_some_and(|e| e.len() > 10),
            "{file:#}"
        );
    }
    let error = |i: usize| files[i]["error"].as_str().unwrap_or_default();
    assert!(error(0).contains("line 3"), "{}", error(0));
    assert!(error(1).contains("line 2"), "{}", error(1));
    assert!(error(4).contains("line 3"), "{}", error(4));
    assert_eq!(files[5]["entries"][0]["footprint"], "static");

    let done = folder.gmem("check parse.wgsl");
    assert_eq!(done.status, Some(1), "{done:#?}");
    assert!(done.out.contains("error: line 3: "), "{done:#?}");
    assert!(done.out.contains("1 file not understood"), "{done:#?}");
}

#[test]
fn what_is_not_supported_is_told_with_its_line() {
    let folder = Folder::new("check-unsupported");
    folder.write(
        "k.wgsl",
        format!(
            "enable wgpu_binding_array;\n{HEAD} y[id.x] = n; \n}}
             struct Box {{ values: array<u32> }}
             @group(1) @binding(0)
             var<storage, read_write> boxes: binding_array<Box, 4>;
             @compute @workgroup_size(1) fn other() {{ boxes[1].values[0] = 1u; }}"
        ),
    );
    let done = folder.gmem("check k.wgsl --json");
    assert_eq!(done.status, Some(1), "{done:#?}");
    let all = json(&done);
    let entries = all["files"][0]["entries"].as_array().expect("entries");
    assert!(entries[0].get("unsupported").is_none(), "{all:#}");
    let unsupported = &entries[1]["unsupported"];
    assert!(
        unsupported["what"]
            .as_str()
            .is_some_and(|w| w.contains("boxes") || w.contains("binding")),
        "{all:#}"
    );
    assert!(unsupported["line"].as_u64() >= Some(12), "{all:#}");
    assert_eq!(unsupported["defect"], false);
    let done = folder.gmem("check k.wgsl");
    assert!(done.out.contains("NOT SUPPORTED: line "), "{done:#?}");
    assert!(
        done.out.contains("2 entry points: 1 not supported"),
        "{done:#?}"
    );
}

#[test]
fn glsl_and_spirv_are_checked_as_well() {
    let folder = Folder::new("check-languages");
    folder.write(
        "k.comp",
        "#version 450
         layout(local_size_x = 64) in;
         layout(std430, set = 0, binding = 0) readonly buffer In { uint x[]; };
         layout(std430, set = 0, binding = 1) buffer Out { uint y[]; };
         void main() { y[x[gl_GlobalInvocationID.x]] = 1u; }",
    );
    let entry = json(&folder.gmem("check k.comp --json").ok())["files"][0]["entries"][0].clone();
    assert_eq!(entry["footprint"], "probe", "{entry:#}");
    assert_eq!(entry["hazard"], "A", "{entry:#}");
    assert_eq!(entry["bindings"].as_array().map(Vec::len), Some(2));

    use gmem::gpu::shaders::naga::{back::spv, front::wgsl, valid};
    let module = wgsl::parse_str(&format!("{HEAD} y[id.x] += x[id.x] + n; \n}}")).expect("valid");
    let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
        .validate(&module)
        .expect("valid");
    let words = spv::write_vec(&module, &info, &spv::Options::default(), None).expect("SPIR-V");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    folder.write("k.spv", bytes);
    let entry = json(&folder.gmem("check k.spv --json").ok())["files"][0]["entries"][0].clone();
    assert_eq!(
        (&entry["footprint"], &entry["hazard"]),
        (&"static".into(), &"C".into()),
        "{entry:#}"
    );
}

#[test]
fn bad_command_lines_are_refused() {
    let folder = Folder::new("check-arguments");
    folder.write("k.wgsl", format!("{HEAD} y[id.x] = n; \n}}"));
    folder.write("p.toml", "");
    for (line, words) in [
        ("check", "FILE"),
        ("check none.wgsl", "none.wgsl"),
        ("check k.wgsl --override N", "N"),
        ("check k.wgsl --override N=1 --override N=2", "twice"),
        ("check k.wgsl --entry none", "`none`"),
        ("check k.wgsl --report none/r.json", "none/r.json"),
        ("check k.wgsl --trace t.json", "--trace"),
        ("check p.toml", "`gmem run`"),
    ] {
        folder.gmem(line).refused(2, &[words]);
    }
    folder.gmem("check k.wgsl --report r.json").ok();
    assert_eq!(
        folder.json("r.json")["files"][0]["entries"][0]["name"],
        "main"
    );
}

#[test]
fn every_stage_of_vello_is_supported() {
    let shaders = &vello_shaders::SHADERS;
    let all = [
        &shaders.backdrop,
        &shaders.backdrop_dyn,
        &shaders.bbox_clear,
        &shaders.binning,
        &shaders.clip_leaf,
        &shaders.clip_reduce,
        &shaders.coarse,
        &shaders.draw_leaf,
        &shaders.draw_reduce,
        &shaders.fine_area,
        &shaders.fine_msaa16,
        &shaders.fine_msaa8,
        &shaders.flatten,
        &shaders.path_count,
        &shaders.path_count_setup,
        &shaders.path_tiling,
        &shaders.path_tiling_setup,
        &shaders.pathtag_reduce,
        &shaders.pathtag_reduce2,
        &shaders.pathtag_scan1,
        &shaders.pathtag_scan_large,
        &shaders.pathtag_scan_small,
        &shaders.tile_alloc,
    ];
    let folder = Folder::new("check-vello");
    let mut line = "check --json".to_owned();
    for shader in all {
        let name = format!("{}.wgsl", shader.name);
        folder.write(&name, shader.wgsl.code.as_bytes());
        line.push(' ');
        line.push_str(&name);
    }
    let done = folder.gmem(&line).ok();
    let told = json(&done);
    for (file, shader) in told["files"].as_array().expect("files").iter().zip(all) {
        let entry = &file["entries"][0];
        assert_eq!(
            entry["workgroup_size"],
            serde_json::json!(shader.workgroup_size),
            "{file:#}"
        );
        // None of its stages waits for others: it is made for devices that promise no progress.
        assert!(entry["hazard"].as_str() < Some("E"), "{file:#}");
    }
}

#[test]
fn every_published_kernel_of_wgsl_fft_is_supported() {
    use wgsl_fft::shaders as fft;
    let folder = Folder::new("check-fft");
    let kernels = [
        ("r4.wgsl", fft::R4_WGSL),
        ("r2.wgsl", fft::R2_WGSL),
        ("cooley_tukey_r2.wgsl", fft::COOLEY_TUKEY_R2_WGSL),
        ("normalize.wgsl", fft::NORMALIZE_VEC2_WGSL),
        ("bit_reversal.wgsl", fft::BIT_REVERSAL_WGSL),
        ("chirp.wgsl", fft::BLUESTEIN_CHIRP_WGSL),
        ("inverse_chirp.wgsl", fft::BLUESTEIN_INV_CHIRP_WGSL),
        ("zero_pad.wgsl", fft::BLUESTEIN_ZERO_PAD_WGSL),
    ];
    let mut line = "check --json".to_owned();
    for (name, source) in kernels {
        folder.write(name, source);
        line.push(' ');
        line.push_str(name);
    }
    let told = json(&folder.gmem(&line).ok());
    let files = told["files"].as_array().expect("files");
    for (file, (name, _)) in files.iter().zip(kernels) {
        let entries = file["entries"].as_array().expect("entries");
        assert_eq!(entries.len(), 1, "{name}");
        // A transform goes from one buffer to another; only scaling is in place.
        let hazard = if name == "normalize.wgsl" { "C" } else { "A" };
        assert_eq!(entries[0]["hazard"], hazard, "{name}");
        assert_ne!(entries[0]["footprint"], "resident", "{name}");
    }
    assert_eq!(files[0]["entries"][0]["footprint"], "static");
}
