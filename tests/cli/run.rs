//! `gmem run`: exact results over files.

use crate::rig::{Folder, adapter, adapters, bytes, npy, read_npy};

const AXPY: &str = "
struct Params { scale: u32, offset: i32, factor: vec3<f32> }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;
override BIAS: u32 = 0u;

@compute @workgroup_size(64)
fn axpy(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&y)) {
        y[id.x] = params.scale * x[id.x] + y[id.x] + BIAS + u32(params.offset + 10) + u32(params.factor.z);
    }
}

@compute @workgroup_size(64)
fn clear(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&y)) { y[id.x] = 0u; }
}
";

#[test]
fn arrays_of_numpy_go_through_a_kernel_in_far_less_memory() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("npy-{adapter}"));
        folder.write("k.wgsl", AXPY);
        let n = 3 * (1 << 18);
        let x: Vec<u32> = (0..n).map(|i: u32| i.wrapping_mul(2_654_435_761)).collect();
        let y: Vec<u32> = (0..n).collect();
        let (x_file, y_file) = (
            npy("<u4", &format!("({n},)"), bytes(&x)),
            npy("<u4", &format!("(3, {})", n / 3), bytes(&y)),
        );
        folder.write("x.npy", &x_file);
        folder.write("y.npy", &y_file);
        let done = folder
            .gmem(&format!(
                "run k.wgsl --entry axpy --grid {} --bind x=x.npy --bind 0.1=y.npy,out=sum.npy \
                 --uniform params=Params:3,-9,0.5,1.5,2.5 --override BIAS=7 --repeat 2 \
                 --device-memory 1MiB --report run.json --adapter {adapter}",
                n / 64
            ))
            .ok();
        assert!(
            done.out.starts_with("axpy: 2 launches of 12288 workgroups"),
            "{done:#?}"
        );
        assert!(
            done.out.contains("wrote sum.npy (<u4 of 3 x 262144)"),
            "{done:#?}"
        );
        let file = folder.read("sum.npy");
        let (header, data) = read_npy(&file);
        assert!(
            header.contains("'<u4'") && header.contains("(3,262144,)"),
            "{header}"
        );
        let expected: Vec<u32> = (x.iter().zip(&y))
            .map(|(x, y)| {
                (0..2).fold(*y, |y, _| {
                    x.wrapping_mul(3).wrapping_add(y).wrapping_add(7 + 1 + 2)
                })
            })
            .collect();
        assert!(data == bytes(&expected), "{done:#?}");
        // Nobody asked for them to be written.
        assert!(folder.read("x.npy") == x_file && folder.read("y.npy") == y_file);
        let report = folder.json("run.json");
        assert_eq!(report["bytes_bound"], 8 * n);
        assert_eq!(report["device_memory"], 1 << 20);
        assert_eq!(report["backend"], adapter);
        assert_eq!(report["policy"], "clock");
        assert_eq!(report["seed"], 0);
        assert_eq!(report["gmem_version"], env!("CARGO_PKG_VERSION"));
        for key in ["adapter", "driver", "host_mechanism"] {
            assert!(
                report[key].as_str().is_some_and(|s| !s.is_empty()),
                "{key}: {report}"
            );
        }
        assert!(
            report["peak_device_bytes"].as_u64().unwrap() <= 1 << 20,
            "{report}"
        );
        assert!(
            report["passes"].as_u64().unwrap() >= 12 && report["evictions"].as_u64().unwrap() > 0,
            "{report}"
        );
        assert!(
            report.get("name").is_none() && report.get("verified").is_none(),
            "{report}"
        );
    }
}

