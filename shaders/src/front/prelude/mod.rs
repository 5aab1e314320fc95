//! The prelude: 64-bit pointers into the address space, for WGSL that names them.
//!
//! A source that uses one of the names below, and does not declare it itself, is given its declaration *behind* its own text, so
//! that every position stays what it was; positions in the supplied part are positions in nothing. The functions are ordinary WGSL over hidden storage bindings, which are then
//! translated like any other: what a pointer reaches is paged, probed and attempted as an array element is.
//!
//! | hidden binding | what it is |
//! |---|---|
//! | [`SPACE`], and typed aliases of it for atomics | the space from the lowest to the highest reachable page, as pages of 4 KiB |
//! | [`REACH`] | which bytes of that may be reached, and stored to: see [`REACH_WORDS`] |
//! | [`FAULTS`] | accesses that were none, which gave zero or were dropped: see [`FAULT_WORDS`] |
//!
//! A plain load is a plain load, and no address depends on an atomic: so a kernel that only reads through pointers is probed,
//! level by level, and only one that also writes through them is attempted.

mod text;

use std::borrow::Cow;
use std::collections::BTreeSet;

use naga::{
    AddressSpace, Binding, Block, BuiltIn, Expression, Function, FunctionArgument, GlobalVariable,
    Handle, Literal, Module, Scalar, ShaderStage, Span, Statement, Type, TypeInner, VectorSize,
};

use super::tokens::{Token, Tokens};
use crate::error::{ShaderError, line};

/// The group of the hidden bindings: no kernel has it for its own.
pub const GROUP: u32 = 0x676d_7074;
/// The binding of the space as plain words. Those above [`FAULTS`] are it too, for atomics.
pub const SPACE: u32 = 0;
/// The binding of the table of reachable ranges.
pub const REACH: u32 = 1;
/// The binding of the records of accesses that were none.
pub const FAULTS: u32 = 2;

/// Words of an entry of the table. The first entry has the address of the space binding's first byte in its first two words (low
/// word first). Each other one is a range: its first address, then the one past its last, low words first. Bit 31 of the
/// last word says that it may be stored to. Ranges ascend and are disjoint.
pub const REACH_WORDS: usize = 4;
/// The bit of a range that may be stored to.
pub const REACH_WRITABLE: u32 = 1 << 31;

/// Words of a record: the address (low word first), what happened ([`fault_of`]), the source line (0 when unknown), the
/// workgroup's id, and their sum as [`fault_sum`] makes it. A record whose last word is 0 is none.
pub const FAULT_WORDS: usize = 8;
/// Records in all: an access chooses its own by what it is, so that some survive a flood.
pub const FAULTS_KEPT: usize = 64;

/// What an access was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointerAccess {
    /// `gm_load_*`.
    Load,
    /// `gm_store_*`.
    Store,
    /// `gm_atomic_*`.
    Atomic,
}

/// Why it could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointerFault {
    /// Not all of its bytes lie in one range of the table.
    Nothing,
    /// They may only be read.
    ReadOnly,
    /// Its address is not a multiple of its size.
    Misaligned,
}

/// The third word of a record: the access, what was wrong with it, and its bytes.
#[must_use]
pub fn fault_of(word: u32) -> Option<(PointerAccess, PointerFault, u32)> {
    let access = match word & 15 {
        1 => PointerAccess::Load,
        2 => PointerAccess::Store,
        3 => PointerAccess::Atomic,
        _ => return None,
    };
    let fault = match word >> 4 & 15 {
        1 => PointerFault::Nothing,
        2 => PointerFault::ReadOnly,
        3 => PointerFault::Misaligned,
        _ => return None,
    };
    Some((access, fault, word >> 8))
}

/// The last word of a record: records that two invocations wrote at once do not have it right.
#[must_use]
pub fn fault_sum(words: &[u32]) -> u32 {
    let sum = words[..FAULT_WORDS - 1].iter();
    sum.fold(7u32, |sum, &word| sum.wrapping_mul(31).wrapping_add(word)) | 1
}

/// Whether a function of that name is one of the prelude's that reach memory.
pub(crate) fn reaches_memory(name: &str) -> bool {
    text::is_access(name)
}

/// The private variables that an access finds its line and workgroup in.
const LINE: &str = "gm_hidden_line";
const WORKGROUP: &str = "gm_hidden_workgroup";

/// Words that a name is declared behind.
const DECLARES: [&str; 7] = ["fn", "alias", "struct", "const", "let", "var", "override"];
/// Words that may stand between `var` and its name.
const SPACES: [&str; 10] = [
    "function",
    "private",
    "workgroup",
    "uniform",
    "storage",
    "immediate",
    "push_constant",
    "read",
    "write",
    "read_write",
];

