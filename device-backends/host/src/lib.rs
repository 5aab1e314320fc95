//! The CPU's side of an address space: a reserved range of addresses whose pages come and go, and the three ways
//! in which a touch of an absent page is noticed.
//!
//! ```text
//!   user mapping   |  RW  | none |  R   |      | none |  RW  |   what CPU pointers see; rights per page
//!                     |             |                     |
//!   memory file    |######|      |######|      |      |######|   one memfd, sparse
//!                     |      |      |      |      |      |
//!   alias          |  RW  |  RW  |  RW  |  RW  |  RW  |  RW  |   what the runtime moves bytes through
//! ```
//!
//! | mechanism | notices by | needs |
//! |---|---|---|
//! | [`HostMechanism::Userfaultfd`] | events of the kernel, read by handler threads | Linux 5.14; 6.4 for read sharing, 6.6 for poison |
//! | [`HostMechanism::Mprotect`] | a SIGSEGV handler that posts and waits | Linux |
//! | [`HostMechanism::Explicit`] | nothing: the user brackets accesses with views | any platform |
//!
//! [`open`] picks one and says why; [`available`] says what this machine has. Other systems than Linux have the
//! explicit mechanism alone, in memory of the heap.
//!
//! # What is promised
//! - Nothing in this crate reads or writes a user mapping: bytes move through the alias. Handler threads are named
//!   `gmem-fault-N` and take no signals.
//! - A touch outside every committed range is a segmentation fault, never a hang.
//! - The space is not inherited by `fork`: a child that touches it dies of SIGSEGV. A child must not drop it either.
//! - A [`HostMemory`] that notices touches gives no access any more once it is stopped: a touch is a segmentation fault.
//!
//! # What to know
//! - **System calls.** Without [`Options::privileged`] the kernel does not wait for us when *it* touches an absent page for
//!   a system call: `read(2)` into an absent page, or into one that is mapped for reading only, returns `EFAULT`.
//!   So it is under the mprotect mechanism, always. Touch (or pin) the pages first.
//! - **Memory.** A page's memory is allocated before it is granted, so a want of it is an error of the call and no SIGBUS in
//!   the user's thread. Where the kernel over-commits, it may still kill the process instead of returning that error.
//! - **Sinks must grant again.** The kernel may take a page out of the user mapping on its own (swapping), and
//!   several threads fault on one page: a sink that gets a fault on a page which it believes mapped must still call
//!   [`HostMemory::set_rights`] before it answers [`gmem_hal::Verdict::Resume`]. It is cheap and changes nothing where nothing is to do.
//! - **VMAs.** A process has 65,530 of them (`vm.max_map_count`). Under userfaultfd only `commit` and `decommit` split
//!   them, and neighbours merge again: two for each committed range that has no committed neighbour. Under mprotect every
//!   change of rights does, also merged with equal neighbours: change rights in large runs.
//!   Over the limit the call fails with [`gmem_hal::HostError::OutOfMemory`].

mod choice;
#[cfg(any(not(target_os = "linux"), test))]
mod heap;
#[cfg(target_os = "linux")]
mod linux;

pub use choice::{Choice, Opened, Options, available, open, open_with};
#[cfg(target_os = "linux")]
pub use linux::bare;

#[cfg(doc)]
use gmem_hal::{HostMechanism, HostMemory};
