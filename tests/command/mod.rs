//! The `gmem` command that tests start: the one built with them, or `GMEM_TEST_COMMAND` where they run without their source tree.

use std::process::Command;

/// The command, without arguments yet.
pub fn gmem() -> Command {
    Command::new(
        std::env::var_os("GMEM_TEST_COMMAND").unwrap_or_else(|| env!("CARGO_BIN_EXE_gmem").into()),
    )
}
