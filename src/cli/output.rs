//! Files that results go to: no two results go to one file, and an older file stays until its successor is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::args::{Cli, Command, Common};
use super::spec::Source;
use super::uniform::UniformSource;

/// Two results would go to one file, or one onto what is read.
#[derive(Debug, thiserror::Error)]
#[error("{first} and {second} are one file, {path:?}: give each its own")]
pub struct Same {
    first: String,
    second: String,
    path: PathBuf,
}

/// Checks that all results of a command go to files of their own, however these are spelled.
///
/// # Errors
/// The first two that are one. A binding's contents may go where they came from.
pub fn check_distinct(cli: &Cli) -> Result<(), Same> {
    let mut outputs = Vec::new();
    let mut inputs = Vec::new();
    let common = &cli.common;
    let mut output = |option: &str, path: &Option<PathBuf>| {
        outputs.extend(path.iter().map(|path| (option.to_owned(), identity(path))));
    };
    output("--report", &common.report);
    output("--trace", &common.trace);
    let mut input = |option: &str, path: &Path| inputs.push((option.to_owned(), identity(path)));
    match &cli.command {
        Some(Command::Bench(bench)) => {
            output("--json", &bench.json);
            output("--html", &bench.html);
            bench.from.iter().for_each(|path| input("--from", path));
        }
        Some(Command::Demo(demo)) => {
            demo.graph.iter().for_each(|path| input("--graph", path));
            demo.file.iter().for_each(|path| input("--file", path));
        }
        Some(Command::Replay(replay)) => input("the trace that is replayed", &replay.file),
        Some(Command::Run(run)) => {
            input("the kernel", &run.kernel);
            for bind in &run.binds {
                if let Source::Npy(path) | Source::Bin(path) = &bind.source {
                    input(&format!("what `{}` is read from", bind.name), path);
                }
            }
            for uniform in &run.uniforms {
                if let UniformSource::File(path) = &uniform.source {
                    input(&format!("what `{}` is read from", uniform.name), path);
                }
            }
        }
        Some(Command::Check(check)) => {
            check.files.iter().for_each(|path| input("a kernel", path));
        }
        Some(Command::Info(_)) | None => {}
    }
    distinct(&outputs, &inputs)?;
    if let Some(Command::Run(run)) = &cli.command {
        outputs.extend(run.binds.iter().filter_map(|bind| {
            let path = bind.out.as_ref()?;
            Some((format!("where `{}` goes", bind.name), identity(path)))
        }));
    }
    distinct(&outputs, &[])
}

/// The same for a plan, whose files are known once it is read: each is a path and what is there.
///
/// # Errors
/// The first two that are one. A buffer's contents may go where they came from, or where others did.
pub fn check_distinct_in_plan<'a>(
    common: &'a Common,
    inputs: impl Iterator<Item = (String, &'a Path)>,
    outputs: impl Iterator<Item = (String, &'a Path)>,
) -> Result<(), Same> {
    let identified = |(what, path): (String, &Path)| (what, identity(path));
    let mut results: Vec<_> = [("--report", &common.report), ("--trace", &common.trace)]
        .into_iter()
        .filter_map(|(option, path)| Some((option.to_owned(), path.as_deref()?)))
        .map(identified)
        .collect();
    distinct(&results, &inputs.map(identified).collect::<Vec<_>>())?;
    results.extend(outputs.map(identified));
    distinct(&results, &[])
}

/// Checks that no output is another one, or an input.
fn distinct(outputs: &[(String, PathBuf)], inputs: &[(String, PathBuf)]) -> Result<(), Same> {
    for (at, (first, path)) in outputs.iter().enumerate() {
        // What is no file, such as a terminal, may take more than one result.
        let takes_all = fs::metadata(path).is_ok_and(|found| !found.is_file());
        let mut others = outputs[at + 1..].iter().chain(inputs);
        if let Some((second, _)) = others.find(|(_, other)| other == path && !takes_all) {
            return Err(Same {
                first: first.clone(),
                second: second.clone(),
                path: path.clone(),
            });
        }
    }
    Ok(())
}

/// A path that is the same for all spellings of a file, there or not.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        match (fs::canonicalize(folder), path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => path.to_owned(),
        }
    })
}

