//! The bare handler that benchmarks compare with.

use gmem_host::bare::BareHandler;

#[test]
fn the_bare_handler_serves_pages_and_ends() {
    let bare = match BareHandler::new(1 << 20, 64 << 10) {
        Ok(bare) => bare,
        Err(error) => return crate::skipped::skipped(error),
    };
    assert_eq!(bare.len(), 1 << 20);
    assert!(bare.base().0.is_multiple_of(64 << 10));
    for _ in 0..2 {
        for at in (0..bare.len() as u64).step_by(4096) {
            let byte = (bare.base().0 + at) as *mut u8;
            // SAFETY: inside the handler's memory, which lives until the end of the test.
            unsafe {
                assert_eq!(byte.read_volatile(), 0);
                byte.write_volatile(1);
            }
        }
        bare.forget().unwrap();
    }
}

#[test]
fn two_threads_touch_a_bare_handler_at_once() {
    let page = 64 << 10;
    let bare = match BareHandler::new(32 * page, page) {
        Ok(bare) => bare,
        Err(error) => return crate::skipped::skipped(error),
    };
    for value in [1, 2] {
        std::thread::scope(|scope| {
            for part in 0..2 {
                let bare = &bare;
                scope.spawn(move || {
                    (part * 16..part * 16 + 16).for_each(|p| bare.touch(p * page + p, value));
                });
            }
        });
        for p in 0..32 {
            assert_eq!(bare.read(p * page + p), value);
            assert_eq!(bare.read(p * page + page - 1), 0);
        }
        bare.forget().unwrap();
        assert_eq!(bare.read(0), 0);
    }
}

#[test]
fn the_bare_handler_refuses_odd_pages() {
    assert!(BareHandler::new(1 << 20, 5000).is_err());
    assert!(BareHandler::new(1 << 20, 512).is_err());
}