#[test]
fn a_workgroup_that_does_not_fit_is_run_from_remote_memory_and_the_report_says_so() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("remote-{adapter}"));
        folder.write(
            "k.wgsl",
            "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
             @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x * 1024u] += 1u; }",
        );
        let run = |more: &str| {
            folder.gmem(&format!(
                "run k.wgsl --grid 1 --bind x=zeros:u32:65536,out=x.npy --device-memory 64KiB --page-size 4KiB \
                 --report run.json --trace t.json --adapter {adapter} {more}"
            ))
        };
        let refused = [
            "may touch 64 pages at once",
            "room for 15, and for 0 more in remote memory",
            "bytes of device memory",
        ];
        run("--remote-memory 0").refused(1, &[&refused[..], &["none is allowed"]].concat());
        if adapter == "gl" {
            run("").refused(1, &refused);
            continue;
        }
        let done = run("").ok();
        assert!(
            done.out
                .contains("of remote memory, for workgroups that did not fit"),
            "{done:#?}"
        );
        let (report, file) = (folder.json("run.json"), folder.read("x.npy"));
        let remote = report["remote_bytes"].as_u64().unwrap();
        assert!(remote >= 49 * 4096, "{report}");
        assert!(report["wgpu_bytes"].as_u64() > Some(remote), "{report}");
        assert!(
            report["peak_device_bytes"].as_u64() <= Some(64 << 10),
            "{report}"
        );
        let words: Vec<u32> = (0..65_536).map(|i| u32::from(i % 1024 == 0)).collect();
        assert!(read_npy(&file).1 == bytes(&words));
        assert!(folder.gmem("replay t.json").ok().out.contains("64 frames"));
    }
}

#[test]
fn bytes_of_any_length_go_in_and_come_out_at_that_length() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("bin");
    folder.write(
        "k.wgsl",
        "@group(0) @binding(3) var<storage, read_write> data: array<u32>;
         @group(0) @binding(4) var<storage, read_write> ones: array<f32>;
         @group(0) @binding(5) var<storage, read_write> count: atomic<u32>;
         @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
             data[id.x] = ~data[id.x];
             ones[id.x] = f32(arrayLength(&data));
             atomicAdd(&count, 1u);
         }",
    );
    folder.write("data.bin", b"seven b");
    folder
        .gmem(&format!(
            "run k.wgsl --grid 2 --bind data=data.bin,out=data.bin --bind 0.4=zeros:f32:3,out=ones.npy \
             --bind count=zeros:4,out=count.bin --adapter {adapter}"
        ))
        .ok();
    let flipped: Vec<u8> = b"seven b".iter().map(|byte| !byte).collect();
    assert_eq!(
        folder.read("data.bin"),
        flipped,
        "it was asked for to go where it came from"
    );
    let file = folder.read("ones.npy");
    let (header, data) = read_npy(&file);
    assert!(
        header.contains("'<f4'") && header.contains("(3,)"),
        "{header}"
    );
    assert_eq!(data, bytes(&[2.0_f32, 2.0, 0.0]));
    assert_eq!(folder.read("count.bin"), bytes(&[2_u32]));
}

#[test]
fn bytes_are_taken_for_whatever_the_kernel_has_and_uniforms_from_files() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("raw");
    folder.write("k.wgsl", AXPY);
    folder.write("x.npy", npy("|u1", "(8,)", &[1, 0, 0, 0, 2, 0, 0, 0]));
    let uniform: Vec<u8> = [5_u32, (-10_i32) as u32, 0, 0, 0, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    folder.write("params.bin", &uniform);
    folder
        .gmem(&format!(
            "run k.wgsl --entry axpy --grid 1 --bind x=x.npy --bind y=zeros:u32:2,out=y.bin --uniform 1.0=params.bin --adapter {adapter}"
        ))
        .ok();
    assert_eq!(folder.read("y.bin"), bytes(&[5_u32, 10]));
}

#[test]
fn other_entry_points_need_only_their_own_bindings() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("entry");
    folder.write("k.wgsl", AXPY);
    folder.write("y.bin", [255; 64]);
    let done = folder
        .gmem(&format!(
            "run k.wgsl --entry clear --grid 1 --bind y=y.bin,out=zero.bin --adapter {adapter}"
        ))
        .ok();
    assert!(
        done.out.starts_with("clear: 1 workgroup in 1 pass, "),
        "{done:#?}"
    );
    assert_eq!(folder.read("zero.bin"), [0; 64]);
    assert_eq!(folder.read("y.bin"), [255; 64]);
}
