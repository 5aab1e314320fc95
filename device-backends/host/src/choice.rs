//! Which mechanism a space gets: tried in order, with the reasons kept for the user.

use std::sync::Arc;

use gmem_hal::{BLOCK_BYTES, HostError, HostMechanism, HostMemory};

/// Which mechanism to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// The first that works of userfaultfd, mprotect, explicit.
    #[default]
    Auto,
    /// This one, or an error.
    Only(HostMechanism),
}

/// How to open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Handler threads; at least two are started, so that a fault that waits for a pass does not hold up the others.
    pub handler_threads: usize,
    /// Serve touches by the kernel too (system calls on absent pages), which takes `CAP_SYS_PTRACE`,
    /// `vm.unprivileged_userfaultfd=1` or access to `/dev/userfaultfd`. Only userfaultfd can.
    pub privileged: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handler_threads: 2,
            privileged: false,
        }
    }
}

/// An opened host memory, and how it came to be that one.
pub struct Opened {
    /// The memory.
    pub host: Arc<dyn HostMemory>,
    /// How touches are noticed.
    pub mechanism: HostMechanism,
    /// A sentence: why this mechanism, and what failed before it.
    pub why: String,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opened")
            .field("mechanism", &self.mechanism)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

/// Every mechanism, the best first.
const ORDER: [HostMechanism; 3] = [
    HostMechanism::Userfaultfd,
    HostMechanism::Mprotect,
    HostMechanism::Explicit,
];

/// Reserves `len` bytes of address space (rounded up to 2 MiB) with default [`Options`].
///
/// # Errors
/// When the mechanism is not available here, or the address space has no room.
pub fn open(len: u64, choice: Choice) -> Result<Opened, HostError> {
    open_with(len, choice, Options::default())
}

/// Reserves `len` bytes of address space (rounded up to 2 MiB). It costs no memory.
///
/// # Errors
/// When the mechanism is not available here, or the address space has no room.
pub fn open_with(len: u64, choice: Choice, options: Options) -> Result<Opened, HostError> {
    let no_room = HostError::OutOfMemory {
        offset: 0,
        bytes: len,
    };
    let Some(rounded) = len.max(1).checked_next_multiple_of(BLOCK_BYTES) else {
        return Err(no_room);
    };
    if let Choice::Only(mechanism) = choice {
        let (host, detail) = open_mechanism(rounded, mechanism, options)?;
        let why = format!("{} was asked for: {detail}", mechanism.name());
        return Ok(Opened {
            host,
            mechanism,
            why,
        });
    }
    let mut failed = Vec::new();
    for (mechanism, options) in attempts(options) {
        match open_mechanism(rounded, mechanism, options) {
            Ok((host, detail)) => {
                let before = if failed.is_empty() {
                    "the first choice works here".to_owned()
                } else {
                    failed.join("; ")
                };
                let why = format!("{}: {detail} ({before})", mechanism.name());
                return Ok(Opened {
                    host,
                    mechanism,
                    why,
                });
            }
            // Address space that is not there for one is not there for the next.
            Err(full @ HostError::OutOfMemory { .. }) => return Err(full),
            Err(error) => failed.push(error.to_string()),
        }
    }
    Err(HostError::Unavailable {
        mechanism: "auto",
        reason: failed.join("; "),
    })
}

/// What [`Choice::Auto`] tries, in order: a privilege that is not granted is given up before the mechanism is.
fn attempts(options: Options) -> Vec<(HostMechanism, Options)> {
    let plain = Options {
        privileged: false,
        ..options
    };
    let mut attempts = Vec::new();
    if options.privileged {
        attempts.push((HostMechanism::Userfaultfd, options));
    }
    attempts.extend(ORDER.map(|mechanism| (mechanism, plain)));
    attempts
}

/// Every mechanism, with what this machine lacks for it.
#[must_use]
pub fn available() -> Vec<(HostMechanism, Result<(), String>)> {
    ORDER
        .into_iter()
        .map(|mechanism| {
            let tried = open_mechanism(BLOCK_BYTES, mechanism, Options::default());
            let verdict = match tried {
                Ok(_) => Ok(()),
                Err(HostError::Unavailable { reason, .. }) => Err(reason),
                Err(other) => Err(other.to_string()),
            };
            (mechanism, verdict)
        })
        .collect()
}

type Candidate = (Arc<dyn HostMemory>, String);

#[cfg(target_os = "linux")]
fn open_mechanism(
    len: u64,
    mechanism: HostMechanism,
    options: Options,
) -> Result<Candidate, HostError> {
    use crate::linux::{ExplicitHost, ProtectHost, UffdHost};
    Ok(match mechanism {
        HostMechanism::Userfaultfd => {
            let host = UffdHost::open(len, options.handler_threads, options.privileged)?;
            let detail = host.describe();
            (Arc::new(host), detail)
        }
        HostMechanism::Mprotect => (
            Arc::new(ProtectHost::open(len, options.handler_threads)?),
            "page protections and a SIGSEGV handler".to_owned(),
        ),
        HostMechanism::Explicit => (
            Arc::new(ExplicitHost::open(len)?),
            "accesses are bracketed by views, nothing is noticed".to_owned(),
        ),
    })
}

#[cfg(not(target_os = "linux"))]
fn open_mechanism(
    len: u64,
    mechanism: HostMechanism,
    _options: Options,
) -> Result<Candidate, HostError> {
    match mechanism {
        HostMechanism::Explicit => Ok((
            Arc::new(crate::heap::HeapHost::open(len)?),
            "accesses are bracketed by views, in memory of the heap".to_owned(),
        )),
        other => Err(HostError::Unavailable {
            mechanism: other.name(),
            reason: "this operating system is not supported by it: use explicit views".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privilege_is_given_up_before_the_mechanism_is() {
        let asked = Options {
            privileged: true,
            handler_threads: 5,
        };
        let tried: Vec<_> = attempts(asked)
            .into_iter()
            .map(|(mechanism, options)| (mechanism.name(), options.privileged))
            .collect();
        let expected = [
            ("uffd", true),
            ("uffd", false),
            ("mprotect", false),
            ("explicit", false),
        ];
        assert_eq!(tried, expected);
        assert_eq!(attempts(Options::default()).len(), 3);
        assert!(
            attempts(asked)
                .iter()
                .all(|(_, options)| options.handler_threads == 5)
        );
    }
}
