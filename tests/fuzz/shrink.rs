//! From a case that fails to the smallest that still does: step by step, whatever can be left out is.
//!
//! Every attempt is a whole program and is judged as the first one was. What would have several results (see
//! [`sound`](super::sound)) is not tried.

use gmem::{Placement, PolicyKind};

use super::print::{Form, wgsl};
use super::program::{Expr, Id, Index, Order, Place, Program, Role, Shape, Step, Stmt, Style};
use super::setting::Case;
use super::sound::sound;
use super::types::Scalar;

/// The smallest case found that still fails in at most so many attempts, and how many were made.
pub fn shrink(case: &Case, most: usize, fails: &mut dyn FnMut(&Case) -> bool) -> (Case, usize) {
    let (mut best, mut tried) = (case.clone(), 0);
    let (mut at, mut better) = (0, false);
    loop {
        let mut success = None;
        // After a success it goes on from the same place: what comes before is tried again in the next round.
        let (text, parts) = (wgsl(&best.program, Form::Bare), weight(&best.program));
        for (number, (code_alone, next)) in attempts(&best).into_iter().enumerate().skip(at) {
            if sound(&next.program).is_err() {
                continue;
            }
            // What is not printed needs no run: without it there is less to try.
            if code_alone && wgsl(&next.program, Form::Bare) == text {
                if weight(&next.program) < parts {
                    success = Some((number, next));
                    break;
                }
                continue;
            }
            if tried == most {
                return (best, tried);
            }
            tried += 1;
            if fails(&next) {
                success = Some((number, next));
                break;
            }
        }
        match success {
            Some((number, next)) => {
                (best, at, better) = (next, number, true);
            }
            None if better => (at, better) = (0, false),
            None => return (best, tried),
        }
    }
}

/// How large a case is, for people and tests: statements and parts of expressions.
pub fn weight(program: &Program) -> usize {
    let mut program = program.clone();
    let mut weight = 0;
    each_block(&mut program, &mut |stmts| weight += stmts.len());
    each_expr(&mut program, &mut |_| weight += 1);
    weight
}

/// Everything that is one step smaller, and whether it differs in its code alone.
fn attempts(case: &Case) -> Vec<(bool, Case)> {
    let mut out = Vec::new();
    let of = |program| Case {
        program,
        ..case.clone()
    };
    functions(&case.program, &mut |program| out.push((true, of(program))));
    statements(&case.program, &mut |program| out.push((true, of(program))));
    let mut more = Vec::new();
    settings(case, &mut more);
    out.extend(more.into_iter().map(|case| (false, case)));
    let mut more = Vec::new();
    shapes(&case.program, &mut more);
    out.extend(more.into_iter().map(|program| (false, of(program))));
    let mut more = Vec::new();
    expressions(&case.program, &mut more);
    out.extend(more.into_iter().map(|program| (true, of(program))));
    out
}

/// Functions that do nothing.
fn functions(program: &Program, out: &mut dyn FnMut(Program)) {
    for at in 0..program.functions.len() {
        let mut next = program.clone();
        next.functions[at].body.clear();
        next.functions[at].result = Expr::word(0);
        out(next);
    }
}

fn settings(case: &Case, out: &mut Vec<Case>) {
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut next = case.clone();
        change(&mut next);
        out.push(next);
    };
    let setting = &case.setting;
    if setting.launches > 1 {
        with(&|c| c.setting.launches = 1);
    }
    if setting.placement != Placement::Contiguous {
        with(&|c| c.setting.placement = Placement::Contiguous);
    }
    if setting.policy != PolicyKind::default() {
        with(&|c| c.setting.policy = PolicyKind::default());
    }
    for d in 0..3 {
        let side = case.program.grid[d];
        if side > 1 {
            with(&|c| c.program.grid[d] = 1);
            with(&|c| c.program.grid[d] = side / 2);
            with(&|c| c.program.grid[d] = side - 1);
        }
        let side = case.program.workgroup[d];
        if side > 1 {
            with(&|c| c.program.workgroup[d] = 1);
            with(&|c| c.program.workgroup[d] = side / 2);
        }
    }
}

