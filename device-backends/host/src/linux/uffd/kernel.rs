//! The kernel's userfaultfd, as far as it is used here: one descriptor, its features, and its ioctls with typed outcomes.
//!
//! See userfaultfd(2), ioctl_userfaultfd(2) and the kernel's admin-guide/mm/userfaultfd. `EAGAIN` (the address space
//! changed meanwhile) and `EEXIST` (the page is mapped already) are outcomes here, not errors.

use std::fs::OpenOptions;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use gmem_hal::{Access, HostError, HostMechanism};
use linux_raw_sys::general as raw;
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};
use rustix::mm::{UserfaultfdFlags, userfaultfd};

use crate::linux::window::Window;

const GROUP: u8 = raw::UFFDIO as u8;
const API: Opcode = opcode::read_write::<raw::uffdio_api>(GROUP, raw::_UFFDIO_API as u8);
const REGISTER: Opcode =
    opcode::read_write::<raw::uffdio_register>(GROUP, raw::_UFFDIO_REGISTER as u8);
const UNREGISTER: Opcode = opcode::read::<raw::uffdio_range>(GROUP, raw::_UFFDIO_UNREGISTER as u8);
const WAKE: Opcode = opcode::read::<raw::uffdio_range>(GROUP, raw::_UFFDIO_WAKE as u8);
const COPY: Opcode = opcode::read_write::<raw::uffdio_copy>(GROUP, raw::_UFFDIO_COPY as u8);
const WRITEPROTECT: Opcode =
    opcode::read_write::<raw::uffdio_writeprotect>(GROUP, raw::_UFFDIO_WRITEPROTECT as u8);
const CONTINUE: Opcode =
    opcode::read_write::<raw::uffdio_continue>(GROUP, raw::_UFFDIO_CONTINUE as u8);
const POISON: Opcode = opcode::read_write::<raw::uffdio_poison>(GROUP, raw::_UFFDIO_POISON as u8);
/// `USERFAULTFD_IOC_NEW` of `/dev/userfaultfd`.
const NEW: Opcode = opcode::none(GROUP, 0);

/// Map with write protection (Linux 6.4); the bindings lack the name.
const CONTINUE_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;

/// Bytes of one event.
const EVENT_BYTES: usize = 32;
const _: () = assert!(size_of::<raw::uffd_msg>() == EVENT_BYTES);
const _: () = assert!(offset_of!(raw::uffd_msg, event) == 0 && offset_of!(raw::uffd_msg, arg) == 8);
const _: () = assert!(offset_of!(raw::uffd_msg__bindgen_ty_1__bindgen_ty_1, flags) == 0);
const _: () = assert!(offset_of!(raw::uffd_msg__bindgen_ty_1__bindgen_ty_1, address) == 8);

/// What this kernel can do for a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Touches by system calls are served too.
    pub(crate) kernel_faults: bool,
    /// Pages of a file can be mapped for reading alone.
    pub(crate) write_protect: bool,
    /// One page can be made to raise SIGBUS.
    pub(crate) poison: bool,
}

/// What became of a call that maps pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// So many bytes from the start, at least a page.
    Bytes(u64),
    /// None: the first page is mapped already.
    Exists,
    /// None: the first page has no memory.
    Absent,
    /// None: the address space was changing; try again.
    Again,
}

/// Which faults of a range become events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watch {
    /// Pages without memory.
    Missing,
    /// Those, and pages with memory that are not mapped.
    Minor,
    /// Those, and writes to pages mapped for reading alone.
    MinorAndWrite,
}

/// A userfaultfd that passed its handshake.
pub(crate) struct Uffd {
    fd: OwnedFd,
}

fn unavailable(reason: String) -> HostError {
    HostError::Unavailable {
        mechanism: HostMechanism::Userfaultfd.name(),
        reason,
    }
}

impl Uffd {
    /// Opens one for a space, with all that this kernel has of what a space can use.
    pub(crate) fn open(privileged: bool) -> Result<(Self, Abilities), HostError> {
        let offered = handshake(&descriptor(privileged, true)?, 0)?;
        let needed = raw::UFFD_FEATURE_MISSING_SHMEM | raw::UFFD_FEATURE_MINOR_SHMEM;
        if offered & u64::from(needed) != u64::from(needed) {
            return Err(unavailable(
                "the kernel has no minor faults on shared memory: use Linux 5.14 or newer"
                    .to_owned(),
            ));
        }
        let optional = raw::UFFD_FEATURE_EXACT_ADDRESS
            | raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP
            | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM
            | raw::UFFD_FEATURE_POISON;
        // A descriptor shakes hands once, so the one that asked is of no more use.
        let fd = descriptor(privileged, true)?;
        handshake(&fd, u64::from(needed) | offered & u64::from(optional))?;
        let has = |bit: u32| offered & u64::from(bit) != 0;
        let write_protect =
            has(raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM) && maps_protected(privileged)?;
        let abilities = Abilities {
            kernel_faults: privileged,
            write_protect,
            poison: has(raw::UFFD_FEATURE_POISON),
        };
        Ok((Self { fd }, abilities))
    }

