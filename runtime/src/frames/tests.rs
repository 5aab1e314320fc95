use super::*;
use proptest::prelude::*;

fn pool(window_frames: u32, sizes: &[u32]) -> FramePool {
    let mut pool = FramePool::new(window_frames);
    for (w, &frames) in (0u32..).zip(sizes) {
        let first = FrameIndex(w * window_frames);
        pool.add_window(Window { first, frames }).unwrap();
    }
    pool.check().unwrap();
    pool
}

fn free(pool: &mut FramePool, frame: FrameIndex) {
    let retiring = pool.retire(frame);
    pool.release(retiring);
}

mod allocation {
    use super::*;

    #[test]
    fn a_run_of_odd_length_gives_its_tail_back() {
        let mut pool = pool(16, &[16]);
        assert_eq!(pool.alloc_run(5), Some(FrameRun::new(FrameIndex(0), 5)));
        pool.check().unwrap();
        assert_eq!((pool.free(), pool.largest_free_run()), (11, 11));
        assert_eq!(pool.alloc_run(8).unwrap().first, FrameIndex(8));
        assert_eq!(pool.alloc_run(3).unwrap().first, FrameIndex(5));
        assert_eq!((pool.free(), pool.alloc_one()), (0, None));
    }

    #[test]
    fn single_frames_come_out_of_the_smallest_block() {
        let mut pool = pool(16, &[16, 16]);
        assert!(pool.alloc_at(FrameIndex(1)));
        assert_eq!(pool.alloc_one(), Some(FrameIndex(0)));
        assert_eq!(pool.largest_free_run(), 16);
    }

    #[test]
    fn a_window_smaller_than_its_place_is_used_to_its_last_frame_as_one_run() {
        for frames in 1..=33 {
            let mut pool = pool(64, &[frames, frames]);
            assert_eq!(pool.largest_free_run(), frames);
            assert_eq!(pool.alloc_run(frames + 1), None);
            let runs = [(); 2].map(|()| pool.alloc_run(frames).unwrap());
            assert!(runs.iter().all(|run| run.frames == frames));
            let [a, b] = runs.map(|run| run.first.0);
            assert_eq!((a.min(b), a.max(b)), (0, 64));
            assert_eq!(pool.alloc_one(), None);
            pool.check().unwrap();
        }
    }

    #[test]
    fn no_run_crosses_a_window_even_when_the_windows_touch() {
        let mut pool = pool(8, &[8, 8]);
        assert_eq!(pool.alloc_run(9), None);
        assert_eq!(pool.largest_free_run(), 8);
        for frame in [0, 1, 2, 3, 12, 13, 14, 15] {
            assert!(pool.alloc_at(FrameIndex(frame)));
        }
        assert_eq!(
            pool.alloc_run(5),
            None,
            "4..8 and 8..12 are free, and not one run"
        );
        assert!([4, 8].contains(&pool.alloc_run(4).unwrap().first.0));
    }

    #[test]
    fn adjacent_blocks_that_are_not_buddies_make_a_run_when_nothing_else_does() {
        let mut pool = pool(8, &[8]);
        assert!(pool.alloc_at(FrameIndex(0)));
        assert!(pool.alloc_at(FrameIndex(7)));
        assert_eq!(pool.alloc_run(6), Some(FrameRun::new(FrameIndex(1), 6)));
        pool.check().unwrap();
    }

    #[test]
    fn windows_may_come_in_any_order_and_leave_gaps() {
        let mut pool = FramePool::new(8);
        pool.add_window(Window {
            first: FrameIndex(24),
            frames: 3,
        })
        .unwrap();
        pool.add_window(Window {
            first: FrameIndex(8),
            frames: 8,
        })
        .unwrap();
        for absent in [0, 7, 16, 27, 31, 32, 1 << 20, u32::MAX] {
            assert!(!pool.alloc_at(FrameIndex(absent)), "{absent}");
            assert_eq!(pool.page_of(FrameIndex(absent)), None);
        }
        assert!(pool.alloc_at(FrameIndex(26)));
        assert!(!pool.alloc_at(FrameIndex(26)));
        assert_eq!(
            pool.counts(),
            FrameCounts {
                free: 10,
                used: 1,
                retiring: 0
            }
        );
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        let mut pool = pool(1 << 31, &[100]);
        for frames in [0, 101, 1 << 31, u32::MAX] {
            assert_eq!(pool.alloc_run(frames), None, "{frames}");
        }
        assert_eq!(pool.alloc_run(100).unwrap().frames, 100);
    }

