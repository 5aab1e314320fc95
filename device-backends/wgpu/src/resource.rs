//! Textures and samplers beside paged memory: the user's own, of the same wgpu device, bound as they are.
//!
//! Key type: [`Resource`]. Invariant: a texture that is sampled is laid out as its format lets it be, so kernels that
//! sample what cannot be filtered run as well.

use gmem_hal::DeviceError;
use gmem_shaders::naga::{ImageDimension, StorageAccess, StorageFormat};
use gmem_shaders::{Entry, ResourceBinding, ResourceKind, Texel, TextureShape};

/// What a launch binds to a texture or sampler variable: made with [`WgpuDevice::wgpu`](crate::WgpuDevice::wgpu).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A texture.
    Texture(wgpu::TextureView),
    /// A sampler.
    Sampler(wgpu::Sampler),
}

impl Resource {
    /// Whether it is what the variable is: a texture or a sampler.
    #[must_use]
    pub const fn fits(&self, kind: ResourceKind) -> bool {
        matches!(
            (self, kind),
            (Self::Sampler(_), ResourceKind::Sampler { .. })
                | (
                    Self::Texture(_),
                    ResourceKind::Texture { .. } | ResourceKind::StorageTexture { .. }
                )
        )
    }

    pub(crate) fn binding(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Texture(view) => wgpu::BindingResource::TextureView(view),
            Self::Sampler(sampler) => wgpu::BindingResource::Sampler(sampler),
        }
    }
}

/// Checks that each of a kernel's resources is given, and of its kind.
pub(crate) fn check(entry: &Entry, given: &[Resource]) -> Result<(), DeviceError> {
    let missing = (entry.resources.iter().enumerate())
        .find(|(i, binding)| !given.get(*i).is_some_and(|r| r.fits(binding.kind)));
    match missing {
        None => Ok(()),
        Some((_, binding)) => Err(DeviceError::Unsupported {
            reason: format!(
                "kernel `{}`: the {} `{}` ({}) is not bound",
                entry.name,
                binding.kind.noun(),
                binding.name,
                binding.ty
            ),
        }),
    }
}

/// For each of a kernel's resources whether it must not be filtered: textures whose format cannot be, and the samplers
/// that they are sampled with. Empty when all may be.
pub(crate) fn unfiltered(entry: &Entry, given: &[Resource], features: wgpu::Features) -> Vec<bool> {
    let rigid = |binding: &ResourceBinding, resource: &Resource| match (binding.kind, resource) {
        (
            ResourceKind::Texture {
                texel: Texel::Float { sampled: true },
                ..
            },
            Resource::Texture(view),
        ) => !matches!(
            view.texture().format().sample_type(None, Some(features)),
            Some(wgpu::TextureSampleType::Float { filterable: true })
        ),
        _ => false,
    };
    let all = entry.resources.iter();
    let mut out: Vec<bool> = all.zip(given).map(|(b, r)| rigid(b, r)).collect();
    if !out.contains(&true) {
        return Vec::new();
    }
    let at = |global| entry.resources.iter().position(|r| r.global == global);
    for pair in &entry.info.get_entry_point(entry.entry_index).sampling_set {
        if let (Some(image), Some(sampler)) = (at(pair.image), at(pair.sampler))
            && out[image]
        {
            out[sampler] = true;
        }
    }
    out
}

/// The layout of a resource; `unfiltered` as [`unfiltered`] says.
pub(crate) fn layout(kind: ResourceKind, unfiltered: bool) -> wgpu::BindingType {
    match kind {
        ResourceKind::Sampler { comparison: true } => {
            wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Comparison)
        }
        ResourceKind::Sampler { comparison: false } => wgpu::BindingType::Sampler(if unfiltered {
            wgpu::SamplerBindingType::NonFiltering
        } else {
            wgpu::SamplerBindingType::Filtering
        }),
        ResourceKind::Texture {
            shape,
            texel,
            multisampled,
        } => wgpu::BindingType::Texture {
            sample_type: match texel {
                Texel::Float { sampled } => wgpu::TextureSampleType::Float {
                    filterable: sampled && !unfiltered,
                },
                Texel::Sint => wgpu::TextureSampleType::Sint,
                Texel::Uint => wgpu::TextureSampleType::Uint,
                Texel::Depth => wgpu::TextureSampleType::Depth,
            },
            view_dimension: dimension(shape),
            multisampled,
        },
        ResourceKind::StorageTexture {
            shape,
            format: texels,
            access,
            ..
        } => wgpu::BindingType::StorageTexture {
            access: if access.contains(StorageAccess::ATOMIC) {
                wgpu::StorageTextureAccess::Atomic
            } else if access == StorageAccess::LOAD {
                wgpu::StorageTextureAccess::ReadOnly
            } else if access == StorageAccess::STORE {
                wgpu::StorageTextureAccess::WriteOnly
            } else {
                wgpu::StorageTextureAccess::ReadWrite
            },
            format: format(texels),
            view_dimension: dimension(shape),
        },
    }
}

const fn dimension(shape: TextureShape) -> wgpu::TextureViewDimension {
    use wgpu::TextureViewDimension as D;
    match (shape.dimension, shape.arrayed) {
        (ImageDimension::D1, _) => D::D1,
        (ImageDimension::D2, false) => D::D2,
        (ImageDimension::D2, true) => D::D2Array,
        (ImageDimension::D3, _) => D::D3,
        (ImageDimension::Cube, false) => D::Cube,
        (ImageDimension::Cube, true) => D::CubeArray,
    }
}

