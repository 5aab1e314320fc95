//! The `gmem` command that tests start: the one built with them, or `GMEM_TEST_COMMAND` where they run without their source tree.

use std::process::Command;

/// The command, without arguments yet.
pub fn gmem() -> Command {
    let mut command = Command::new(
        std::env::var_os("GMEM_TEST_COMMAND").unwrap_or_else(|| env!("CARGO_BIN_EXE_gmem").into()),
    );
    // Where there is no session there is no such folder, of which EGL complains among the command's errors.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command
}
