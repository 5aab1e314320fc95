//! The three mechanisms on Linux, over one [`Window`]. Every call to the operating system is in this folder.

pub mod bare;
mod batch;
mod explicit;
mod plane;
mod protect;
mod ranges;
mod thread;
mod uffd;
mod window;

pub(crate) use explicit::ExplicitHost;
pub(crate) use protect::ProtectHost;
pub(crate) use uffd::UffdHost;

use gmem_hal::{ByteRange, HostError};
use rustix::io::Errno;

/// An error of an operating-system call that concerns no range.
fn os(call: &'static str, errno: Errno) -> HostError {
    HostError::Os {
        call,
        source: errno.into(),
    }
}

/// An error of an operating-system call on a range: a want of memory (or of VMAs, which the kernel reports alike) is told apart.
fn os_on(call: &'static str, range: ByteRange, errno: Errno) -> HostError {
    match errno {
        Errno::NOMEM | Errno::NOSPC => HostError::OutOfMemory {
            offset: range.offset,
            bytes: range.len,
        },
        other => os(call, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_of_memory_is_told_apart_from_other_errors() {
        let range = ByteRange::new(4096, 8192);
        for errno in [Errno::NOMEM, Errno::NOSPC] {
            assert!(matches!(
                os_on("fallocate", range, errno),
                HostError::OutOfMemory {
                    offset: 4096,
                    bytes: 8192
                }
            ));
        }
        assert!(matches!(
            os_on("fallocate", range, Errno::BADF),
            HostError::Os {
                call: "fallocate",
                ..
            }
        ));
    }
}
