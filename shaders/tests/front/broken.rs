//! Changed kernels, and noise: see [`hostile`](super::hostile). `GMEM_TEST_BROKEN` says how many of each kind, on from
//! the seed `GMEM_TEST_BROKEN_SEED`; what fails is written to the folder `GMEM_TEST_BROKEN_OUT`.

use gmem_shaders::{Program, Source};

use super::{entry, files, hostile, kernels, rewrites, to_spirv};

/// Random numbers that depend on a seed alone (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// What is being tried, to be told when it fails.
struct Attempt {
    what: &'static str,
    seed: u64,
    bytes: Vec<u8>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("changed {} by seed {}", self.what, self.seed);
            if let Some(folder) = std::env::var_os("GMEM_TEST_BROKEN_OUT") {
                let name = format!("{}-{}", self.what.replace(' ', "-"), self.seed);
                let written = std::fs::write(std::path::Path::new(&folder).join(name), &self.bytes);
                written.unwrap_or_else(|e| eprintln!("it is not written: {e}"));
            }
        }
    }
}

/// Changes something by each seed and has it read; some must be read, and some refused, or the changes are of no use.
fn campaign(what: &'static str, read: fn(&[u8]) -> bool, change: impl Fn(&mut Random) -> Vec<u8>) {
    hostile::keep_quiet();
    let first = number("GMEM_TEST_BROKEN_SEED", 1);
    let (mut good, mut refused) = (0, 0);
    for seed in first..first + number("GMEM_TEST_BROKEN", 1000) {
        let bytes = change(&mut Random::new(seed));
        let attempt = Attempt { what, seed, bytes };
        if read(&attempt.bytes) {
            good += 1;
        } else {
            refused += 1;
        }
    }
    println!("changed {what}: {good} read, {refused} refused");
    assert!(good > 0 && refused > 0, "{good} read, {refused} refused");
}

#[test]
fn a_probe_divides_by_nothing_that_it_did_not_load() {
    for op in ["/", "%"] {
        let source = format!(
            "@group(0) @binding(0) var<storage, read> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> b: array<vec2<u32>>;
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let by = a[id.x + 1u];
    let part = a[id.x] {op} by;
    b[a[id.y].x {op} a[id.z].x] = part {op} (by.yx {op} part);
}}"
        );
        rewrites(&entry(&source)).unwrap();
    }
}

fn spirv_kernels() -> Vec<Vec<u32>> {
    kernels()
        .iter()
        .map(|(_, text)| to_spirv(&entry(text), true))
        .collect()
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Where `GMEM_TEST_SPIRV_OUT` names a folder, the kernels are written there: what a fuzzer begins with.
#[test]
fn seeds_for_the_spirv_target_are_accepted() {
    let folder = std::env::var_os("GMEM_TEST_SPIRV_OUT").map(std::path::PathBuf::from);
    for ((name, _), words) in kernels().iter().zip(spirv_kernels()) {
        let bytes = bytes_of(&words);
        // Some are written as SPIR-V and cannot be read again: `spirv.rs` says which.
        let read = hostile::spirv(&bytes);
        let unread = super::spirv::UNREAD
            .iter()
            .any(|(unread, _)| name == unread);
        assert_eq!(read, !unread, "{name}");
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(format!("{name}.spv")), bytes).unwrap();
        }
    }
}

#[test]
fn changed_spirv_words_are_refused_or_rewritten() {
    let modules = spirv_kernels();
    campaign("words of SPIR-V", hostile::spirv, |random| {
        let mut words = modules[random.below(modules.len())].clone();
        let place = |random: &mut Random| 5 + random.below(words.len() - 5);
        let (at, other) = (place(random), place(random));
        match random.below(4) {
            0 => words.truncate(at - 4),
            1 => words[at] ^= 1 << random.below(32),
            // Another id of the same module, or a small number.
            2 => words[at] = random.below(words[3] as usize + 2) as u32,
            _ => words.swap(at, other),
        }
        bytes_of(&words)
    });
}