const fn format(format: StorageFormat) -> wgpu::TextureFormat {
    use StorageFormat as S;
    use wgpu::TextureFormat as T;
    match format {
        S::R8Unorm => T::R8Unorm,
        S::R8Snorm => T::R8Snorm,
        S::R8Uint => T::R8Uint,
        S::R8Sint => T::R8Sint,
        S::R16Uint => T::R16Uint,
        S::R16Sint => T::R16Sint,
        S::R16Float => T::R16Float,
        S::Rg8Unorm => T::Rg8Unorm,
        S::Rg8Snorm => T::Rg8Snorm,
        S::Rg8Uint => T::Rg8Uint,
        S::Rg8Sint => T::Rg8Sint,
        S::R32Uint => T::R32Uint,
        S::R32Sint => T::R32Sint,
        S::R32Float => T::R32Float,
        S::Rg16Uint => T::Rg16Uint,
        S::Rg16Sint => T::Rg16Sint,
        S::Rg16Float => T::Rg16Float,
        S::Rgba8Unorm => T::Rgba8Unorm,
        S::Rgba8Snorm => T::Rgba8Snorm,
        S::Rgba8Uint => T::Rgba8Uint,
        S::Rgba8Sint => T::Rgba8Sint,
        S::Bgra8Unorm => T::Bgra8Unorm,
        S::Rgb10a2Uint => T::Rgb10a2Uint,
        S::Rgb10a2Unorm => T::Rgb10a2Unorm,
        S::Rg11b10Ufloat => T::Rg11b10Ufloat,
        S::R64Uint => T::R64Uint,
        S::Rg32Uint => T::Rg32Uint,
        S::Rg32Sint => T::Rg32Sint,
        S::Rg32Float => T::Rg32Float,
        S::Rgba16Uint => T::Rgba16Uint,
        S::Rgba16Sint => T::Rgba16Sint,
        S::Rgba16Float => T::Rgba16Float,
        S::Rgba32Uint => T::Rgba32Uint,
        S::Rgba32Sint => T::Rgba32Sint,
        S::Rgba32Float => T::Rgba32Float,
        S::R16Unorm => T::R16Unorm,
        S::R16Snorm => T::R16Snorm,
        S::Rg16Unorm => T::Rg16Unorm,
        S::Rg16Snorm => T::Rg16Snorm,
        S::Rgba16Unorm => T::Rgba16Unorm,
        S::Rgba16Snorm => T::Rgba16Snorm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_shaders::Program;

    fn layouts(source: &str) -> Vec<wgpu::BindingType> {
        let entry = Program::from_wgsl(source)
            .and_then(|p| p.entry(None, &[]))
            .expect("a kernel");
        let all = entry.resources.iter();
        all.map(|r| layout(r.kind, false)).collect()
    }

    #[test]
    fn resources_are_laid_out_as_they_are_used() {
        let found = layouts(
            "@group(0) @binding(0) var loaded: texture_2d<f32>;
@group(0) @binding(1) var sampled: texture_2d_array<f32>;
@group(0) @binding(2) var s: sampler;
@group(0) @binding(3) var c: sampler_comparison;
@group(0) @binding(4) var d: texture_depth_cube;
@group(0) @binding(5) var i: texture_3d<i32>;
@group(0) @binding(6) var out: texture_storage_2d<rgba16float, write>;
@group(0) @binding(7) var both: texture_storage_1d<r32uint, read_write>;
@group(0) @binding(8) var m: texture_multisampled_2d<u32>;
@compute @workgroup_size(1) fn main() {
    var v = textureLoad(loaded, vec2(0), 0) + textureSampleLevel(sampled, s, vec2(0.5), 1, 0.0);
    v += f32(textureLoad(i, vec3(0), 0).x) + f32(textureLoad(m, vec2(0), 1).x);
    v += textureSampleCompareLevel(d, c, vec3(1.0), 0.5);
    textureStore(both, 0, textureLoad(both, 0));
    textureStore(out, vec2(0), v);
}",
        );
        use wgpu::TextureViewDimension as D;
        let texture = |sample_type, view_dimension, multisampled| wgpu::BindingType::Texture {
            sample_type,
            view_dimension,
            multisampled,
        };
        let float = |filterable| wgpu::TextureSampleType::Float { filterable };
        let storage = |access, format, view_dimension| wgpu::BindingType::StorageTexture {
            access,
            format,
            view_dimension,
        };
        assert_eq!(
            found,
            [
                texture(float(false), D::D2, false),
                texture(float(true), D::D2Array, false),
                wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
                wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Comparison),
                texture(wgpu::TextureSampleType::Depth, D::Cube, false),
                texture(wgpu::TextureSampleType::Sint, D::D3, false),
                storage(
                    wgpu::StorageTextureAccess::WriteOnly,
                    wgpu::TextureFormat::Rgba16Float,
                    D::D2
                ),
                storage(
                    wgpu::StorageTextureAccess::ReadWrite,
                    wgpu::TextureFormat::R32Uint,
                    D::D1
                ),
                texture(wgpu::TextureSampleType::Uint, D::D2, true),
            ]
        );
    }
}
