//! Whether a program has one result: barriers in uniform control flow, exact floats, helper functions without effects in
//! expressions, numbers that are handed out by one statement each. The generator keeps to it; what the shrinker tries is
//! held to it.

use std::collections::HashSet;

use super::program::{Bin, Expr, Function, Id, Index, Order, Place, Program, Role, Step, Stmt};
use super::types::Scalar;

/// The most bits of a float.
pub const MOST_BITS: u32 = 22;

/// Why a program may have several results, if it may.
pub fn sound(program: &Program) -> Result<(), &'static str> {
    handed_out(program)?;
    let mut effects = Vec::new();
    for (at, function) in program.functions.iter().enumerate() {
        let mut walk = Walk::new(program, &effects);
        walk.inside = true;
        walk.block(&function.body, false)?;
        walk.expr(&function.result)?;
        let stores = has_effects(function, &effects);
        debug_assert_eq!(effects.len(), at);
        effects.push(stores);
    }
    Walk::new(program, &effects).block(&program.body, true)
}

/// Numbers that are handed out have elements of their own, and bags hold all that is tossed into them: in two launches.
fn handed_out(program: &Program) -> Result<(), &'static str> {
    let most = 2 * program.invocations();
    for buffer in &program.buffers {
        match &buffer.role {
            Role::Bag { .. } if buffer.count < most => return Err("a bag that is too small"),
            Role::Own(owning) => {
                let Some((by, many)) = owning.by else {
                    continue;
                };
                let numbers = match program.buffers[by].role {
                    Role::Claims => program.buffers[by].count,
                    _ => most,
                };
                let enough = match owning.order {
                    Order::Lanes => false,
                    Order::Through(other) => program.buffers[other].count >= many,
                    _ => true,
                };
                if many < numbers || !enough {
                    return Err("elements that several numbers share");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every block directly inside a statement.
pub fn blocks(stmt: &Stmt) -> Vec<&Vec<Stmt>> {
    match stmt {
        Stmt::If(_, then, other) => vec![then, other],
        Stmt::For(.., body) | Stmt::Loop(.., body) => vec![body],
        Stmt::Ticket(_, body) | Stmt::Claim { body, .. } => vec![body],
        Stmt::Switch(_, cases, default) => {
            let bodies = cases.iter().map(|(_, body)| body);
            bodies.chain([default]).collect()
        }
        _ => Vec::new(),
    }
}

fn any(stmts: &[Stmt], is: &dyn Fn(&Stmt) -> bool) -> bool {
    let inner = |s: &Stmt| blocks(s).into_iter().any(|b| any(b, is));
    stmts.iter().any(|s| is(s) || inner(s))
}

fn meets(stmt: &Stmt) -> bool {
    matches!(
        stmt,
        Stmt::Exchange(..) | Stmt::Tally(..) | Stmt::Uniform(..) | Stmt::Barrier
    )
}

/// Whether a loop's body leaves it, or a round of it, early.
fn leaves(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::BreakIf(_) | Stmt::ContinueIf(_) | Stmt::ReturnIf(_) => true,
        Stmt::For(.., body) | Stmt::Loop(.., body) => {
            any(body, &|s| matches!(s, Stmt::ReturnIf(_)))
        }
        s => blocks(s).into_iter().any(|b| leaves(b)),
    })
}

fn has_effects(function: &Function, before: &[bool]) -> bool {
    any(&function.body, &|s| match s {
        Stmt::Store(..) | Stmt::Copy(..) | Stmt::Atomic { .. } | Stmt::Bit(..) => true,
        Stmt::Append(_) | Stmt::Toss(..) | Stmt::Ticket(..) | Stmt::Claim { .. } => true,
        Stmt::Until(..) => true,
        Stmt::Do(f, _) => before.get(*f).copied().unwrap_or(true),
        _ => false,
    })
}

struct Walk<'a> {
    program: &'a Program,
    effects: &'a [bool],
    /// Variables with the same value in all of a workgroup.
    uniform: HashSet<u32>,
    inside: bool,
    returned: bool,
    /// Loops around.
    loops: u32,
    /// In whose name: of a number handed out by this buffer.
    by: Option<usize>,
    /// Variables that were made in its name.
    known: HashSet<u32>,
    /// Buffers that hand out numbers, by the statements met.
    handing: HashSet<usize>,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program, effects: &'a [bool]) -> Self {
        Self {
            program,
            effects,
            uniform: HashSet::new(),
            inside: false,
            returned: false,
            loops: 0,
            by: None,
            known: HashSet::new(),
            handing: HashSet::new(),
        }
    }

    /// `together`: whether all invocations of a workgroup come by.
    fn block(&mut self, stmts: &[Stmt], together: bool) -> Result<(), &'static str> {
        stmts.iter().try_for_each(|s| self.stmt(s, together))
    }

    fn stmt(&mut self, stmt: &Stmt, together: bool) -> Result<(), &'static str> {
        if meets(stmt) && (!together || self.returned || self.inside) {
            return Err("a barrier that not all come by");
        }
        if self.by.is_some() {
            self.in_a_name(stmt)?;
        }
        match stmt {
            Stmt::Let(v, e) => {
                if together && !self.returned && self.is_uniform(e) {
                    self.uniform.insert(*v);
                }
                self.expr(e)
            }
            Stmt::Var(_, e) | Stmt::Assign(_, _, e) | Stmt::BreakIf(e) | Stmt::ContinueIf(e) => {
                self.expr(e)
            }
            Stmt::ReturnIf(e) => {
                self.returned = true;
                self.expr(e)
            }
            Stmt::Store(place, _, e) => {
                self.owned(place)?;
                self.expr(e)
            }
            Stmt::Copy(to, from, _) => {
                self.owned(to)?;
                self.place(from)
            }
            Stmt::Atomic { index, value, .. } => {
                self.expr(index)?;
                self.expr(value)
            }
            Stmt::Bit(..) | Stmt::Append(_) | Stmt::Barrier => Ok(()),
            Stmt::Until(_, place) => self.owned(place),
            Stmt::Toss(bag, e) => {
                let Role::Bag { counter } = self.program.buffers[*bag].role else {
                    return Err("a bag that is none");
                };
                self.hands_out(counter, true)?;
                self.expr(e)
            }
            Stmt::Ticket(counter, body) => {
                self.hands_out(*counter, true)?;
                self.named(*counter, body)
            }
            Stmt::Claim {
                claims,
                index,
                body,
                ..
            } => {
                self.hands_out(*claims, false)?;
                self.expr(index)?;
                self.named(*claims, body)
            }
            Stmt::Do(f, arguments) => {
                if *f >= self.effects.len() {
                    return Err("a function that is not there yet");
                }
                arguments.iter().try_for_each(|e| self.expr(e))
            }
            Stmt::Exchange(_, a, b) => {
                self.expr(a)?;
                self.expr(b)
            }
            Stmt::Tally(_, a, b, c) => [a, b, c].into_iter().try_for_each(|e| self.expr(e)),
            Stmt::Uniform(v, e) => {
                self.uniform.insert(*v);
                self.expr(e)
            }
            Stmt::If(c, then, other) => {
                self.expr(c)?;
                let together = together && self.is_uniform(c);
                self.block(then, together)?;
                self.block(other, together)
            }
            Stmt::For(v, bound, _, body) | Stmt::Loop(v, bound, _, body) => {
                self.expr(bound)?;
                let together = together && self.is_uniform(bound);
                if any(body, &meets) && leaves(body) {
                    return Err("a barrier in a loop that not all stay in");
                }
                if together {
                    self.uniform.insert(*v);
                }
                self.loops += 1;
                self.block(body, together)?;
                self.loops -= 1;
                self.uniform.remove(v);
                Ok(())
            }
            Stmt::Switch(e, cases, default) => {
                self.expr(e)?;
                for (_, body) in cases {
                    self.block(body, false)?;
                }
                self.block(default, false)
            }
        }
    }

    /// A statement that hands out numbers: the only one of its buffer, and met once where each is another one.
    fn hands_out(&mut self, buffer: usize, once: bool) -> Result<(), &'static str> {
        if !self.handing.insert(buffer) || self.inside || once && self.loops > 0 {
            return Err("numbers that are handed out here and there");
        }
        Ok(())
    }

    /// What is done in the name of a number.
    fn named(&mut self, by: usize, body: &[Stmt]) -> Result<(), &'static str> {
        let loops = std::mem::take(&mut self.loops);
        self.by = Some(by);
        self.known.clear();
        self.block(body, false)?;
        self.by = None;
        self.loops = loops;
        Ok(())
    }

    /// That a statement depends on the number alone, and does nothing that others of the invocation would notice.
    fn in_a_name(&mut self, stmt: &Stmt) -> Result<(), &'static str> {
        let fits = match stmt {
            Stmt::Let(v, _) | Stmt::Var(v, _) | Stmt::For(v, ..) | Stmt::Loop(v, ..) => {
                self.known.insert(*v)
            }
            Stmt::Until(v, _) => self.known.insert(*v),
            Stmt::Assign(v, ..) => self.known.contains(v),
            Stmt::Store(..) | Stmt::Copy(..) | Stmt::Atomic { .. } => true,
            Stmt::If(..) | Stmt::Switch(..) => true,
            Stmt::BreakIf(_) | Stmt::ContinueIf(_) => self.loops > 0,
            _ => false,
        };
        fits.then_some(())
            .ok_or("a number is not all that it depends on")
    }

    fn owned(&mut self, place: &Place) -> Result<(), &'static str> {
        match place.index {
            Index::Own(_) => self.place(place),
            _ => Err("a store to what is not its own"),
        }
    }

    fn place(&mut self, place: &Place) -> Result<(), &'static str> {
        let own = match &self.program.buffers[place.buffer].role {
            Role::Own(owning) if owning.by.map(|(by, _)| by) != self.by => {
                return Err("what is somebody else's");
            }
            role => matches!(role, Role::Own(_)),
        };
        if own != matches!(place.index, Index::Own(_)) {
            return Err("a load of what is not its own");
        }
        if let Index::Any(e, _) | Index::Own(e) = &place.index {
            self.expr(e)?;
        }
        for step in &place.steps {
            if let Step::Dyn(e) = step {
                self.expr(e)?;
            }
        }
        Ok(())
    }

    fn expr(&mut self, e: &Expr) -> Result<(), &'static str> {
        if e.scalar() == Scalar::F32 && e.bits() > MOST_BITS {
            return Err("a float that may be rounded");
        }
        let strange = match e {
            Expr::Id(id) => *id != Id::Invocation,
            Expr::Var(v, _) => !self.known.contains(v),
            Expr::Call(..) => true,
            _ => false,
        };
        if self.by.is_some() && strange {
            return Err("a number is not all that it depends on");
        }
        match e {
            Expr::Lit(..) | Expr::Id(_) | Expr::Param(_) | Expr::Var(..) | Expr::Length(_) => {
                Ok(())
            }
            Expr::Un(_, e) | Expr::Cast(_, e) => self.expr(e),
            Expr::Bin(op, a, b) => {
                let float = a.scalar() == Scalar::F32;
                if float && matches!(op, Bin::Div | Bin::Mod) {
                    return Err("a division of floats");
                }
                self.expr(a)?;
                self.expr(b)
            }
            Expr::Select(c, a, b) => [c, a, b].into_iter().try_for_each(|e| self.expr(e)),
            Expr::Load(place) | Expr::Fold(place, _) => self.place(place),
            Expr::Call(f, arguments) => {
                if self.effects.get(*f).copied().unwrap_or(true) {
                    return Err("a call in an expression that stores");
                }
                arguments.iter().try_for_each(|e| self.expr(e))
            }
        }
    }

    /// Whether it has the same value in all of a workgroup.
    fn is_uniform(&self, e: &Expr) -> bool {
        match e {
            Expr::Lit(..) | Expr::Param(_) | Expr::Length(_) => true,
            Expr::Id(id) => matches!(id, Id::Group | Id::Groups),
            Expr::Var(v, _) => self.uniform.contains(v),
            Expr::Un(_, e) | Expr::Cast(_, e) => self.is_uniform(e),
            Expr::Bin(_, a, b) => self.is_uniform(a) && self.is_uniform(b),
            Expr::Select(c, a, b) => [c, a, b].into_iter().all(|e| self.is_uniform(e)),
            Expr::Load(place) => {
                let index = match &place.index {
                    Index::Header(_) => true,
                    Index::Any(e, _) => self.is_uniform(e),
                    Index::Own(_) => false,
                };
                let fixed = |s: &Step| !matches!(s, Step::Dyn(e) if !self.is_uniform(e));
                index && place.steps.iter().all(fixed)
            }
            Expr::Fold(..) | Expr::Call(..) => false,
        }
    }
}
