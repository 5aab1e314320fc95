//! Touches that must kill, each in a child process, and what must not be killed.

use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use gmem_hal::{ByteRange, HostMechanism, Rights};
use gmem_host::Options;

use crate::common::{PAGE, Space, for_each_mechanism, signal_of_child};

for_each_mechanism!(
    a_touch_outside_every_committed_range_is_a_segmentation_fault,
    a_touch_of_a_decommitted_range_is_a_segmentation_fault,
    a_touch_that_the_sink_refuses_kills,
    a_page_that_was_refused_can_be_granted_later,
    a_touch_after_stop_is_a_segmentation_fault,
    a_forked_child_does_not_inherit_the_space,
    a_null_pointer_is_still_a_segmentation_fault,
    a_system_call_on_an_absent_or_read_only_page_returns_efault,
);

const LEN: u64 = 64 * PAGE;

/// Whether the machine lacks the mechanism; says so where it does. Starts nothing: a child sets up its signals first.
fn missing(mechanism: HostMechanism) -> bool {
    match gmem_host::open(LEN, gmem_host::Choice::Only(mechanism)) {
        Ok(_) => false,
        Err(error) => {
            crate::skipped::skipped(error);
            true
        }
    }
}

fn a_touch_outside_every_committed_range_is_a_segmentation_fault(
    mechanism: HostMechanism,
    test: &str,
) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, 4 * PAGE, mechanism).unwrap();
        space.poke(4 * PAGE - 1, 1);
        space.peek(4 * PAGE);
    });
    assert_eq!(signal, Some(libc::SIGSEGV));
}

fn a_touch_of_a_decommitted_range_is_a_segmentation_fault(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.poke(PAGE, 1);
        space.host.decommit(ByteRange::new(PAGE, PAGE)).unwrap();
        space.peek(2 * PAGE);
        space.peek(PAGE);
    });
    assert_eq!(signal, Some(libc::SIGSEGV));
}

fn a_touch_that_the_sink_refuses_kills(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.lose(1);
        space.peek(0);
        space.peek(PAGE);
    });
    // Kernels before 6.6 cannot poison: there it is SIGSEGV under userfaultfd as well.
    let poison = mechanism == HostMechanism::Userfaultfd
        && gmem_host::open(LEN, gmem_host::Choice::Only(mechanism))
            .unwrap()
            .why
            .contains("poisoned");
    assert_eq!(
        signal,
        Some(if poison { libc::SIGBUS } else { libc::SIGSEGV })
    );
}

fn a_page_that_was_refused_can_be_granted_later(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        // Installed first, so that the SIGSEGV handler of the mechanism has something to chain to.
        end_threads_by_signal();
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.host.write_bytes(PAGE, &[5; 4096]);
        space.host.write_bytes(3 * PAGE, &[5; 4096]);
        for page in [1, 3] {
            space.lose(page);
            for _ in 0..2 {
                touch_and_lose_the_thread(&space, page * PAGE);
            }
            space.find(page);
        }
        space.seen();
        // One comes back by a grant, with its bytes; the other by a new commit, as zeroes.
        space.set(ByteRange::new(0, 3 * PAGE), Rights::Write);
        assert_eq!(space.peek(PAGE), 5);
        assert_eq!(space.peek(PAGE + 4096), 0);
        let second = ByteRange::new(3 * PAGE, PAGE);
        space.host.decommit(second).unwrap();
        space.host.commit(second).unwrap();
        assert!(space.seen().is_empty());
        assert_eq!(space.peek(3 * PAGE), 0);
        assert_eq!(space.seen().len(), 1, "it is noticed as before");
    });
    assert_eq!(signal, None);
}

static ENDED: AtomicUsize = AtomicUsize::new(0);