/// Bindings made simpler.
fn shapes(program: &Program, out: &mut Vec<Program>) {
    let mut with = |change: &dyn Fn(&mut Program)| {
        let mut next = program.clone();
        change(&mut next);
        out.push(next);
    };
    if program.by_id {
        with(&|p| p.by_id = false);
    }
    for (b, buffer) in program.buffers.iter().enumerate() {
        if buffer.margins != [0; 2] {
            with(&|p| p.buffers[b].margins = [0; 2]);
        }
        if buffer.group != 0 {
            with(&|p| p.buffers[b].group = 0);
        }
        if buffer.shape != Shape::Runtime {
            with(&|p| p.buffers[b].shape = Shape::Runtime);
        }
        let permutation = matches!(buffer.role, Role::Permutation);
        let least = if permutation {
            program.invocations()
        } else {
            1
        };
        for less in [buffer.count / 8, buffer.count / 2, buffer.count - 1] {
            if less >= least && less < buffer.count {
                with(&|p| p.buffers[b].count = less);
            }
        }
        let data = matches!(buffer.role, Role::Data(_) | Role::Permutation);
        if data && buffer.read_write {
            with(&|p| p.buffers[b].read_write = false);
        }
        if let Role::Own(owning) = &buffer.role {
            let mut owning_with = |change: &dyn Fn(&mut super::program::Owning)| {
                with(&|p| {
                    if let Role::Own(owning) = &mut p.buffers[b].role {
                        change(owning);
                    }
                });
            };
            if owning.bias != 0 {
                owning_with(&|o| o.bias = 0);
            }
            if owning.gap != 1 {
                owning_with(&|o| o.gap = 1);
            }
            if owning.slots != 1 {
                owning_with(&|o| o.slots = 1);
            }
            if !matches!(owning.order, Order::Strided) {
                owning_with(&|o| o.order = Order::Strided);
            }
        }
    }
}

/// Fewer statements.
fn statements(program: &Program, out: &mut dyn FnMut(Program)) {
    let mut lengths = Vec::new();
    each_block(&mut program.clone(), &mut |stmts| lengths.push(stmts.len()));
    let mut with = |block: usize, change: &dyn Fn(&mut Vec<Stmt>)| {
        let mut next = program.clone();
        let mut number = 0;
        each_block(&mut next, &mut |stmts| {
            if number == block {
                change(stmts);
            }
            number += 1;
        });
        out(next);
    };
    for (block, &n) in lengths.iter().enumerate() {
        if n > 2 {
            with(block, &|stmts| drop(stmts.drain(..n / 2)));
            with(block, &|stmts| drop(stmts.drain(n / 2..)));
        }
        for at in 0..n {
            with(block, &|stmts| drop(stmts.remove(at)));
        }
        for at in 0..n {
            // A statement gives way to what is in it.
            for inner in 0..4 {
                with(block, &|stmts| {
                    if let Some(body) = super::sound::blocks(&stmts[at]).get(inner) {
                        let body = (*body).clone();
                        stmts.splice(at..=at, body);
                    }
                });
            }
            with(block, &|stmts| simpler(&mut stmts[at]));
        }
    }
}

/// A statement that does the same in fewer words.
fn simpler(stmt: &mut Stmt) {
    match stmt {
        Stmt::Store(_, style, _) => *style = Style::Plain,
        Stmt::If(_, _, other) => other.clear(),
        Stmt::For(_, _, most, _) | Stmt::Loop(_, _, most, _) => *most = most.div_ceil(2),
        Stmt::Switch(_, cases, _) => drop(cases.pop()),
        Stmt::Atomic { choice, .. } | Stmt::Claim { choice, .. } => *choice = 0,
        Stmt::Var(v, e) => *stmt = Stmt::Let(*v, e.clone()),
        _ => {}
    }
}

/// Expressions give way to their parts, and to small numbers.
fn expressions(program: &Program, out: &mut Vec<Program>) {
    let mut found = Vec::new();
    each_expr(&mut program.clone(), &mut |e| found.push(e.clone()));
    for (number, e) in found.iter().enumerate() {
        for instead in smaller(e) {
            let mut next = program.clone();
            let mut at = 0;
            each_expr(&mut next, &mut |e| {
                if at == number {
                    *e = instead.clone();
                    // What was inside is not met any more.
                    at = usize::MAX / 2;
                }
                at += 1;
            });
            out.push(next);
        }
    }
}

