//! Demonstrations and `info`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::rig::{Folder, adapters};
use crate::skipped::skipped;

const NAMES: [&str; 4] = ["triad", "heat", "pagerank", "histogram"];

fn number(report: &Value, key: &str) -> u64 {
    report[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no `{key}` in {report}"))
}

/// The numbers of a demonstration's report hold together.
fn check(report: &Value, factor: u64) {
    assert_eq!(report["verified"], true, "{report}");
    let (data, memory) = (
        number(report, "bytes_bound"),
        number(report, "device_memory"),
    );
    assert!(
        data >= factor * memory,
        "{data} bytes over {memory}: {report}"
    );
    let peak = number(report, "peak_device_bytes");
    assert!(peak > 0 && peak <= memory, "{report}");
    assert!(
        number(report, "wgpu_bytes") >= peak && number(report, "remote_bytes") == 0,
        "{report}"
    );
    assert!(number(report, "page_size").is_power_of_two(), "{report}");
    for key in [
        "gmem_version",
        "adapter",
        "backend",
        "host_mechanism",
        "policy",
    ] {
        assert!(
            report[key].as_str().is_some_and(|s| !s.is_empty()),
            "{key}: {report}"
        );
    }
    assert!(
        report["driver"].is_string() && report["seed"].is_u64(),
        "{report}"
    );
    let passes = number(report, "passes");
    assert!(passes > 1 && number(report, "faults") > 0, "{report}");
    let footprint = report["footprint"].as_object().unwrap();
    assert_eq!(
        footprint.values().map(|n| n.as_u64().unwrap()).sum::<u64>(),
        passes,
        "{report}"
    );
    for kind in ["static", "probe", "resident", "transaction"] {
        assert!(footprint.contains_key(kind), "{kind}: {report}");
    }
    for direction in ["host_to_device", "device_to_host"] {
        for cause in [
            "demand",
            "prefetch",
            "eviction",
            "coherence",
            "advice",
            "user_copy",
        ] {
            assert!(
                report["moved"][direction][cause].is_u64(),
                "{direction} {cause}: {report}"
            );
        }
    }
    let moved: u64 = report["moved"]["host_to_device"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert!(
        moved > memory,
        "what was read cannot have been there: {report}"
    );
    let (total, kernel) = (
        report["seconds"]["total"].as_f64().unwrap(),
        report["seconds"]["kernel"].as_f64().unwrap(),
    );
    assert!(total > 0.0 && kernel >= 0.0 && kernel <= total, "{report}");
}

fn check_all(report: &Value, factor: u64) {
    let demos = report["demos"].as_array().unwrap();
    assert_eq!(
        demos
            .iter()
            .map(|demo| demo["name"].as_str().unwrap())
            .collect::<Vec<_>>(),
        NAMES
    );
    demos.iter().for_each(|demo| check(demo, factor));
}

#[test]
fn all_demos_are_verified_on_every_adapter_with_far_less_memory_than_data() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("all-{adapter}"));
        let done = folder
            .gmem(&format!(
                "demo --adapter {adapter} --size 2MiB --seed 3 --report all.json"
            ))
            .ok();
        assert!(done.out.contains(&format!("({adapter})")), "{done:#?}");
        for name in NAMES {
            let row = done
                .out
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap();
            assert!(row.ends_with("  yes"), "{done:#?}");
        }
        let report = folder.json("all.json");
        check_all(&report, 4);
        // The graph's footprints are what no analysis foresees.
        assert!(
            report["demos"][2]["footprint"]["probe"].as_u64().unwrap() > 0,
            "{report}"
        );
        assert!(
            report["demos"][0]["footprint"]["static"].as_u64().unwrap() > 0,
            "{report}"
        );
    }
}