    #[test]
    fn misplaced_windows_are_refused_and_change_nothing() {
        let mut pool = pool(8, &[8]);
        for (first, frames) in [(4, 4), (8, 9), (0, 8), (u32::MAX - 7, 8)] {
            let window = Window {
                first: FrameIndex(first),
                frames,
            };
            let error = pool.add_window(window).unwrap_err();
            assert!(error.to_string().contains(&first.to_string()), "{error}");
        }
        assert_eq!(pool.counts().total(), 8);
        pool.check().unwrap();
    }
}

mod use_of_frames {
    use super::*;

    #[test]
    fn a_frame_remembers_its_page_until_it_retires() {
        let mut pool = pool(8, &[8]);
        let frame = pool.alloc_one().unwrap();
        assert_eq!(pool.page_of(frame), None);
        pool.assign(frame, 0xdead_beef_1234);
        assert_eq!(pool.page_of(frame), Some(0xdead_beef_1234));
        assert_eq!(
            pool.used_frames().collect::<Vec<_>>(),
            [(frame, Some(0xdead_beef_1234))]
        );
        let retiring = pool.retire(frame);
        assert_eq!(retiring.frame(), frame);
        assert_eq!(pool.page_of(frame), None);
        pool.release(retiring);
        let again = pool.alloc_at(frame);
        assert!(again && pool.page_of(frame).is_none());
    }

    #[test]
    fn a_retiring_frame_is_not_handed_out_before_its_release() {
        let mut pool = pool(4, &[4]);
        let all = pool.alloc_run(4).unwrap();
        let retiring = pool.retire(all.first);
        assert_eq!(
            pool.counts(),
            FrameCounts {
                free: 0,
                used: 3,
                retiring: 1
            }
        );
        assert!(
            pool.alloc_one().is_none() && !pool.alloc_at(all.first) && !pool.is_used(all.first)
        );
        pool.check().unwrap();
        pool.release(retiring);
        assert_eq!(pool.alloc_one(), Some(all.first));
    }

    #[test]
    fn pins_are_counted_and_the_accessed_bit_is_taken_once() {
        let mut pool = pool(4, &[4]);
        let frame = pool.alloc_one().unwrap();
        pool.pin(frame);
        pool.pin(frame);
        pool.unpin(frame);
        assert!(pool.is_pinned(frame));
        pool.unpin(frame);
        assert!(!pool.is_pinned(frame));
        assert!(!pool.take_accessed(frame));
        pool.set_accessed(frame);
        assert!(pool.take_accessed(frame) && !pool.take_accessed(frame));
        pool.set_accessed(frame);
        free(&mut pool, frame);
        assert!(
            pool.alloc_at(frame) && !pool.take_accessed(frame),
            "the bit dies with the use"
        );
    }

    #[test]
    #[should_panic(expected = "is not handed out")]
    fn a_frame_cannot_be_given_back_twice() {
        let mut pool = pool(4, &[4]);
        let frame = pool.alloc_one().unwrap();
        free(&mut pool, frame);
        let _again = pool.retire(frame);
    }

    #[test]
    #[should_panic(expected = "is pinned")]
    fn a_pinned_frame_cannot_retire() {
        let mut pool = pool(4, &[4]);
        let frame = pool.alloc_one().unwrap();
        pool.pin(frame);
        let _retiring = pool.retire(frame);
    }

    #[test]
    #[should_panic(expected = "another device's")]
    fn a_token_is_good_for_its_own_pool_only() {
        let (mut a, mut b) = (pool(4, &[4]), pool(4, &[4]));
        let frame = a.alloc_one().unwrap();
        let token = a.retire(frame);
        b.release(token);
    }
}

mod merging {
    use super::*;

