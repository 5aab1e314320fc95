//! `gmem run` takes its kernel in any language: GLSL and SPIR-V beside WGSL.

use crate::rig::{Folder, adapter, bytes};

const GLSL: &str = "#version 450
layout(local_size_x = 4) in;
layout(constant_id = 3) const uint BIAS = 1u;
layout(set = 0, binding = 2) readonly buffer Left { uint x[]; };
layout(set = 0, binding = 5) buffer Right { uint y[]; } right;
void main() {
    uint i = gl_GlobalInvocationID.x;
    right.y[i] = right.y[i] + 2u * x[i] + BIAS;
}";

const WGSL: &str = "@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;
fn add(to: ptr<storage, u32, read_write>, what: u32) { *to += what; }
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    add(&y[id.x], 2u * x[id.x] + 1u);
}";

/// WGSL that passes no pointers, as SPIR-V without names.
fn spirv() -> Vec<u8> {
    use wgpu::naga::{back::spv, front::wgsl, valid};
    let plain = WGSL.replace("add(&y[id.x], ", "y[id.x] += (").replace(
        "fn add(to: ptr<storage, u32, read_write>, what: u32) { *to += what; }",
        "",
    );
    let module = wgsl::parse_str(&plain).expect("it parses");
    let all = (valid::ValidationFlags::all(), valid::Capabilities::all());
    let info = valid::Validator::new(all.0, all.1)
        .validate(&module)
        .expect("it is valid");
    let mut options = spv::Options {
        lang_version: (1, 3),
        ..spv::Options::default()
    };
    options.flags.remove(spv::WriterFlags::DEBUG);
    let words = spv::write_vec(&module, &info, &options, None).expect("it is written");
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn kernels_of_every_language_run_over_files() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("languages");
    folder.write("k.wgsl", WGSL);
    folder.write("k.comp", GLSL);
    folder.write("k.glsl", GLSL);
    folder.write("k.spv", spirv());
    // The ending says nothing: what is in it does.
    folder.write("k.bin", spirv());
    folder.write("x.bin", bytes(&[1_u32, 2, 3, 4]));
    folder.write("y.bin", bytes(&[10_u32, 20, 30, 40]));
    for (kernel, x, y) in [
        ("k.wgsl", "x", "y"),
        ("k.comp", "Left", "right"),
        ("k.glsl", "0.2", "0.5"),
        ("k.spv", "b0_2", "b0_5"),
        ("k.bin", "0.2", "b0_5"),
    ] {
        folder
            .gmem(&format!(
                "run {kernel} --grid 1 --bind {x}=x.bin --bind {y}=y.bin,out=sum.bin --adapter {adapter}"
            ))
            .ok();
        assert_eq!(
            folder.read("sum.bin"),
            bytes(&[13_u32, 25, 37, 49]),
            "{kernel}"
        );
    }
    for key in ["BIAS", "3"] {
        folder
            .gmem(&format!(
                "run k.comp --grid 1 --bind Left=x.bin --bind right=y.bin,out=sum.bin --override {key}=5 --adapter {adapter}"
            ))
            .ok();
        assert_eq!(
            folder.read("sum.bin"),
            bytes(&[17_u32, 29, 41, 53]),
            "{key}"
        );
    }
}

#[test]
fn broken_kernels_are_refused_in_one_message() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("broken-languages");
    folder.write("cut.spv", &spirv()[..40]);
    folder.write("text.spv", WGSL);
    folder.write("k.comp", GLSL.replace("2u * x", "2u * z"));
    folder.write("bytes.wgsl", b"fn f() {}\n\xff\xfe");
    // An operand that leads nowhere makes the front end panic, or refuse.
    let mut wild = spirv();
    let last = wild.len() - 4 * 6;
    wild[last..last + 4].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    folder.write("wild.spv", wild);
    for (kernel, words) in [
        ("cut.spv", "cut off"),
        ("text.spv", "no SPIR-V"),
        ("k.comp", "line 8"),
        ("bytes.wgsl", "line 2"),
        ("wild.spv", ""),
    ] {
        let done = folder.gmem(&format!(
            "run {kernel} --grid 1 --bind b0_2=zeros:16 --bind b0_5=zeros:16 --adapter {adapter}"
        ));
        assert_eq!(done.status, Some(1), "{kernel}: {done:#?}");
        assert!(done.err.contains(words), "{kernel}: {done:#?}");
        assert!(!done.err.contains("panicked"), "{kernel}: {done:#?}");
    }
}
