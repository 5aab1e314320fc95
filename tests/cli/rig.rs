//! Running the command, and files for it.

use std::path::PathBuf;
use std::process::Stdio;

use crate::skipped::skipped;

/// A folder of a test's own, gone when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gmem-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// Runs the command here. Words are split at spaces.
    pub fn gmem(&self, line: &str) -> Done {
        self.gmem_with(line, &[])
    }

    /// Runs it with other environment variables.
    pub fn gmem_with(&self, line: &str, environment: &[(&str, &str)]) -> Done {
        let output = crate::command::gmem()
            .args(line.split_whitespace())
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let done = Done {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!done.err.contains("panicked"), "{line}: {done:#?}");
        done
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self
    }

    /// It ended with a status and a message of one error that has all of these words.
    #[track_caller]
    pub fn refused(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert!(self.err.contains("error: "), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing: {self:#?}");
        }
        assert!(self.out.is_empty(), "a result after all: {self:#?}");
        self
    }
}

/// The adapters to test with, as `--adapter` takes them.
pub fn adapters() -> Vec<&'static str> {
    let only = std::env::var("GMEM_TEST_ADAPTER").ok();
    let mut found = Vec::new();
    for adapter in gmem::gpu::adapters() {
        let wanted = only.as_deref().is_none_or(|only| only == adapter.backend);
        if wanted && !found.contains(&adapter.backend) {
            found.push(adapter.backend);
        }
    }
    if found.is_empty() {
        skipped(format_args!(
            "no adapter ({})",
            only.as_deref().unwrap_or("this machine has none")
        ));
    }
    found
}

/// The first of them.
pub fn adapter() -> Option<&'static str> {
    adapters().first().copied()
}

/// A .npy file of one row of elements.
pub fn npy(dtype: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// The header of a .npy file, without its spaces, and the data.
pub fn read_npy(file: &[u8]) -> (String, &[u8]) {
    assert!(file.starts_with(b"\x93NUMPY"));
    let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = String::from_utf8(file[10..10 + length].to_vec()).unwrap();
    (header.replace(' ', ""), &file[10 + length..])
}

pub fn bytes<T: bytemuck::Pod>(elements: &[T]) -> &[u8] {
    bytemuck::cast_slice(elements)
}
