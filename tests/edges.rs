//! The house: which crate may use which, where `unsafe` may stand, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every crate of the workspace: its folder, and those of ours that it uses in its normal dependencies.
fn crates() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name_of = |p: &serde_json::Value| p["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name_of).collect();
    packages
        .iter()
        .map(|p| {
            let manifest = Path::new(p["manifest_path"].as_str().expect("a manifest"));
            let normal = |d: &&serde_json::Value| d["kind"].is_null();
            let dependencies = p["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(normal);
            let edges = dependencies
                .map(name_of)
                .filter(|d| ours.contains(d))
                .collect();
            (
                name_of(p),
                (manifest.parent().expect("a folder").to_owned(), edges),
            )
        })
        .collect()
}

/// The Rust files under a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                return if path.ends_with("target") {
                    Vec::new()
                } else {
                    rust_files(&path)
                };
            }
            if path.extension().is_some_and(|e| e == "rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect();
    files.sort();
    files
}

/// A file's code, without comments and the insides of plain strings, so that only code is searched.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a text");
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        // `unsafe-inline` in a page's markup is a word of its own.
        !before.is_some_and(is_part) && !after.is_some_and(|c| is_part(c) || c == '-')
    })
}

#[test]
fn crates_use_only_what_the_design_allows() {
    let expected = [
        (
            "gmem",
            &[
                "gmem-hal",
                "gmem-host",
                "gmem-runtime",
                "gmem-sim",
                "gmem-wgpu",
            ][..],
        ),
        ("gmem-hal", &[]),
        ("gmem-host", &["gmem-hal"]),
        ("gmem-runtime", &["gmem-hal"]),
        ("gmem-shaders", &[]),
        ("gmem-sim", &["gmem-hal"]),
        ("gmem-wgpu", &["gmem-hal", "gmem-shaders"]),
    ];
    let found: BTreeMap<String, Vec<String>> = crates()
        .into_iter()
        .map(|(name, (_, edges))| (name, edges.into_iter().collect()))
        .collect();
    let expected: BTreeMap<String, Vec<String>> = expected
        .into_iter()
        .map(|(name, edges)| {
            (
                name.to_owned(),
                edges.iter().map(|&e| e.to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_crate_but_the_host_and_the_facade_forbids_unsafe_code() {
    for (name, (folder, _)) in crates() {
        let lib = std::fs::read_to_string(folder.join("src/lib.rs")).expect("a library");
        let has = |attribute: &str| lib.lines().any(|line| line.trim() == attribute);
        match name.as_str() {
            "gmem-host" => {}
            "gmem" => assert!(
                has("#![deny(unsafe_code)]"),
                "the facade denies it, but for its exceptions"
            ),
            _ => assert!(has("#![forbid(unsafe_code)]"), "{name} forbids unsafe code"),
        }
    }
}

#[test]
fn the_facade_is_unsafe_only_where_memory_is_viewed_and_bound() {
    let allowed = ["view.rs", "vector.rs", "raw.rs", "launch.rs"];
    for file in rust_files(&root().join("src")) {
        let name = file
            .strip_prefix(root().join("src"))
            .expect("inside")
            .to_string_lossy()
            .into_owned();
        let code = code(&file);
        assert!(
            allowed.contains(&name.as_str())
                || !(has_word(&code, "unsafe") || code.contains("allow(unsafe_code)")),
            "unsafe code in src/{name}"
        );
    }
}

#[test]
fn no_file_is_over_600_lines() {
    let mut files = 0;
    for (name, (folder, _)) in crates() {
        let folders = ["src", "tests", "benches", "examples"];
        for file in folders.iter().flat_map(|f| rust_files(&folder.join(f))) {
            let lines = std::fs::read_to_string(&file)
                .expect("a text")
                .lines()
                .count();
            assert!(
                lines <= 600,
                "{} of {name} has {lines} lines",
                file.display()
            );
            files += 1;
        }
    }
    assert!(files > 50, "the files were found: {files}");
}
