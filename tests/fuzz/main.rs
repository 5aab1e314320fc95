//! Random kernels under plain wgpu and under paging, bit for bit, on every adapter.
//!
//! Each seed stands for a kernel (`generate/`), its data and a setting: pages of 4 KiB to 2 MiB, a budget of which the data
//! are up to eight times, a policy. What some kernels touch depends on what they write (`generate/late.rs`): these are run as
//! transactions. What fails is shrunk (`shrink.rs`) and printed. Two hundred seeds are always run; for others:
//!
//! ```text
//! GMEM_FUZZ_KERNELS=10000 GMEM_FUZZ_SEED=1000 cargo test --test fuzz -- random_kernels --nocapture
//! ```
//!
//! - `GMEM_FUZZ_KERNELS`: how many kernels on each adapter; `GMEM_FUZZ_SEED`: the first one's seed;
//! - `GMEM_FUZZ_SECONDS`: no further kernel is begun after so many;
//! - `GMEM_FUZZ_OUT`: a folder to which each shrunk failure is written as soon as it is found;
//! - `GMEM_TEST_ADAPTER`: one adapter only. Without any, kernels are generated and validated, and that is said.

#[path = "../adapters/mod.rs"]
mod adapters;
mod chance;
mod data;
mod generate;
mod print;
mod program;
mod run;
mod setting;
mod shrink;
#[path = "../skipped/mod.rs"]
mod skipped;
mod sound;
mod types;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use gmem::gpu::shaders::Program as Parsed;
use gmem::gpu::{AdapterChoice, BackendName};
use print::{Form, wgsl};
use run::{Tamper, Verdict, Ways, judge};
use setting::Case;
use shrink::{shrink, weight};
use sound::sound;

/// Kernels that are always run, on the first adapter.
const ALWAYS: u64 = 200;

/// Of these, how many on each further one.
const FURTHER: u64 = 25;

/// The most attempts at making a failure smaller.
const ATTEMPTS: usize = 1500;

/// How long a kernel may run before the process gives up, with its name.
const PATIENCE: Duration = Duration::from_secs(300);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What was found wrong, for people.
fn account(adapter: &AdapterChoice, seed: u64, case: &Case, verdict: &Verdict) -> String {
    format!(
        "seed {seed} on {adapter}: {verdict:?}\nunder {:?}: {}\ngrid {:?}, params {:?}\n{}",
        case.setting,
        case.sizes(),
        case.program.grid,
        case.program.params,
        wgsl(&case.program, Form::Bare)
    )
}

/// Makes a failure as small as it gets.
fn smallest(
    adapter: &AdapterChoice,
    case: &Case,
    verdict: &Verdict,
    tamper: Tamper<'_>,
) -> (Case, Verdict) {
    let mut last = verdict.clone();
    let (small, tried) = shrink(case, ATTEMPTS, &mut |case| {
        let now = judge(adapter, case, tamper);
        let like = now.is_like(verdict);
        if like {
            last = now;
        }
        like
    });
    say(format_args!(
        "from {} parts to {} in {tried} attempts",
        weight(&case.program),
        weight(&small.program)
    ));
    (small, last)
}

/// A line on standard error, whatever the test harness keeps.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Ends the process, naming the kernel, when one takes for ever: nothing else can be done about a driver that hangs.
fn watch() -> std::sync::mpsc::Sender<u64> {
    let (tell, told): (_, Receiver<u64>) = channel();
    std::thread::spawn(move || {
        let mut seed = None;
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(now) => seed = Some(now),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    say(format_args!("the kernel of seed {seed:?} does not end"));
                    std::process::abort();
                }
            }
        }
    });
    tell
}

/// What a campaign came to.
#[derive(Debug, Default)]
struct Tally {
    kernels: u64,
    same: u64,
    /// Kernels of which some boxes were probed, and attempted.
    probed: u64,
    transactions: u64,
    ways: Ways,
    refused: BTreeMap<&'static str, u64>,
    incomparable: u64,
    failures: Vec<String>,
}