/// Writes a file in one piece: until all of it is there, what was there before is.
///
/// # Errors
/// The system's; nothing has changed then, unless the file is no ordinary one or its folder takes no new files.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if let Some(file) = descriptor(path) {
        return write(&mut file?);
    }
    let path = &identity(path);
    let leads_nowhere = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let before = fs::metadata(path).ok();
    let in_place = || {
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    };
    if leads_nowhere || before.as_ref().is_some_and(|found| !found.is_file()) {
        return write(&mut in_place()?);
    }
    let Some(name) = path.file_name() else {
        return write(&mut in_place()?);
    };
    // Not with the whole name in it, which may be as long as names can be.
    let name = name.to_string_lossy();
    let name: String = name.chars().take(40).collect();
    let part = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = match File::create_new(&part) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return write(&mut in_place()?);
        }
        Err(error) => return Err(error),
    };
    let written = write(&mut file).and_then(|()| {
        if let Some(before) = &before {
            // Whoever must not write it keeps it, and whoever may read it can.
            File::options().write(true).open(path)?;
            file.set_permissions(before.permissions())?;
        }
        fs::rename(&part, path)
    });
    if written.is_err() {
        // There is nothing in it that anybody wants.
        let _ = fs::remove_file(&part);
    }
    written
}

/// What is open already, where a path names that: its file may be in use by others, and must be neither replaced nor emptied.
#[cfg(unix)]
fn descriptor(path: &Path) -> Option<io::Result<File>> {
    use std::os::fd::AsFd as _;
    let same = |owned: io::Result<std::os::fd::OwnedFd>| Some(owned.map(File::from));
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => {
            same(io::stdout().as_fd().try_clone_to_owned())
        }
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => {
            same(io::stderr().as_fd().try_clone_to_owned())
        }
        _ => {
            let folder = fs::canonicalize(path.parent()?).ok()?;
            // Not what lies deeper, such as /dev/shm, where files are files.
            let names_open = ["/dev", "/dev/fd"]
                .iter()
                .any(|one| folder == Path::new(one))
                || folder.starts_with("/proc");
            names_open.then(|| File::options().append(true).open(path))
        }
    }
}

#[cfg(not(unix))]
fn descriptor(_: &Path) -> Option<io::Result<File>> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser as _;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gmem-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[cfg(unix)]
    #[test]
    fn what_is_open_already_is_added_to() {
        let folder = folder("open");
        let path = folder.join("log");
        fs::write(&path, "precious\n").unwrap();
        let open = File::options().append(true).open(&path).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&open);
        let name = Path::new("/dev/fd").join(number.to_string());
        replace(&name, |file| file.write_all(b"more\n")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious\nmore\n");
        assert!(descriptor(Path::new("/dev/stdout")).is_some_and(|file| file.is_ok()));
        assert!(descriptor(&path).is_none());
        assert!(descriptor(Path::new("/dev/shm/file")).is_none());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_yet_is_followed_and_a_long_name_can_be_written() {
        let folder = folder("dangling");
        let link = folder.join("link");
        std::os::unix::fs::symlink("new", &link).unwrap();
        replace(&link, |file| file.write_all(b"1")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(folder.join("new")).unwrap(), b"1");
        let long = folder.join("a".repeat(250));
        replace(&long, |file| file.write_all(b"2")).unwrap();
        assert_eq!(fs::read(&long).unwrap(), b"2");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_is_there_as_it_was_until_all_of_the_next_is() {
        let folder = folder("replace");
        let path = folder.join("a.json");
        replace(&path, |file| file.write_all(b"first")).unwrap();
        let failed = replace(&path, |file| {
            file.write_all(b"sec")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        replace(&path, |file| file.write_all(b"third")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        // Nothing lies beside it.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_and_its_file_is_written() {
        let folder = folder("link");
        let link = folder.join("link.json");
        fs::write(folder.join("real.json"), "old").unwrap();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        replace(&link, |file| file.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(folder.join("real.json")).unwrap(), b"new");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn results_that_are_one_file_are_found_however_they_are_spelled() {
        for line in [
            "bench --json a.json --html ./a.json",
            "bench --json a.json --trace a.json",
            "bench --report a.json --json no-such-folder/../a.json",
            "bench --from a.json --html a.json",
            "demo triad --trace a --report a",
            "demo histogram --file src/main.rs --trace src/main.rs",
            "replay a.json --report a.json",
            "run k.wgsl --grid 1 --report k.wgsl",
            "run k.wgsl --grid 1 --bind a=zeros:4,out=a.bin --trace a.bin",
            "run k.wgsl --grid 1 --bind a=a.bin --trace a.bin",
        ] {
            // A path through a folder that is not there leads nowhere; hence the one line that does not meet.
            let cli = Cli::try_parse_from(format!("gmem {line}").split(' ')).unwrap();
            let found = check_distinct(&cli);
            assert_eq!(found.is_err(), !line.contains("no-such-folder"), "{line}");
        }
        for line in [
            "bench --json a.json --html a.html --trace /dev/null --report /dev/null",
            "run k.wgsl --grid 1 --bind a=a.bin,out=a.bin --report b.json",
        ] {
            let cli = Cli::try_parse_from(format!("gmem {line}").split(' ')).unwrap();
            assert!(check_distinct(&cli).is_ok(), "{line}");
        }
    }
}
