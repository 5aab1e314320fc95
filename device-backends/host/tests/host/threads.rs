//! Many threads on many pages, and many spaces in one process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gmem_hal::{ByteRange, HostMechanism};
use gmem_host::Options;

use crate::common::{PAGE, Space, for_each_mechanism};

for_each_mechanism!(
    random_touches_by_two_threads_lose_nothing,
    one_page_touched_by_many_threads_lets_all_of_them_go_on,
    spaces_do_not_disturb_one_another,
    a_slow_sink_does_not_hold_up_other_threads_for_ever,
    handler_threads_are_named_and_take_no_signals,
    dropping_an_idle_space_is_quick_and_lets_go_of_the_sink,
);

const PAGES: u64 = 64;

fn random_touches_by_two_threads_lose_nothing(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(PAGES * PAGE, PAGES * PAGE, mechanism) else {
        return;
    };
    let space = &space;
    let done = &AtomicBool::new(false);
    const ROUNDS: u64 = 6000;
    // Each thread owns every second counter of a page; the main thread takes pages away all the while and adds to a third.
    let counts: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2u64)
            .map(|me| {
                scope.spawn(move || {
                    let mut counts = vec![0u64; PAGES as usize];
                    let mut seed = me + 1;
                    for _ in 0..ROUNDS {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(99);
                        let page = (seed >> 40) % PAGES;
                        let at = page * PAGE + 4096 * ((seed >> 33) % 2) + me;
                        let slot = page * PAGE + 64 + me;
                        assert_eq!(u64::from(space.peek(slot)), counts[page as usize] % 256);
                        counts[page as usize] += 1;
                        space.poke(slot, (counts[page as usize] % 256) as u8);
                        space.poke(at, me as u8 + 1);
                    }
                    counts
                })
            })
            .collect();
        let taker = scope.spawn(move || {
            let mut added = vec![0u64; PAGES as usize];
            let mut seed = 77u64;
            while !done.load(Ordering::Acquire) {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                let page = (seed >> 40) % PAGES;
                space.rewrite(page, |bytes| bytes[100] = bytes[100].wrapping_add(1));
                added[page as usize] += 1;
            }
            added
        });
        let mut counts: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect();
        done.store(true, Ordering::Release);
        counts.push(taker.join().unwrap());
        counts
    });
    for page in 0..PAGES {
        for (slot, counts) in [64, 65, 100].into_iter().zip(&counts) {
            assert_eq!(
                u64::from(space.peek(page * PAGE + slot)),
                counts[page as usize] % 256
            );
        }
    }
}

fn one_page_touched_by_many_threads_lets_all_of_them_go_on(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(PAGES * PAGE, PAGES * PAGE, mechanism) else {
        return;
    };
    let space = &space;
    for page in 0..PAGES {
        std::thread::scope(|scope| {
            for me in 0..12u64 {
                scope.spawn(move || {
                    if me % 3 == 0 {
                        space.poke(page * PAGE + me * 4096 + me, 7);
                    } else {
                        assert_eq!(space.peek(page * PAGE + me * 4096 + 100), 0);
                    }
                });
            }
        });
        assert_eq!(space.peek(page * PAGE + 3 * 4096 + 3), 7);
    }
}

fn spaces_do_not_disturb_one_another(mechanism: HostMechanism, _: &str) {
    let mut spaces = Vec::new();
    for n in 0..5u64 {
        let Some(space) = Space::committed(PAGES * PAGE, PAGES * PAGE, mechanism) else {
            return;
        };
        space.poke(n * PAGE, n as u8 + 1);
        spaces.push(space);
    }
    drop(spaces.remove(2));
    for (space, n) in spaces.iter().zip([0, 1, 3, 4]) {
        assert_eq!(space.seen().len(), 1);
        space.set(ByteRange::new(0, PAGES * PAGE), gmem_hal::Rights::None);
        for page in 0..5 {
            assert_eq!(
                space.peek(page * PAGE),
                if page == n { n as u8 + 1 } else { 0 }
            );
        }
        assert_eq!(space.seen().len(), 5);
    }
}

fn a_slow_sink_does_not_hold_up_other_threads_for_ever(mechanism: HostMechanism, _: &str) {
    let options = Options {
        handler_threads: 4,
        ..Options::default()
    };
    let Some(space) = Space::open_with(PAGES * PAGE, mechanism, options) else {
        return;
    };
    space.host.commit(ByteRange::new(0, PAGES * PAGE)).unwrap();
    let space = &space;
    std::thread::scope(|scope| {
        // More threads than the mechanism has handlers, batches or cores, each on pages of its own.
        for me in 0..32u64 {
            scope.spawn(move || {
                for page in (me..PAGES).step_by(32) {
                    space.poke(page * PAGE, me as u8);
                }
            });
        }
    });
    assert!((0..PAGES).all(|page| space.peek(page * PAGE) == (page % 32) as u8));
}

fn dropping_an_idle_space_is_quick_and_lets_go_of_the_sink(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(1 << 30, 1 << 30, mechanism) else {
        return;
    };
    space.poke(0, 1);
    std::thread::sleep(Duration::from_millis(20));
    let sink = std::sync::Arc::downgrade(&space.sink);
    let began = Instant::now();
    space.host.stop();
    space.host.stop();
    assert!(space.host.commit(ByteRange::new(0, PAGE)).is_err());
    drop(space);
    assert!(
        began.elapsed() < Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    assert!(sink.upgrade().is_none());
}

fn handler_threads_are_named_and_take_no_signals(mechanism: HostMechanism, _: &str) {
    let options = Options {
        handler_threads: 3,
        ..Options::default()
    };
    let Some(space) = Space::open_with(PAGES * PAGE, mechanism, options) else {
        return;
    };
    space.host.commit(ByteRange::new(0, PAGE)).unwrap();
    space.poke(0, 1);
    // A thread takes its name when it first runs.
    let began = Instant::now();
    while handlers() < 3 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{} handlers",
            handlers()
        );
        std::thread::yield_now();
    }
}

/// The handler threads of this process; fails if one of them takes signals.
fn handlers() -> usize {
    let mut named = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status =
            std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or("")
                .trim()
                .to_owned()
        };
        if field("Name:").starts_with("gmem-fault-") {
            named += 1;
            let blocked = u64::from_str_radix(&field("SigBlk:"), 16).unwrap();
            // SIGUSR1, SIGINT and SIGPROF for all.
            for signal in [libc::SIGUSR1, libc::SIGINT, libc::SIGPROF] {
                assert_eq!(blocked >> (signal - 1) & 1, 1, "{status}");
            }
        }
    }
    named
}