fn campaign(adapter: &AdapterChoice, first: u64, kernels: u64, tamper: Tamper<'_>) -> Tally {
    let (mut tally, start, watch) = (Tally::default(), Instant::now(), watch());
    let seconds = number("GMEM_FUZZ_SECONDS").map(Duration::from_secs);
    let mut told = Instant::now();
    for seed in first..first + kernels {
        if seconds.is_some_and(|most| start.elapsed() > most) {
            break;
        }
        let _ = watch.send(seed);
        let mut case = Case::new(seed);
        let mut verdict = judge(adapter, &case, tamper);
        tally.kernels += 1;
        // Whatever was refused has to run where there is more room, and does not pass for compared before.
        while let Verdict::Refused(kind) = verdict {
            *tally.refused.entry(kind).or_default() += 1;
            verdict = if case.fits() {
                Verdict::Failed("refused what fits", kind.to_owned())
            } else {
                case.setting.frames *= 2;
                judge(adapter, &case, tamper)
            };
        }
        match &verdict {
            Verdict::Same(ways) => {
                tally.same += 1;
                tally.probed += u64::from(ways.probed > 0);
                tally.transactions += u64::from(ways.attempted > 0);
                tally.ways += *ways;
            }
            Verdict::Incomparable(why) => {
                tally.incomparable += 1;
                skipped::skipped(format_args!("{adapter}: seed {seed}: {why}"));
            }
            bad => {
                say(format_args!(
                    "seed {seed} on {adapter}: {bad:?}; making it smaller"
                ));
                let (small, last) = smallest(adapter, &case, bad, &|program, found| {
                    let _ = watch.send(seed);
                    tamper(program, found);
                });
                let text = account(adapter, seed, &small, &last);
                say(format_args!("{text}"));
                if let Some(folder) = std::env::var_os("GMEM_FUZZ_OUT") {
                    let file = format!("seed-{seed}-{adapter}.txt").replace([' ', '`'], "");
                    let path = std::path::Path::new(&folder).join(file);
                    std::fs::write(path, &text).expect("the folder is there");
                }
                tally.failures.push(text);
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let (done, took) = (tally.kernels, start.elapsed().as_secs_f64());
            say(format_args!(
                "{adapter}: {done} of {kernels} kernels in {took:.0} s: {} the same, refused {:?}, {} failures",
                tally.same,
                tally.refused,
                tally.failures.len()
            ));
        }
    }
    say(format_args!(
        "{adapter}: {} kernels from seed {first} on in {:.1} s: {} the same ({} of them probed, {} attempted, with {:?}), refused {:?}, {} not comparable, {} failures",
        tally.kernels,
        start.elapsed().as_secs_f64(),
        tally.same,
        tally.probed,
        tally.transactions,
        tally.ways,
        tally.refused,
        tally.incomparable,
        tally.failures.len()
    ));
    tally
}

#[test]
fn random_kernels_give_what_they_give_under_plain_wgpu() {
    let wanted = number("GMEM_FUZZ_KERNELS");
    let first = number("GMEM_FUZZ_SEED").unwrap_or(0);
    for (at, adapter) in adapters::adapters().iter().enumerate() {
        let always = if at == 0 { ALWAYS } else { FURTHER };
        let kernels = wanted.unwrap_or(always);
        if wanted.is_none() && at > 0 {
            skipped::skipped(format_args!(
                "{adapter}: seeds {FURTHER} to {ALWAYS}: GMEM_FUZZ_KERNELS={ALWAYS} runs them"
            ));
        }
        let tally = campaign(adapter, first, kernels, &|_, _| {});
        assert!(
            tally.failures.is_empty(),
            "{} failures, the first one:\n{}",
            tally.failures.len(),
            tally.failures[0]
        );
        assert_eq!(tally.same + tally.incomparable, tally.kernels);
        // A fuzzer most of whose kernels are refused at first, or cannot be compared, or none of whose kernels misses a page,
        // shows little. Of a few, chance decides.
        let refusals: u64 = tally.refused.values().sum();
        assert!(
            tally.kernels < ALWAYS
                || (4 * tally.incomparable < tally.kernels
                    && refusals < 2 * tally.kernels
                    && 40 * tally.probed > tally.kernels
                    && 10 * tally.transactions > tally.kernels
                    && tally.ways.undone > 0),
            "{tally:?}"
        );
    }
}

#[test]
fn every_kernel_is_sound_and_valid_in_both_forms() {
    for seed in 0..ALWAYS {
        let case = Case::new(seed);
        assert_eq!(sound(&case.program), Ok(()), "seed {seed}");
        for form in [Form::Bare, Form::Checked] {
            let text = wgsl(&case.program, form);
            let entry = Parsed::from_wgsl(&text).and_then(|p| p.entry(None, &[]));
            if let Err(e) = entry {
                panic!("seed {seed}, {form:?}: {e}\n{text}");
            }
        }
    }
}

#[test]
fn a_seed_is_one_kernel() {
    let texts: Vec<String> = (0..20)
        .map(|seed| wgsl(&Case::new(seed).program, Form::Bare))
        .collect();
    for (seed, text) in texts.iter().enumerate() {
        assert_eq!(*text, wgsl(&Case::new(seed as u64).program, Form::Bare));
        assert!(texts[..seed].iter().all(|other| other != text));
    }
}

/// Constructs that the seeds have to have among them.
#[test]
fn the_kernels_use_everything() {
    let texts: Vec<String> = (0..ALWAYS)
        .map(|seed| wgsl(&Case::new(seed).program, Form::Bare))
        .collect();
    for construct in [
        "workgroupUniformLoad",
        "storageBarrier",
        "workgroupBarrier",
        "atomicCompareExchangeWeak",
        "atomicMin",
        "atomicSub",
        "switch ",
        "continue;",
        "break;",
        "return;",
        "loop {",
        "for (var",
        "mat3x",
        "vec3<f32>",
        "array<array<",
        "struct H",
        "@size",
        "i32(",
        "&& ",
        "let q = &",
        "+= ",
        "fold4",
        "arrayLength",
        "_ = f0(",
        "tally",
        "4294967040u",
        "@group(1)",
        "nwg.x * (wid.y",
        "let i = atomicAdd(",
        "atomicExchange(",
        "break if v",
        "let v = ",
    ] {
        let many = texts.iter().filter(|text| text.contains(construct)).count();
        assert!(many > 0, "no kernel has `{construct}`");
    }
}

/// What a broken translation of `switch` would look like: a bit of whatever such a kernel writes is wrong.
fn switches_are_broken(program: &program::Program, found: &mut [Vec<u8>]) {
    if wgsl(program, Form::Bare).contains("switch ") {
        for (buffer, bytes) in program.buffers.iter().zip(found) {
            if matches!(buffer.role, program::Role::Own(_)) {
                let at = buffer.bound().start + buffer.element_start();
                bytes[at] ^= 1;
            }
        }
    }
}

#[test]
fn what_is_wrong_is_found_and_made_small() {
    // By the text alone, on any machine.
    let broken = |case: &Case| wgsl(&case.program, Form::Bare).contains("atomicXor");
    let mut found = 0;
    for seed in 0..ALWAYS {
        let case = Case::new(seed);
        if broken(&case) {
            let (small, _) = shrink(&case, ATTEMPTS, &mut |case| broken(case));
            assert!(broken(&small) && sound(&small.program).is_ok());
            let (all, left) = (weight(&case.program), weight(&small.program));
            assert!(
                left <= 8 && left < all,
                "seed {seed}: {left} parts of {all} are left"
            );
            assert_eq!(small.program.invocations(), 1);
            found += 1;
        }
    }
    assert!(found > 0, "no kernel has what is broken");
    // By running it.
    for adapter in adapters::adapters() {
        if adapter != AdapterChoice::Backend(BackendName::Vulkan) {
            skipped::skipped(format_args!("{adapter}: Vulkan shows it already"));
            continue;
        }
        let mut seeds = (0..ALWAYS).filter(|&seed| {
            let text = wgsl(&Case::new(seed).program, Form::Bare);
            text.contains("switch ")
        });
        let seed = seeds.next().expect("one with a switch");
        let tally = campaign(&adapter, seed, 1, &switches_are_broken);
        let [failure] = &tally.failures[..] else {
            panic!("seed {seed} has a switch: {tally:?}");
        };
        assert!(
            failure.contains("Differs") && failure.contains("switch "),
            "{failure}"
        );
        let lines = failure.lines().count();
        assert!(lines < 30, "{lines} lines are left:\n{failure}");
    }
}
