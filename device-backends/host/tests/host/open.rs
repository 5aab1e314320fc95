//! What opening gives, and what it costs.

use std::time::{Duration, Instant};

use gmem_hal::{BLOCK_BYTES, ByteRange, HostError, HostMechanism, Rights};
use gmem_host::{Choice, available, open};

use crate::common::{PAGE, Space};

const ALL: [HostMechanism; 3] = [
    HostMechanism::Userfaultfd,
    HostMechanism::Mprotect,
    HostMechanism::Explicit,
];

fn has(mechanism: HostMechanism) -> bool {
    let found = available()
        .into_iter()
        .find(|(m, _)| *m == mechanism)
        .unwrap();
    if let Err(reason) = &found.1 {
        crate::skipped::skipped(format_args!("no {}: {reason}", mechanism.name()));
    }
    found.1.is_ok()
}

#[test]
fn a_tebibyte_is_reserved_at_once_and_costs_nothing() {
    for mechanism in ALL.into_iter().filter(|&m| has(m)) {
        let began = Instant::now();
        let opened = open(1 << 40, Choice::Only(mechanism)).unwrap();
        let took = began.elapsed();
        assert!(
            took < Duration::from_millis(50),
            "{} took {took:?}",
            mechanism.name()
        );
        assert_eq!(opened.host.len(), 1 << 40);
        assert!(opened.host.base().0.is_multiple_of(BLOCK_BYTES));
        let began = Instant::now();
        drop(opened);
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "dropping took {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn the_far_end_of_a_tebibyte_works_like_its_start() {
    for mechanism in [HostMechanism::Userfaultfd, HostMechanism::Mprotect] {
        let Some(space) = Space::open(1 << 40, mechanism) else {
            continue;
        };
        space.host.commit(ByteRange::new(0, 1 << 40)).unwrap();
        let last = (1 << 40) - PAGE;
        for page in [0, (1 << 39) + PAGE, last] {
            space.poke(page + 5, 6);
            assert_eq!(space.seen().len(), 1);
            assert_eq!(space.alias(page + 5), 6);
        }
        space.set(ByteRange::new(last, PAGE), Rights::None);
        assert_eq!(space.peek(last + 5), 6);
    }
}

#[test]
fn auto_takes_the_first_that_is_available_and_says_why() {
    let first = ALL.into_iter().find(|&m| has(m)).unwrap();
    let opened = open(1, Choice::Auto).unwrap();
    assert_eq!(opened.mechanism, first);
    assert_eq!(opened.host.mechanism(), first);
    assert_eq!(opened.host.len(), BLOCK_BYTES);
    assert!(opened.why.starts_with(first.name()), "{}", opened.why);
    println!("{}", opened.why);
}

#[test]
fn more_than_the_address_space_is_out_of_memory() {
    for choice in [
        Choice::Auto,
        Choice::Only(HostMechanism::Explicit),
        Choice::Only(HostMechanism::Mprotect),
    ] {
        for len in [1 << 56, u64::MAX] {
            assert!(
                matches!(open(len, choice), Err(HostError::OutOfMemory { .. })),
                "{choice:?} {len:#x}"
            );
        }
    }
}

#[test]
fn a_host_memory_starts_once() {
    for mechanism in [HostMechanism::Userfaultfd, HostMechanism::Mprotect] {
        let Some(space) = Space::open(BLOCK_BYTES, mechanism) else {
            continue;
        };
        assert!(space.host.start(space.sink.clone()).is_err());
    }
}

#[test]
fn explicit_memory_is_open_once_committed_and_zero_after_decommit() {
    let space = Space::open(4 * BLOCK_BYTES, HostMechanism::Explicit).unwrap();
    let range = ByteRange::new(0, BLOCK_BYTES);
    space.host.commit(range).unwrap();
    space.poke(7, 8);
    assert_eq!(space.alias(7), 8);
    space.host.set_rights(range, Rights::None).unwrap();
    space.host.write_bytes(7, &[9]);
    assert_eq!(space.peek(7), 9);
    space.host.reserve(range).unwrap();
    space.host.decommit(range).unwrap();
    space.host.commit(range).unwrap();
    assert_eq!(space.peek(7), 0);
    assert!(space.seen().is_empty());
}
