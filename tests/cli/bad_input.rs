//! Mistakes: each is answered with one message that names it, status 2 where the arguments are wrong, else 1.

use crate::rig::{Folder, adapter, adapters, npy};

const KERNEL: &str = "
struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
override WIDE: u32 = 1u;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.n * WIDE) { y[id.x] = params.scale * x[id.x]; }
}
";

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_runs() {
    let folder = Folder::new("arguments");
    folder.write("k.wgsl", KERNEL);
    std::fs::create_dir_all(folder.0.join("folder.bin")).unwrap();
    for (line, words) in [
        ("dance", "dance"),
        ("demo tango", "tango"),
        ("demo --size 0", "zero"),
        ("demo --size lots", "lots"),
        ("demo --device-memory 99999999999T", "64 bits"),
        ("demo --page-size 5000", "5000"),
        ("demo --page-size 4MiB", "4194304"),
        ("demo --policy hope", "hope"),
        ("demo --host telepathy", "telepathy"),
        ("demo --seed -1", "-1"),
        ("demo triad --graph g.mtx", "--graph"),
        ("demo heat --file f", "--file"),
        ("demo pagerank --graph none.mtx --adapter sim", "none.mtx"),
        ("demo histogram --file none.bin --adapter sim", "none.bin"),
        ("demo all --graph none.mtx --adapter sim", "none.mtx"),
        ("run", "KERNEL"),
        ("run k.wgsl", "--grid"),
        ("run k.wgsl --grid 0", "zero"),
        ("run k.wgsl --grid 1,0", "zero"),
        ("run k.wgsl --grid 1,2,3,4", "dimensions"),
        ("run k.wgsl --grid 4294967296", "4294967295"),
        ("run k.wgsl --grid 1 --repeat 0", "0"),
        ("run none.wgsl --grid 1", "none.wgsl"),
        ("run k.wgsl --grid 1 --bind x", "NAME="),
        ("run k.wgsl --grid 1 --bind x=a.txt", "a.txt"),
        ("run k.wgsl --grid 1 --bind x=zeros:0", "zero"),
        ("run k.wgsl --grid 1 --bind x=zeros:f128:4", "f128"),
        (
            "run k.wgsl --grid 1 --bind x=zeros:4 --bind x=zeros:4",
            "twice",
        ),
        ("run k.wgsl --grid 1 --bind x=none.bin", "none.bin"),
        ("run k.wgsl --grid 1 --bind x=none.npy", "none.npy"),
        (
            "run k.wgsl --grid 1 --bind x=zeros:4,out=no/folder/x.bin",
            "no/folder/x.bin",
        ),
        (
            "run k.wgsl --grid 1 --bind x=zeros:4,out=folder.bin",
            "\"folder.bin\" cannot be written: it is a folder",
        ),
        ("run k.wgsl --grid 1 --report folder.bin", "it is a folder"),
        ("demo --report folder.bin --adapter sim", "it is a folder"),
        ("demo --report new/ --adapter sim", "it is a folder"),
        ("info --report folder.bin", "it is a folder"),
        (
            "run k.wgsl --grid 1 --bind x=zeros:4,out=a.bin --bind y=zeros:4,out=a.bin",
            "a.bin",
        ),
        ("run k.wgsl --grid 1 --uniform params=7", "params"),
        ("run k.wgsl --grid 1 --uniform params=u32:seven", "seven"),
        ("run k.wgsl --grid 1 --uniform params=none.bin", "none.bin"),
        ("run k.wgsl --grid 1 --override WIDE=much", "much"),
    ] {
        let done = folder.gmem(line);
        let same_case = done.err.replace('\n', " ");
        assert!(
            same_case.contains(words),
            "{line}: `{words}` is missing: {done:#?}"
        );
        done.refused(2, &[]);
    }
}

