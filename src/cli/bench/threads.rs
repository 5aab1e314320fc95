//! The processor time of threads, by name, as the kernel counts it.

use std::collections::BTreeMap;

use crate::cli::Failure;

/// Threads by name, with seconds on a processor.
pub type Times = BTreeMap<String, f64>;

/// Some threads of this process.
pub struct Threads(Vec<(u64, String)>);

/// The numbers of all threads of this process.
///
/// # Errors
/// When the system does not say.
pub fn all() -> Result<Vec<u64>, Failure> {
    let entries = std::fs::read_dir("/proc/self/task").map_err(unknown)?;
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(unknown)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Threads {
    /// Those of gmem's own that were not there `before`. A driver's threads inherit the name of the one that made them, which
    /// is older: of each name the first is ours.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn of_gmem(before: &[u64]) -> Result<Self, Failure> {
        let mut found: Vec<(u64, String)> = Vec::new();
        for number in all()? {
            if before.contains(&number) {
                continue;
            }
            // A thread that ended meanwhile was not one of those.
            let Ok(name) = std::fs::read_to_string(format!("/proc/self/task/{number}/comm")) else {
                continue;
            };
            let name = name.trim().to_owned();
            if name.starts_with("gmem-") && found.iter().all(|(_, other)| *other != name) {
                found.push((number, name));
            }
        }
        Ok(Self(found))
    }

    /// The calling thread, under a name.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn this(name: &str) -> Result<Self, Failure> {
        let link = std::fs::read_link("/proc/thread-self").map_err(unknown)?;
        let number = link.file_name().and_then(|n| n.to_str()?.parse().ok());
        let number = number.ok_or_else(|| unknown("it has no number"))?;
        Ok(Self(vec![(number, name.to_owned())]))
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// What each has taken so far.
    ///
    /// # Errors
    /// When a thread is gone, or this kernel does not count.
    pub fn times(&self) -> Result<Times, Failure> {
        (self.0.iter())
            .map(|(number, name)| {
                // Nanoseconds running come first.
                let text = std::fs::read_to_string(format!("/proc/self/task/{number}/schedstat"))
                    .map_err(unknown)?;
                let nanos = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
                let nanos = nanos.ok_or_else(|| unknown("not a number"))?;
                Ok((name.clone(), nanos as f64 / 1e9))
            })
            .collect()
    }
}

/// What each has taken between two moments.
#[must_use]
pub fn between(before: &Times, after: &Times) -> Times {
    (after.iter())
        .map(|(name, &time)| (name.clone(), time - before.get(name).unwrap_or(&0.0)))
        .collect()
}

fn unknown(why: impl std::fmt::Display) -> Failure {
    Failure::run(format!(
        "the processor time of threads is not to be had: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_takes_time_and_one_that_sleeps_does_not() {
        let before = all().unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::Builder::new()
            .name("gmem-sleeper".to_owned())
            .spawn(move || stopped.recv())
            .unwrap();
        // A thread's name is its own doing, once it runs.
        let ours = loop {
            let ours = Threads::of_gmem(&before).unwrap();
            if ours.0.iter().any(|(_, name)| name == "gmem-sleeper") {
                break ours;
            }
        };
        let threads = ours.and(Threads::this("busy").unwrap());
        let began = threads.times().unwrap();
        let mut spent = Times::new();
        while spent.get("busy").copied().unwrap_or(0.0) < 0.02 {
            std::hint::black_box((0..10_000).sum::<u64>());
            spent = between(&began, &threads.times().unwrap());
        }
        assert!(spent["gmem-sleeper"] < 0.01, "{spent:?}");
        drop(stop);
        let _ = sleeper.join().unwrap();
    }
}
