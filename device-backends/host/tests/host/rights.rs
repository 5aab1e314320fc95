//! What a page shows and which touches are noticed, by its rights.

use gmem_hal::{Access, ByteRange, HostMechanism, Rights};

use crate::common::{PAGE, Space, for_each_mechanism};

for_each_mechanism!(
    a_first_touch_reads_zero_and_is_one_fault,
    a_store_after_a_load_is_a_second_fault_where_reads_are_shared,
    a_revoked_page_faults_again_and_shows_what_the_alias_wrote,
    what_the_user_stores_is_seen_by_the_alias,
    rights_can_be_set_over_pages_in_any_mixture_of_states,
    granting_a_page_that_never_had_memory_shows_zeroes,
    reserved_memory_keeps_its_contents,
    a_decommitted_range_comes_back_as_zeroes,
    commits_beside_one_another_are_all_noticed,
    a_punched_page_reads_as_zero_again,
    a_page_that_the_kernel_took_out_by_itself_is_mapped_again,
    ranges_outside_the_space_are_refused,
);

const MIB: u64 = 1 << 20;

fn a_first_touch_reads_zero_and_is_one_fault(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    for page in 0..4 {
        assert_eq!(space.peek(page * PAGE + 4097), 0);
        let seen = space.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].offset / 4096, (page * PAGE + 4097) / 4096);
        assert_eq!(seen[0].access, Access::Read);
        assert_eq!(space.peek(page * PAGE + PAGE - 1), 0);
    }
    assert!(space.seen().is_empty());
}

fn a_store_after_a_load_is_a_second_fault_where_reads_are_shared(
    mechanism: HostMechanism,
    _: &str,
) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    assert_eq!(space.peek(10), 0);
    assert_eq!(space.seen().len(), 1);
    space.poke(11, 5);
    if space.host.read_sharing() {
        let seen = space.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].access, Access::Write);
    }
    space.poke(12, 6);
    assert_eq!((space.peek(11), space.peek(12)), (5, 6));
    assert!(space.seen().is_empty());
    // And back: a page that may be written is made read-only, keeping its bytes.
    if space.host.read_sharing() {
        space.set(ByteRange::new(0, PAGE), Rights::Read);
        assert_eq!(space.peek(11), 5);
        assert!(space.seen().is_empty());
        space.poke(PAGE - 1, 9);
        let seen = space.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].access, Access::Write);
        assert_eq!(space.alias(PAGE - 1), 9);
    }
}

fn a_revoked_page_faults_again_and_shows_what_the_alias_wrote(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    space.poke(3 * PAGE, 1);
    assert_eq!(space.seen().len(), 1);
    space.set(ByteRange::new(3 * PAGE, PAGE), Rights::None);
    space.host.write_bytes(3 * PAGE, &[2, 3]);
    assert_eq!((space.peek(3 * PAGE), space.peek(3 * PAGE + 1)), (2, 3));
    assert_eq!(space.seen().len(), 1);
}

fn what_the_user_stores_is_seen_by_the_alias(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    for at in (0..2 * MIB).step_by(5000) {
        space.poke(at, (at % 251) as u8);
    }
    space.set(ByteRange::new(0, 4 * MIB), Rights::None);
    for at in (0..2 * MIB).step_by(5000) {
        assert_eq!(space.alias(at), (at % 251) as u8, "{at:#x}");
    }
    let mut total = 0;
    space
        .host
        .with_bytes(ByteRange::new(PAGE, 2 * PAGE), &mut |bytes| {
            total += bytes.len()
        });
    assert_eq!(total as u64, 2 * PAGE);
}

