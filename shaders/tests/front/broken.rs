//! Whatever the bytes: an error or a module that is rewritten, never a panic of ours.

use gmem_shaders::{Program, ShaderError, Source, panics_are_errors};

use super::{entry, files, kernels, rewrites, to_spirv};

/// Random numbers that depend on a seed alone (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Reads a shader and rewrites what it has. A front end's own panic is an error; one of ours fails the test.
fn try_all(source: Source<'_>, seed: u64) -> bool {
    let Ok(program) = Program::parse(&source) else {
        return false;
    };
    for name in program.entry_points() {
        let Ok(entry) = program.entry(Some(name), &[]) else {
            continue;
        };
        if let Err(error @ ShaderError::Internal(_)) = rewrites(&entry) {
            panic!("seed {seed}: {error}");
        }
    }
    true
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

/// Front ends that panic need not tell everybody.
fn keep_quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !panics_are_errors() {
                usual(info);
            }
        }));
    });
}

fn rounds() -> u64 {
    let given = std::env::var("GMEM_TEST_BROKEN").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(1500)
}

#[test]
fn changed_spirv_is_refused_or_rewritten() {
    keep_quiet();
    let modules: Vec<Vec<u32>> = kernels()
        .iter()
        .map(|(_, text)| to_spirv(&entry(text), true))
        .collect();
    let (mut read, mut refused) = (0, 0);
    for seed in 1..=rounds() {
        let mut random = Random(seed);
        random.next();
        let mut words = modules[random.below(modules.len())].clone();
        match random.below(4) {
            0 => words.truncate(random.below(words.len())),
            1 => {
                let at = 5 + random.below(words.len() - 5);
                words[at] ^= 1 << random.below(32);
            }
            2 => {
                // Another id of the same module, or a small number.
                let at = 5 + random.below(words.len() - 5);
                words[at] = random.below(words[3] as usize + 2) as u32;
            }
            _ => {
                let (a, b) = (
                    5 + random.below(words.len() - 5),
                    5 + random.below(words.len() - 5),
                );
                words.swap(a, b);
            }
        }
        if try_all(Source::spirv_words(&words), seed) {
            read += 1;
        } else {
            refused += 1;
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

fn changed_text(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = b" (){}[]<>;,.+-*/&|=0123456789abcfipu@_:\n"[random.below(40)],
            2 => {
                bytes.remove(at);
            }
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
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn changed_text_is_refused_or_rewritten() {
    keep_quiet();
    let wgsl = kernels();
    let glsl = files("glsl", "comp");
    let (mut read, mut refused) = (0, 0);
    for seed in 1..=rounds() {
        let mut random = Random(seed ^ 0x5555);
        random.next();
        let source = if seed % 3 == 0 {
            Source::glsl(changed_text(&glsl[random.below(glsl.len())].1, &mut random))
        } else {
            Source::wgsl(changed_text(&wgsl[random.below(wgsl.len())].1, &mut random))
        };
        if try_all(source, seed) {
            read += 1;
        } else {
            refused += 1;
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn noise_is_refused() {
    keep_quiet();
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut words: Vec<u32> = (0..random.below(100) + 6)
            .map(|_| random.next() as u32)
            .collect();
        words[0] = 0x0723_0203;
        let _ = try_all(Source::spirv_words(&words), seed);
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(Program::parse(Source::wgsl(text)).is_err());
    }
}
