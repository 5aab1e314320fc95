//! Progress on a terminal, for anything that lasts over a second; nothing at all on a pipe.

use std::io::IsTerminal as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long something has to last before it is worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// One activity. Its line appears on stderr after a second, and is gone when this is dropped.
pub struct Progress {
    shown: Option<Shown>,
}

struct Shown {
    bar: ProgressBar,
    over: Arc<(Mutex<bool>, Condvar)>,
    herald: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    /// Begins an activity over `total` bytes; 0 when nobody knows how many.
    #[must_use]
    pub fn start(what: &str, total: u64) -> Self {
        if std::io::stderr().is_terminal() {
            Self::after(PATIENCE, what, total, ProgressDrawTarget::stderr)
        } else {
            Self::hidden()
        }
    }

    /// Begins an activity whose line appears on `target` after `patience`.
    fn after(
        patience: Duration,
        what: &str,
        total: u64,
        target: fn() -> ProgressDrawTarget,
    ) -> Self {
        let bar = if total == 0 {
            ProgressBar::no_length()
        } else {
            ProgressBar::new(total)
        };
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let template = if total == 0 {
            "{spinner} {msg} {elapsed}"
        } else {
            "{spinner} {msg} {bar:24} {binary_bytes}/{binary_total_bytes} {eta}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let herald = std::thread::Builder::new()
            .name("gmem-progress".to_owned())
            .spawn({
                let (bar, over) = (bar.clone(), Arc::clone(&over));
                move || {
                    let (ended, wake) = &*over;
                    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    let (ended, _) = wake
                        .wait_timeout_while(ended, patience, |ended| !*ended)
                        .unwrap_or_else(PoisonError::into_inner);
                    if !*ended {
                        bar.set_draw_target(target());
                        bar.enable_steady_tick(Duration::from_millis(120));
                    }
                }
            });
        // Without the thread there is no line: not worth failing for.
        Self {
            shown: Some(Shown {
                bar,
                over,
                herald: herald.ok(),
            }),
        }
    }

    /// An activity that never shows.
    #[must_use]
    pub const fn hidden() -> Self {
        Self { shown: None }
    }

    /// Says what is being done now.
    pub fn say(&self, what: &str) {
        if let Some(shown) = &self.shown {
            shown.bar.set_message(what.to_owned());
        }
    }

    /// Says that `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        if let Some(shown) = &self.shown {
            shown.bar.inc(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        *shown.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        shown.over.1.notify_all();
        if let Some(herald) = shown.herald.take() {
            // It only waits and draws; were it to panic, there would be nothing to say here.
            let _ = herald.join();
        }
        shown.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_ends_within_a_second_neither_shows_nor_waits() {
        let began = std::time::Instant::now();
        let progress = Progress::after(PATIENCE, "nothing", 10, || panic!("it shows"));
        progress.advance(10);
        progress.say("nothing more");
        drop(progress);
        drop(Progress::hidden());
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn what_lasts_longer_shows_and_ends() {
        static SHOWN: AtomicBool = AtomicBool::new(false);
        let progress = Progress::after(Duration::from_millis(1), "something", 0, || {
            SHOWN.store(true, Ordering::SeqCst);
            ProgressDrawTarget::hidden()
        });
        let began = std::time::Instant::now();
        while !SHOWN.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(20) {
            progress.advance(1);
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(progress);
        assert!(SHOWN.load(Ordering::SeqCst));
    }
}