#[test]
fn files_that_are_not_what_they_should_be_fail_the_run_with_their_name() {
    let folder = Folder::new("contents");
    folder.write("k.wgsl", KERNEL);
    let whole = npy("<f4", "(16,)", &[0; 64]);
    folder.write("cut.npy", &whole[..whole.len() - 5]);
    folder.write("head.npy", &whole[..40]);
    folder.write("text.npy", "1 2 3");
    folder.write("long.npy", [&whole[..], &[1, 2]].concat());
    folder.write("object.npy", npy("|O", "(4,)", &[0; 32]));
    folder.write("big.npy", npy(">f4", "(4,)", &[0; 16]));
    folder.write("none.npy", npy("<f4", "(0,)", &[]));
    folder.write("nothing.bin", []);
    folder.write("latin.wgsl", [0xff, 0xfe, 0xff]);
    let line = "run k.wgsl --grid 1 --bind x=";
    for name in [
        "cut.npy",
        "head.npy",
        "text.npy",
        "long.npy",
        "object.npy",
        "big.npy",
        "none.npy",
    ] {
        folder.gmem(&format!("{line}{name}")).refused(1, &[name]);
    }
    folder
        .gmem(&format!("{line}nothing.bin"))
        .refused(2, &["nothing.bin", "empty"]);
    folder
        .gmem("run latin.wgsl --grid 1")
        .refused(1, &["latin.wgsl"]);

    let banner = "%%MatrixMarket matrix coordinate pattern general\n";
    folder.write("cut.mtx", format!("{banner}3 3 4\n1 2\n2 3\n"));
    folder.write("far.mtx", format!("{banner}3 3 1\n1 4\n"));
    folder.write("wide.mtx", format!("{banner}3 4 1\n1 2\n"));
    folder.write(
        "dense.mtx",
        "%%MatrixMarket matrix array real general\n1 1\n1.0\n",
    );
    folder.write("text.mtx", "1 2 3\n");
    folder.write("words.mtx", format!("{banner}3 3 1\none two\n"));
    folder
        .gmem("demo pagerank --adapter sim --graph far.mtx")
        .refused(1, &["far.mtx", "line 3", "entry 1", "row 1 and column 4"]);
    for name in [
        "cut.mtx",
        "far.mtx",
        "wide.mtx",
        "dense.mtx",
        "text.mtx",
        "words.mtx",
    ] {
        folder
            .gmem(&format!("demo pagerank --adapter sim --graph {name}"))
            .refused(1, &[name]);
    }
    folder
        .gmem("demo histogram --adapter sim --file nothing.bin")
        .refused(2, &["nothing.bin"]);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = Folder::new("absent");
    folder.write("k.wgsl", KERNEL);
    folder
        .gmem("demo triad --adapter voodoo --size 1MiB")
        .refused(1, &["voodoo"]);
    folder.gmem("info --adapter voodoo").refused(1, &["voodoo"]);
    folder
        .gmem("run k.wgsl --grid 1 --adapter voodoo")
        .refused(1, &["voodoo"]);
    folder
        .gmem("run k.wgsl --grid 1 --adapter sim")
        .refused(1, &["closures", "GPU"]);
    let done = folder.gmem("demo triad --adapter sim --size 64KiB --report no/folder/r.json");
    assert_eq!(done.status, Some(2), "{done:#?}");
    assert!(done.err.contains("no/folder/r.json"), "{done:#?}");
}

#[test]
fn arguments_that_do_not_fit_the_kernel_are_named_with_what_would() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("misfits");
    folder.write("k.wgsl", KERNEL);
    folder.write("ints.npy", npy("<i4", "(4,)", &[0; 16]));
    folder.write("doubles.npy", npy("<f8", "(4,)", &[0; 32]));
    folder.write("five.bin", [0; 5]);
    let all = "--bind x=zeros:64 --bind y=zeros:f32:16,out=y.npy --uniform params=Params:1,2";
    for (rest, words) in [
        (
            "--bind y=zeros:64 --uniform params=Params:1,2",
            &["`x` (0.0, array<f32>)", "--bind"][..],
        ),
        (
            "--bind x=zeros:64 --bind y=zeros:64",
            &["`params` (0.2, n: u32, scale: f32)", "--uniform"],
        ),
        (
            &format!("{all} --bind z=zeros:64"),
            &["`z`", "`x` (0.0, array<f32>)"],
        ),
        (&format!("{all} --bind 3.1=zeros:64"), &["`3.1`"]),
        (&format!("{all} --bind 0.1=zeros:64"), &["twice"]),
        (&format!("{all} --uniform other=u32:1"), &["`other`"]),
        (
            "--bind x=ints.npy --bind y=zeros:64 --uniform params=Params:1,2",
            &["ints.npy", "i32", "array<f32>"],
        ),
        (
            "--bind x=doubles.npy --bind y=zeros:64 --uniform params=Params:1,2",
            &["doubles.npy", "<f8", "array<f32>"],
        ),
        (
            "--bind x=zeros:u32:4 --bind y=zeros:64 --uniform params=Params:1,2",
            &["u32", "array<f32>"],
        ),
        (
            "--bind x=zeros:64 --bind y=zeros:64 --uniform params=Params:1",
            &["params", "2 scalars", "1 value "],
        ),
        (
            "--bind x=zeros:64 --bind y=zeros:64 --uniform params=u32:1,2",
            &["value 2 is u32", "f32"],
        ),
        (
            "--bind x=zeros:64 --bind y=zeros:64 --uniform params=five.bin",
            &["8 bytes", "five.bin", "5"],
        ),
    ] {
        folder
            .gmem(&format!("run k.wgsl --grid 1 {rest} --adapter {adapter}"))
            .refused(2, words);
    }
    folder
        .gmem(&format!(
            "run k.wgsl --grid 100000000 {all} --adapter {adapter}"
        ))
        .refused(2, &["100000000 workgroups", "past the limit"]);
    assert!(!folder.exists("y.npy"), "nothing ran, nothing was written");
}