/// Stands between a text and what is supplied.
const SEAM: &str = "\n// What follows is not the kernel's own.\n";

/// The text with the declarations of what it names of the prelude.
pub(super) fn supplied(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains("gm_") {
        return text;
    }
    let names = asked(&text);
    if names.is_empty() {
        return text;
    }
    let mut out = format!("{text}{SEAM}");
    text::declare(&names, &mut out);
    Cow::Owned(out)
}

/// The text without what was supplied behind it, if anything was.
pub(super) fn own(text: &str, supplied: bool) -> &str {
    match text.rfind(SEAM) {
        Some(end) if supplied => &text[..end],
        _ => text,
    }
}

/// The names of the prelude that a text uses and does not declare.
fn asked(text: &str) -> BTreeSet<&str> {
    let words = Tokens::new(text, false).filter_map(|(_, token)| match token {
        Token::Word(word) => Some(word),
        _ => None,
    });
    let (mut names, mut own) = (BTreeSet::new(), BTreeSet::new());
    let mut declares = false;
    for word in words {
        if text::is_known(word) {
            if declares {
                own.insert(word);
            }
            names.insert(word);
        }
        // What comes between `var` and a name.
        declares = DECLARES.contains(&word) || (declares && SPACES.contains(&word));
    }
    names.retain(|name| !own.contains(name));
    names
}

/// Whether something was supplied behind a kernel's own text.
fn is_supplied(span: Span, own: &str) -> bool {
    span.to_range()
        .is_some_and(|range| range.start >= own.len())
}

/// Refuses variables of a kernel's own in the group of the hidden ones. `own`: the text that its positions are positions in, of
/// WGSL; nothing was supplied behind any other.
pub(super) fn check_groups(module: &Module, own: &str, wgsl: bool) -> Result<(), ShaderError> {
    for (handle, variable) in module.global_variables.iter() {
        let span = module.global_variables.get_span(handle);
        let hidden = (variable.binding).is_some_and(|binding| binding.group == GROUP);
        if hidden && !(wgsl && is_supplied(span, own)) {
            return Err(ShaderError::Unsupported {
                construct: format!("bind group {GROUP}, which pointers are followed by"),
                line: line(span, own),
            });
        }
    }
    Ok(())
}

/// Has each access know its line, and each invocation its workgroup. Does nothing to a module without the prelude.
pub(super) fn note_places(module: &mut Module, source: &str) {
    let find = |name: &str| {
        let is = |handle: Handle<GlobalVariable>, variable: &GlobalVariable| {
            variable.space == AddressSpace::Private
                && variable.name.as_deref() == Some(name)
                && is_supplied(module.global_variables.get_span(handle), source)
        };
        module
            .global_variables
            .iter()
            .find(|(handle, v)| is(*handle, v))
            .map(|(handle, _)| handle)
    };
    let (Some(line), Some(workgroup)) = (find(LINE), find(WORKGROUP)) else {
        return;
    };
    let accesses: Vec<Handle<Function>> = (module.functions.iter())
        .filter(|(_, f)| f.name.as_deref().is_some_and(text::is_access))
        .map(|(handle, _)| handle)
        .collect();
    for (_, function) in module.functions.iter_mut() {
        note_lines(function, line, &accesses, source);
    }
    let id = TypeInner::Vector {
        size: VectorSize::Tri,
        scalar: Scalar::U32,
    };
    let id = module.types.insert(
        Type {
            name: None,
            inner: id,
        },
        Span::UNDEFINED,
    );
    for entry in &mut module.entry_points {
        note_lines(&mut entry.function, line, &accesses, source);
        if entry.stage == ShaderStage::Compute {
            note_workgroup(&module.types, &mut entry.function, workgroup, id);
        }
    }
}

/// Stores the line before each access.
fn note_lines(
    function: &mut Function,
    variable: Handle<GlobalVariable>,
    accesses: &[Handle<Function>],
    source: &str,
) {
    let mut body = std::mem::take(&mut function.body);
    let mut pointer = None;
    visit(&mut body, &mut |block: &mut Block| {
        let calls = block.iter().any(|s| is_access(s, accesses));
        if !calls {
            return;
        }
        let old = std::mem::take(block);
        for (statement, span) in old.span_into_iter() {
            if is_access(&statement, accesses) {
                let expressions = &mut function.expressions;
                let pointer = *pointer.get_or_insert_with(|| {
                    expressions.append(Expression::GlobalVariable(variable), Span::UNDEFINED)
                });
                let number = Expression::Literal(Literal::U32(line(span, source)));
                let value = expressions.append(number, Span::UNDEFINED);
                block.push(Statement::Store { pointer, value }, span);
            }
            block.push(statement, span);
        }
    });
    function.body = body;
}

