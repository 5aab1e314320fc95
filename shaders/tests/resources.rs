//! Immediates, textures and samplers: what is told of them, and what a rewritten kernel does with them.

use gmem_shaders::naga::valid::{Capabilities, ValidationFlags, Validator};
use gmem_shaders::naga::{AddressSpace, ImageDimension, Statement, StorageAccess, StorageFormat};
use gmem_shaders::{
    Entry, How, Mode, Program, ResourceKind, Rewritten, ShaderError, Source, Texel, TextureShape,
    ValueKind, Variant,
};

fn entry(source: &str) -> Entry {
    match Program::from_wgsl(source).and_then(|p| p.entry(None, &[])) {
        Ok(entry) => entry,
        Err(e) => panic!("{e}"),
    }
}

fn rewritten(entry: &Entry, mode: Mode) -> Result<Rewritten, ShaderError> {
    entry.rewrite(&Variant {
        mode,
        page_shift: 16,
        windows: 2,
        bindings: vec![How::Paged; entry.storage.len()],
    })
}

/// The address space of the variable with this binding number in group 1.
fn space(rewritten: &Rewritten, binding: u32) -> AddressSpace {
    let globals = rewritten.module.global_variables.iter();
    let mut found = globals.filter(|(_, var)| {
        var.binding
            .is_some_and(|b| (b.group, b.binding) == (1, binding))
    });
    let (_, var) = found.next().expect("it is used");
    var.space
}

#[test]
fn immediates_are_values_whatever_their_layout() {
    // Whether the type fits a uniform's rules, and its offsets.
    for (declaration, value, fits, offsets) in [
        ("", "u32", true, vec![0]),
        (
            "struct T { a: u32, b: vec3<f32>, c: f32 }",
            "T",
            true,
            vec![0, 16, 20, 24, 28],
        ),
        (
            "struct T { a: array<vec4<u32>, 2>, b: mat4x4<f32> }",
            "T",
            true,
            (0..24).map(|i| 4 * i).collect(),
        ),
        // Elements a word apart.
        ("alias T = array<u32, 4>;", "T", false, vec![0, 4, 8, 12]),
        // A member right after a struct of 8 bytes.
        (
            "struct I { a: u32, b: u32 }\nstruct T { i: I, c: u32 }",
            "T",
            false,
            vec![0, 4, 8],
        ),
        // Columns of two, which other languages keep 16 bytes apart.
        ("alias T = mat2x2<f32>;", "T", false, vec![0, 4, 8, 12]),
    ] {
        let source = format!(
            "{declaration}
@group(0) @binding(4) var<uniform> n: u32;
var<immediate> p: {value};
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
fn take(v: {value}) -> u32 {{ var copy = v; return n; }}
@compute @workgroup_size(1) fn main() {{ out[n] = take(p); }}"
        );
        let entry = entry(&source);
        let names: Vec<_> = entry.values.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["n", "p"], "immediates last");
        let [uniform, immediate] = &entry.values[..] else {
            panic!("two values")
        };
        assert_eq!(uniform.slot(), Some((0, 4)));
        assert_eq!(immediate.slot(), None);
        assert_eq!(
            immediate.kind,
            ValueKind::Immediate { uniform: fits },
            "{declaration}"
        );
        assert_eq!(immediate.is_storage(), !fits);
        let found: Vec<u32> = immediate.leaves.iter().map(|l| l.offset).collect();
        assert_eq!(found, offsets, "{declaration}");
        let run = rewritten(&entry, Mode::Run).expect("it is rewritten");
        let expected = if fits {
            AddressSpace::Uniform
        } else {
            AddressSpace::Storage {
                access: StorageAccess::LOAD,
            }
        };
        assert_eq!(space(&run, run.values[0]), AddressSpace::Uniform);
        assert_eq!(space(&run, run.values[1]), expected, "{declaration}");
        // The reference of tests gets the same, at a free number.
        let (module, slots) = entry.without_immediates();
        assert_eq!(slots, [(0, 4), (0, 5)]);
        Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .expect("it is valid");
    }
}

