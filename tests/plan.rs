//! `gmem run PLAN.toml`: the plans under examples/plans, and plans that are wrong.
//!
//! Adapters: all that there are; `GMEM_TEST_ADAPTER=vulkan|gl|none` restricts them.

#[path = "command/mod.rs"]
mod command;
#[allow(dead_code, reason = "the tests of the other commands use the rest")]
#[path = "cli/rig.rs"]
mod rig;
#[path = "skipped/mod.rs"]
mod skipped;

use rig::{Folder, adapter, adapters, bytes, npy, read_npy};

/// The example plans and their kernels.
const EXAMPLES: [(&str, &str); 6] = [
    ("radix.toml", include_str!("../examples/plans/radix.toml")),
    ("radix.wgsl", include_str!("../examples/plans/radix.wgsl")),
    ("bfs.toml", include_str!("../examples/plans/bfs.toml")),
    ("bfs.wgsl", include_str!("../examples/plans/bfs.wgsl")),
    ("heat.toml", include_str!("../examples/plans/heat.toml")),
    ("heat.wgsl", include_str!("../examples/plans/heat.wgsl")),
];

/// A folder with all of them.
fn examples(name: &str) -> Folder {
    let folder = Folder::new(&format!("plan-{name}"));
    for (file, text) in EXAMPLES {
        folder.write(file, text);
    }
    folder
}

fn edited(folder: &Folder, from: &str, to: &str, changes: &[(&str, &str)]) {
    let mut text = String::from_utf8(folder.read(from)).expect("a text");
    for (piece, by) in changes {
        assert!(text.contains(piece), "{piece}");
        text = text.replacen(piece, by, 1);
    }
    folder.write(to, text);
}

#[test]
fn the_examples_are_as_expected_on_every_adapter_and_in_little_memory() {
    for adapter in adapters() {
        let folder = examples(&format!("all-{adapter}"));
        for (plan, memory, launches) in [
            ("radix", "8MiB", "16 launches of 4 kernels"),
            ("bfs", "1MiB", "launches of 4 kernels"),
            ("heat", "256KiB", "203 launches of 3 kernels"),
        ] {
            let done = folder
                .gmem(&format!(
                    "run {plan}.toml --device-memory {memory} --page-size 4KiB --report {plan}.json --adapter {adapter}"
                ))
                .ok();
            assert!(done.out.contains(launches), "{done:#?}");
            assert!(done.out.contains("as expected"), "{done:#?}");
            let report = folder.json(&format!("{plan}.json"));
            assert_eq!(report["verified"], true, "{report}");
            assert_eq!(report["page_size"], 4096);
            assert_eq!(report["backend"], adapter);
        }
        // It cannot all have been there at once.
        let report = folder.json("heat.json");
        assert!(
            report["bytes_bound"].as_u64() > report["device_memory"].as_u64(),
            "{report}"
        );
        assert!(report["evictions"].as_u64() > Some(0), "{report}");
    }
}

#[test]
fn a_sort_that_leaves_out_a_pass_is_not_as_expected() {
    let Some(adapter) = adapter() else { return };
    let folder = examples("short");
    edited(
        &folder,
        "radix.toml",
        "short.toml",
        &[("[0, 4, 8, 12, 16]", "[0, 4, 8, 12]")],
    );
    let done = folder.gmem(&format!(
        "run short.toml --report r.json --adapter {adapter}"
    ));
    assert_eq!(done.status, Some(1), "{done:#?}");
    assert!(
        done.out.contains("`keys`: NOT AS EXPECTED: element "),
        "{done:#?}"
    );
    assert_eq!(folder.json("r.json")["verified"], false);
}

#[test]
fn other_contents_are_sorted_too_and_written_where_one_is() {
    let Some(adapter) = adapter() else { return };
    let folder = examples("mine");
    // Nothing is shuffled.
    edited(
        &folder,
        "radix.toml",
        "sort.toml",
        &[(
            "[[steps]]\nkernel = \"shuffle\"\ngrid = [1024]\nbind = { sorted = \"keys\" }\n",
            "",
        )],
    );
    let mut keys: Vec<u32> = (0..262_144_u32)
        .map(|i| i.wrapping_mul(2_654_435_761) >> 12)
        .collect();
    folder.write("mine.npy", npy("<u4", "(262144,)", bytes(&keys)));
    std::fs::create_dir_all(folder.0.join("elsewhere")).expect("a folder");
    std::fs::rename(
        folder.0.join("mine.npy"),
        folder.0.join("elsewhere/mine.npy"),
    )
    .expect("moved");
    let done = folder
        .gmem(&format!(
            "run sort.toml --bind keys=elsewhere/mine.npy,out=sorted.npy --adapter {adapter}"
        ))
        .ok();
    assert!(done.err.contains("nothing is compared"), "{done:#?}");
    assert!(
        done.out.contains("wrote sorted.npy (<u4 of 262144)"),
        "{done:#?}"
    );
    keys.sort_unstable();
    let file = folder.read("sorted.npy");
    assert!(read_npy(&file).1 == bytes(&keys));
}

