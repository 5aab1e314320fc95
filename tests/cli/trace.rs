//! Traces and their replays.

use serde_json::Value;

use crate::rig::{Folder, adapters};

fn number(of: &Value, key: &str) -> u64 {
    of[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no `{key}` in {of}"))
}

/// The sum of a direction's bytes in a report.
fn moved(report: &Value, direction: &str) -> u64 {
    let causes = report["moved"][direction].as_object().unwrap();
    causes.values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

fn replay_of<'v>(device: &'v Value, strategy: &str) -> &'v Value {
    let replays = device["replays"].as_array().unwrap();
    let found = replays.iter().find(|r| r["strategy"] == strategy);
    found.unwrap_or_else(|| panic!("no {strategy} in {device}"))
}

#[test]
fn a_demo_is_traced_and_replayed() {
    let folder = Folder::new("trace");
    let demo =
        "demo triad --adapter sim --size 2MiB --seed 5 --policy lru --trace t.json --report r.json";
    folder.gmem(demo).ok();
    let (trace, report) = (folder.json("t.json"), folder.json("r.json"));
    let other = &trace["otherData"];
    assert_eq!(
        (&other["policy"], number(other, "seed")),
        (&"lru".into(), 5)
    );
    assert_eq!(number(other, "page_size"), number(&report, "page_size"));
    let events = trace["traceEvents"].as_array().unwrap();
    let passes = events.iter().filter(|e| e["cat"] == "pass").count() as u64;
    assert_eq!(passes, number(&report, "passes"));

    let done = folder.gmem("replay t.json").ok();
    for row in ["recorded", "lru", "clock", "random", "zeal", "belady"] {
        assert!(
            done.out.lines().any(|line| line.starts_with(row)),
            "{row}: {done:#?}"
        );
    }
    let done = folder.gmem("replay t.json --json").ok();
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let device = &json["devices"][0];
    assert_eq!(number(device, "passes"), passes);
    assert_eq!(number(&json, "seed"), 5);
    let recorded = &device["recorded"];
    // The report was made when the results were at hand, the trace goes on to the end.
    assert_eq!(
        number(recorded, "bytes_to_device"),
        moved(&report, "host_to_device")
    );
    assert!(number(recorded, "bytes_home") >= moved(&report, "device_to_host"));
    assert!(moved(&report, "host_to_device") > 0);
    let belady = replay_of(device, "belady");
    assert_eq!(
        (&belady["fetched_ratio"], &belady["moved_ratio"]),
        (&1.0.into(), &1.0.into())
    );
    // Each byte of a stream is used once: nobody can do better, and nobody does worse.
    for strategy in ["lru", "clock", "random", "zeal"] {
        let replayed = replay_of(device, strategy);
        assert_eq!(
            replayed["fetched_pages"], recorded["fetched_pages"],
            "{strategy}"
        );
    }

    let one = folder
        .gmem("replay t.json --json --policy clock --device-memory 1GiB")
        .ok();
    let json: Value = serde_json::from_str(&one.out).unwrap();
    let device = &json["devices"][0];
    assert_eq!(device["replays"].as_array().unwrap().len(), 2);
    let clock = replay_of(device, "clock");
    assert_eq!(number(clock, "evicted_pages"), 0, "all of it fits");
    let alone = folder.gmem("replay t.json --policy belady").ok();
    assert!(alone.out.contains("\nbelady") && !alone.out.contains("\nclock"));

    let none = folder.gmem("replay t.json --device-memory 8KiB");
    none.refused(1, &["at once", "bytes of device memory"]);
}

#[test]
fn reuse_on_every_adapter_is_no_better_than_the_optimum() {
    for adapter in adapters() {
        let folder = Folder::new(&format!("trace-{adapter}"));
        let demo =
            format!("demo all --adapter {adapter} --size 1MiB --trace t.json --report r.json");
        folder.gmem(&demo).ok();
        let json = folder.gmem("replay t.json --json").ok();
        let json: Value = serde_json::from_str(&json.out).unwrap();
        let devices = json["devices"].as_array().unwrap();
        assert_eq!(devices.len(), 4, "a space for each demonstration");
        for (device, report) in devices
            .iter()
            .zip(folder.json("r.json")["demos"].as_array().unwrap())
        {
            let recorded = &device["recorded"];
            assert_eq!(
                number(recorded, "bytes_to_device"),
                moved(report, "host_to_device"),
                "{report}"
            );
            let best = number(replay_of(device, "belady"), "fetched_pages");
            assert!(
                best > 0 && number(recorded, "fetched_pages") >= best,
                "{device}"
            );
            for replayed in device["replays"].as_array().unwrap() {
                assert!(number(replayed, "fetched_pages") >= best, "{device}");
            }
        }
    }
}

#[test]
fn what_is_no_trace_is_refused_with_what_to_do() {
    let folder = Folder::new("no-trace");
    folder.write("cut.json", "{\"traceEvents\": [{\"name\":");
    folder.write("text.json", "triad: 4 MiB");
    folder.write("other.json", "{\"rows\": []}");
    folder.write("list.json", "[{\"ph\": \"X\"}]");
    folder.write("empty.json", "");
    folder.write(
        "later.json",
        "{\"traceEvents\": [], \"otherData\": {\"format\": \"gmem-trace\", \"format_version\": 2, \"version\": \"9.9.9\"}}",
    );
    let trace = |events: &str, dropped: u64| {
        format!(
            "{{\"traceEvents\": [{events}], \"otherData\": {{\"format\": \"gmem-trace\", \"format_version\": 1, \"dropped\": {dropped}}}}}"
        )
    };
    let attach = "{\"cat\": \"attach\", \"args\": {\"space\": 1, \"node\": 1, \"frames\": 4, \"page_size\": 4096, \"window_frames\": 4}}";
    folder.write("none.json", trace("", 0));
    folder.write("full.json", trace(attach, 17));
    folder.write("idle.json", trace(attach, 0));
    folder.write("sizeless.json", trace(&attach.replace("4096", "0"), 0));
    for (name, words) in [
        ("cut.json", &["not whole", "--trace"][..]),
        ("text.json", &["not whole", "--trace"]),
        ("empty.json", &["not whole", "--trace"]),
        ("other.json", &["not a trace that gmem wrote", "gmem demo"]),
        ("list.json", &["not a trace that gmem wrote", "gmem demo"]),
        ("later.json", &["format 2", "9.9.9", "record it again"]),
    ] {
        let done = folder.gmem(&format!("replay {name}"));
        done.refused(1, &[&[name], words].concat());
    }
    for (name, words) in [
        ("none.json", &["no device", "record"][..]),
        ("full.json", &["17 events", "shorter"]),
        ("idle.json", &["idle.json", "no pass"]),
        ("sizeless.json", &["damaged", "record it again"]),
    ] {
        folder.gmem(&format!("replay {name}")).refused(1, words);
    }
    folder
        .gmem("replay nowhere.json")
        .refused(2, &["nowhere.json"]);
    folder
        .gmem("demo triad --adapter sim --size 64KiB --trace no/folder/t.json")
        .refused(2, &["no/folder/t.json"]);
    for line in ["info --trace t.json", "demo --policy belady", "replay"] {
        assert_eq!(folder.gmem(line).status, Some(2), "{line}");
    }
    assert!(!folder.exists("t.json"));
}
