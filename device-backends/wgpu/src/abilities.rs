//! What WGSL may ask of a device beyond its core: which of it a device has, and where a kernel uses what it has not.
//!
//! Key type: [`Abilities`]. A kernel is judged by what would reach the device: what its entry point does not use,
//! or what translation leaves out, needs nothing.

use gmem_shaders::naga::compact::{KeepUnused, compact};
use gmem_shaders::naga::valid::{Capabilities, ValidationFlags, Validator};
use gmem_shaders::naga::{Module, Span, WithSpan};
use gmem_shaders::{Entry, How, Mode, Variant};

/// What naga calls it, what a person does, and how the source spells it, where naga knows no place.
const ABILITIES: [(Capabilities, &str, &[&str]); 14] = [
    (
        Capabilities::SHADER_FLOAT16,
        "16-bit floats (f16)",
        &["f16", "h"],
    ),
    (Capabilities::FLOAT64, "64-bit floats (f64)", &["f64", "lf"]),
    (
        Capabilities::SHADER_INT16,
        "16-bit integers (i16, u16)",
        &["i16", "u16"],
    ),
    (
        Capabilities::SHADER_INT64,
        "64-bit integers (i64, u64)",
        &["i64", "u64", "li", "lu"],
    ),
    (
        // Either has what both have.
        Capabilities::SHADER_INT64_ATOMIC_MIN_MAX.union(Capabilities::SHADER_INT64_ATOMIC_ALL_OPS),
        "64-bit atomics",
        &["i64", "u64"],
    ),
    (
        Capabilities::SHADER_INT64_ATOMIC_ALL_OPS,
        "64-bit atomics",
        &["i64", "u64"],
    ),
    (
        Capabilities::SHADER_FLOAT32_ATOMIC,
        "atomic floats",
        &["atomic"],
    ),
    (
        Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        "16-bit floats packed in words",
        &[],
    ),
    (
        Capabilities::SUBGROUP_BARRIER,
        "subgroup barriers",
        &["subgroupBarrier"],
    ),
    (
        Capabilities::SUBGROUP,
        "subgroup operations",
        &["subgroup_size", "subgroup_invocation_id"],
    ),
    (
        Capabilities::TEXTURE_INT64_ATOMIC,
        "64-bit atomics on textures",
        &["r64uint"],
    ),
    (
        Capabilities::TEXTURE_ATOMIC,
        "atomics on textures",
        &["r32uint", "r32sint"],
    ),
    (
        Capabilities::STORAGE_TEXTURE_16BIT_NORM_FORMATS,
        "storage textures of normalised 16-bit values",
        &[
            "r16unorm",
            "r16snorm",
            "rg16unorm",
            "rg16snorm",
            "rgba16unorm",
            "rgba16snorm",
        ],
    ),
    (
        Capabilities::CUBE_ARRAY_TEXTURES,
        "arrays of cube textures",
        &["texture_cube_array", "texture_depth_cube_array"],
    ),
];

/// What a device has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities(Capabilities);

