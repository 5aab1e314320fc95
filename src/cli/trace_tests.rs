use std::collections::BTreeSet;

use gmem_hal::trace::{AttachFacts, PageRun, WaitFor};
use gmem_hal::{Cause, NodeId};

use super::read::{ReadError, read_from};
use super::*;

const NODE: NodeId = NodeId(1);

fn runs(pages: &[(u64, Access)]) -> Vec<PageRun> {
    PageRun::of(pages)
}

/// One event of each kind.
fn each_kind() -> Vec<What> {
    use Access::{Read, Write};
    vec![
        What::Attach {
            node: NODE,
            facts: Box::new(AttachFacts {
                name: "a \"device\"".to_owned(),
                backend: "sim".to_owned(),
                policy: "lru".to_owned(),
                frames: 7,
                page_bytes: 4096,
                window_frames: 4,
                window_overhead: 256,
            }),
        },
        What::HostAccess {
            cause: Cause::Prefetch,
            uses: runs(&[(0, Write), (1, Write), (9, Read)]),
        },
        What::Launch {
            node: NODE,
            kernel: "triad".into(),
            workgroups: 12,
        },
        What::Claim {
            node: NODE,
            cause: Cause::Demand,
            uses: runs(&[(0, Read), (1, Write), (2, Write), (5, Read)]),
        },
        What::Pass {
            node: NODE,
            kernel: "triad".into(),
            workgroups: 3,
            uses: runs(&[(0, Read), (1, Write), (2, Write), (5, Read)]),
        },
        What::Release {
            node: NODE,
            used: true,
        },
        What::Probe {
            node: NODE,
            kernel: "triad".into(),
            boxes: 2,
        },
        What::CpuFaults { count: 2 },
        What::Discard {
            pages: runs(&[(1, Write), (2, Write)]),
        },
        What::GiveUp {
            node: NODE,
            pages: runs(&[(5, Write)]),
        },
        What::Copy {
            node: NODE,
            direction: Direction::ToDevice,
            moved: vec![(Cause::Demand, 4096), (Cause::Prefetch, 8192)],
            runs: 2,
        },
        What::Copy {
            node: NODE,
            direction: Direction::Home,
            moved: vec![(Cause::Eviction, 4096)],
            runs: 1,
        },
        What::Zero {
            node: NODE,
            pages: 2,
        },
        What::Evict {
            node: NODE,
            pages: 1,
        },
        What::Wait {
            on: WaitFor::Device,
        },
        What::Grow {
            node: NODE,
            frames: 4,
        },
        What::Remote {
            node: NODE,
            frames: 3,
        },
        What::Compile {
            kernel: "triad".into(),
        },
        What::Gpu {
            kernel: "triad".into(),
            probe: false,
        },
    ]
}

/// A recording with all of them, some spans with a length.
fn recording() -> Recording {
    let recorder = Recorder::new();
    let tracer = Tracer::to(&recorder).for_space();
    for what in each_kind() {
        let began = tracer.begin();
        tracer.end(began, || what);
    }
    let now = std::time::Instant::now();
    tracer.span_on("GPU: a device", (now, now), || What::Gpu {
        kernel: "triad".into(),
        probe: true,
    });
    recorder.take()
}

fn text(recording: &Recording) -> Vec<u8> {
    let mut text = Vec::new();
    write_to(&mut text, recording, 42).unwrap();
    text
}

fn read_back(text: &[u8]) -> Result<read::Trace, ReadError> {
    read_from(Path::new("t.json"), text)
}

