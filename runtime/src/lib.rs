//! The manager: a unified address space over a host and any number of devices, with no knowledge of either.
//!
//! ```text
//! AddressSpace ── regions (region)                    allocations of whole pages; small ones out of slabs (heap)
//!     │     └──── blocks (block)                      the logical page table, 2 MiB a lock
//!     │             └─ step (step)                    the coherence protocol: one pure function
//!     ├── fault service (fault)                       CPU touches come in here
//!     └── context per device (context)                frames (frames), eviction (policy), claims (claim), remote frames (remote)
//!            └─ worker (worker)                       launches (launch), probes (probe), transactions (transaction,
//!                                                     shadow), pieces of pages (pieces), prefetch
//!
//! every move: plan with `step` under block locks, execute in phases, commit or settle (migrate)
//! ```
//!
//! It realises the Linux GMEM RFC's `gm_as`, `gm_mapping` and `gm_context`; `gm_mmu` is [`gmem_hal::Device`].
//! Absent on purpose: wgpu, operating-system calls, unsafe code, and any pointer to user memory.
#![forbid(unsafe_code)]

mod block;
mod claim;
mod context;
mod counters;
mod error;
mod fault;
pub mod frames;
mod heap;
mod launch;
mod migrate;
mod nodes;
mod pieces;
mod placement;
pub mod policy;
mod probe;
mod region;
mod remote;
pub mod replay;
mod shadow;
mod space;
mod span;
pub mod step;
mod sync;
mod transaction;
mod worker;

pub use counters::Counts;
pub use error::{AddressError, AllocError, LaunchError, MoveError};
pub use heap::{Heap, SMALL_MAX, SMALL_MIN};
pub use launch::LaunchReport;
pub use nodes::NodeSet;
pub use placement::Placement;
pub use region::Region;
pub use space::{AddressSpace, Attached, PageReport};
pub use worker::{LaunchHandle, MoveHandle, Pending};
