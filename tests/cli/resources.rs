//! What a kernel binds besides memory, on the command line: immediates are values, textures cannot be given.

use crate::rig::{Folder, adapter, bytes};

#[test]
fn immediates_are_given_like_uniforms() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("immediates");
    folder.write(
        "k.wgsl",
        "struct Push { by: array<u32, 3>, scale: f32 }
var<immediate> push: Push;
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    x[id.x] += push.by[id.x % 3u] * u32(push.scale);
}",
    );
    folder.write("x.bin", bytes(&[1_u32, 2, 3, 4]));
    let line = format!("run k.wgsl --adapter {adapter} --grid 1 --bind x=x.bin,out=out.bin");
    let done = folder.gmem(&format!("{line} --uniform push=u32:10,20,30,f32:2.5"));
    done.ok();
    assert_eq!(folder.read("out.bin"), bytes(&[21_u32, 42, 63, 24]));
    // It has no numbers, so none are told, and none find it.
    folder.gmem(&line).refused(2, &["--uniform", "`push` ("]);
    let numbers = folder.gmem(&format!("{line} --uniform 0.0=u32:10,20,30,f32:2.5"));
    numbers.refused(2, &["no uniform `0.0`"]);
}

#[test]
fn textures_are_refused_by_name() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("textures");
    folder.write(
        "k.wgsl",
        "@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(1) @binding(2) var image: texture_2d<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    x[id.x] = textureLoad(image, vec2<u32>(id.x, 0u), 0).x;
}",
    );
    folder
        .gmem(&format!(
            "run k.wgsl --adapter {adapter} --grid 1 --bind x=zeros:16"
        ))
        .refused(2, &["texture `image` (texture_2d<f32>)", "Launch::texture"]);
}

#[test]
fn kernels_that_follow_pointers_are_refused() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("pointers");
    folder.write(
        "k.wgsl",
        "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<uniform> head: gm_ptr;
@compute @workgroup_size(1) fn main() { x[0] = gm_load_u32(head); }",
    );
    folder
        .gmem(&format!(
            "run k.wgsl --adapter {adapter} --grid 1 --bind x=zeros:16 --uniform head=u32:0,0"
        ))
        .refused(2, &["follows pointers", "Launch::reach"]);
}