#[test]
fn a_module_without_bindings_in_group_0_keeps_its_uniforms() {
    let source = "@group(1) @binding(3) var<storage, read_write> x: array<u32>;
@group(2) @binding(0) var<uniform> p: vec4<u32>;
@compute @workgroup_size(1) fn main() { x[p.y] = p.x; }";
    let (_, slots) = entry(source).without_immediates();
    assert_eq!(slots, [(2, 0)]);
}

#[test]
fn an_immediate_beside_the_last_binding_gets_a_number_that_is_free() {
    // The number behind it would be 2^32.
    let source = "@group(0) @binding(4294967295u) var<storage, read_write> x: array<u32>;
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<immediate> p: vec4<u32>;
@compute @workgroup_size(1) fn main() { x[p.y] = p.x; y[0] = 1u; }";
    let (module, slots) = entry(source).without_immediates();
    assert_eq!(slots, [(0, 1)]);
    Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .expect("it is valid");
}

#[test]
fn push_constants_of_glsl_are_immediates() {
    let source = "#version 450
layout(local_size_x = 64) in;
layout(push_constant) uniform Push { uvec4 size; float scale; } push;
layout(set = 0, binding = 0) buffer Data { float x[]; };
void main() {
    if (gl_GlobalInvocationID.x < push.size.y) { x[gl_GlobalInvocationID.x] *= push.scale; }
}";
    let program = Program::parse(Source::glsl(source)).expect("it parses");
    let entry = program.entry(None, &[]).expect("one entry point");
    let [push] = &entry.values[..] else {
        panic!("one value: {:?}", entry.values)
    };
    assert_eq!(push.kind, ValueKind::Immediate { uniform: true });
    let offsets: Vec<u32> = push.leaves.iter().map(|l| l.offset).collect();
    assert_eq!((push.bytes, offsets), (32, vec![0, 4, 8, 12, 16]));
    rewritten(&entry, Mode::Run).expect("it is rewritten");
    rewritten(&entry, Mode::Probe).expect("it can be probed");
}

const TEXTURES: &str = "
@group(2) @binding(1) var s: sampler;
@group(0) @binding(9) var loaded: texture_2d<u32>;
@group(0) @binding(3) var sampled: texture_2d_array<f32>;
@group(0) @binding(4) var plain: texture_3d<f32>;
@group(1) @binding(0) var depth: texture_depth_2d;
@group(1) @binding(1) var compare: sampler_comparison;
@group(1) @binding(2) var out: texture_storage_2d<rgba8unorm, write>;
@group(1) @binding(3) var both: texture_storage_1d<r32uint, read_write>;
@group(1) @binding(4) var unused: texture_1d<f32>;
@group(3) @binding(17) var<storage, read_write> data: array<f32>;
fn at(t: texture_2d<u32>, i: u32) -> u32 { return textureLoad(t, vec2(i, 0), 0).x; }
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(plain).xy;
    var v = textureSampleLevel(sampled, s, vec2<f32>(id.xy) / vec2<f32>(size), 1, 0.0, vec2<i32>(1, -1));
    v += textureLoad(plain, vec3(id.x), 0) + textureGather(1, sampled, s, vec2(0.5), 0);
    v.x += textureSampleCompareLevel(depth, compare, vec2(0.5), 0.25);
    textureStore(out, id.xy, v);
    textureStore(both, id.x, vec4(textureLoad(both, id.x).x + 1u));
    data[at(loaded, id.x)] = v.x;
}";

