//! `gmem bench`: what it refuses, what it writes, and a page of an earlier run.

use serde_json::{Value, json};

use crate::rig::{Folder, adapter};

/// A record as `--json` writes it: one row that is over its goal, one of the curve, two of the matrix.
fn record(verified: bool) -> Value {
    let row = |id: &str, case: &str, ratio: f64, goal: Option<f64>| {
        json!({
            "id": id, "case": case, "ratio": ratio, "figure": ratio, "unit": "x", "goal": goal,
            "ours_s": 0.02, "ours_spread": 0.01, "baseline_s": 0.01, "baseline_spread": 0.02,
            "baseline": "plain <wgpu>", "bytes": 1 << 20, "verified": verified,
        })
    };
    json!({
        "rows": [
            row("P1", "saxpy", 2.0, Some(1.03)),
            row("P13", "triad at 0.5x", 1.1, None),
            row("P13", "triad at 2x", 3.0, None),
            row("P5", "heat at 2x, lru", 1.05, Some(1.1)),
        ],
        "groups": [{"id": "P1", "title": "warm, fits"}],
        "adapter": "Some GPU", "backend": "vulkan", "cores": 2, "date": "2025-06-30T12:00:00Z",
        "commit": "0123456789abcdef", "seconds": 12.0,
    })
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_is_measured() {
    let folder = Folder::new("bench-arguments");
    folder.write("kept.json", "kept");
    for (line, words) in [
        (
            "bench --only P1,P77 --json new.json",
            &["`P77`", "P1, "][..],
        ),
        (
            "bench --only P1 --adapter sim --json new.json",
            &["measures GPUs", "gmem info"],
        ),
        ("bench --json no/folder/r.json", &["no/folder/r.json"]),
        ("bench --html no/folder/r.html", &["no/folder/r.html"]),
        (
            "bench --json kept.json/below.json",
            &["kept.json/below.json"],
        ),
        (
            "bench --json one.file --html one.file",
            &["--json", "--html", "one.file"],
        ),
        (
            "bench --json one.file --trace ./one.file",
            &["--json", "--trace", "one.file"],
        ),
        (
            "bench --from kept.json --html kept.json",
            &["--html", "--from", "kept.json"],
        ),
        ("bench --only P1 --policy lru", &["--policy"]),
        ("bench --from none.json --html new.html", &["none.json"]),
        ("bench --from kept.json --quick", &["--from", "--quick"]),
        ("bench --from kept.json --only P1", &["--from", "--only"]),
        ("bench --colour", &["--colour"]),
    ] {
        folder.gmem(line).refused(2, words);
    }
    folder
        .gmem("bench --from kept.json")
        .refused(1, &["kept.json", "no record"]);
    assert_eq!(folder.read("kept.json"), b"kept");
    assert!(!folder.exists("new.json") && !folder.exists("new.html"));
}

#[cfg(target_os = "linux")]
#[test]
fn rows_are_kept_although_the_table_cannot_be_printed() {
    let folder = Folder::new("bench-full");
    folder.write("a.json", record(true).to_string());
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = crate::command::gmem()
        .args(["bench", "--from", "a.json", "--json", "b.json"])
        .args(["--html", "b.html"])
        .current_dir(&folder.0)
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        folder.json("b.json")["rows"].as_array().map(Vec::len),
        Some(4)
    );
    assert!(!folder.read("b.html").is_empty());
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_written_is_refused_before_anything_is_measured() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("bench-rights");
    let path = folder.0.join("locked.json");
    folder.write("locked.json", "locked");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    if std::fs::OpenOptions::new().append(true).open(&path).is_ok() {
        crate::skipped::skipped("this user may write everything");
        return;
    }
    folder
        .gmem("bench --only P1 --json locked.json")
        .refused(2, &["locked.json"]);
}

