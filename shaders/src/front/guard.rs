//! Running code that was not made for hostile input: deep recursion gets a deep stack, a panic becomes an error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::error::ShaderError;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would become a [`ShaderError`]: then a panic hook, which cannot know, may keep quiet.
#[must_use]
pub fn panics_are_errors() -> bool {
    CAUGHT.get()
}

/// The stack that the front ends, the validator and the rewriter get. What may nest is bounded so that it suffices:
/// see the modules `nesting` and `depth`.
const STACK: usize = if usize::BITS < 64 {
    64 << 20
} else {
    256 << 20
};

/// Runs `f` where the stack is deep. A panic goes on in the caller.
pub(crate) fn deep<T: Send>(
    f: impl FnOnce() -> Result<T, ShaderError> + Send,
) -> Result<T, ShaderError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("gmem shader".to_owned())
            .stack_size(STACK);
        match thread.spawn_scoped(scope, f) {
            Ok(running) => running.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => Err(ShaderError::Parse {
                line: 0,
                message: format!(
                    "there is no thread with a stack of {} MiB to read the shader on: {error}",
                    STACK >> 20
                ),
                report: String::new(),
            }),
        }
    })
}

/// Runs `f`, which is naga's, and makes an error of a panic.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, ShaderError> {
    let outside = CAUGHT.replace(true);
    // What `f` leaves behind half done is dropped with it, or not used after an error.
    let result = catch_unwind(AssertUnwindSafe(f));
    CAUGHT.set(outside);
    result.map_err(|panic| ShaderError::Parse {
        line: 0,
        message: format!(
            "the compiler's front end fails on this shader: {}",
            words(&*panic)
        ),
        report: String::new(),
    })
}

/// What a panic says, in one line.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panics");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let result: Result<(), _> = caught(|| panic!("index 7\n out of {}", 3));
        let Err(ShaderError::Parse {
            line: 0, message, ..
        }) = result
        else {
            panic!("{result:?}")
        };
        assert!(message.ends_with(": index 7 out of 3"), "{message}");
        assert_eq!(caught(panics_are_errors), Ok(true));
        assert!(!panics_are_errors());
    }

    #[test]
    fn the_stack_is_deep() {
        fn down(n: u32) -> u32 {
            let room = std::hint::black_box([n; 256]);
            if n == 0 {
                room[0]
            } else {
                down(n - 1) + room[1].min(1)
            }
        }
        // Some 100 MiB, whatever this thread's own stack.
        assert_eq!(deep(|| Ok(down(80_000))), Ok(80_000));
    }

    #[test]
    fn our_own_panics_stay_panics() {
        let caught = catch_unwind(|| deep::<()>(|| panic!("ours")));
        assert!(caught.is_err());
    }
}
