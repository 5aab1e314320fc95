//! A second exit for every loop, on GL: never taken, but some drivers are wrong without it.
//!
//! Mesa's llvmpipe, as met through GL, keeps the value that a loop's last iteration gave a variable *for every lane*,
//! also for lanes that had left before, when the loop has one exit and the variable is written before it: a condition
//! that loads from storage would raise the flag of a launch for nothing. Two exits make the driver merge the values
//! lane by lane. (Through SPIR-V every loop has a bound of naga's, which is such an exit.)
//!
//! Invariant: the exit hangs on a word of the parameter block that the host always leaves zero.

use gmem_shaders::naga::{
    BinaryOperator, Block, Expression, Function, GlobalVariable, Handle, Literal, Module, Span,
    Statement,
};
use gmem_shaders::{Rewritten, SlotKind};

/// The vector and component of the parameter block that are always zero.
const ZERO: (u32, u32) = (1, 3);

/// Gives every loop of a rewritten kernel a second exit.
pub(crate) fn add_exits(rewritten: &mut Rewritten) {
    let Some(slot) = rewritten.slots.iter().find(|s| s.kind == SlotKind::Params) else {
        return;
    };
    let module: &mut Module = &mut rewritten.module;
    let params = (module.global_variables.iter())
        .find(|(_, g)| {
            g.binding
                .is_some_and(|b| b.group == 0 && b.binding == slot.binding)
        })
        .map(|(handle, _)| handle);
    let Some(params) = params else { return };
    let entries = module.entry_points.iter_mut().map(|e| &mut e.function);
    for function in module.functions.iter_mut().map(|(_, f)| f).chain(entries) {
        if has_loop(&function.body) {
            add(function, params);
        }
    }
}

fn add(function: &mut Function, params: Handle<GlobalVariable>) {
    let expressions = &mut function.expressions;
    let block = expressions.append(Expression::GlobalVariable(params), Span::UNDEFINED);
    let zero = expressions.append(Expression::Literal(Literal::U32(0)), Span::UNDEFINED);
    let before = expressions.len();
    let vector = expressions.append(
        Expression::AccessIndex {
            base: block,
            index: ZERO.0,
        },
        Span::UNDEFINED,
    );
    let word = expressions.append(
        Expression::AccessIndex {
            base: vector,
            index: ZERO.1,
        },
        Span::UNDEFINED,
    );
    let word = expressions.append(Expression::Load { pointer: word }, Span::UNDEFINED);
    let never = Expression::Binary {
        op: BinaryOperator::NotEqual,
        left: word,
        right: zero,
    };
    let never = expressions.append(never, Span::UNDEFINED);
    let emitted = expressions.range_from(before);
    let mut body = Block::from_vec(vec![Statement::Emit(emitted)]);
    body.extend_block(std::mem::take(&mut function.body));
    loops(&mut body, &mut |body| {
        let leave = Block::from_vec(vec![Statement::Break]);
        let exit = Statement::If {
            condition: never,
            accept: leave,
            reject: Block::new(),
        };
        let mut with = Block::from_vec(vec![exit]);
        with.extend_block(std::mem::take(body));
        *body = with;
    });
    function.body = body;
}

/// Calls `f` with the body of every loop.
fn loops(block: &mut Block, f: &mut impl FnMut(&mut Block)) {
    for statement in block.iter_mut() {
        match statement {
            Statement::Block(inner) => loops(inner, f),
            Statement::If { accept, reject, .. } => {
                loops(accept, f);
                loops(reject, f);
            }
            Statement::Switch { cases, .. } => {
                cases.iter_mut().for_each(|case| loops(&mut case.body, f))
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                loops(body, f);
                loops(continuing, f);
                f(body);
            }
            _ => {}
        }
    }
}

fn has_loop(block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Block(inner) => has_loop(inner),
        Statement::If { accept, reject, .. } => has_loop(accept) || has_loop(reject),
        Statement::Switch { cases, .. } => cases.iter().any(|case| has_loop(&case.body)),
        Statement::Loop { .. } => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_shaders::naga::valid::{Capabilities, ValidationFlags, Validator};
    use gmem_shaders::{How, Mode, Program, Variant};

    #[test]
    fn every_loop_gets_one_more_break_and_the_module_stays_valid() {
        let source = "
            @group(0) @binding(0) var<storage, read_write> a: array<u32>;
            fn sum(n: u32) -> u32 { var s = 0u; for (var i = 0u; i < a[n]; i++) { s += a[i]; } return s; }
            @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                loop { if a[0] == 0u { break; } while a[1] > 2u { a[1] -= sum(id.x); } }
            }";
        let entry = Program::from_wgsl(source)
            .unwrap()
            .entry(None, &[])
            .unwrap();
        let variant = Variant {
            mode: Mode::Run,
            page_shift: 16,
            windows: 1,
            bindings: vec![How::Paged],
        };
        let mut rewritten = entry.rewrite(&variant).unwrap();
        let breaks = |r: &Rewritten| format!("{:?}", r.module).matches("Break").count();
        let before = breaks(&rewritten);
        add_exits(&mut rewritten);
        assert_eq!(breaks(&rewritten), before + 3);
        Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&rewritten.module)
            .unwrap();
    }
}
