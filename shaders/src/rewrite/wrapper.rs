//! The new entry point: computes the ids of the whole grid from those of this dispatch, calls the user's function,
//! and reports a run that left its confinement.

use naga::{
    Binding, BuiltIn, EntryPoint, Expression, Function, FunctionArgument, Handle, Scalar,
    ScalarKind, ShaderStage, Statement, TypeInner, VectorSize,
};

use super::build::{Builder, Value};
use super::physical::{Physical, call};
use crate::{Entry, Mode, ShaderError};

/// Adds the entry point that calls `kernel`, the rewritten function of the user's.
pub(super) fn wrap(
    entry: &Entry,
    mode: Mode,
    physical: &mut Physical,
    kernel: Handle<Function>,
) -> Result<(), ShaderError> {
    let point = &entry.module.entry_points[entry.entry_index];
    let mut ids = Ids::new(entry);
    let mut arguments = Vec::new();
    for (i, argument) in point.function.arguments.iter().enumerate() {
        let span = entry.module.types.get_span(argument.ty);
        let unsupported =
            |construct: String| ShaderError::unsupported(construct, span, &entry.source);
        if let Some(binding) = &argument.binding {
            arguments.push(ids.get(physical, binding).map_err(unsupported)?);
            continue;
        }
        let TypeInner::Struct { ref members, .. } = entry.module.types[argument.ty].inner else {
            return Err(unsupported(format!(
                "argument {i} of the entry point without a binding"
            )));
        };
        let mut components = Vec::new();
        for member in members {
            let Some(binding) = &member.binding else {
                return Err(unsupported(
                    "a member of an entry point's argument without a binding".to_owned(),
                ));
            };
            components.push(ids.get(physical, binding).map_err(unsupported)?);
        }
        arguments.push(ids.b.emit(Expression::Compose {
            ty: argument.ty,
            components,
        }));
    }
    if let Some(exit) = physical.exit {
        let lane = ids.physical_id(physical, BuiltIn::LocalInvocationIndex);
        let at = ids.b.global(exit.lane);
        ids.b.store(at, lane);
    }
    let mut b = ids.b;
    call(&mut b, kernel, arguments, false);
    if mode == Mode::Run {
        let flag = b.global(physical.flag);
        let strayed = b.load(flag);
        b.when(strayed, |b| {
            let zero = b.word(0);
            let at = physical.element(b, physical.report, zero);
            let one = b.word(1);
            b.store(at, one);
        });
    }
    b.statement(Statement::Return { value: None });
    let mut function = b.finish();
    function.diagnostic_filter_leaf = point.function.diagnostic_filter_leaf;
    physical.module.entry_points.push(EntryPoint {
        name: entry.name.clone(),
        stage: ShaderStage::Compute,
        early_depth_test: None,
        workgroup_size: entry.workgroup_size,
        workgroup_size_overrides: None,
        function,
        mesh_info: None,
        task_payload: None,
        incoming_ray_payload: None,
    });
    Ok(())
}

/// The built-ins of a dispatch, declared and computed when they are asked for.
struct Ids {
    b: Builder,
    workgroup_size: [u32; 3],
    declared: Vec<(BuiltIn, Value)>,
}

impl Ids {
    fn new(entry: &Entry) -> Self {
        Self {
            b: Builder::new(&entry.name),
            workgroup_size: entry.workgroup_size,
            declared: Vec::new(),
        }
    }

    /// The virtual value of a built-in.
    fn get(&mut self, physical: &mut Physical, binding: &Binding) -> Result<Value, String> {
        let Binding::BuiltIn(builtin) = *binding else {
            return Err("a location in a compute shader".to_owned());
        };
        Ok(match builtin {
            BuiltIn::WorkGroupId => self.workgroup_id(physical),
            BuiltIn::NumWorkGroups => {
                let grid = physical.param(&mut self.b, 1);
                self.xyz(grid)
            }
            BuiltIn::GlobalInvocationId => {
                let group = self.workgroup_id(physical);
                let local = self.physical_id(physical, BuiltIn::LocalInvocationId);
                let ty = physical.vector(VectorSize::Tri, ScalarKind::Uint);
                let components = self.workgroup_size.map(|n| self.b.word(n)).to_vec();
                let size = self.b.emit(Expression::Compose { ty, components });
                let first = self.b.binary(naga::BinaryOperator::Multiply, group, size);
                self.b.add(first, local)
            }
            BuiltIn::LocalInvocationId
            | BuiltIn::LocalInvocationIndex
            | BuiltIn::NumSubgroups
            | BuiltIn::SubgroupId
            | BuiltIn::SubgroupSize
            | BuiltIn::SubgroupInvocationId => self.physical_id(physical, builtin),
            other => return Err(format!("the built-in {other:?}")),
        })
    }

    fn workgroup_id(&mut self, physical: &mut Physical) -> Value {
        let id = self.physical_id(physical, BuiltIn::WorkGroupId);
        let start = physical.param(&mut self.b, 0);
        let start = self.xyz(start);
        self.b.add(id, start)
    }

    fn xyz(&mut self, vector: Value) -> Value {
        use naga::SwizzleComponent::{W, X, Y, Z};
        self.b.emit(Expression::Swizzle {
            size: VectorSize::Tri,
            vector,
            pattern: [X, Y, Z, W],
        })
    }

    fn physical_id(&mut self, physical: &mut Physical, builtin: BuiltIn) -> Value {
        if let Some((_, value)) = self.declared.iter().find(|(b, _)| *b == builtin) {
            return *value;
        }
        let (ty, name) = match builtin {
            BuiltIn::WorkGroupId => (
                physical.vector(VectorSize::Tri, ScalarKind::Uint),
                "workgroup_id",
            ),
            BuiltIn::LocalInvocationId => (
                physical.vector(VectorSize::Tri, ScalarKind::Uint),
                "local_id",
            ),
            _ => (physical.ty(TypeInner::Scalar(Scalar::U32)), "id"),
        };
        let index = self.b.function.arguments.len() as u32;
        self.b.function.arguments.push(FunctionArgument {
            name: Some(name.to_owned()),
            ty,
            binding: Some(Binding::BuiltIn(builtin)),
        });
        let value = self.b.declare(Expression::FunctionArgument(index));
        self.declared.push((builtin, value));
        value
    }
}