#[test]
fn kernels_that_do_not_compile_are_refused_with_the_line() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("kernels");
    folder.write("k.wgsl", KERNEL);
    folder.write(
        "parse.wgsl",
        "@compute @workgroup_size(1)\nfn main() {\n  let x = ;\n}",
    );
    folder.write(
        "invalid.wgsl",
        "@compute @workgroup_size(1)\nfn main() {\n  let x: u32 = 1.5;\n}",
    );
    folder.write("empty.wgsl", "");
    let run = |rest: &str| folder.gmem(&format!("run {rest} --adapter {adapter}"));
    let done = run("parse.wgsl --grid 1").refused(1, &["line 3", "let x = ;"]);
    let first = done.err.lines().next().unwrap_or_default();
    let message = first.trim_start_matches("error: line 3: ");
    assert!(message.len() < first.len(), "{done:#?}");
    for once in [message, "let x = ;", "error:"] {
        assert_eq!(done.err.matches(once).count(), 1, "`{once}`: {done:#?}");
    }
    run("invalid.wgsl --grid 1").refused(1, &["line 3"]);
    run("empty.wgsl --grid 1").refused(1, &["entry point"]);
}

#[test]
fn entry_points_and_constants_that_are_not_there_are_bad_arguments() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("names");
    folder.write("k.wgsl", KERNEL);
    folder.write(
        "two.wgsl",
        "@compute @workgroup_size(1) fn a() {}\n@compute @workgroup_size(1) fn b() {}",
    );
    folder.write(
        "bare.wgsl",
        "override SIZE: u32;\n@compute @workgroup_size(SIZE) fn main() {}",
    );
    folder.write(
        "wrong.wgsl",
        "override SIZE: u32 = 0u;\n@compute @workgroup_size(SIZE) fn main() {}",
    );
    for (rest, words) in [
        ("k.wgsl --entry missing", &["missing", "main"][..]),
        ("two.wgsl", &["entry point", "a, b"]),
        (
            "k.wgsl --override OTHER=1",
            &["`OTHER`", "the shader has WIDE"],
        ),
        (
            "two.wgsl --entry a --override OTHER=1",
            &["`OTHER`", "the shader has none"],
        ),
        (
            "k.wgsl --override WIDE=-1",
            &["`WIDE`", "-1 does not fit in u32"],
        ),
        ("bare.wgsl", &["`SIZE`", "no value"]),
        ("bare.wgsl --override SIZE=0", &["the shader has SIZE"]),
    ] {
        folder
            .gmem(&format!("run {rest} --grid 1 --adapter {adapter}"))
            .refused(2, words);
    }
    // Nobody said anything that could be wrong: the file is.
    folder
        .gmem(&format!("run wrong.wgsl --grid 1 --adapter {adapter}"))
        .refused(1, &["the shader has SIZE"]);
}

#[test]
fn what_a_device_cannot_run_is_refused_before_the_run_with_the_line() {
    let folder = Folder::new("abilities");
    folder.write(
        "k.wgsl",
        "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1) fn main() {
    x[0] = subgroupAdd(x[0]);
}",
    );
    for adapter in adapters() {
        let done = folder.gmem(&format!(
            "run k.wgsl --grid 1 --bind x=zeros:4 --adapter {adapter}"
        ));
        if done.status != Some(0) {
            done.refused(1, &["kernel `main`", "line 3", "subgroup operations"]);
        }
    }
}

#[test]
fn memory_that_does_not_do_is_an_error_that_says_how_much_would() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("memory");
    folder.write("k.wgsl", KERNEL);
    let run = |rest: &str| {
        folder.gmem(&format!(
            "run k.wgsl --grid 16 --bind x=zeros:1MiB --bind y=zeros:1MiB --uniform params=Params:1,2 --adapter {adapter} {rest}"
        ))
    };
    run("--device-memory 1KiB").refused(1, &["1024 bytes", "at least"]);
    run("--device-memory 5KiB --page-size 4KiB --remote-memory 0").refused(1, &["at least"]);
    folder
        .gmem(&format!(
            "run k.wgsl --grid 1 --bind x=zeros:1000T --bind y=zeros:4 --uniform params=Params:1,2 --adapter {adapter}"
        ))
        .refused(1, &["1099511627776000 bytes"]);
}

#[test]
fn help_is_no_error_and_is_for_strangers() {
    let folder = Folder::new("help");
    for (line, words) in [
        (
            "--help",
            &["Examples:", "demo", "info", "run", "--device-memory"][..],
        ),
        (
            "run --help",
            &["zeros:f32:1000000", "GROUP.BINDING", "out=FILE"],
        ),
        ("demo --help", &["--graph", "--file", "triad"]),
        ("info --help", &["--json"]),
    ] {
        let done = folder.gmem(line).ok();
        for word in words {
            assert!(done.out.contains(word), "{word}: {done:#?}");
        }
    }
    assert!(folder.gmem("--version").ok().out.starts_with("gmem "));
}

#[cfg(unix)]
#[test]
fn a_status_is_the_same_when_nobody_reads_the_message() {
    use std::process::Stdio;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // Bad arguments that only the run itself finds out, not the parser.
    let status = crate::command::gmem()
        .args(["run", "none.wgsl", "--grid", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
