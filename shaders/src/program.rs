//! A parsed shader, and one of its entry points made ready: overrides resolved, bindings reflected, analysed.

use std::sync::Arc;

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::{PipelineConstantError, process_overrides};
use naga::proc::Layouter;
use naga::valid::ModuleInfo;
use naga::{
    AddressSpace, Binding, BuiltIn, Handle, Module, Override, Scalar, ScalarKind, ShaderStage,
    Type, TypeInner,
};

use crate::analysis::Analysis;
use crate::error::{ShaderError, chain};
use crate::front::guard::{caught, deep};
use crate::front::{self, Read, Source};
use crate::immediate;
use crate::reflect::{self, RuntimeArray, StorageBinding, ValueBinding, ValueKind};
use crate::resource::{self, ResourceBinding};
use crate::rewrite;
use crate::variant::{Slot, Variant};

/// A shader, parsed and validated.
pub struct Program {
    source: Arc<str>,
    module: Module,
    info: ModuleInfo,
}

/// A compute entry point, ready to be rewritten.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The shader with overrides resolved; spans lead back to the source.
    pub module: Module,
    /// What validation found out about [`Entry::module`].
    pub info: ModuleInfo,
    /// The entry point's place in the module.
    pub entry_index: usize,
    /// Invocations of a workgroup.
    pub workgroup_size: [u32; 3],
    /// The storage it uses, itself or through functions, by group and binding.
    pub storage: Vec<StorageBinding>,
    /// The uniforms it uses, by group and binding, then its immediates.
    pub values: Vec<ValueBinding>,
    /// The textures and samplers it uses, by group and binding.
    pub resources: Vec<ResourceBinding>,
    /// What it touches.
    pub analysis: Analysis,
    pub(crate) source: Arc<str>,
}

/// A rewritten entry point.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The module: valid, without spans, with one entry point.
    pub module: Module,
    /// The entry point's name.
    pub entry: String,
    /// What to bind in group 0.
    pub slots: Vec<Slot>,
    /// The binding number in group 1 of each of [`Entry::values`].
    pub values: Vec<u32>,
    /// The binding number in group 1 of each of [`Entry::resources`].
    pub resources: Vec<u32>,
    /// Storage buffers that it binds: the slots that are not the parameters, and the values that are bound as storage.
    pub storage_buffers: u32,
    /// Invocations of a workgroup.
    pub workgroup_size: [u32; 3],
}

impl Program {
    /// Parses and validates a shader.
    ///
    /// # Errors
    /// [`ShaderError::Parse`] and [`ShaderError::Invalid`], with the line where there is one, and
    /// [`ShaderError::Unsupported`] for what cannot be read.
    pub fn parse<'a>(source: impl Into<Source<'a>>) -> Result<Self, ShaderError> {
        let Read { module, info, text } = front::read(&source.into())?;
        Ok(Self {
            source: text,
            module,
            info,
        })
    }

    /// Parses and validates WGSL.
    ///
    /// # Errors
    /// As [`Program::parse`].
    pub fn from_wgsl(source: &str) -> Result<Self, ShaderError> {
        Self::parse(source)
    }

    /// The names of the compute entry points.
    #[must_use]
    pub fn entry_points(&self) -> Vec<&str> {
        self.module
            .entry_points
            .iter()
            .filter(|e| e.stage == ShaderStage::Compute)
            .map(|e| e.name.as_str())
            .collect()
    }

    /// One compute entry point (the only one when `name` is `None`), with values for `override`s by name or `@id`.
    ///
    /// # Errors
    /// [`ShaderError::NoEntryPoint`], [`ShaderError::Override`], or [`ShaderError::Unsupported`] for what it uses
    /// besides storage, values, textures and samplers.
    pub fn entry(
        &self,
        name: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Entry, ShaderError> {
        let names = self.entry_points();
        let chosen = match name {
            Some(name) => names.iter().find(|n| **n == name).copied(),
            None if names.len() == 1 => Some(names[0]),
            None => None,
        };
        let Some(chosen) = chosen else {
            return Err(ShaderError::NoEntryPoint {
                name: name.map(str::to_owned),
                available: names.into_iter().map(str::to_owned).collect(),
            });
        };
        let constants = self.constants(overrides)?;
        deep(|| {
            let (module, info) = self.resolved(chosen, &constants)?;
            let entry_index = module
                .entry_points
                .iter()
                .position(|e| e.stage == ShaderStage::Compute && e.name == chosen)
                .ok_or_else(|| ShaderError::Internal("the entry point vanished".to_owned()))?;
            reflect_entry(module, info, entry_index, &self.source)
        })
    }

    /// The module with the values of its constants, for an entry point.
    fn resolved(
        &self,
        entry: &str,
        constants: &PipelineConstants,
    ) -> Result<(Module, ModuleInfo), ShaderError> {
        let entry = Some((ShaderStage::Compute, entry));
        let resolved = caught(|| {
            process_overrides(&self.module, &self.info, entry, constants)
                .map(|(module, info)| (module.into_owned(), info.into_owned()))
                .map_err(Box::new)
        })?;
        resolved.map_err(|e| match *e {
            PipelineConstantError::MissingValue(key) => {
                // An `@id` stands for its constant's name.
                let declared = self.declared(&key).and_then(|o| o.name.clone());
                self.override_error(
                    Some(declared.as_ref().unwrap_or(&key)),
                    "it has no value here and none by default",
                )
            }
            e => self.override_error(None, &chain(&e)),
        })
    }
}