fn rights_can_be_set_over_pages_in_any_mixture_of_states(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    let all = [Rights::None, Rights::Read, Rights::Write];
    let all = if space.host.read_sharing() {
        &all[..]
    } else {
        &[Rights::None, Rights::Write]
    };
    let mut seed = 11u64;
    let mut next = |n: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    for target in all.iter().cycle().take(30) {
        // A mixture by the kernel's page, memory given or not, then one right over all of it, twice.
        space.set(ByteRange::new(0, 2 * MIB), Rights::None);
        space.host.punch(ByteRange::new(0, 2 * MIB)).unwrap();
        space.locked(|host| {
            for page in 0..512 {
                let one = ByteRange::new(page * 4096, 4096);
                if next(3) == 0 {
                    host.write_bytes(one.offset, &[page as u8 | 1; 8]);
                }
                if next(2) == 0 {
                    let rights = all[next(all.len() as u64) as usize];
                    host.set_rights(one, rights).unwrap();
                }
            }
        });
        let mut before = vec![0; 2 * MIB as usize];
        space.host.read_bytes(0, &mut before);
        for _ in 0..2 {
            space.set(ByteRange::new(0, 2 * MIB), *target);
        }
        space.seen();
        for page in 0..512 {
            let fresh = page % 16 == 0;
            assert_eq!(
                space.peek(page * 4096),
                before[page as usize * 4096],
                "{target:?} {page}"
            );
            let seen = space.seen().len();
            assert_eq!(
                seen,
                usize::from(*target == Rights::None && fresh),
                "load, {target:?}, {page}"
            );
        }
        space.set(ByteRange::new(0, 2 * MIB), *target);
        for page in 0..512 {
            let fresh = page % 16 == 0;
            space.poke(page * 4096 + 8, 77);
            let seen = space.seen();
            assert_eq!(
                seen.len(),
                usize::from(*target != Rights::Write && fresh),
                "store, {target:?}, {page}"
            );
            assert!(seen.iter().all(|fault| fault.access == Access::Write));
            assert_eq!(space.alias(page * 4096 + 8), 77);
        }
    }
}

fn granting_a_page_that_never_had_memory_shows_zeroes(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    space.set(ByteRange::new(0, 2 * MIB), Rights::Write);
    for page in 0..512 {
        assert_eq!(space.peek(page * 4096 + 100), 0);
        space.poke(page * 4096 + 100, 1);
    }
    assert!(space.seen().is_empty());
}

fn reserved_memory_keeps_its_contents(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    space.poke(5 * PAGE, 42);
    space.set(ByteRange::new(0, MIB), Rights::None);
    space.host.reserve(ByteRange::new(0, MIB)).unwrap();
    space.host.reserve(ByteRange::new(0, 4 * MIB)).unwrap();
    assert_eq!(space.peek(5 * PAGE), 42);
    assert_eq!(space.peek(9 * PAGE), 0);
}

fn a_decommitted_range_comes_back_as_zeroes(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(8 * MIB, 8 * MIB, mechanism) else {
        return;
    };
    for page in 0..128 {
        space.poke(page * PAGE, 3);
    }
    let middle = ByteRange::new(2 * MIB, 2 * MIB);
    space.host.decommit(middle).unwrap();
    assert_eq!(space.peek(0), 3);
    assert_eq!(space.peek(4 * MIB), 3);
    space.host.commit(middle).unwrap();
    space.set(middle, Rights::None);
    space.seen();
    for page in 32..64 {
        assert_eq!(space.peek(page * PAGE), 0);
    }
    assert_eq!(space.seen().len(), 32);
}

fn commits_beside_one_another_are_all_noticed(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::open(64 * MIB, mechanism) else {
        return;
    };
    // In an order that makes the kernel split and merge what it keeps for the mapping.
    let pages: Vec<u64> = (0..64).step_by(2).chain((1..64).step_by(2)).collect();
    for &page in &pages {
        space
            .host
            .commit(ByteRange::new(page * PAGE, PAGE))
            .unwrap();
        assert_eq!(space.peek(page * PAGE), 0);
        assert_eq!(space.seen().len(), 1, "{page}");
    }
    for &page in pages.iter().step_by(3) {
        let range = ByteRange::new(page * PAGE, PAGE);
        space.host.decommit(range).unwrap();
        space.host.commit(range).unwrap();
        space.set(range, Rights::None);
    }
    for &page in pages.iter().step_by(3) {
        space.poke(page * PAGE + 1, 1);
        assert_eq!(space.seen().len(), 1, "{page}");
    }
}

