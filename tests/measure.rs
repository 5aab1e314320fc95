//! The scripts of `benches/measure`, on a packed folder whose `gmem` and tests are stand-ins: what they record, and what their status says.
#![cfg(unix)]

mod skipped;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use skipped::skipped;

/// A folder of a test's own, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gmem-measure-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/sh\n{text}\n"));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.0.join(name), executable).unwrap();
    }

    /// Runs the script in it; its status and all that it said.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let output = Command::new("bash")
            .arg(self.0.join("run.sh"))
            .args(line.split_whitespace())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// The page of the only run whose results are in `results`.
    fn page(&self) -> (PathBuf, String) {
        let mut runs = std::fs::read_dir(self.0.join("results")).unwrap();
        let folder = runs.next().unwrap().unwrap().path();
        assert!(runs.next().is_none());
        let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
        (folder, page)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/measure")
}

/// Whether the programs that the scripts are for are here.
fn has(programs: &[&str]) -> bool {
    for program in programs {
        let ran = Command::new(program)
            .args(["-c", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if ran.is_err() {
            skipped(format_args!("there is no {program} here"));
            return false;
        }
    }
    true
}

/// A packed folder with a `gmem` that answers as the real one does, without doing anything.
fn packed(name: &str) -> Folder {
    let folder = Folder::new(name);
    for file in ["run.sh", "machine.sh", "report.sh", "json.awk"] {
        std::fs::copy(scripts().join(file), folder.0.join(file)).unwrap();
    }
    let info = json!({
        "adapters": [
            {"name": "Other", "backend": "gl", "driver": "1", "kind": "cpu", "limits": {"storage_binding_bytes": 1}},
            {"name": "Some GPU (big)", "backend": "vulkan", "driver": "Some GPU 5.1 (beta)", "kind": "discrete",
             "limits": {"storage_binding_bytes": 1_u64 << 31}},
        ],
        "device": {"name": "Some GPU (big)", "backend": "vulkan", "pages": 1},
        "host": {"mechanism": "uffd", "reason": "it works"},
    });
    folder.write("info", &serde_json::to_string_pretty(&info).unwrap());
    let demo = json!({
        "name": "triad", "verified": true, "bytes_bound": 3_u64 << 20, "device_memory": 1 << 20, "passes": 7,
        "moved": {"host_to_device": {"demand": 1 << 20, "advice": 1 << 20}, "device_to_host": {"eviction": 1 << 10}},
        "seconds": {"total": 0.5, "kernel": 0.25},
    });
    folder.write("demo", &serde_json::to_string_pretty(&demo).unwrap());
    let mut bench = json!({"rows": [
        {"id": "P1", "case": "a | b", "ratio": 1.25, "ours_s": 0.005, "baseline_s": 0.004, "baseline": "plain wgpu",
         "bytes": 4096, "verified": true},
        {"id": "P9", "case": "lookup", "ratio": 2.0, "figure": 12.0, "unit": "B/page", "goal": 16.0, "ours_s": null,
         "baseline_s": null, "baseline": "none", "bytes": 0, "verified": false},
    ]});
    // More than a pipe holds, as a real one may be.
    let row = bench["rows"][0].clone();
    let rows = bench["rows"].as_array_mut().unwrap();
    rows.resize(1000, row);
    folder.write("bench", &bench.to_string());
    // The value of the option that names an output is where the answer goes.
    folder.script(
        "bin/gmem",
        r#"here=$(dirname "$0")/..
answer=$1
[ "$answer" != info ] || exec cat "$here/info"
while [ $# -gt 0 ]; do
    case $1 in --report | --json) cat "$here/$answer" >"$2" ;; esac
    shift
done"#,
    );
    folder
}

#[test]
fn json_is_flattened_as_a_json_library_reads_it() {
    if !has(&["awk"]) {
        return;
    }
    fn flatten(path: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    flatten(&format!("{path}.{i}"), value, out);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    flatten(&format!("{path}.{key}"), value, out);
                }
            }
            Value::String(text) => out.push(format!("{path}\t{text}")),
            scalar => out.push(format!("{path}\t{scalar}")),
        }
    }
    let folder = Folder::new("json");
    let documents = [
        json!({"b": [1, -2.5e-3, {"c": "x \"q\" \\ / [}:,"}, [], [[true], null]], "a": {"e": {}, "d": false}}),
        json!([["é", ""], 18_446_744_073_709_551_615_u64]),
        json!("alone"),
    ];
    let mut wanted = Vec::new();
    let mut text = String::new();
    for (i, document) in documents.iter().enumerate() {
        flatten(&i.to_string(), document, &mut wanted);
        let pretty = serde_json::to_string_pretty(document).unwrap();
        text += &[pretty, document.to_string()][i % 2];
        text += "\n";
    }
    let flat = |name: &str, text: &str| {
        folder.write(name, text);
        let output = Command::new("awk")
            .arg("-f")
            .arg(scripts().join("json.awk"))
            .arg(folder.0.join(name))
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (read, lines) = flat("good", &text);
    assert!(read);
    assert_eq!(lines.lines().collect::<Vec<_>>(), wanted);
    for broken in ["{\"a\": 1", "[1, 2}", "{\"a\" 1}", "nothing", "\"open", "]"] {
        assert!(!flat("broken", broken).0, "{broken}");
    }
}