fn is_access(statement: &Statement, accesses: &[Handle<Function>]) -> bool {
    matches!(statement, Statement::Call { function, .. } if accesses.contains(function))
}

/// Visits a block and those in it, the inner ones first.
fn visit(block: &mut Block, f: &mut impl FnMut(&mut Block)) {
    for statement in block.iter_mut() {
        match statement {
            Statement::Block(inner) => visit(inner, f),
            Statement::If { accept, reject, .. } => {
                visit(accept, f);
                visit(reject, f);
            }
            Statement::Switch { cases, .. } => {
                cases.iter_mut().for_each(|case| visit(&mut case.body, f));
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                visit(body, f);
                visit(continuing, f);
            }
            _ => {}
        }
    }
    f(block);
}

/// Stores the workgroup's id as the first thing that an entry point does.
fn note_workgroup(
    types: &naga::UniqueArena<Type>,
    function: &mut Function,
    variable: Handle<GlobalVariable>,
    id: Handle<Type>,
) {
    let asked = Some(Binding::BuiltIn(BuiltIn::WorkGroupId));
    let member = |argument: &FunctionArgument| match types[argument.ty].inner {
        TypeInner::Struct { ref members, .. } => members.iter().position(|m| m.binding == asked),
        _ => None,
    };
    let direct = function.arguments.iter().position(|a| a.binding == asked);
    let inside = (function.arguments.iter().enumerate())
        .find_map(|(argument, a)| Some((argument, member(a)?)));
    let argument = direct.or(inside.map(|found| found.0)).unwrap_or_else(|| {
        function.arguments.push(FunctionArgument {
            name: Some(WORKGROUP.to_owned()),
            ty: id,
            binding: asked,
        });
        function.arguments.len() - 1
    });
    let expressions = &mut function.expressions;
    let pointer = expressions.append(Expression::GlobalVariable(variable), Span::UNDEFINED);
    let mut value = expressions.append(
        Expression::FunctionArgument(argument as u32),
        Span::UNDEFINED,
    );
    let mut prologue = Block::new();
    if let (None, Some((_, member))) = (direct, inside) {
        let part = Expression::AccessIndex {
            base: value,
            index: member as u32,
        };
        value = expressions.append(part, Span::UNDEFINED);
        let range = naga::Range::new_from_bounds(value, value);
        prologue.push(Statement::Emit(range), Span::UNDEFINED);
    }
    prologue.push(Statement::Store { pointer, value }, Span::UNDEFINED);
    prologue.append(&mut function.body);
    function.body = prologue;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_and_not_declared_is_supplied() {
        let names = |text| asked(text).into_iter().collect::<Vec<_>>();
        assert_eq!(
            names("fn f(p: gm_ptr) { let a = gm_load_u32(gm_add(p, 4u)); }"),
            ["gm_add", "gm_load_u32", "gm_ptr"]
        );
        assert!(
            names("// gm_load_u32\nfn gm_add() {} fn f() { gm_add(); let gm_x = 1; }").is_empty()
        );
        assert!(names("alias gm_ptr = u32; fn f(p: gm_ptr) {}").is_empty());
        for space in ["", "<private>", "<storage, read_write>", "<uniform>"] {
            let text =
                format!("@group(0) @binding(0) var{space} gm_ptr: u32; fn f() {{ _ = gm_ptr; }}");
            assert!(asked(&text).is_empty(), "{space}");
        }
        assert!(matches!(supplied("fn f() {}".into()), Cow::Borrowed(_)));
    }

    #[test]
    fn all_of_it_is_valid_wgsl_alone_and_together() {
        let mut all = String::new();
        for name in text::names() {
            let mut alone = String::new();
            text::declare(&BTreeSet::from([name]), &mut alone);
            let module = naga::front::wgsl::parse_str(&alone)
                .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&alone)));
            let mut validator = naga::valid::Validator::new(
                naga::valid::ValidationFlags::all(),
                naga::valid::Capabilities::all(),
            );
            validator
                .validate(&module)
                .unwrap_or_else(|e| panic!("{name}: {e:?}\n{alone}"));
            all.push_str(name);
            all.push(' ');
        }
        let mut text = String::new();
        text::declare(&asked(&all), &mut text);
        assert!(naga::front::wgsl::parse_str(&text).is_ok());
        assert!(all.split_whitespace().count() > 50, "{all}");
    }

    #[test]
    fn a_record_that_is_not_whole_is_told() {
        let mut words = [0x1000, 0x7f00, 0x0411, 12, 3, 0, 0, 0];
        words[7] = fault_sum(&words);
        assert_eq!(
            fault_of(words[2]),
            Some((PointerAccess::Load, PointerFault::Nothing, 4))
        );
        let sum = words[7];
        words[4] = 4;
        assert_ne!(fault_sum(&words), sum);
        assert_eq!(fault_of(0), None);
    }
}