fn a_punched_page_reads_as_zero_again(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    space.poke(PAGE, 9);
    let range = ByteRange::new(PAGE, PAGE);
    space.set(range, Rights::None);
    space.host.punch(range).unwrap();
    assert_eq!(space.peek(PAGE), 0);
    assert_eq!(space.seen().len(), 2);
}

fn ranges_outside_the_space_are_refused(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    let host = &space.host;
    for range in [
        ByteRange::new(4 * MIB, 4096),
        ByteRange::new(u64::MAX - 4095, 4096),
        ByteRange::new(8, 4096),
    ] {
        assert!(host.commit(range).is_err());
        assert!(host.decommit(range).is_err());
        assert!(host.set_rights(range, Rights::Write).is_err());
        assert!(host.set_rights(range, Rights::None).is_err());
        assert!(host.reserve(range).is_err());
        assert!(host.punch(range).is_err());
    }
}

fn a_page_that_the_kernel_took_out_by_itself_is_mapped_again(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(4 * MIB, 4 * MIB, mechanism) else {
        return;
    };
    space.set(ByteRange::new(0, 2 * MIB), Rights::Write);
    for page in 0..32 {
        space.poke(page * PAGE + PAGE - 1, 4);
        let last = space.host.base().0 + page * PAGE + PAGE - 4096;
        // As swapping would: the entry goes, the bytes stay, and nobody is told.
        // SAFETY: a page of the space, shared with its file: no byte is lost.
        let gone = unsafe { libc::madvise(last as *mut libc::c_void, 4096, libc::MADV_DONTNEED) };
        assert_eq!(gone, 0);
    }
    for page in 0..32 {
        assert_eq!(space.peek(page * PAGE + PAGE - 1), 4);
    }
}

/// Kernel mappings inside the user mapping of a space.
fn mappings(space: &Space) -> usize {
    let (base, end) = (space.host.base().0, space.host.base().0 + space.host.len());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let start = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    maps.lines()
        .filter(|line| (base..end).contains(&start(line)))
        .count()
}

#[test]
fn rights_never_split_kernel_mappings_under_userfaultfd() {
    let Some(space) = Space::open(64 * MIB, HostMechanism::Userfaultfd) else {
        return;
    };
    for mib in 1..33 {
        space.host.commit(ByteRange::new(mib * MIB, MIB)).unwrap();
    }
    assert_eq!(
        mappings(&space),
        3,
        "one committed run between two that are not"
    );
    for page in 0..256 {
        space.set(
            ByteRange::new(MIB + page * PAGE, PAGE),
            [Rights::None, Rights::Read, Rights::Write][page as usize % 3],
        );
    }
    assert_eq!(mappings(&space), 3);
    space.host.decommit(ByteRange::new(8 * MIB, MIB)).unwrap();
    assert_eq!(mappings(&space), 5);
    space.host.commit(ByteRange::new(8 * MIB, MIB)).unwrap();
    assert_eq!(mappings(&space), 3);
}

#[test]
fn equal_neighbours_share_a_kernel_mapping_under_mprotect() {
    let space = Space::committed(64 * MIB, 64 * MIB, HostMechanism::Mprotect).unwrap();
    for page in (0..64).rev() {
        space.set(ByteRange::new(page * PAGE, PAGE), Rights::Write);
    }
    assert_eq!(mappings(&space), 2);
    space.set(ByteRange::new(PAGE, PAGE), Rights::Read);
    assert_eq!(mappings(&space), 4);
    space.set(ByteRange::new(0, 64 * MIB), Rights::None);
    assert_eq!(mappings(&space), 1);
}