/// Values of `override` constants.
impl Program {
    /// By the keys that naga knows them by.
    fn constants(&self, overrides: &[(String, f64)]) -> Result<PipelineConstants, ShaderError> {
        let mut constants = PipelineConstants::default();
        for (key, value) in overrides {
            let Some(declared) = self.declared(key) else {
                return Err(self.override_error(Some(key), "there is none of that name"));
            };
            if let TypeInner::Scalar(scalar) = self.module.types[declared.ty].inner
                && !fits(*value, scalar)
            {
                let ty = reflect::type_name(&self.module, declared.ty);
                return Err(
                    self.override_error(Some(key), &format!("{value} does not fit in {ty}"))
                );
            }
            let id = declared.id.map(|id| id.to_string());
            constants.insert(id.unwrap_or_else(|| key.clone()), *value);
        }
        Ok(constants)
    }

    /// A constant, by its name or `@id`.
    fn declared(&self, key: &str) -> Option<&Override> {
        let mut all = self.module.overrides.iter().map(|(_, o)| o);
        all.find(|o| o.name.as_deref() == Some(key) || o.id.is_some_and(|id| id.to_string() == key))
    }

    fn override_error(&self, name: Option<&String>, message: &str) -> ShaderError {
        let all = self.module.overrides.iter();
        ShaderError::Override {
            name: name.cloned(),
            message: message.to_owned(),
            available: all
                .map(|(_, o)| {
                    let name = o.name.clone();
                    name.unwrap_or_else(|| o.id.map_or_else(String::new, |id| id.to_string()))
                })
                .collect(),
        }
    }
}

/// Whether a constant of that type can have the value; what is behind the point is cut off, as WebGPU does.
fn fits(value: f64, scalar: Scalar) -> bool {
    let bits = u32::from(scalar.width) * 8;
    let whole = value.trunc();
    match scalar.kind {
        ScalarKind::Bool => true,
        ScalarKind::Uint => whole >= 0.0 && whole < 2_f64.powi(bits as i32),
        ScalarKind::Sint => {
            let half = 2_f64.powi(bits as i32 - 1);
            whole >= -half && whole < half
        }
        // How large numbers are rounded is left to the compiler.
        _ => value.is_finite(),
    }
}

impl Entry {
    /// Rewrites the entry point so that its storage accesses are translated as `variant` says.
    ///
    /// # Errors
    /// [`ShaderError::Unsupported`] for what it uses that cannot be translated (in a probe more than in a run),
    /// [`ShaderError::Variant`] for a variant that does not fit.
    pub fn rewrite(&self, variant: &Variant) -> Result<Rewritten, ShaderError> {
        self.rewrite_within(variant, u32::MAX)
    }

    /// As [`Entry::rewrite`], for a device whose shaders bind at most `most` storage buffers: where the best translation
    /// binds more, bindings share views of the windows. Whether that was enough, [`Rewritten::storage_buffers`] says.
    ///
    /// # Errors
    /// As [`Entry::rewrite`].
    pub fn rewrite_within(&self, variant: &Variant, most: u32) -> Result<Rewritten, ShaderError> {
        deep(|| rewrite::rewrite(self, variant, most))
    }

    /// Whether it asks for `global_invocation_id`, which begins again at 0 where a dimension has more than 2^32 invocations.
    #[must_use]
    pub fn has_global_ids(&self) -> bool {
        let asked = |binding: &Option<Binding>| {
            *binding == Some(Binding::BuiltIn(BuiltIn::GlobalInvocationId))
        };
        let arguments = &self.module.entry_points[self.entry_index]
            .function
            .arguments;
        arguments.iter().any(|argument| {
            asked(&argument.binding)
                || matches!(self.module.types[argument.ty].inner, TypeInner::Struct { ref members, .. }
                    if members.iter().any(|member| asked(&member.binding)))
        })
    }

