//! Which core a thread runs on.
//!
//! Where the scheduler puts two threads that wait for each other decides more than what they do: waking a core that sleeps
//! may cost several times the work itself. So cases of such threads say where they run, for both sides alike.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cli::Failure;

/// The cores that this process was given. The thread that asked may use all of them again when this is dropped.
pub struct Cores {
    given: CpuSet,
}

impl Cores {
    /// Those that the calling thread may use now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn given() -> Result<Self, Failure> {
        Ok(Self {
            given: sched_getaffinity(None).map_err(|errno| failed("asked for", errno))?,
        })
    }

    /// The same, the calling thread being bound to the first of them.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn first() -> Result<Self, Failure> {
        let cores = Self::given()?;
        cores.bind(Some(0))?;
        Ok(cores)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.given.count() as usize
    }

    /// Binds the calling thread, and those that it makes from now on, to the core of a number below [`Cores::count`], or to
    /// all of them.
    ///
    /// # Errors
    /// When there is no such core.
    pub fn bind(&self, core: Option<usize>) -> Result<(), Failure> {
        let chosen = match core {
            None => self.given,
            Some(number) => {
                let mut given = (0..CpuSet::MAX_CPU).filter(|&cpu| self.given.is_set(cpu));
                let mut one = CpuSet::new();
                one.set(given.nth(number).ok_or_else(|| {
                    Failure::run(format!(
                        "there are {} cores, no number {number}",
                        self.count()
                    ))
                })?);
                one
            }
        };
        sched_setaffinity(None, &chosen).map_err(|errno| failed("chosen", errno))
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // They were allowed before.
        let _ = self.bind(None);
    }
}

/// Moves the calling thread to one of the cores that it may use, a turn's own, and leaves it free to go where it may.
///
/// The scheduler keeps threads that wake each other where they once came to lie, for as long as they live: all readings of a
/// sitting then say what one of these places costs. One that was moved is placed anew. Where it cannot be, it stays.
pub fn stir(turn: usize) {
    if let Ok(cores) = Cores::given() {
        // It may go back wherever it was when `cores` is dropped.
        let _ = cores.bind(Some(turn % cores.count().max(1)));
    }
}

fn failed(what: &str, errno: rustix::io::Errno) -> Failure {
    Failure::run(format!("cores cannot be {what}: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stirred_thread_is_moved_and_left_free() {
        let free = sched_getaffinity(None).unwrap();
        let cores = Cores::given().unwrap();
        for turn in [0, 1, 7] {
            stir(turn);
            assert_eq!(sched_getaffinity(None).unwrap(), free);
            // Nobody who binds threads to a core has them moved away.
            cores.bind(Some(turn % cores.count())).unwrap();
            let bound = sched_getaffinity(None).unwrap();
            stir(turn + 1);
            assert_eq!(sched_getaffinity(None).unwrap(), bound);
            cores.bind(None).unwrap();
        }
    }

    #[test]
    fn a_thread_is_bound_and_let_go_again() {
        let now = || sched_getaffinity(None).unwrap().count() as usize;
        let before = now();
        {
            let cores = Cores::given().unwrap();
            assert_eq!(cores.count(), before);
            cores.bind(Some(before - 1)).unwrap();
            assert_eq!(now(), 1);
            // Threads inherit where their maker may run.
            assert_eq!(std::thread::spawn(now).join().unwrap(), 1);
            assert!(cores.bind(Some(before)).is_err());
        }
        assert_eq!(now(), before);
        let bound = Cores::first().unwrap();
        assert_eq!((bound.count(), now()), (before, 1));
        drop(bound);
        assert_eq!(now(), before);
    }
}