/// The levels of a search, by the book.
fn levels(links: &[[u32; 4]]) -> Vec<u32> {
    let mut level = vec![0; links.len()];
    let mut queue = std::collections::VecDeque::from([0]);
    level[0] = 1;
    while let Some(cell) = queue.pop_front() {
        for &other in &links[cell] {
            let other = other as usize;
            if level[other] == 0 {
                level[other] = level[cell] + 1;
                queue.push_back(other);
            }
        }
    }
    level
}

#[test]
fn the_search_finds_what_a_queue_finds() {
    let Some(adapter) = adapter() else { return };
    let folder = examples("levels");
    folder
        .gmem(&format!(
            "run bfs.toml --bind level=zeros:u32:16384,out=level.bin --bind links=zeros:u32:65536,out=links.bin --adapter {adapter}"
        ))
        .ok();
    let words = |name: &str| -> Vec<u32> {
        let all = folder.read(name);
        all.chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
            .collect()
    };
    let links: Vec<[u32; 4]> = words("links.bin")
        .chunks_exact(4)
        .map(|l| [l[0], l[1], l[2], l[3]])
        .collect();
    let expected = levels(&links);
    assert!(
        expected.iter().filter(|level| **level > 0).count() > 8000,
        "hardly a maze"
    );
    assert!(words("level.bin") == expected);
}

const COUNTDOWN: &str = "
@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
@group(0) @binding(2) var<uniform> by: u32;
@compute @workgroup_size(4) fn minus(@builtin(global_invocation_id) id: vec3<u32>) { dst[id.x] = src[id.x] - min(src[id.x], by); }
@group(0) @binding(3) var<storage, read> other: array<u32>;
@compute @workgroup_size(4) fn add(@builtin(global_invocation_id) id: vec3<u32>) { dst[id.x] = src[id.x] + other[id.x]; }
";

const PLAN: &str = r#"
[buffers.a]
init = "start.bin"
[buffers.b]
init = "zeros:u32:4"
out = "b.npy"
[kernels]
minus = { file = "k.wgsl", entry = "minus" }
add = { file = "k.wgsl", entry = "add" }
[[steps]]
until_zero = "a[2]"
at_most = 10
steps = [
    { kernel = "minus", grid = [1], bind = { src = "a", dst = "b" }, uniform = { by = "u32:$round" } },
    { swap = ["a", "b"] },
]
"#;

fn countdown(name: &str) -> Folder {
    let folder = Folder::new(&format!("plan-{name}"));
    folder.write("k.wgsl", COUNTDOWN);
    folder.write("start.bin", bytes(&[5_u32, 20, 3, 40]));
    folder
}

#[test]
fn loops_end_when_the_cpu_sees_a_zero() {
    let Some(adapter) = adapter() else { return };
    let folder = countdown("zero");
    folder.write("p.toml", PLAN);
    let done = folder.gmem(&format!("run p.toml --adapter {adapter}")).ok();
    // By 0, 1 and 2: three rounds, after which `b` has what there was before the last.
    assert!(done.out.contains("minus: 3 launches"), "{done:#?}");
    assert!(done.out.contains("add: 0 launches"), "{done:#?}");
    assert_eq!(
        read_npy(&folder.read("b.npy")).1,
        bytes(&[4_u32, 19, 2, 39])
    );

    folder.write("p.toml", PLAN.replace("a[2]", "a[3]"));
    folder.gmem(&format!("run p.toml --adapter {adapter}")).ok();
    folder.write(
        "p.toml",
        PLAN.replace("a[2]", "a[3]")
            .replace("at_most = 10", "at_most = 4"),
    );
    folder
        .gmem(&format!("run p.toml --adapter {adapter}"))
        .refused(
            1,
            &[
                "p.toml, line 10",
                "`a[3]` is still 34 after 4 rounds",
                "at_most",
            ],
        );
}