    /// What positions in [`Entry::module`] are positions in: the source, or of SPIR-V as many empty lines as the
    /// source had that it was made from (none if it does not say).
    #[must_use]
    pub fn text(&self) -> &str {
        &self.source
    }
}

fn reflect_entry(
    module: Module,
    info: ModuleInfo,
    entry_index: usize,
    source: &Arc<str>,
) -> Result<Entry, ShaderError> {
    let mut layouter = Layouter::default();
    layouter
        .update(module.to_ctx())
        .map_err(|e| ShaderError::Internal(chain(&e)))?;
    let uses = info.get_entry_point(entry_index);
    let mut storage = Vec::new();
    let mut values = Vec::new();
    let mut resources = Vec::new();
    for (global, var) in module.global_variables.iter() {
        if uses[global].is_empty() {
            continue;
        }
        let span = module.global_variables.get_span(global);
        let name = var.name.clone().unwrap_or_default();
        let (group, binding) = var.binding.map_or((0, 0), |b| (b.group, b.binding));
        match var.space {
            AddressSpace::Storage { .. } => {
                if matches!(module.types[var.ty].inner, TypeInner::BindingArray { .. }) {
                    let what = format!("the array of bindings `{name}`");
                    return Err(ShaderError::unsupported(what, span, source));
                }
                let runtime = runtime_array(&module, var.ty);
                let element = match module.types[var.ty].inner {
                    TypeInner::Array { base, .. } => base,
                    _ => var.ty,
                };
                storage.push(StorageBinding {
                    global,
                    name,
                    group,
                    binding,
                    min_bytes: layouter[var.ty].size,
                    align: layouter[var.ty].alignment * 1,
                    runtime,
                    element: reflect::type_name(&module, element),
                    scalar: reflect::common_scalar(&module, var.ty),
                    reads: false,
                    writes: false,
                    atomics: false,
                });
            }
            AddressSpace::Uniform | AddressSpace::Immediate => values.push(ValueBinding {
                global,
                name,
                group,
                binding,
                kind: match var.space {
                    AddressSpace::Immediate => immediate::kind_of(&module, global),
                    _ => ValueKind::Uniform,
                },
                bytes: layouter[var.ty].size,
                leaves: reflect::leaves(&module, var.ty),
            }),
            AddressSpace::Private | AddressSpace::WorkGroup | AddressSpace::Function => {}
            AddressSpace::Handle => {
                let kind = resource::kind_of(&module, uses, global)
                    .map_err(|construct| ShaderError::unsupported(construct, span, source))?;
                resources.push(ResourceBinding {
                    global,
                    name,
                    group,
                    binding,
                    ty: resource::type_name(&module, var.ty),
                    kind,
                });
            }
            _ => {
                return Err(ShaderError::unsupported(
                    format!("the address space of `{name}`"),
                    span,
                    source,
                ));
            }
        }
    }
    storage.sort_by_key(|s| (s.group, s.binding));
    values.sort_by_key(|v| (v.slot().is_none(), v.group, v.binding));
    resources.sort_by_key(|r| (r.group, r.binding));
    let storage_globals: Vec<_> = storage.iter().map(|s| s.global).collect();
    let value_globals: Vec<_> = values.iter().map(|v| v.global).collect();
    let analysis = Analysis::new(
        &module,
        &info,
        entry_index,
        &storage_globals,
        &value_globals,
    )
    .with_source(source);
    for (binding, used) in storage.iter_mut().zip(analysis.uses()) {
        binding.reads = used.reads;
        binding.writes = used.writes;
        binding.atomics = used.atomics;
    }
    let entry = &module.entry_points[entry_index];
    Ok(Entry {
        name: entry.name.clone(),
        workgroup_size: entry.workgroup_size,
        entry_index,
        storage,
        values,
        resources,
        analysis,
        source: Arc::clone(source),
        module,
        info,
    })
}

/// The runtime-sized array that a type is or ends in.
pub(crate) fn runtime_array(module: &Module, ty: Handle<Type>) -> Option<RuntimeArray> {
    match module.types[ty].inner {
        TypeInner::Array {
            size: naga::ArraySize::Dynamic,
            stride,
            ..
        } => Some(RuntimeArray { offset: 0, stride }),
        TypeInner::Struct { ref members, .. } => {
            let last = members.last()?;
            let inner = runtime_array(module, last.ty)?;
            Some(RuntimeArray {
                offset: last.offset + inner.offset,
                stride: inner.stride,
            })
        }
        _ => None,
    }
}
