//! The bare handler that benchmarks compare with.

use gmem_host::bare::BareHandler;

#[test]
fn the_bare_handler_serves_pages_and_ends() {
    let bare = match BareHandler::new(1 << 20, 64 << 10) {
        Ok(bare) => bare,
        Err(error) => return println!("skipped: {error}"),
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
fn the_bare_handler_refuses_odd_pages() {
    assert!(BareHandler::new(1 << 20, 5000).is_err());
    assert!(BareHandler::new(1 << 20, 512).is_err());
}
