//! Random operations on the simulated device against a flat oracle, with errors injected: nothing is lost, nothing leaks,
//! every workgroup takes effect once or not at all.
//!
//! 100,000 operations in all. `GMEM_ORACLE_SEED` moves all seeds, `GMEM_ORACLE_FACTOR` multiplies the operations.

mod common;
mod skipped;

use common::world::{Done, Setup, run};
use common::{HostKind, Rng};
use gmem_hal::HostMechanism;
use gmem_runtime::Placement;
use gmem_runtime::policy::PolicyKind;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// Some worlds on a host, each of `operations` operations, over page sizes, budgets, windows, policies and devices.
fn worlds(host: HostKind, page: u64, worlds: u64, operations: u64) {
    let operations = operations * setting("GMEM_ORACLE_FACTOR", 1);
    let mut all = Done::default();
    for number in 0..worlds {
        let seed = setting("GMEM_ORACLE_SEED", 0) + number * 1000 + page;
        let mut rng = Rng(seed);
        let budget = *rng.pick(&[1, 2, 3, 5, 8, 16, 40, 160]);
        let mut budgets = vec![budget];
        if rng.chance(50) {
            budgets.push(*rng.pick(&[1, 4, 16, 100]));
        }
        // A 2 MiB page makes even a few frames a large device.
        budgets
            .iter_mut()
            .for_each(|b| *b = (*b).min((32 << 20) / page));
        let remote = *rng.pick(&[0, 0, 2, 12, 1000]);
        let window = *rng.pick(&[1, 3, 4, 16, 1000]);
        let policy = PolicyKind::ALL[number as usize % 4];
        let placement = if rng.chance(30) {
            Placement::Scattered
        } else {
            Placement::Contiguous
        };
        // Every fifth world has no trouble: there no error at all is allowed.
        let trouble = if number % 5 == 0 { 0 } else { 25 };
        let done = run(
            &Setup {
                host,
                page,
                budgets,
                remote,
                window,
                policy,
                placement,
                seed,
                trouble,
            },
            operations,
        );
        all.operations += done.operations;
        all.launches += done.launches;
        all.failed += done.failed;
        all.too_large += done.too_large;
        all.partial += done.partial;
        all.remote += done.remote;
        all.pieces += done.pieces;
    }
    eprintln!("{host:?}, pages of {page}: {all:?}");
    assert_eq!(all.operations, worlds * operations);
    // Where pages are larger, workgroups that do not fit mostly do in pieces.
    let tight = match page {
        4096 => all.too_large > 0 && all.remote > 0 && all.pieces == 0,
        _ => all.pieces > 0,
    };
    assert!(
        worlds < 10 || (all.failed > 0 && tight),
        "trouble was made: {all:?}"
    );
}

fn on(mechanism: HostMechanism, page: u64, count: u64, operations: u64) {
    if let Some(host) = common::mechanism(mechanism) {
        worlds(host, page, count, operations);
    }
}

#[test]
fn plain_memory_in_pages_of_4_kib() {
    worlds(HostKind::Plain, 4096, 60, 600);
}

#[test]
fn plain_memory_in_pages_of_16_kib() {
    worlds(HostKind::Plain, 16 << 10, 30, 500);
}

#[test]
fn plain_memory_in_pages_of_64_kib() {
    worlds(HostKind::Plain, 64 << 10, 20, 500);
}

#[test]
fn plain_memory_in_pages_of_256_kib() {
    worlds(HostKind::Plain, 256 << 10, 10, 200);
}

#[test]
fn plain_memory_in_pages_of_2_mib() {
    worlds(HostKind::Plain, 2 << 20, 10, 100);
}

#[test]
fn userfaultfd_in_pages_of_4_kib() {
    on(HostMechanism::Userfaultfd, 4096, 20, 500);
}

#[test]
fn userfaultfd_in_pages_of_64_kib() {
    on(HostMechanism::Userfaultfd, 64 << 10, 16, 500);
}

#[test]
fn userfaultfd_in_pages_of_2_mib() {
    on(HostMechanism::Userfaultfd, 2 << 20, 5, 100);
}

#[test]
fn mprotect_in_pages_of_4_kib() {
    on(HostMechanism::Mprotect, 4096, 20, 500);
}

#[test]
fn mprotect_in_pages_of_64_kib() {
    on(HostMechanism::Mprotect, 64 << 10, 10, 500);
}

#[test]
fn explicit_views_in_pages_of_16_kib() {
    on(HostMechanism::Explicit, 16 << 10, 14, 500);
}