impl Abilities {
    /// Of a device with these features switched on.
    pub(crate) fn of(features: wgpu::Features, downlevel: wgpu::DownlevelFlags) -> Self {
        let mut has = Capabilities::all();
        let feature = |has: &mut Capabilities, capability, wanted| {
            has.set(capability, features.intersects(wanted));
        };
        type C = Capabilities;
        type F = wgpu::Features;
        feature(&mut has, C::SHADER_FLOAT16, F::SHADER_F16);
        feature(&mut has, C::FLOAT64, F::SHADER_F64);
        feature(&mut has, C::SHADER_INT16, F::SHADER_I16);
        feature(&mut has, C::SHADER_INT64, F::SHADER_INT64);
        let all_64 = F::SHADER_INT64_ATOMIC_ALL_OPS;
        let min_max_64 = F::SHADER_INT64_ATOMIC_MIN_MAX | all_64;
        feature(&mut has, C::SHADER_INT64_ATOMIC_MIN_MAX, min_max_64);
        feature(&mut has, C::SHADER_INT64_ATOMIC_ALL_OPS, all_64);
        feature(&mut has, C::SHADER_FLOAT32_ATOMIC, F::SHADER_FLOAT32_ATOMIC);
        feature(&mut has, C::SUBGROUP, F::SUBGROUP | F::SUBGROUP_VERTEX);
        feature(&mut has, C::SUBGROUP_BARRIER, F::SUBGROUP_BARRIER);
        feature(&mut has, C::TEXTURE_ATOMIC, F::TEXTURE_ATOMIC);
        feature(&mut has, C::TEXTURE_INT64_ATOMIC, F::TEXTURE_INT64_ATOMIC);
        feature(
            &mut has,
            C::STORAGE_TEXTURE_16BIT_NORM_FORMATS,
            F::TEXTURE_FORMAT_16BIT_NORM,
        );
        let cubes = downlevel.contains(wgpu::DownlevelFlags::CUBE_ARRAY_TEXTURES);
        has.set(C::CUBE_ARRAY_TEXTURES, cubes);
        let packed = downlevel.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32);
        has.set(C::SHADER_FLOAT16_IN_FLOAT32, packed);
        Self(has)
    }

    /// What a kernel uses that the device has not, with its line in the source; `None` when there is nothing.
    pub(crate) fn missing(self, entry: &Entry, source: &str) -> Option<String> {
        let mut module = entry.module.clone();
        compact(&mut module, KeepUnused::No);
        if let Some(line) = self.wide_floats(&module, entry, source) {
            return Some(line);
        }
        // Most kernels ask for nothing, and that is known at once.
        without(&module, Capabilities::all() - self.0)?;
        ABILITIES
            .iter()
            .map(|(capability, name, words)| (*capability - self.0, name, words))
            .filter(|(missing, ..)| !missing.is_empty())
            .find_map(|(missing, name, words)| {
                let spans = without(&module, missing)?;
                // What only the untranslated kernel has is no obstacle; what cannot be translated is told elsewhere, later.
                if let Ok(rewritten) = entry.rewrite(&plainest(entry)) {
                    without(&rewritten.module, missing)?;
                }
                Some(match line(&spans, words, source) {
                    Some(line) => {
                        format!("line {line} uses {name}, which the device does not have")
                    }
                    None => format!("it uses {name}, which the device does not have"),
                })
            })
    }
}

impl Abilities {
    /// A stored `f64` is put together out of words as an integer: the one thing that translation itself asks for.
    fn wide_floats(self, module: &Module, entry: &Entry, source: &str) -> Option<String> {
        let (int, float) = (Capabilities::SHADER_INT64, Capabilities::FLOAT64);
        if self.0.contains(int) || !self.0.contains(float) {
            return None;
        }
        let spans = without(module, float)?;
        without(&entry.rewrite(&plainest(entry)).ok()?.module, int)?;
        let what = "64-bit floats in storage, for which the device would need 64-bit integers too";
        Some(match line(&spans, &["f64", "lf"], source) {
            Some(line) => format!("line {line} uses {what}"),
            None => format!("it uses {what}"),
        })
    }
}

/// The marks of what a module is refused for when just these capabilities are missing; `None` when it is valid so.
fn without(module: &Module, missing: Capabilities) -> Option<Vec<Span>> {
    Validator::new(ValidationFlags::all(), Capabilities::all() - missing)
        .validate(module)
        .err()
        .map(|error: WithSpan<_>| error.spans().map(|(span, _)| *span).collect())
}

fn plainest(entry: &Entry) -> Variant {
    Variant {
        mode: Mode::Run,
        page_shift: 16,
        windows: 1,
        bindings: vec![How::Paged; entry.storage.len()],
    }
}