#[test]
fn a_run_in_which_all_passes_says_so_and_its_page_has_every_figure() {
    if !has(&["bash", "awk"]) {
        return;
    }
    let folder = packed("good");
    folder.script(
        "tests/sound",
        "[ \"$GMEM_TEST_ADAPTER\" = vulkan ] && [ -x \"$GMEM_TEST_COMMAND\" ] && echo \"$@\" | grep -q -e '--skip one' &&
         echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'",
    );
    folder.write("tests/list", "sound --skip one\n");
    let (status, said) = folder.run("--quick --device-memory-total 8GiB results");
    assert_eq!(status, Some(0), "{said}");
    let (results, page) = folder.page();
    let name = results.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("-some-gpu-vulkan-5.1"), "{name}");
    for words in [
        "# gmem on Some GPU (big) (vulkan), 20",
        "| adapter | Some GPU (big), discrete, by vulkan |",
        "| device memory | 8 GiB |",
        "| largest binding | 2 GiB |",
        "| triad | 3 MiB | 1 MiB | 3.00 | 500 ms | 250 ms | 0.00629 GB | 2 MiB | 1 KiB | 7 | yes |",
        "| P1 | a \\| b | 1.25 | - | 1.25 | 5 ms | 4 ms | plain wgpu | 4 KiB | yes |  |",
        "| P9 | lookup | 12 B/page | 16 | 2 | - | - | none | 0 B | NO |  |",
        "| tests sound | passed | ",
        "3 passed; 0 failed; 1 ignored",
        "in 1 GiB | passed |",
        "in 2 GiB | passed |",
        "steps that were run passed.",
    ] {
        assert!(page.contains(words), "`{words}` is missing: {said}\n{page}");
    }
    for file in ["info.json", "bench.json", "demos.jsonl", "log.txt"] {
        assert!(results.join(file).exists(), "{file}");
    }
}

#[test]
fn what_fails_and_what_only_seems_to_pass_is_recorded_and_the_rest_is_run() {
    if !has(&["bash", "awk"]) {
        return;
    }
    let folder = packed("bad");
    folder.script(
        "tests/broken",
        "printf 'failures:\\n    one::two\\n\\n'; exit 101",
    );
    folder.script(
        "tests/hollow",
        "echo 'skipped in a::test: no adapter to test with' >&2",
    );
    folder.script("tests/slow", "sleep 60");
    folder.script(
        "tests/sound",
        "echo 'skipped in a::test: host mechanism uffd: no' >&2",
    );
    folder.write("tests/list", "broken\nhollow\nslow\nsound\n");
    folder.write("bench", "{\"rows\": []}");
    let (status, said) = folder.run("--quick --skip demos --limit 2 results");
    assert_eq!(status, Some(1), "{said}");
    let (_, page) = folder.page();
    for words in [
        "| tests broken | FAILED with status 101 | ",
        "failed: one::two |",
        "| tests hollow | FAILED: without an adapter | ",
        "| tests sound | passed | ",
        "1 parts skipped, see the log |",
        "| demos | left out |  | as asked |",
        "| gmem bench | FAILED: it left no rows | ",
    ] {
        assert!(page.contains(words), "`{words}` is missing: {said}\n{page}");
    }
    // Where there is no `timeout` nothing is stopped.
    let stopped = page.contains("| tests slow | over its limit of 2 s | ");
    let unlimited = page.contains("| limits | none");
    assert!(stopped || unlimited, "{page}");
    let failed = if stopped { 4 } else { 3 };
    let verdict = format!("**{failed} of 5 steps did not pass.**");
    assert!(page.contains(&verdict), "`{verdict}` is missing: {page}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    if !has(&["bash", "awk"]) {
        return;
    }
    let folder = packed("arguments");
    for (line, words) in [
        ("--skip nothing", "no step `nothing`"),
        ("--skip", "--skip needs a value"),
        ("--fast", "`--fast` is not known"),
        ("--limit 0", "--limit takes"),
        ("--device-memory-total much", "`much` is not a size"),
        ("one two", "not both `one` and `two`"),
    ] {
        let (status, said) = folder.run(line);
        assert_eq!(status, Some(2), "{line}: {said}");
        assert!(said.contains(words), "{line}: {said}");
    }
    std::fs::remove_dir_all(folder.0.join("bin")).unwrap();
    let (status, said) = folder.run("results");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("pack.sh"), "{said}");
    assert!(!folder.0.join("results").exists());
}

#[test]
fn a_folder_that_pack_did_not_make_is_left_alone() {
    if !has(&["bash"]) {
        return;
    }
    let folder = packed("own");
    folder.write("tests/mine", "mine");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/measure/pack.sh");
    for (arguments, words) in [(1, "was not made by pack.sh"), (2, "one folder")] {
        let output = Command::new("bash")
            .arg(script)
            .args(std::iter::repeat_n(&folder.0, arguments))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(std::fs::read(folder.0.join("tests/mine")).unwrap(), b"mine");
}

#[test]
fn a_link_to_the_script_runs_it() {
    if !has(&["bash"]) {
        return;
    }
    let folder = packed("link");
    std::os::unix::fs::symlink("run.sh", folder.0.join("measure")).unwrap();
    let output = Command::new("bash")
        .arg(folder.0.join("measure"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