fn smaller(e: &Expr) -> Vec<Expr> {
    let scalar = e.scalar();
    let mut out = Vec::new();
    match e {
        Expr::Lit(_, 0) => return out,
        Expr::Lit(_, v) => {
            out.extend([0, v / 2, v - 1].map(|v| Expr::Lit(scalar, v)));
            if scalar == Scalar::F32 {
                out.truncate(1);
            }
            return out;
        }
        Expr::Id(Id::Invocation) => {}
        Expr::Id(_) => out.push(Expr::Id(Id::Invocation)),
        _ => {}
    }
    out.extend([0, 1].map(|v| Expr::Lit(scalar, v)));
    let mut copy = e.clone();
    let mut children = Vec::new();
    each_child(&mut copy, &mut |child| children.push(child.clone()));
    out.extend(children.into_iter().filter(|c| c.scalar() == scalar));
    if let Expr::Load(place) | Expr::Fold(place, _) = e
        && let Index::Any(index, true) = &place.index
    {
        let index = Index::Any(index.clone(), false);
        let place = Place {
            index,
            ..place.clone()
        };
        out.push(match e {
            Expr::Fold(_, ty) => Expr::Fold(place, ty.clone()),
            _ => Expr::Load(place),
        });
    }
    out
}

/// Every block, outer ones first.
fn each_block(program: &mut Program, f: &mut dyn FnMut(&mut Vec<Stmt>)) {
    fn within(stmts: &mut Vec<Stmt>, f: &mut dyn FnMut(&mut Vec<Stmt>)) {
        f(stmts);
        for stmt in stmts {
            match stmt {
                Stmt::If(_, then, other) => {
                    within(then, f);
                    within(other, f);
                }
                Stmt::For(.., body)
                | Stmt::Loop(.., body)
                | Stmt::Ticket(_, body)
                | Stmt::Claim { body, .. } => within(body, f),
                Stmt::Switch(_, cases, default) => {
                    cases.iter_mut().for_each(|(_, body)| within(body, f));
                    within(default, f);
                }
                _ => {}
            }
        }
    }
    within(&mut program.body, f);
    for function in &mut program.functions {
        within(&mut function.body, f);
    }
}

/// Every expression, outer ones first.
fn each_expr(program: &mut Program, f: &mut dyn FnMut(&mut Expr)) {
    each_block(program, &mut |stmts| {
        for stmt in stmts {
            match stmt {
                Stmt::Let(_, e)
                | Stmt::Var(_, e)
                | Stmt::Assign(_, _, e)
                | Stmt::If(e, ..)
                | Stmt::For(_, e, ..)
                | Stmt::Loop(_, e, ..)
                | Stmt::Switch(e, ..)
                | Stmt::BreakIf(e)
                | Stmt::ContinueIf(e)
                | Stmt::ReturnIf(e)
                | Stmt::Uniform(_, e)
                | Stmt::Toss(_, e)
                | Stmt::Claim { index: e, .. } => within(e, f),
                Stmt::Until(_, place) => in_place(place, &mut |e| within(e, f)),
                Stmt::Store(place, _, e) => {
                    in_place(place, &mut |e| within(e, f));
                    within(e, f);
                }
                Stmt::Copy(to, from, _) => {
                    in_place(to, &mut |e| within(e, f));
                    in_place(from, &mut |e| within(e, f));
                }
                Stmt::Atomic { index, value, .. } => {
                    within(index, f);
                    within(value, f);
                }
                Stmt::Do(_, arguments) => arguments.iter_mut().for_each(|e| within(e, f)),
                Stmt::Exchange(_, a, b) => [a, b].into_iter().for_each(|e| within(e, f)),
                Stmt::Tally(_, a, b, c) => [a, b, c].into_iter().for_each(|e| within(e, f)),
                Stmt::Bit(..) | Stmt::Append(_) | Stmt::Barrier | Stmt::Ticket(..) => {}
            }
        }
    });
    for function in &mut program.functions {
        within(&mut function.result, f);
    }
}

fn within(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    f(e);
    each_child(e, &mut |child| within(child, f));
}

fn in_place(place: &mut Place, f: &mut dyn FnMut(&mut Expr)) {
    if let Index::Any(e, _) | Index::Own(e) = &mut place.index {
        f(e);
    }
    for step in &mut place.steps {
        if let Step::Dyn(e) = step {
            f(e);
        }
    }
}

fn each_child(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    match e {
        Expr::Lit(..) | Expr::Id(_) | Expr::Param(_) | Expr::Var(..) | Expr::Length(_) => {}
        Expr::Un(_, e) | Expr::Cast(_, e) => f(e),
        Expr::Bin(_, a, b) => {
            f(a);
            f(b);
        }
        Expr::Select(c, a, b) => [c, a, b].into_iter().for_each(|e| f(e)),
        Expr::Load(place) | Expr::Fold(place, _) => in_place(place, f),
        Expr::Call(_, arguments) => arguments.iter_mut().for_each(f),
    }
}