#[test]
fn buffers_that_are_only_read_may_be_bound_twice() {
    let Some(adapter) = adapter() else { return };
    let folder = countdown("alias");
    let start = PLAN.find("[[steps]]").expect("steps");
    let step = |bind: &str| {
        let buffers = PLAN[..start].replace("out = \"b.npy\"", "expect = \"double.bin\"");
        format!("{buffers}[[steps]]\nkernel = \"add\"\ngrid = [1]\nbind = {{ {bind} }}\n")
    };
    folder.write("double.bin", bytes(&[10_u32, 40, 6, 80]));
    folder.write("p.toml", step("src = \"a\", other = \"a\", dst = \"b\""));
    let done = folder.gmem(&format!("run p.toml --adapter {adapter}")).ok();
    assert!(done.out.contains("`b`: as expected"), "{done:#?}");
    folder.write("p.toml", step("src = \"a\", other = \"b\", dst = \"b\""));
    folder
        .gmem(&format!("run p.toml --adapter {adapter}"))
        .refused(2, &["p.toml, line 10", "`b` is bound twice", "swap"]);
    folder.write("p.toml", step("src = \"a\", dst = \"b\""));
    folder
        .gmem(&format!("run p.toml --adapter {adapter}"))
        .refused(
            2,
            &["p.toml, line 10", "kernel `add` needs a `bind`", "`other`"],
        );
    folder.write("p.toml", step("src = \"a\", other = \"a\", dest = \"b\""));
    folder
        .gmem(&format!("run p.toml --adapter {adapter}"))
        .refused(
            2,
            &["p.toml, line 10", "no storage binding `dest`", "`dst`"],
        );
}

#[test]
fn plans_that_are_wrong_are_refused_before_a_device_is_opened() {
    let folder = countdown("wrong");
    for (piece, by, words) in [
        (
            "until_zero",
            "until_none",
            &["line 11", "unknown field", "until_zero"][..],
        ),
        ("start.bin", "none.bin", &["line 2", "none.bin"]),
        (
            "\"zeros:u32:4\"",
            "\"zeros:u32:3\"",
            &["line 15", "one size", "12 bytes"],
        ),
        ("a[2]", "a[4]", &["line 10", "u32 4 of `a`", "16 bytes"]),
        (
            "file = \"k.wgsl\", entry = \"add\"",
            "file = \"none.wgsl\"",
            &["line 9", "none.wgsl"],
        ),
        (
            "out = \"b.npy\"",
            "expect = \"zeros:u32:5\"",
            &["line 4", "20 bytes"],
        ),
        (
            "out = \"b.npy\"",
            "expect = \"zeros:u32:4\"\nwithin = 0.5",
            &["line 4", "f32"],
        ),
        (
            "u32:$round",
            "u32:$rounds",
            &["line 14", "`rounds`", "`round`"],
        ),
        (
            "out = \"b.npy\"",
            "out = \"none/b.npy\"",
            &["line 4", "none/b.npy", "folder"],
        ),
    ] {
        assert!(PLAN.contains(piece), "{piece}");
        folder.write("p.toml", PLAN.replacen(piece, by, 1));
        // No adapter of that name is ever looked for.
        let done = folder.gmem("run p.toml --adapter nothing-of-this-name");
        done.refused(2, words);
    }
    folder.write("p.toml", PLAN);
    for (line, words) in [
        ("run none.toml", "none.toml"),
        ("run p.toml --grid 4", "--grid"),
        ("run p.toml --entry add", "--entry"),
        ("run p.toml --uniform by=u32:1", "--uniform"),
        ("run p.toml --override N=1", "--override"),
        ("run p.toml --bind c=zeros:4", "`a`, `b`"),
        ("run p.toml --bind a=zeros:u32:8", "one size"),
        ("run p.toml --report none/r.json", "none/r.json"),
    ] {
        folder.gmem(line).refused(2, &[words]);
    }
}

#[test]
fn kernels_that_do_not_fit_are_named_with_their_line() {
    let Some(adapter) = adapter() else { return };
    let folder = countdown("kernels");
    for (piece, by, status, words) in [
        (
            "entry = \"add\"",
            "entry = \"sub\"",
            2,
            &["line 9", "`sub`", "minus, add"][..],
        ),
        (
            "entry = \"minus\"",
            "entry = \"minus\", override = { N = 1 }",
            2,
            &["line 8", "`N`"],
        ),
        (
            "uniform = { by = \"u32:$round\" }",
            "uniform = { by = \"f32:$round\" }",
            2,
            &["line 14", "`by`", "f32"],
        ),
        (
            ", uniform = { by = \"u32:$round\" }",
            "",
            2,
            &["line 14", "needs a `uniform`", "`by`"],
        ),
        (
            "\"zeros:u32:4\"",
            "\"zeros:f32:4\"",
            2,
            &["line 14", "`dst` is array<u32>"],
        ),
        ("grid = [1]", "grid = [4294967295]", 2, &["line 14", "2^32"]),
    ] {
        folder.write("p.toml", PLAN.replacen(piece, by, 1));
        folder
            .gmem(&format!("run p.toml --adapter {adapter}"))
            .refused(status, words);
    }
    folder.write("k.wgsl", "fn (");
    folder.write("p.toml", PLAN);
    folder
        .gmem(&format!("run p.toml --adapter {adapter}"))
        .refused(1, &["p.toml, line 9", "line 1"]);
}

#[test]
fn the_simulated_device_says_that_it_has_no_compiler() {
    let folder = examples("sim");
    folder
        .gmem("run heat.toml --adapter sim")
        .refused(1, &["simulated device", "GPU adapter"]);
}