#[test]
fn a_trace_is_what_perfetto_reads() {
    let recording = recording();
    let json: Value = serde_json::from_slice(&text(&recording)).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let mut kinds = BTreeSet::new();
    for event in events {
        assert!(event["name"].is_string() && event["pid"] == 1, "{event}");
        assert!(
            event["tid"].is_u64() && event["args"].is_object(),
            "{event}"
        );
        match event["ph"].as_str().unwrap() {
            "M" => assert!(
                event["name"].as_str().unwrap().starts_with("thread_")
                    || event["name"] == "process_name"
            ),
            "X" => assert!(
                event["ts"].as_f64().unwrap() >= 0.0 && event["dur"].as_f64().unwrap() >= 0.0
            ),
            "i" => assert!(event["ts"].is_f64() && event["s"] == "t"),
            other => panic!("{other}"),
        }
        kinds.extend(event["cat"].as_str());
    }
    assert_eq!(kinds, What::KINDS.into_iter().collect());
    let names: Vec<_> = events
        .iter()
        .filter(|e| e["name"] == "thread_name")
        .map(|e| {
            (
                e["tid"].as_u64().unwrap(),
                e["args"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(names.len(), 2, "this thread and the GPU's own track");
    assert_eq!(names[1], (2, "GPU: a device"));
    let pass = events.iter().find(|e| e["cat"] == "pass").unwrap();
    assert_eq!(pass["args"]["reads"], json!([[0, 1], [5, 1]]));
    assert_eq!(pass["args"]["writes"], json!([[1, 2]]));
    assert_eq!(pass["args"]["space"], 1);
    let copy = events.iter().find(|e| e["cat"] == "copy").unwrap();
    assert_eq!(copy["name"], "copy to device (prefetch)");
    assert_eq!(
        (&copy["args"]["bytes"], &copy["args"]["runs"]),
        (&json!(12288), &json!(2))
    );
    let other = &json["otherData"];
    assert_eq!(other["format"], FORMAT);
    for (key, value) in [
        ("page_size", json!(4096)),
        ("frames", json!(7)),
        ("policy", json!("lru")),
        ("seed", json!(42)),
        ("adapter", json!("a \"device\"")),
        ("dropped", json!(0)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(other[key], value, "{key}");
    }
}

#[test]
fn times_are_microseconds_to_the_nanosecond() {
    let mut recording = recording();
    (recording.events[2].start, recording.events[2].end) = (1_234_567, 7_000_000_001);
    let json: Value = serde_json::from_slice(&text(&recording)).unwrap();
    let launch = json["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["cat"] == "launch")
        .unwrap();
    assert_eq!(launch["ts"].as_f64(), Some(1234.567));
    assert_eq!(launch["dur"].as_f64(), Some(6_998_765.434));
}

#[test]
fn a_replay_of_what_is_read_back_is_that_of_what_was_recorded() {
    use gmem::replay::accesses;
    let recording = recording();
    let read = read_back(&text(&recording)).unwrap();
    assert_eq!(read.seed, 42);
    let (from_memory, from_file) = (
        accesses(&recording).unwrap(),
        accesses(&read.recording).unwrap(),
    );
    assert_eq!(from_file, from_memory);
    assert_eq!((from_file[0].passes(), from_file[0].pages()), (1, 4));
    assert_eq!(from_file[0].recorded().fetched, 3);
}

#[test]
fn files_that_are_no_traces_are_refused_with_advice() {
    let whole = text(&recording());
    for cut in [0, 1, whole.len() / 2, whole.len() - 3] {
        let error = read_back(&whole[..cut]).unwrap_err();
        assert!(matches!(error, ReadError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("--trace"), "{error}");
    }
    let more = [&whole[..], b"more"].concat();
    assert!(matches!(read_back(&more), Err(ReadError::Malformed { .. })));
    for foreign in [
        "[]",
        "7",
        "{}",
        "{\"traceEvents\": []}",
        "{\"traceEvents\": {}, \"otherData\": {}}",
        "{\"traceEvents\": [], \"otherData\": {\"format\": \"other\"}}",
        "{\"traceEvents\": [{\"cat\": \"pass\", \"args\": {}}], \"otherData\": {\"format\": \"gmem-trace\", \"format_version\": 1}}",
        "{\"traceEvents\": [{\"cat\": \"claim\", \"args\": {\"node\": 1, \"cause\": \"greed\"}}]}",
        "{\"traceEvents\": [{\"cat\": \"discard\", \"args\": {\"pages\": [[18446744073709551615, 2]]}}]}",
    ] {
        let error = read_back(foreign.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadError::Foreign { .. }),
            "{foreign}: {error}"
        );
        assert!(error.to_string().contains("gmem demo"), "{error}");
    }
    let later = "{\"traceEvents\": [], \"otherData\": {\"format\": \"gmem-trace\", \"format_version\": 9, \"version\": \"7.7\"}}";
    let error = read_back(later.as_bytes()).unwrap_err();
    assert!(
        matches!(error, ReadError::Version { found: 9, .. }),
        "{error}"
    );
}

#[test]
fn a_command_that_failed_before_it_did_anything_writes_no_trace() {
    let path = std::env::temp_dir().join(format!("gmem-{}-none.json", std::process::id()));
    let mut common = Common {
        trace: Some(path.clone()),
        ..Common::default()
    };
    let failed = recorded(&mut common, |common| {
        assert!(common.tracer.is_on());
        Err(Failure::run("on purpose"))
    });
    assert!(failed.is_err() && !path.exists());
    let failed = recorded(&mut common, |common| {
        common.tracer.note(|| What::CpuFaults { count: 1 });
        Err(Failure::run("on purpose"))
    });
    assert!(failed.is_err() && path.exists());
    std::fs::remove_file(&path).unwrap();
    let mut nowhere = Common {
        trace: Some(PathBuf::from("/no/such/folder/t.json")),
        ..Common::default()
    };
    let refused = recorded(&mut nowhere, |_| unreachable!("it has nowhere to go"));
    assert_eq!(refused.map_err(|f| f.status()), Err(2));
}