    /// Opens a plain one whose reads wait for events.
    pub(crate) fn open_waiting() -> Result<Self, HostError> {
        let fd = descriptor(false, false)?;
        handshake(&fd, 0)?;
        Ok(Self { fd })
    }

    /// Makes faults of a range events.
    pub(crate) fn register(&self, start: u64, len: u64, watch: Watch) -> Result<(), Errno> {
        let mode = match watch {
            Watch::Missing => raw::UFFDIO_REGISTER_MODE_MISSING,
            Watch::Minor => raw::UFFDIO_REGISTER_MODE_MISSING | raw::UFFDIO_REGISTER_MODE_MINOR,
            Watch::MinorAndWrite => {
                raw::UFFDIO_REGISTER_MODE_MISSING
                    | raw::UFFDIO_REGISTER_MODE_MINOR
                    | raw::UFFDIO_REGISTER_MODE_WP
            }
        };
        let mut arg = raw::uffdio_register {
            range: raw::uffdio_range { start, len },
            mode: u64::from(mode),
            ioctls: 0,
        };
        // SAFETY: the opcode's argument type; the kernel checks that the range is mapped. What it changes is who
        // serves the faults there, which the owner of the mapping asks for.
        unsafe { ioctl(&self.fd, Updater::<REGISTER, _>::new(&mut arg)) }
    }

    /// Makes faults of a range ordinary again and wakes the threads that wait there.
    pub(crate) fn unregister(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut arg = raw::uffdio_range { start, len };
        // SAFETY: the opcode's argument type; it gives back what `register` took.
        unsafe { ioctl(&self.fd, Updater::<UNREGISTER, _>::new(&mut arg)) }
    }

    /// Lets the threads that wait in a range try again.
    pub(crate) fn wake(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut arg = raw::uffdio_range { start, len };
        // SAFETY: the opcode's argument type; no memory is changed.
        unsafe { ioctl(&self.fd, Updater::<WAKE, _>::new(&mut arg)) }
    }

    /// Maps the memory that the pages from `start` have, and wakes who waited for the ones it mapped.
    pub(crate) fn map(&self, start: u64, len: u64, write: bool) -> Result<Mapped, Errno> {
        let mut arg = raw::uffdio_continue {
            range: raw::uffdio_range { start, len },
            mode: if write { 0 } else { CONTINUE_MODE_WP },
            mapped: 0,
        };
        // SAFETY: the opcode's argument type; the kernel maps pages of the file that is mapped there anyway.
        let done = unsafe { ioctl(&self.fd, Updater::<CONTINUE, _>::new(&mut arg)) };
        outcome(done, arg.mapped, len)
    }

    /// Copies `len` bytes into absent pages, maps them and wakes who waited for them.
    ///
    /// # Safety
    /// `src` must be readable for `len` bytes, and the destination must be memory whose contents the caller may set.
    pub(crate) unsafe fn copy(
        &self,
        start: u64,
        src: *const u8,
        len: u64,
    ) -> Result<Mapped, Errno> {
        let mut arg = raw::uffdio_copy {
            dst: start,
            src: src as u64,
            len,
            mode: 0,
            copy: 0,
        };
        // SAFETY: the opcode's argument type; source and destination are the caller's promise.
        let done = unsafe { ioctl(&self.fd, Updater::<COPY, _>::new(&mut arg)) };
        outcome(done, arg.copy, len)
    }

    /// Forbids (`on`) or allows writes to the mapped pages of a range, and wakes when it allows.
    pub(crate) fn write_protect(&self, start: u64, len: u64, on: bool) -> Result<(), Errno> {
        let mut arg = raw::uffdio_writeprotect {
            range: raw::uffdio_range { start, len },
            mode: if on { WRITEPROTECT_MODE_WP } else { 0 },
        };
        loop {
            // SAFETY: the opcode's argument type; only the right to write changes, as the owner of the mapping asks.
            match unsafe { ioctl(&self.fd, Updater::<WRITEPROTECT, _>::new(&mut arg)) } {
                Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
                done => return done,
            }
        }
    }