    #[test]
    fn giving_everything_back_in_any_order_restores_the_largest_run() {
        let sizes = [64, 37, 1, 50];
        for stride in [1, 7, 11, 29, 63] {
            let mut pool = pool(64, &sizes);
            let mut frames: Vec<_> = core::iter::from_fn(|| pool.alloc_one()).collect();
            assert_eq!(frames.len(), 152);
            frames.sort_unstable();
            for i in 0..frames.len() {
                free(&mut pool, frames[i * stride % frames.len()]);
            }
            assert_eq!((pool.free(), pool.largest_free_run()), (152, 64));
            assert_eq!(pool.used_frames().count(), 0, "no frame leaks");
            pool.check().unwrap();
            for size in [64, 50, 37, 1] {
                assert_eq!(pool.alloc_run(size).unwrap().frames, size);
            }
        }
    }

    /// Every set of used frames of every small window: what is free is found, and only that.
    #[test]
    fn small_pools_are_right_in_every_state() {
        for frames in 1..=10u32 {
            for used in 0..1u32 << frames {
                let longest =
                    longest_run(&(0..frames).map(|f| used & 1 << f == 0).collect::<Vec<_>>());
                for want in 1..=frames {
                    let mut pool = pool(16, &[frames]);
                    for frame in (0..frames).filter(|f| used & 1 << f != 0) {
                        assert!(pool.alloc_at(FrameIndex(frame)));
                    }
                    assert_eq!(pool.largest_free_run(), longest);
                    let run = pool.alloc_run(want);
                    assert_eq!(run.is_some(), want <= longest, "{frames} {used:b} {want}");
                    if let Some(run) = run {
                        let taken = ((1 << want) - 1) << run.first.0;
                        assert!(taken & used == 0 && taken < 1u32 << frames);
                    }
                    pool.check().unwrap();
                    let all: Vec<_> = pool.used_frames().map(|(frame, _)| frame).collect();
                    for frame in all {
                        free(&mut pool, frame);
                    }
                    pool.check().unwrap();
                    assert_eq!(pool.largest_free_run(), frames);
                }
            }
        }
    }
}

fn longest_run(free: &[bool]) -> u32 {
    free.split(|&f| !f).map(<[bool]>::len).max().unwrap_or(0) as u32
}

/// The oracle: one byte a frame, `None` where no frame is.
#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Free,
    Used(Option<u64>),
    Retiring,
}

#[derive(Clone, Debug)]
enum Op {
    Run(u32),
    One,
    At(u32),
    Assign(usize, u64),
    Retire(usize),
    Release(usize),
    Grow(u32),
    Lengthen(usize, u32),
    Remove(usize),
}

fn op(frames: u32) -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..=frames).prop_map(Op::Run),
        4 => Just(Op::One),
        2 => (0..frames * 4).prop_map(Op::At),
        2 => (any::<usize>(), 0..1u64 << 40).prop_map(|(i, page)| Op::Assign(i, page)),
        8 => any::<usize>().prop_map(Op::Retire),
        8 => any::<usize>().prop_map(Op::Release),
        1 => (1..=frames).prop_map(Op::Grow),
        1 => (any::<usize>(), 1..=frames).prop_map(|(i, frames)| Op::Lengthen(i, frames)),
        1 => any::<usize>().prop_map(Op::Remove),
    ]
}

fn nth_used(slots: &[Option<Slot>], n: usize) -> Option<u32> {
    let used: Vec<_> = (0u32..)
        .zip(slots)
        .filter(|(_, s)| matches!(s, Some(Slot::Used(_))))
        .map(|(f, _)| f)
        .collect();
    (!used.is_empty()).then(|| used[n % used.len()])
}

/// Frames that a window has.
fn of_window(slots: &[Option<Slot>], window: usize, window_frames: u32) -> usize {
    let all = slots.chunks(window_frames as usize).nth(window);
    all.map_or(0, |w| w.iter().filter(|s| s.is_some()).count())
}

