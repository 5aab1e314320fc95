//! Textures and samplers beside storage: what an entry point binds that is passed through as it is.
//!
//! They are no memory of the address space: they have no pages, and whoever launches the kernel gives what to bind.

use naga::common::wgsl::TypeContext;
use naga::valid::{FunctionInfo, GlobalUse};
use naga::{
    GlobalVariable, Handle, ImageClass, ImageDimension, Module, ScalarKind, StorageAccess,
    StorageFormat, Type, TypeInner,
};

/// A texture or sampler that an entry point uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceBinding {
    /// The variable in [`Entry::module`](crate::Entry::module).
    pub global: Handle<GlobalVariable>,
    /// Its name.
    pub name: String,
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// Its WGSL type, such as `texture_2d<f32>`.
    pub ty: String,
    /// What may be bound to it.
    pub kind: ResourceKind,
}

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A sampled texture, or one of depths.
    Texture {
        /// How its texels lie.
        shape: TextureShape,
        /// What its texels are.
        texel: Texel,
        /// Whether each texel is several samples.
        multisampled: bool,
    },
    /// A texture that the kernel may store to.
    StorageTexture {
        /// How its texels lie.
        shape: TextureShape,
        /// Its format.
        format: StorageFormat,
        /// What is declared of it.
        access: StorageAccess,
        /// Whether the kernel really stores to it: by that a launch has an effect besides its storage bindings.
        writes: bool,
    },
    /// A sampler.
    Sampler {
        /// Whether it compares.
        comparison: bool,
    },
}

/// How the texels of a texture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextureShape {
    /// The dimensions of one layer.
    pub dimension: ImageDimension,
    /// Whether there are several layers.
    pub arrayed: bool,
}

/// What the texels of a sampled texture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Texel {
    /// Floats.
    Float {
        /// Whether the kernel samples it with a sampler, which then may filter.
        sampled: bool,
    },
    /// Signed integers.
    Sint,
    /// Unsigned integers.
    Uint,
    /// Depths.
    Depth,
}

impl ResourceKind {
    /// The words for it in a message: `texture` or `sampler`.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Sampler { .. } => "sampler",
            Self::Texture { .. } | Self::StorageTexture { .. } => "texture",
        }
    }

    /// Whether the kernel stores to it.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::StorageTexture { writes: true, .. })
    }
}

/// What a variable without an address is, or in words why it cannot be bound.
pub(crate) fn kind_of(
    module: &Module,
    uses: &FunctionInfo,
    global: Handle<GlobalVariable>,
) -> Result<ResourceKind, String> {
    let var = &module.global_variables[global];
    let refused = |what: &str| {
        let name = var.name.as_deref().unwrap_or("(unnamed)");
        Err(format!("{what} `{name}`"))
    };
    match module.types[var.ty].inner {
        TypeInner::Sampler { comparison } => Ok(ResourceKind::Sampler { comparison }),
        TypeInner::Image {
            dim,
            arrayed,
            class,
        } => {
            let shape = TextureShape {
                dimension: dim,
                arrayed,
            };
            let texture = |texel, multisampled| ResourceKind::Texture {
                shape,
                texel,
                multisampled,
            };
            Ok(match class {
                ImageClass::Sampled { kind, multi } => {
                    let sampled = uses.sampling_set.iter().any(|pair| pair.image == global);
                    let texel = match kind {
                        ScalarKind::Sint => Texel::Sint,
                        ScalarKind::Uint => Texel::Uint,
                        _ => Texel::Float { sampled },
                    };
                    texture(texel, multi)
                }
                ImageClass::Depth { multi } => texture(Texel::Depth, multi),
                ImageClass::Storage { format, access } => ResourceKind::StorageTexture {
                    shape,
                    format,
                    access,
                    writes: uses[global].intersects(GlobalUse::WRITE | GlobalUse::ATOMIC),
                },
                ImageClass::External => return refused("the external texture"),
            })
        }
        TypeInner::BindingArray { .. } => refused("the array of bindings"),
        TypeInner::AccelerationStructure { .. } => refused("the acceleration structure"),
        _ => refused("the type of"),
    }
}

/// The WGSL spelling of a resource's type.
pub(crate) fn type_name(module: &Module, ty: Handle<Type>) -> String {
    module.types.type_to_string(ty)
}