/// The line of the narrowest mark: the whole function is marked too. Types have none: then the first of the words.
fn line(spans: &[Span], words: &[&str], source: &str) -> Option<usize> {
    let marked = spans
        .iter()
        .filter_map(|span| span.to_range())
        .filter(|range| range.end <= source.len())
        .min_by_key(|range| range.len())
        .map(|range| range.start);
    let at = marked.or_else(|| first_word(source, words))?;
    Some(1 + source[..at].matches('\n').count())
}

/// Where a word, or a number or a vector's short name that ends in it, first stands outside of comments and directives.
fn first_word(source: &str, words: &[&str]) -> Option<usize> {
    let names = |token: &str| {
        words.iter().any(|word| {
            let short = word.len() == 1 && (token.starts_with("vec") || token.starts_with("mat"));
            let number = token.starts_with(|c: char| c.is_ascii_digit());
            token == *word || ((short || number) && token.ends_with(word))
        })
    };
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let length = if rest.starts_with("//") || rest.starts_with("enable") {
            let end = if rest.starts_with('e') { ';' } else { '\n' };
            rest.find(end).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let inside = |c: char| c.is_alphanumeric() || c == '_';
            let token = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            if token > 0 && names(&rest[..token]) {
                return Some(at);
            }
            let next = rest.chars().next().map_or(1, char::len_utf8);
            token.max(next)
        };
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_shaders::Program;

    fn missing(abilities: Abilities, source: &str) -> Option<String> {
        let entry = Program::from_wgsl(source)
            .unwrap()
            .entry(Some("main"), &[])
            .unwrap();
        abilities.missing(&entry, source)
    }

    fn nothing() -> Abilities {
        Abilities::of(wgpu::Features::empty(), wgpu::DownlevelFlags::all())
    }

    #[test]
    fn what_a_device_has_not_is_named_with_its_line() {
        let head = "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<u32>; // f16, u64 and so on
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
";
        for (body, name) in [
            ("    let x = f16(a[0]);\n    a[0] = u32(x * x);", "f16"),
            (
                "    let x = vec2h(vec2f(1.0));\n    a[0] = u32(x.x * x.y);",
                "f16",
            ),
            ("    let x = 2.0h * f16(a[1]);\n    a[0] = u32(x);", "f16"),
            ("    let x = u64(a[0]);\n    a[0] = u32(x * x);", "u64"),
            ("    let x = 7lu;\n    a[0] = u32(x + u64(a[1]));", "u64"),
            ("    let x = f64(a[0]);\n    a[0] = u32(x * x);", "f64"),
            (
                "    let x = subgroupAdd(a[0]);\n    a[0] = x;",
                "subgroup operations",
            ),
            (
                "    subgroupBarrier();\n    a[0] = 1u;",
                "subgroup barriers",
            ),
        ] {
            let source = format!("{head}{body}\n}}");
            let told = missing(nothing(), &source).unwrap_or_else(|| panic!("{body}"));
            assert!(
                told.starts_with("line 4 uses ") && told.contains(name),
                "{body}: {told}"
            );
            let all = Abilities::of(wgpu::Features::all(), wgpu::DownlevelFlags::all());
            assert_eq!(missing(all, &source), None, "{body}");
        }
    }

    #[test]
    fn stored_values_need_what_their_types_need() {
        for (element, one, name, capability) in [
            ("f16", "1.0h", "f16", Capabilities::SHADER_FLOAT16),
            ("u64", "1lu", "u64", Capabilities::SHADER_INT64),
            ("f64", "1.0lf", "f64", Capabilities::FLOAT64),
            (
                "f64",
                "1.0lf",
                "64-bit integers too",
                Capabilities::SHADER_INT64,
            ),
        ] {
            let source = format!(
                "enable f16;
@group(0) @binding(0)
var<storage, read_write> a: array<{element}>;
@compute @workgroup_size(1) fn main() {{
    a[0] = {one};
}}"
            );
            let told = missing(Abilities(Capabilities::all() - capability), &source);
            let told = told.unwrap_or_else(|| panic!("{element}"));
            let placed = told.starts_with("line 5 uses ") || told.starts_with("line 3 uses ");
            assert!(placed && told.contains(name), "{element}: {told}");
            assert_eq!(missing(Abilities(Capabilities::all()), &source), None);
        }
        for (element, operation, name, capability) in [
            (
                "u64",
                "atomicMax(&a[0], 1lu)",
                "64-bit atomics",
                Capabilities::SHADER_INT64_ATOMIC_MIN_MAX
                    | Capabilities::SHADER_INT64_ATOMIC_ALL_OPS,
            ),
            (
                "i64",
                "_ = atomicAdd(&a[0], 1li)",
                "64-bit atomics",
                Capabilities::SHADER_INT64_ATOMIC_ALL_OPS,
            ),
            (
                "f32",
                "atomicAdd(&a[0], 1.0)",
                "atomic floats",
                Capabilities::SHADER_FLOAT32_ATOMIC,
            ),
        ] {
            let source = format!(
                "@group(0) @binding(0)
var<storage, read_write> a: array<atomic<{element}>>;
@compute @workgroup_size(1) fn main() {{
    {operation};
}}"
            );
            let told = missing(Abilities(Capabilities::all() - capability), &source);
            let told = told.unwrap_or_else(|| panic!("{operation}"));
            let placed = told.starts_with("line 4 uses ") || told.starts_with("line 2 uses ");
            assert!(placed && told.contains(name), "{operation}: {told}");
        }
    }

    #[test]
    fn textures_that_a_device_has_not_are_named() {
        for (texture, body, name, capability) in [
            (
                "texture_storage_2d<r32uint, atomic>",
                "textureAtomicMax(t, vec2<i32>(0), 1u)",
                "atomics on textures",
                Capabilities::TEXTURE_ATOMIC,
            ),
            (
                "texture_storage_2d<rg16unorm, write>",
                "textureStore(t, vec2<i32>(0), vec4<f32>(1.0))",
                "normalised 16-bit values",
                Capabilities::STORAGE_TEXTURE_16BIT_NORM_FORMATS,
            ),
            (
                "texture_cube_array<f32>",
                "a[0] = textureNumLayers(t)",
                "arrays of cube textures",
                Capabilities::CUBE_ARRAY_TEXTURES,
            ),
        ] {
            let source = format!(
                "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@group(0) @binding(1) var t: {texture};
@compute @workgroup_size(1) fn main() {{
    {body};
}}"
            );
            let told = missing(Abilities(Capabilities::all() - capability), &source);
            let told = told.unwrap_or_else(|| panic!("{texture}"));
            let placed = told.starts_with("line 4 uses ") || told.starts_with("line 2 uses ");
            assert!(placed && told.contains(name), "{texture}: {told}");
            assert_eq!(missing(Abilities(Capabilities::all()), &source), None);
        }
    }

    #[test]
    fn what_the_entry_point_does_not_use_needs_nothing() {
        let source = "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
fn other() -> f16 { return 1.0h; }
@compute @workgroup_size(1) fn half() { a[0] = u32(other()); }
@compute @workgroup_size(1) fn main() { a[0] = 1u; }";
        assert_eq!(missing(nothing(), source), None);
        let source = "struct Node { next: u64, value: u32 }
@group(0) @binding(0) var<storage, read_write> a: array<Node>;
@compute @workgroup_size(1) fn main() { a[0].value = 1u; }";
        assert_eq!(
            missing(nothing(), source),
            None,
            "translation leaves it out"
        );
    }

    #[test]
    fn words_are_found_outside_of_comments_and_other_words() {
        let source = "/* f16 */ // f16\nlet f16x = xf16;\nlet y: f16 = 1;";
        let at = first_word(source, &["f16"]).unwrap();
        assert_eq!(&source[at - 3..at + 5], "y: f16 =");
        assert_eq!(first_word("let a = h2; // 2.0h", &["h"]), None);
        assert_eq!(first_word("let é = 1.5h;", &["h"]), Some(11));
    }
}