#[test]
fn a_quick_run_writes_its_rows_and_a_page_and_the_page_can_be_made_again() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("bench-quick");
    let done = folder
        .gmem(&format!(
            "bench --quick --only P1 --adapter {adapter} --json r.json --html r.html"
        ))
        .ok();
    assert!(
        done.err.is_empty(),
        "on a pipe there is nothing but the result: {done:#?}"
    );
    let record = folder.json("r.json");
    for key in [
        "adapter",
        "backend",
        "cpu",
        "date",
        "commit",
        "version",
        "host_mechanism",
    ] {
        assert!(
            record[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {record}"
        );
    }
    for key in ["driver", "driver_info"] {
        assert!(record[key].is_string(), "{key}: {record}");
    }
    assert!(
        record["date"]
            .as_str()
            .is_some_and(|date| date.len() == 20 && date.ends_with('Z')),
        "{record}"
    );
    assert_eq!(
        (&record["backend"], &record["quick"]),
        (&json!(adapter), &json!(true))
    );
    assert!(
        record["cores"].as_u64().is_some_and(|cores| cores > 0),
        "{record}"
    );
    assert!(
        record["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0),
        "{record}"
    );
    assert_eq!(record["failed"], json!([]));
    let rows = record["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    let page = String::from_utf8(folder.read("r.html")).unwrap();
    for row in rows {
        assert_eq!(
            (&row["id"], &row["verified"]),
            (&json!("P1"), &json!(true)),
            "{row}"
        );
        for key in ["ratio", "ours_s", "baseline_s", "goal"] {
            assert!(
                row[key].as_f64().is_some_and(|value| value > 0.0),
                "{key}: {row}"
            );
        }
        assert!(
            row["bytes"].as_u64().is_some_and(|bytes| bytes > 0),
            "{row}"
        );
        assert!(
            row["baseline"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{row}"
        );
        let case = row["case"].as_str().unwrap();
        assert!(
            done.out
                .lines()
                .any(|line| line.trim_start().starts_with(case)),
            "{case}: {done:#?}"
        );
        assert!(page.contains(case), "{case}");
    }
    let last = done.out.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("{} row", rows.len())) && last.contains(" 0 not verified"),
        "{last}"
    );
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && !page.contains("<script")
    );

    let again = folder
        .gmem("bench --from r.json --html again.html --json again.json")
        .ok();
    assert_eq!(again.out, done.out);
    assert_eq!(folder.read("again.html"), folder.read("r.html"));
    assert_eq!(folder.json("again.json"), record);
}

#[test]
fn an_earlier_run_is_drawn_without_an_adapter() {
    let folder = Folder::new("bench-from");
    folder.write("old.json", record(true).to_string());
    let done = folder
        .gmem("bench --from old.json --html page.html --report copy.json")
        .ok();
    for words in [
        "Some GPU",
        "P1  warm, fits",
        "2.000x",
        "over",
        "4 rows: 1 over their goal, 0 not verified; 12 s",
    ] {
        assert!(done.out.contains(words), "{words}: {done:#?}");
    }
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    for words in [
        "id=\"curve-time-title\"",
        "class=\"matrix\"",
        "plain &lt;wgpu&gt;",
        "Some GPU",
        "prefers-color-scheme",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for word in ["<script", "http:", "https:", "url(", "<wgpu>"] {
        assert!(!page.contains(word), "{word}: {page}");
    }
    assert_eq!(
        folder.json("copy.json")["rows"].as_array().unwrap().len(),
        4
    );
}

#[cfg(target_os = "linux")]
#[test]
fn every_file_that_cannot_be_written_is_named_and_the_table_is_there() {
    let folder = Folder::new("bench-full");
    folder.write("old.json", record(true).to_string());
    let done = folder.gmem("bench --from old.json --report /dev/full --html /dev/full");
    assert_eq!(done.status, Some(1), "{done:#?}");
    for words in ["the report cannot be written", "the page cannot be written"] {
        assert!(done.err.contains(words), "{words}: {done:#?}");
    }
    assert!(done.out.contains("2.000x"), "{done:#?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_standard_output_goes_to_already_has_all_of_both() {
    let folder = Folder::new("bench-stdout");
    folder.write("old.json", record(true).to_string());
    let done = folder.gmem("bench --from old.json --json /dev/stdout").ok();
    assert!(done.out.starts_with('{'), "{done:#?}");
    assert!(done.out.contains("P1  warm, fits"), "{done:#?}");
}

#[test]
fn cases_whose_pages_are_too_large_for_them_are_left_out_with_the_reason() {
    let Some(adapter) = adapter() else { return };
    let folder = Folder::new("bench-pages");
    // A trace is of one sitting.
    let done = folder
        .gmem(&format!(
            "bench --quick --only P3,P13 --page-size 2MiB --adapter {adapter} --json r.json --trace t.json"
        ))
        .ok();
    let record = folder.json("r.json");
    let left_out = record["left_out"].to_string();
    for words in ["less than 8 pages", "pagerank at 8x: one workgroup needs"] {
        assert!(left_out.contains(words), "{words}: {done:#?}");
    }
    let rows = record["rows"].as_array().unwrap();
    let is = |row: &Value, id: &str, case: &str| {
        row["id"] == id && row["case"].as_str().is_some_and(|said| said.contains(case))
    };
    assert!(rows.iter().any(|row| is(row, "P13", "triad at 2x")));
    assert!(
        !rows
            .iter()
            .any(|row| is(row, "P3", "") || is(row, "P13", "pagerank"))
    );
}

#[test]
fn what_is_not_verified_fails_after_the_table() {
    let folder = Folder::new("bench-wrong");
    folder.write("wrong.json", record(false).to_string());
    let done = folder.gmem("bench --from wrong.json --html page.html");
    assert_eq!(done.status, Some(1), "{done:#?}");
    assert!(
        done.out.contains("  NO\n") && done.out.contains("4 not verified"),
        "{done:#?}"
    );
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    assert!(page.contains("NOT VERIFIED"), "{page}");
}