    /// Makes touches of absent pages raise SIGBUS, and wakes who waited for them.
    pub(crate) fn poison(&self, start: u64, len: u64) -> Result<Mapped, Errno> {
        let mut arg = raw::uffdio_poison {
            range: raw::uffdio_range { start, len },
            mode: 0,
            updated: 0,
        };
        // SAFETY: the opcode's argument type; no byte of the file is changed.
        let done = unsafe { ioctl(&self.fd, Updater::<POISON, _>::new(&mut arg)) };
        outcome(done, arg.updated, len)
    }

    /// Reads waiting events into `events` and says how many there were; none when there is nothing to read.
    pub(crate) fn read(&self, events: &mut EventBuffer) -> Result<usize, Errno> {
        events.count = match rustix::io::read(&self.fd, &mut events.bytes[..]) {
            Ok(bytes) => bytes / EVENT_BYTES,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        Ok(events.count)
    }
}

impl AsFd for Uffd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for a batch of events.
pub(crate) struct EventBuffer {
    bytes: Vec<u8>,
    count: usize,
}

impl EventBuffer {
    /// Room for so many events.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity * EVENT_BYTES],
            count: 0,
        }
    }

    /// The page faults of the last read.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Event> {
        let word = |event: &[u8], at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&event[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        self.bytes
            .chunks_exact(EVENT_BYTES)
            .take(self.count)
            .filter(|event| u32::from(event[0]) == raw::UFFD_EVENT_PAGEFAULT)
            .map(move |event| {
                let flags = word(event, 8);
                let has = |flag: u32| flags & u64::from(flag) != 0;
                let protected = has(raw::UFFD_PAGEFAULT_FLAG_WP);
                Event {
                    address: word(event, 16),
                    access: if protected || has(raw::UFFD_PAGEFAULT_FLAG_WRITE) {
                        Access::Write
                    } else {
                        Access::Read
                    },
                    absent: !protected,
                }
            })
    }
}

/// A page fault as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The address touched; of its page alone on kernels before 5.18.
    pub(crate) address: u64,
    /// What the thread was doing.
    pub(crate) access: Access,
    /// The page was not mapped (or else it was, for reading alone).
    pub(crate) absent: bool,
}

/// Reads the outcome of a call that maps pages from its result and the count it left.
fn outcome(done: Result<(), Errno>, count: i64, len: u64) -> Result<Mapped, Errno> {
    match done {
        Ok(()) => Ok(Mapped::Bytes(len)),
        // A part was done: the count is positive, and the error says only that the rest was not.
        Err(_) if count > 0 => Ok(Mapped::Bytes(count as u64)),
        Err(Errno::EXIST) => Ok(Mapped::Exists),
        Err(Errno::FAULT) => Ok(Mapped::Absent),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Mapped::Again),
        Err(errno) => Err(errno),
    }
}

/// A new descriptor, by the system call or, where that is not permitted, by the device node.
fn descriptor(privileged: bool, nonblocking: bool) -> Result<OwnedFd, HostError> {
    let mut flags = UserfaultfdFlags::CLOEXEC;
    if nonblocking {
        flags |= UserfaultfdFlags::NONBLOCK;
    }
    if !privileged {
        flags |= UserfaultfdFlags::from_bits_retain(raw::UFFD_USER_MODE_ONLY);
    }
    // SAFETY: a descriptor alone does nothing; what is done with it is argued at each ioctl.
    let refused = match unsafe { userfaultfd(flags) } {
        Ok(fd) => return Ok(fd),
        Err(errno) => errno,
    };
    if privileged
        && let Ok(node) = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/userfaultfd")
    {
        // SAFETY: the opcode takes the flags of userfaultfd(2) as an integer and returns a new descriptor.
        let made = unsafe {
            ioctl(
                &node,
                NewDescriptor(IntegerSetter::new_usize(flags.bits() as usize)),
            )
        };
        if let Ok(fd) = made {
            return Ok(fd);
        }
    }
    Err(unavailable(match refused {
        Errno::NOSYS => "the kernel is built without userfaultfd".to_owned(),
        Errno::PERM if privileged => {
            "serving the kernel's own touches is not permitted: grant CAP_SYS_PTRACE \
             or /dev/userfaultfd, or open without the privileged option"
                .to_owned()
        }
        Errno::PERM => {
            "userfaultfd(2) is not permitted here, perhaps by a seccomp filter".to_owned()
        }
        errno => format!("userfaultfd(2) failed: {errno}"),
    }))
}