fn apply(window_frames: u32, ops: &[Op]) {
    let mut pool = FramePool::new(window_frames);
    let mut slots: Vec<Option<Slot>> = Vec::new();
    let mut retiring = Vec::new();
    for op in ops {
        let longest = slots
            .chunks(window_frames as usize)
            .map(|w| longest_run(&w.iter().map(|&s| s == Some(Slot::Free)).collect::<Vec<_>>()))
            .max()
            .unwrap_or(0);
        assert_eq!(pool.largest_free_run(), longest);
        match *op {
            Op::Run(frames) => {
                let run = pool.alloc_run(frames);
                assert_eq!(run.is_some(), frames <= longest, "{op:?}");
                for frame in run.iter().flat_map(|r| r.first.0..r.first.0 + r.frames) {
                    assert!(slots[frame as usize].replace(Slot::Used(None)) == Some(Slot::Free));
                }
            }
            Op::One => {
                let frame = pool.alloc_one();
                assert_eq!(frame.is_some(), longest > 0);
                if let Some(FrameIndex(frame)) = frame {
                    assert!(slots[frame as usize].replace(Slot::Used(None)) == Some(Slot::Free));
                }
            }
            Op::At(frame) => {
                let free = slots
                    .get(frame as usize)
                    .is_some_and(|&s| s == Some(Slot::Free));
                assert_eq!(pool.alloc_at(FrameIndex(frame)), free);
                if free {
                    slots[frame as usize] = Some(Slot::Used(None));
                }
            }
            Op::Assign(n, page) => {
                if let Some(frame) = nth_used(&slots, n)
                    && slots[frame as usize] == Some(Slot::Used(None))
                {
                    pool.assign(FrameIndex(frame), page);
                    slots[frame as usize] = Some(Slot::Used(Some(page)));
                }
            }
            Op::Retire(n) => {
                if let Some(frame) = nth_used(&slots, n) {
                    retiring.push(pool.retire(FrameIndex(frame)));
                    slots[frame as usize] = Some(Slot::Retiring);
                }
            }
            Op::Release(n) => {
                if !retiring.is_empty() {
                    let token = retiring.swap_remove(n % retiring.len());
                    slots[token.frame().0 as usize] = Some(Slot::Free);
                    pool.release(token);
                }
            }
            Op::Grow(frames) => {
                if slots.len() < 4 * window_frames as usize {
                    let first = FrameIndex(slots.len() as u32);
                    pool.add_window(Window { first, frames }).unwrap();
                    slots.resize(slots.len() + frames as usize, Some(Slot::Free));
                    slots.resize(slots.len().next_multiple_of(window_frames as usize), None);
                }
            }
            Op::Lengthen(n, frames) => {
                let window = n % (slots.len() / window_frames as usize);
                let at = window * window_frames as usize;
                let had = of_window(&slots, window, window_frames);
                let first = FrameIndex(at as u32);
                let done = pool.lengthen(Window { first, frames });
                assert_eq!(done.is_ok(), had > 0 && frames as usize >= had, "{op:?}");
                if done.is_ok() {
                    slots[at + had..at + frames as usize].fill(Some(Slot::Free));
                }
            }
            Op::Remove(n) => {
                let window = n % (slots.len() / window_frames as usize);
                let at = window * window_frames as usize;
                let had = of_window(&slots, window, window_frames);
                let free = slots[at..at + had].iter().all(|&s| s == Some(Slot::Free));
                let done = pool.remove_window(FrameIndex(at as u32));
                assert_eq!(done, had > 0 && free, "{op:?}");
                if done {
                    slots[at..at + had].fill(None);
                }
            }
        }
        pool.check().unwrap();
        for (frame, slot) in (0u32..).zip(&slots) {
            let page = if let Some(Slot::Used(page)) = slot {
                *page
            } else {
                None
            };
            assert_eq!(pool.page_of(FrameIndex(frame)), page);
            assert_eq!(
                pool.is_used(FrameIndex(frame)),
                matches!(slot, Some(Slot::Used(_)))
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_agree_with_a_bitmap(
        (shift, ops) in (0u32..7).prop_flat_map(|s| {
            (Just(s), prop::collection::vec(op(1 << s), 1..200))
        })
    ) {
        let mut with_window = vec![Op::Grow(1 << shift)];
        with_window.extend(ops);
        apply(1 << shift, &with_window);
    }
}
