//! Positions in SPIR-V as lines of the source that it was compiled from.
//!
//! naga's positions are byte offsets in the binary. They are replaced by positions in a text of empty lines, one for
//! each line of the unknown source, so that whoever looks a position up in that text finds the right line.

use naga::{Arena, Block, Function, Module, Span, Statement, UniqueArena};

/// Lines beyond this one are not kept apart: no compiler's input is longer.
const MOST: u32 = 1 << 20;

/// The source lines of a binary's parts.
#[derive(Default)]
pub(super) struct Lines {
    /// Byte offsets in rising order, and the line from there on.
    from: Vec<(u32, Option<u32>)>,
}

impl Lines {
    /// Notes that a line begins, or that from here on none is known.
    pub(super) fn begin(&mut self, offset: u32, line: Option<u32>) {
        self.from
            .push((offset, line.filter(|line| (1..=MOST).contains(line))));
    }

    fn span(&self, span: Span) -> Span {
        let Some(range) = span.to_range() else {
            return Span::UNDEFINED;
        };
        let next = self
            .from
            .partition_point(|(offset, _)| *offset as usize <= range.start);
        let line = next.checked_sub(1).and_then(|i| self.from[i].1);
        line.map_or(Span::UNDEFINED, |line| Span::new(line - 1, line))
    }
}

/// Gives a module the positions that the lines say, and returns the text that they are positions in.
pub(super) fn settle(module: &mut Module, lines: &Lines) -> String {
    let last = lines.from.iter().filter_map(|(_, line)| *line).max();
    let mut types = UniqueArena::new();
    for (handle, ty) in module.types.iter() {
        types.insert(ty.clone(), lines.span(module.types.get_span(handle)));
    }
    module.types = types;
    arena(&mut module.constants, lines);
    arena(&mut module.overrides, lines);
    arena(&mut module.global_variables, lines);
    arena(&mut module.global_expressions, lines);
    arena(&mut module.functions, lines);
    for (_, f) in module.functions.iter_mut() {
        function(f, lines);
    }
    for entry in &mut module.entry_points {
        function(&mut entry.function, lines);
    }
    "\n".repeat(last.unwrap_or(0) as usize)
}

fn arena<T>(arena: &mut Arena<T>, lines: &Lines) {
    let mut new = Arena::new();
    for (_, value, span) in arena.drain() {
        new.append(value, lines.span(span));
    }
    *arena = new;
}

fn function(function: &mut Function, lines: &Lines) {
    arena(&mut function.local_variables, lines);
    arena(&mut function.expressions, lines);
    block(&mut function.body, lines);
}

fn block(body: &mut Block, lines: &Lines) {
    for (statement, span) in body.span_iter_mut() {
        if let Some(span) = span {
            *span = lines.span(*span);
        }
        match *statement {
            Statement::Block(ref mut inner) => block(inner, lines),
            Statement::If {
                ref mut accept,
                ref mut reject,
                ..
            } => {
                block(accept, lines);
                block(reject, lines);
            }
            Statement::Switch { ref mut cases, .. } => {
                cases
                    .iter_mut()
                    .for_each(|case| block(&mut case.body, lines));
            }
            Statement::Loop {
                ref mut body,
                ref mut continuing,
                ..
            } => {
                block(body, lines);
                block(continuing, lines);
            }
            _ => {}
        }
    }
}
