//! Says of which commit gmem is built, for reports: `GMEM_COMMIT`, not set where there is no git or this is no checkout.
//!
//! It runs again when a source file or the checked-out commit changes: then gmem is built again anyway.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What gmem is made of.
const SOURCES: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "runtime/src",
    "shaders/src",
    "device-backends/hal/src",
    "device-backends/host/src",
    "device-backends/wgpu/src",
    "device-backends/sim/src",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=GMEM_COMMIT={commit}");
    }
}

fn commit() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    // Below another project's checkout its commit says nothing about gmem.
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // HEAD names a branch; its log grows whenever the commit behind it is another.
    let watched = ["HEAD", "logs/HEAD"]
        .map(|name| git(&root, &["rev-parse", "--git-path", name]).map(|path| root.join(path)));
    for path in watched
        .into_iter()
        .flatten()
        .chain(SOURCES.map(|name| root.join(name)))
    {
        // What is not there would be taken for changed at every build.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let commit = git(&root, &["rev-parse", "HEAD"])?;
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(SOURCES);
    let clean = git(&root, &status)?.is_empty();
    Some(if clean {
        commit
    } else {
        format!("{commit}-dirty")
    })
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
