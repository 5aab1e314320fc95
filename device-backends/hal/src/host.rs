//! The CPU's side of an address space: what the manager asks of it, and the call it makes upwards.

use std::sync::Arc;

use crate::{Access, ByteRange, HostError, Rights, Va};

/// How touches by the CPU are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostMechanism {
    /// userfaultfd: missing, minor and (where the kernel has it) write-protect events, served by handler threads.
    Userfaultfd,
    /// Page protections and a SIGSEGV handler.
    Mprotect,
    /// Nothing is noticed: the user brackets each access with a view.
    Explicit,
}

impl HostMechanism {
    /// The name used on the command line and in reports: `uffd`, `mprotect` or `explicit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Userfaultfd => "uffd",
            Self::Mprotect => "mprotect",
            Self::Explicit => "explicit",
        }
    }
}

/// One touch by a CPU thread that the current rights do not allow. The thread waits until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFault {
    /// The byte touched, from the base of the space.
    pub offset: u64,
    /// What the thread was doing. A read when the mechanism cannot tell: the write then faults once more.
    pub access: Access,
}

/// The answer to a [`CpuFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rights now allow the access: let the thread go on.
    Resume,
    /// The address is in no region, or its only copy is lost: the thread gets SIGBUS (or SIGSEGV where that is what the mechanism has).
    Fail,
}

/// The call upwards: implemented by the manager, called by the host's handler threads.
pub trait CpuFaultSink: Send + Sync {
    /// Serves a batch of faults (any order, duplicates allowed), writing one verdict for each.
    ///
    /// The sink changes rights through [`HostMemory::set_rights`], under its own block locks, before it returns.
    /// LOCKING: called with no lock held; takes block locks; may wait for a running pass.
    fn serve(&self, faults: &[CpuFault], verdicts: &mut Vec<Verdict>);
}

/// The host's memory of one address space: a *user mapping*, whose rights are managed page by page, over bytes
/// that the runtime also reaches through a private *alias*, so that it moves data without touching user rights.
///
/// All offsets are bytes from [`HostMemory::base`]; all ranges given to it are page-aligned.
/// A page starts with no rights and reads as zero. Every method may be called from any thread.
pub trait HostMemory: Send + Sync {
    /// The lowest address of the user mapping: a multiple of 2 MiB.
    fn base(&self) -> Va;

    /// Bytes reserved: a multiple of 2 MiB.
    fn len(&self) -> u64;

    /// Whether nothing is reserved.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How touches are noticed.
    fn mechanism(&self) -> HostMechanism;

    /// Whether a page can be mapped for reading alone, so that it may be valid here and on a device at once
    /// *and* be read here without a fault. Where not, [`Rights::Read`] is never asked for.
    fn read_sharing(&self) -> bool;

    /// Starts noticing touches and calling `sink`. Called once, before any `commit`.
    ///
    /// # Errors
    /// When a thread or a signal handler cannot be installed.
    fn start(&self, sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError>;

    /// Stops the handler threads and waits for them; drops the sink. Idempotent. No page may be in use any more.
    fn stop(&self);

    /// Makes a range part of the space: touching it is now a fault and no longer an error.
    ///
    /// # Errors
    /// When the mapping cannot be changed.
    fn commit(&self, range: ByteRange) -> Result<(), HostError>;

    /// Takes a range out of the space again: its memory is given back and a touch is a segmentation fault.
    /// A later `commit` of it reads as zero.
    ///
    /// # Errors
    /// When the mapping cannot be changed.
    fn decommit(&self, range: ByteRange) -> Result<(), HostError>;

    /// Sets what the CPU may do with the pages of a range. Granting rights to a page that never had memory gives it
    /// zeroed memory first; it never changes contents. Threads waiting for these pages are woken when rights are granted.
    /// LOCKING: the caller holds the lock of every block the range touches, so calls on one page never race.
    ///
    /// # Errors
    /// When the mapping cannot be changed; rights are then at most what was asked for or what they were before.
    fn set_rights(&self, range: ByteRange, rights: Rights) -> Result<(), HostError>;

    /// Reserves memory for a range, keeping its contents: after this, writing it through the alias cannot fail.
    ///
    /// # Errors
    /// [`HostError::OutOfMemory`].
    fn reserve(&self, range: ByteRange) -> Result<(), HostError>;

    /// Gives the memory of a range back: it reads as zero afterwards. Its rights must be [`Rights::None`].
    ///
    /// # Errors
    /// When the hole cannot be punched.
    fn punch(&self, range: ByteRange) -> Result<(), HostError>;

    /// Lends the bytes of a range through the alias, whatever the user mapping's rights are.
    /// LOCKING: the caller holds the block locks and has revoked the user's right to write.
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8]));

    /// Overwrites bytes through the alias, whatever the user mapping's rights are.
    /// LOCKING: the caller holds the block locks and has revoked the user's rights.
    fn write_bytes(&self, offset: u64, src: &[u8]);

    /// Copies bytes out through the alias.
    fn read_bytes(&self, offset: u64, dst: &mut [u8]) {
        let mut at = 0;
        self.with_bytes(ByteRange::new(offset, dst.len() as u64), &mut |bytes| {
            dst[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        });
    }
}

/// A [`HostMemory`] in ordinary memory that notices nothing ([`HostMechanism::Explicit`]) but remembers the rights it was given:
/// the oracle of the manager's own tests, and of any platform with no other mechanism.
pub struct PlainHost {
    base: Va,
    bytes: std::sync::RwLock<Vec<u8>>,
    rights: std::sync::Mutex<std::collections::BTreeMap<u64, Rights>>,
}

impl PlainHost {
    /// `len` bytes (rounded up to 2 MiB) at a made-up base address.
    #[must_use]
    pub fn new(len: u64) -> Self {
        let len = len.next_multiple_of(crate::BLOCK_BYTES);
        Self {
            base: Va(0x1000_0000_0000),
            bytes: std::sync::RwLock::new(vec![0; usize::try_from(len).expect("fits a usize")]),
            rights: std::sync::Mutex::default(),
        }
    }

    /// The rights of the 4 KiB page at an offset.
    #[must_use]
    pub fn rights(&self, offset: u64) -> Rights {
        let rights = self
            .rights
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rights.get(&(offset >> 12)).copied().unwrap_or(Rights::None)
    }

    fn span(range: ByteRange) -> core::ops::Range<usize> {
        range.offset as usize..range.end() as usize
    }
}

impl HostMemory for PlainHost {
    fn base(&self) -> Va {
        self.base
    }
    fn len(&self) -> u64 {
        self.bytes
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .len() as u64
    }
    fn mechanism(&self) -> HostMechanism {
        HostMechanism::Explicit
    }
    fn read_sharing(&self) -> bool {
        true
    }
    fn start(&self, _sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        Ok(())
    }
    fn stop(&self) {}
    fn commit(&self, _range: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        self.set_rights(range, Rights::None)?;
        self.punch(range)
    }
    fn set_rights(&self, range: ByteRange, rights: Rights) -> Result<(), HostError> {
        let mut map = self
            .rights
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for page in range.offset >> 12..range.end().div_ceil(4096) {
            map.insert(page, rights);
        }
        Ok(())
    }
    fn reserve(&self, _range: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.bytes
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)[Self::span(range)]
        .fill(0);
        Ok(())
    }
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        f(&self
            .bytes
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)[Self::span(range)]);
    }
    fn write_bytes(&self, offset: u64, src: &[u8]) {
        let range = ByteRange::new(offset, src.len() as u64);
        self.bytes
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)[Self::span(range)]
        .copy_from_slice(src);
    }
}