/// `USERFAULTFD_IOC_NEW`: an integer in, a descriptor out.
struct NewDescriptor(IntegerSetter<NEW>);

// SAFETY: opcode and argument are those of the wrapped setter; the return value of this opcode is a new descriptor.
unsafe impl rustix::ioctl::Ioctl for NewDescriptor {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;
    fn opcode(&self) -> Opcode {
        NEW
    }
    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        self.0.as_ptr()
    }
    unsafe fn output_from_ptr(
        out: rustix::ioctl::IoctlOutput,
        _: *mut core::ffi::c_void,
    ) -> rustix::io::Result<OwnedFd> {
        // SAFETY: on success the kernel returned a descriptor that nobody else knows of.
        Ok(unsafe { OwnedFd::from_raw_fd(out) })
    }
}

/// Asks for features and returns those that the kernel has.
fn handshake(fd: &OwnedFd, features: u64) -> Result<u64, HostError> {
    let mut arg = raw::uffdio_api {
        api: u64::from(raw::UFFD_API),
        features,
        ioctls: 0,
    };
    // SAFETY: the opcode's argument type; no memory is concerned.
    unsafe { ioctl(fd, Updater::<API, _>::new(&mut arg)) }.map_err(|errno| {
        unavailable(format!(
            "the kernel refused the UFFDIO_API handshake: {errno}"
        ))
    })?;
    Ok(arg.features)
}

/// Whether `UFFDIO_CONTINUE` can map write-protected. No feature bit tells, so it is tried on a page made for it.
fn maps_protected(privileged: bool) -> Result<bool, HostError> {
    let fd = descriptor(privileged, true)?;
    let features = raw::UFFD_FEATURE_MINOR_SHMEM | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
    handshake(&fd, u64::from(features))?;
    let uffd = Uffd { fd };
    let window = Window::open(gmem_hal::BLOCK_BYTES)?;
    let page = window.page_of(0);
    window.fill(page)?;
    let registered = uffd.register(window.base(), page.len, Watch::MinorAndWrite);
    let mapped = registered.and_then(|()| uffd.map(window.base(), page.len, false));
    Ok(mapped == Ok(Mapped::Bytes(page.len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_results_and_benign_errors_are_outcomes() {
        assert_eq!(outcome(Ok(()), 8192, 8192), Ok(Mapped::Bytes(8192)));
        assert_eq!(
            outcome(Err(Errno::AGAIN), 4096, 8192),
            Ok(Mapped::Bytes(4096))
        );
        assert_eq!(outcome(Err(Errno::AGAIN), -11, 8192), Ok(Mapped::Again));
        assert_eq!(outcome(Err(Errno::EXIST), -17, 8192), Ok(Mapped::Exists));
        assert_eq!(outcome(Err(Errno::FAULT), -14, 8192), Ok(Mapped::Absent));
        assert_eq!(outcome(Err(Errno::NOMEM), -12, 8192), Err(Errno::NOMEM));
    }

    #[test]
    fn write_and_write_protect_events_are_writes_and_other_events_are_skipped() {
        let mut buffer = EventBuffer::new(4);
        let mut put = |at: usize, kind: u32, flags: u64, address: u64| {
            let event = &mut buffer.bytes[at * EVENT_BYTES..][..EVENT_BYTES];
            event[0] = kind as u8;
            event[8..16].copy_from_slice(&flags.to_ne_bytes());
            event[16..24].copy_from_slice(&address.to_ne_bytes());
        };
        put(
            0,
            raw::UFFD_EVENT_PAGEFAULT,
            u64::from(raw::UFFD_PAGEFAULT_FLAG_MINOR),
            1,
        );
        put(1, raw::UFFD_EVENT_UNMAP, 0, 2);
        put(
            2,
            raw::UFFD_EVENT_PAGEFAULT,
            u64::from(raw::UFFD_PAGEFAULT_FLAG_WRITE),
            3,
        );
        put(
            3,
            raw::UFFD_EVENT_PAGEFAULT,
            u64::from(raw::UFFD_PAGEFAULT_FLAG_WP),
            4,
        );
        buffer.count = 4;
        let faults: Vec<_> = buffer.faults().collect();
        let event = |address, access, absent| Event {
            address,
            access,
            absent,
        };
        assert_eq!(
            faults,
            [
                event(1, Access::Read, true),
                event(3, Access::Write, true),
                event(4, Access::Write, false)
            ]
        );
    }
}