#[test]
fn changed_spirv_instructions_are_refused_or_rewritten() {
    let modules = spirv_kernels();
    campaign("instructions of SPIR-V", hostile::spirv, |random| {
        let words = &modules[random.below(modules.len())];
        let mut instructions: Vec<Vec<u32>> = Vec::new();
        let mut rest = &words[5..];
        while let Some(&first) = rest.first() {
            let (one, more) = rest.split_at((first >> 16) as usize);
            instructions.push(one.to_vec());
            rest = more;
        }
        for _ in 0..=random.below(3) {
            let n = instructions.len();
            let (at, other) = (random.below(n), random.below(n));
            match random.below(5) {
                0 => drop(instructions.remove(at)),
                1 => instructions.swap(at, other),
                2 => {
                    let again = instructions[at].clone();
                    instructions.insert(other, again);
                }
                3 => {
                    // An operand of one that is like it, and so of the same kind.
                    let op = instructions[at][0];
                    let like: Vec<usize> = (0..n).filter(|i| instructions[*i][0] == op).collect();
                    let from = instructions[like[random.below(like.len())]].clone();
                    let operand = random.below(from.len() - 1) + 1;
                    if let Some(word) = instructions[at].get_mut(operand) {
                        *word = from[operand.min(from.len() - 1)];
                    }
                }
                _ => {
                    let (op, like) = (instructions[other][0] & 0xffff, &mut instructions[at][0]);
                    *like = *like & 0xffff_0000 | op;
                }
            }
        }
        let mut out = words[..5].to_vec();
        out.extend(instructions.concat());
        bytes_of(&out)
    });
}

fn changed_bytes(text: &str, random: &mut Random) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = b" (){}[]<>;,.+-*/&|=0123456789abcfipu@_:\n"[random.below(40)],
            2 => drop(bytes.remove(at)),
            3 => {
                let to = (at + random.below(20)).min(bytes.len());
                let part = bytes[at..to].to_vec();
                let into = random.below(bytes.len());
                bytes.splice(into..into, part);
            }
            _ => bytes[at] ^= 1 << random.below(7),
        }
        if bytes.is_empty() {
            bytes.push(b' ');
        }
    }
    bytes
}

/// Words, numbers, and each other sign by itself.
fn tokens(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let same = |c: char| word(c) == word(first);
        let len = match word(first) {
            true => rest.find(|c| !same(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, more) = rest.split_at(len);
        out.push(token);
        rest = more;
    }
    out
}

fn changed_tokens(text: &str, other: &str, random: &mut Random) -> Vec<u8> {
    let (mut all, theirs) = (tokens(text), tokens(other));
    for _ in 0..1 + random.below(2) {
        // Mostly something of the same kind: other things are refused before they are understood.
        let at = random.below(all.len());
        let kind = |token: &str| {
            token
                .chars()
                .next()
                .map(|c| (c.is_alphabetic(), c.is_numeric()))
        };
        let like: Vec<usize> = (0..all.len())
            .filter(|i| kind(all[*i]) == kind(all[at]))
            .collect();
        let with = match random.below(5) {
            0 => random.below(all.len()),
            _ => like[random.below(like.len())],
        };
        match random.below(6) {
            0 => drop(all.remove(at)),
            1 => all.swap(at, with),
            2 | 3 => all[at] = all[with],
            4 => all[at] = theirs[random.below(theirs.len())],
            _ => {
                // A line or so, again.
                let part = all[at..(at + 25).min(all.len())].to_vec();
                all.splice(with..with, part);
            }
        }
    }
    all.concat().into_bytes()
}

#[test]
fn changed_wgsl_is_refused_or_rewritten() {
    let all = kernels();
    campaign("WGSL", hostile::wgsl, |random| {
        let text = &all[random.below(all.len())].1;
        let other = &all[random.below(all.len())].1;
        match random.below(3) {
            0 => changed_bytes(text, random),
            _ => changed_tokens(text, other, random),
        }
    });
}

#[test]
fn changed_glsl_is_refused_or_rewritten() {
    let all = files("glsl", "comp");
    campaign("GLSL", hostile::glsl, |random| {
        let text = &all[random.below(all.len())].1;
        let other = &all[random.below(all.len())].1;
        match random.below(3) {
            0 => changed_bytes(text, random),
            _ => changed_tokens(text, other, random),
        }
    });
}

#[test]
fn noise_is_refused() {
    hostile::keep_quiet();
    for seed in 1..200 {
        let mut random = Random::new(seed);
        let mut words: Vec<u32> = (0..random.below(100) + 6)
            .map(|_| random.next() as u32)
            .collect();
        words[0] = 0x0723_0203;
        let bytes = bytes_of(&words);
        let _ = hostile::spirv(&bytes);
        let _ = hostile::glsl(&bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(Program::parse(Source::wgsl(text)).is_err());
    }
}