/// From now on SIGBUS and SIGSEGV end the thread that they meet, and not the process.
fn end_threads_by_signal() {
    extern "C" fn end(_: libc::c_int) {
        ENDED.fetch_add(1, Ordering::SeqCst);
        // SAFETY: ends this thread by the system call; it holds nothing that anybody waits for.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let handler: extern "C" fn(libc::c_int) = end;
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: a zeroed action is valid, and the handler makes one system call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Touches a page that is refused, on a thread that ends by it.
fn touch_and_lose_the_thread(space: &Space, offset: u64) {
    let before = ENDED.load(Ordering::SeqCst);
    let address = space.host.base().0 + offset;
    // Never joined: it does not come back from the touch.
    drop(std::thread::spawn(move || {
        // SAFETY: an address of the space, which outlives the thread.
        unsafe { (address as *const u8).read_volatile() };
        unreachable!("a refused page was read");
    }));
    while ENDED.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
}

fn a_touch_after_stop_is_a_segmentation_fault(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.poke(0, 1);
        space.host.stop();
        space.peek(0);
    });
    assert_eq!(signal, Some(libc::SIGSEGV));
}

fn a_forked_child_does_not_inherit_the_space(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.poke(0, 1);
        // SAFETY: the child does nothing but touch the page and leave, both of which a child of many threads may do.
        let child = unsafe { libc::fork() };
        if child == 0 {
            space.peek(0);
            // SAFETY: leaves without running anything else.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFSIGNALED(status), "the child lived");
        assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
        // The parent goes on as before.
        assert_eq!(space.peek(0), 1);
        assert_eq!(space.peek(PAGE), 0);
    });
    assert_eq!(signal, None);
}

fn a_null_pointer_is_still_a_segmentation_fault(mechanism: HostMechanism, test: &str) {
    if missing(mechanism) {
        return;
    }
    let signal = signal_of_child(test, || {
        let space = Space::committed(LEN, LEN, mechanism).unwrap();
        space.poke(0, 1);
        let nowhere = std::hint::black_box(64u64);
        // SAFETY: nothing is mapped there: the process dies, as the test wants.
        unsafe { (nowhere as *const u8).read_volatile() };
    });
    assert_eq!(signal, Some(libc::SIGSEGV));
}

fn a_system_call_on_an_absent_or_read_only_page_returns_efault(mechanism: HostMechanism, _: &str) {
    let Some(space) = Space::committed(LEN, LEN, mechanism) else {
        return;
    };
    assert_eq!(read_into(&space, 0), Err(libc::EFAULT));
    assert_eq!(space.peek(0), 0);
    if space.host.read_sharing() {
        assert_eq!(read_into(&space, 0), Err(libc::EFAULT));
    }
    // Touched by the program, it is there for the kernel too.
    space.poke(0, 1);
    assert_eq!(read_into(&space, 0), Ok(4));
    assert_eq!(space.peek(3), b'e');
}

#[test]
fn the_privileged_mode_serves_system_calls_too() {
    let options = Options {
        privileged: true,
        ..Options::default()
    };
    let Some(space) = Space::open_with(LEN, HostMechanism::Userfaultfd, options) else {
        return;
    };
    space.host.commit(ByteRange::new(0, LEN)).unwrap();
    assert_eq!(read_into(&space, PAGE), Ok(4));
    assert_eq!(space.alias(PAGE + 1), b'y');
    assert_eq!(space.seen().len(), 1);
}

/// read(2) of four bytes into the space.
fn read_into(space: &Space, offset: u64) -> Result<isize, i32> {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: two new descriptors that nobody else owns.
    let (out, into) = unsafe {
        (
            std::fs::File::from_raw_fd(pipe[0]),
            std::fs::File::from_raw_fd(pipe[1]),
        )
    };
    std::io::Write::write_all(&mut &into, b"byte").unwrap();
    let to = (space.host.base().0 + offset) as *mut libc::c_void;
    // SAFETY: the kernel writes at most four bytes of the space, or refuses.
    let count = unsafe { libc::read(pipe[0], to, 4) };
    let result = if count < 0 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap())
    } else {
        Ok(count)
    };
    drop(into);
    let mut rest = Vec::new();
    (&out).read_to_end(&mut rest).unwrap();
    assert_eq!(
        rest.is_empty(),
        result.is_ok(),
        "a refused read takes nothing"
    );
    result
}
