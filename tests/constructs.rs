//! docs/constructs.md is true: its kernels and tests exist, none is left out, and `gmem check` accepts every kernel.

#[path = "command/mod.rs"]
mod command;
#[allow(dead_code, reason = "the tests of the other commands use the rest")]
#[path = "cli/rig.rs"]
mod rig;
#[path = "skipped/mod.rs"]
mod skipped;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rig::Folder;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of all table rows: heads and rules left out.
fn rows() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/constructs.md")).expect("the document");
    text.lines()
        .filter(|line| {
            line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| construct")
        })
        .map(|line| {
            let inner = line.replace("\\|", "/");
            let cells = inner.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn kernels() -> BTreeSet<PathBuf> {
    let folder = std::fs::read_dir(root().join("shaders/tests/in")).expect("kernels");
    folder.map(|file| file.expect("a file").path()).collect()
}

#[test]
fn every_kernel_of_the_table_is_supported() {
    let rows = rows();
    let named: BTreeSet<PathBuf> = rows
        .iter()
        .filter(|row| row.len() == 3)
        .flat_map(|row| quoted(&row[1]))
        .map(|name| root().join(format!("shaders/tests/in/{name}.wgsl")))
        .collect();
    assert_eq!(named, kernels(), "the table and the kernels differ");
    let files: Vec<String> = named
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let done = Folder::new("constructs")
        .gmem(&format!("check {}", files.join(" ")))
        .ok();
    assert!(done.out.contains(": all supported"), "{done:#?}");
}

#[test]
fn every_test_that_the_document_names_exists() {
    let mut functions = 0;
    for row in rows() {
        let mut file = None;
        for name in quoted(row.last().expect("a cell")) {
            if name.contains('/') {
                let path = root().join(name);
                file =
                    Some(std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}")));
            } else {
                let text = file.as_ref().expect("a file before its functions");
                assert!(
                    text.contains(&format!("fn {name}()")),
                    "{name} is not there"
                );
                functions += 1;
            }
        }
        let tested = row.iter().skip(1).any(|cell| !cell.is_empty());
        assert!(tested, "nothing shows it: {row:?}");
    }
    assert!(functions > 10, "{functions}");
}