#[test]
fn a_sixteenth_of_the_data_is_enough_memory_or_the_smallest_that_works_is_stated() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("sixteenth-{adapter}"));
        for name in ["triad", "heat", "histogram"] {
            folder
                .gmem(&format!(
                    "demo {name} --adapter {adapter} --size 4MiB --page-size 16KiB --device-memory 256KiB --report one.json"
                ))
                .ok();
            let report = folder.json("one.json");
            assert_eq!(
                (report["name"].as_str(), number(&report, "device_memory")),
                (Some(name), 256 << 10)
            );
            // A last element that has no room makes the data a little less.
            check(&report, 15);
        }
        let done = folder
            .gmem(&format!("demo pagerank --adapter {adapter} --size 1MiB --device-memory 64KiB --report one.json"))
            .ok();
        let report = folder.json("one.json");
        let memory = number(&report, "device_memory");
        assert!(memory > 64 << 10, "{report}");
        assert!(
            done.out.contains(&format!("{memory} bytes")) && done.out.contains("smallest"),
            "{done:#?}"
        );
        assert_eq!(report["verified"], true);
        assert!(number(&report, "peak_device_bytes") <= memory, "{report}");
        // It is the smallest: with a byte less the same pages do not fit.
        let page = number(&report, "page_size");
        let line = format!(
            "demo pagerank --adapter {adapter} --size 1MiB --page-size {page} --report one.json"
        );
        folder
            .gmem(&format!("{line} --device-memory {}", memory - 1))
            .ok();
        assert_eq!(number(&folder.json("one.json"), "device_memory"), memory);
    }
}

#[test]
fn memory_below_one_workgroup_is_an_error_that_says_how_much_would_do() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("small-{adapter}"));
        folder
            .gmem(&format!("demo triad --adapter {adapter} --size 1MiB --page-size 4KiB --device-memory 9KiB --remote-memory 0"))
            .refused(1, &["triad", "at least", "bytes of device memory"]);
        folder
            .gmem(&format!(
                "demo triad --adapter {adapter} --size 1MiB --page-size 64KiB --device-memory 5KiB"
            ))
            .refused(1, &["5120 bytes", "at least"]);
    }
}

#[test]
fn the_simulated_device_runs_every_demo() {
    let folder = Folder::new("sim");
    let done = folder
        .gmem("demo --adapter sim --size 1MiB --report sim.json")
        .ok();
    assert!(
        done.out.contains("simulated device") && done.out.contains("WGSL kernels were skipped"),
        "{done:#?}"
    );
    assert!(
        done.err.is_empty(),
        "on a pipe there is nothing but the result: {done:#?}"
    );
    check_all(&folder.json("sim.json"), 4);
}

#[test]
fn every_host_mechanism_gives_the_same() {
    let folder = Folder::new("hosts");
    for (mechanism, verdict) in gmem::host::available() {
        let name = mechanism.name();
        let line = format!("demo --adapter sim --size 512KiB --host {name} --report {name}.json");
        match verdict {
            Ok(()) => {
                assert!(
                    folder
                        .gmem(&line)
                        .ok()
                        .out
                        .contains(&format!("host mechanism {name}"))
                );
                check_all(&folder.json(&format!("{name}.json")), 4);
            }
            Err(reason) => {
                skipped(format_args!("{name}: {reason}"));
                folder.gmem(&line).refused(1, &[name]);
            }
        }
    }
}

#[test]
fn without_any_adapter_the_simulated_device_is_used_and_that_is_said() {
    let folder = Folder::new("none");
    let nothing = "/no/such/driver";
    let none = [
        ("VK_ICD_FILENAMES", nothing),
        ("VK_DRIVER_FILES", nothing),
        ("__EGL_VENDOR_LIBRARY_FILENAMES", nothing),
        ("LIBGL_DRIVERS_PATH", nothing),
    ];
    let info = folder.gmem_with("info --json", &none).ok();
    let info: Value = serde_json::from_str(&info.out).unwrap();
    if info["adapters"].as_array().unwrap().is_empty() {
        assert_eq!(info["device"]["backend"], "sim");
        let done = folder
            .gmem_with("demo triad --size 1MiB --report none.json", &none)
            .ok();
        assert!(
            done.out.contains("No GPU adapter was found (") && done.out.contains("skipped"),
            "{done:#?}"
        );
        check(&folder.json("none.json"), 4);
        folder
            .gmem_with("demo triad --size 1MiB --adapter vulkan", &none)
            .refused(1, &["there is no GPU adapter here"]);
        folder.write("k.wgsl", "@compute @workgroup_size(1) fn main() {}");
        folder
            .gmem_with("run k.wgsl --grid 1", &none)
            .refused(1, &["no GPU adapter"]);
    } else {
        skipped("this machine's adapters cannot be hidden");
    }
}