#[test]
fn textures_and_samplers_are_told_by_group_and_binding() {
    let entry = entry(TEXTURES);
    let all = entry.resources.iter();
    let found: Vec<_> = all
        .map(|r| (r.name.as_str(), (r.group, r.binding), r.ty.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("sampled", (0, 3), "texture_2d_array<f32>"),
            ("plain", (0, 4), "texture_3d<f32>"),
            ("loaded", (0, 9), "texture_2d<u32>"),
            ("depth", (1, 0), "texture_depth_2d"),
            ("compare", (1, 1), "sampler_comparison"),
            ("out", (1, 2), "texture_storage_2d<rgba8unorm,write>"),
            ("both", (1, 3), "texture_storage_1d<r32uint,read_write>"),
            ("s", (2, 1), "sampler"),
        ]
    );
    let kinds: Vec<_> = entry.resources.iter().map(|r| r.kind).collect();
    let shape = |dimension, arrayed| TextureShape { dimension, arrayed };
    let texture = |dimension, arrayed, texel| ResourceKind::Texture {
        shape: shape(dimension, arrayed),
        texel,
        multisampled: false,
    };
    use ImageDimension::{D1, D2, D3};
    let float = |sampled| Texel::Float { sampled };
    assert_eq!(kinds[0], texture(D2, true, float(true)));
    assert_eq!(kinds[1], texture(D3, false, float(false)));
    assert_eq!(kinds[2], texture(D2, false, Texel::Uint));
    assert_eq!(kinds[3], texture(D2, false, Texel::Depth));
    assert_eq!(kinds[4], ResourceKind::Sampler { comparison: true });
    let stored = |dimension, format, access| ResourceKind::StorageTexture {
        shape: shape(dimension, false),
        format,
        access,
        writes: true,
    };
    let store = StorageAccess::STORE;
    assert_eq!(kinds[5], stored(D2, StorageFormat::Rgba8Unorm, store));
    let both = store | StorageAccess::LOAD;
    assert_eq!(kinds[6], stored(D1, StorageFormat::R32Uint, both));
    assert!(kinds[6].is_written() && !kinds[0].is_written());
}

/// Texture stores of a module, in all of its functions.
fn stores(rewritten: &Rewritten) -> usize {
    let module = &rewritten.module;
    let entries = module.entry_points.iter().map(|e| &e.function);
    let functions = module.functions.iter().map(|(_, f)| f).chain(entries);
    let stores = |s: &&Statement| matches!(s, Statement::ImageStore { .. });
    functions
        .map(|f| f.body.iter().filter(stores).count())
        .sum()
}

#[test]
fn a_run_keeps_textures_and_a_probe_stores_to_none() {
    let entry = entry(TEXTURES);
    let run = rewritten(&entry, Mode::Run).expect("it is rewritten");
    assert_eq!(run.resources, (0..8).collect::<Vec<u32>>());
    assert_eq!(stores(&run), 2);
    for &binding in &run.resources {
        assert_eq!(space(&run, binding), AddressSpace::Handle);
    }
    let probe = rewritten(&entry, Mode::Probe).expect("what is only loaded may decide addresses");
    assert_eq!(stores(&probe), 0);
    assert_eq!(
        space(&probe, 2),
        AddressSpace::Handle,
        "`loaded` is really loaded"
    );
}

#[test]
fn addresses_out_of_textures_that_are_stored_to_or_sampled_are_not_probed() {
    for (texture, value, reason) in [
        (
            "texture_storage_2d<r32uint, read_write>",
            "textureLoad(t, id.xy).x",
            "a texel of a texture that the kernel may store to",
        ),
        (
            "texture_2d<f32>",
            "u32(textureSampleLevel(t, s, vec2(0.5), 0.0).x)",
            "a sample of a texture",
        ),
    ] {
        let source = format!(
            "@group(0) @binding(0) var t: {texture};
@group(0) @binding(1) var s: sampler;
@group(0) @binding(2) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    data[{value}] = 1u;
}}"
        );
        let entry = entry(&source);
        let refused = entry.analysis.probeable(&[0]);
        let text = refused.expect_err("it cannot be probed");
        assert!(text.contains(reason) && text.contains("line 5"), "{text}");
        rewritten(&entry, Mode::Run).expect("it runs with everything resident");
    }
    for texture in ["texture_2d<u32>", "texture_storage_2d<r32uint, read>"] {
        let level = if texture.starts_with("texture_s") {
            ""
        } else {
            ", 0"
        };
        let source = format!(
            "@group(0) @binding(0) var t: {texture};
@group(0) @binding(1) var<storage, read> at: array<u32>;
@group(0) @binding(2) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    data[textureLoad(t, vec2(at[id.x], 0){level}).x] = 1u;
}}"
        );
        let entry = entry(&source);
        assert_eq!(entry.analysis.probeable(&[0, 1]), Ok(()), "{texture}");
        assert_eq!(entry.analysis.feeds(), [true, false], "where to load from");
    }
}