#[test]
fn graphs_and_files_are_read_and_verified() {
    let folder = Folder::new("files");
    let nodes = 3000_u64;
    let mut graph = format!(
        "%%MatrixMarket matrix coordinate pattern general\n{nodes} {nodes} {}\n",
        nodes * 4
    );
    for i in 0..nodes {
        for k in 1..=4 {
            let _ = writeln!(graph, "{} {}", i + 1, (i * i * k + 7 * k) % nodes + 1);
        }
    }
    folder.write("graph.mtx", graph);
    let data: Vec<u8> = (0..700_001_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8)
        .collect();
    folder.write("any.file", &data);
    for device in adapters().into_iter().chain(["sim"]) {
        folder
            .gmem(&format!(
                "demo pagerank --graph graph.mtx --adapter {device} --report g.json"
            ))
            .ok();
        let report = folder.json("g.json");
        assert_eq!(
            number(&report, "bytes_bound"),
            4 * (5 * nodes + 1 + 4 * nodes)
        );
        check(&report, 1);
        folder
            .gmem(&format!(
                "demo histogram --file any.file --adapter {device} --report f.json"
            ))
            .ok();
        check(&folder.json("f.json"), 4);
    }
    assert_eq!(folder.read("any.file"), data);
}

#[test]
fn a_graph_that_is_too_much_for_a_drivers_loops_is_refused() {
    let folder = Folder::new("star");
    // All edges go into one node; Mesa's software drivers leave its loop after 65,535 of them.
    for edges in [65_535, 65_536] {
        let mut star = "%%MatrixMarket matrix coordinate pattern general\n".to_owned();
        let _ = writeln!(star, "70000 70000 {edges}");
        for from in 1..=edges {
            let _ = writeln!(star, "{from} 70000");
        }
        folder.write("star.mtx", star);
        for device in adapters().into_iter().chain(["sim"]) {
            let report = folder.0.join("r.json");
            let _ = std::fs::remove_file(&report);
            let ran = folder.gmem(&format!(
                "demo pagerank --graph star.mtx --adapter {device} --report r.json"
            ));
            if ran.status == Some(1) {
                assert!(edges > 65_535 && device != "sim", "{device}: {}", ran.err);
                for words in ["65535 rounds", "65536 edges", "another graph"] {
                    assert!(ran.err.contains(words), "{}", ran.err);
                }
            } else {
                check(&folder.json("r.json"), 0);
            }
        }
    }
}

#[test]
fn info_says_what_there_is_in_words_and_in_json() {
    let folder = Folder::new("info");
    let text = folder.gmem("info --adapter sim").ok().out;
    for words in [
        "Adapters",
        "Device: ",
        "Host mechanism: ",
        "because",
        "Page size: 64 KiB",
        "explicit",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = folder
        .gmem("info --json --report info.json --page-size 4KiB --adapter sim")
        .ok()
        .out;
    let info: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(info, folder.json("info.json"));
    assert_eq!(info["page_size"], 4096);
    assert_eq!(info["host"]["mechanisms"].as_array().unwrap().len(), 3);
    for adapter in adapters() {
        let json = folder
            .gmem(&format!(
                "info --json --adapter {adapter} --device-memory 8MiB"
            ))
            .ok()
            .out;
        let info: Value = serde_json::from_str(&json).unwrap();
        let device = &info["device"];
        assert_eq!(
            (device["backend"].as_str(), number(device, "device_memory")),
            (Some(adapter), 8 << 20)
        );
        assert_eq!(
            (number(device, "windows"), number(device, "pages")),
            (1, 127)
        );
        let listed = info["adapters"].as_array().unwrap();
        assert!(listed.iter().any(
            |listed| listed["backend"] == adapter && listed["limits"]["buffer_bytes"].is_u64()
        ));
    }
}
