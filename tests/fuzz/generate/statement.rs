//! Random statements.

use super::super::program::{Bin, Expr, Id, Index, Place, Role, Step, Stmt, Style};
use super::super::types::{Scalar, Ty};
use super::Generator;

/// The most iterations of nested loops.
const ROUNDS: u32 = 48;

impl Generator {
    /// What each invocation does for itself.
    pub(super) fn block(&mut self, depth: u32) -> Vec<Stmt> {
        let seen = self.scope.len();
        let mut out = Vec::new();
        for _ in 0..self.chance.within(1, 4) {
            if self.fuel == 0 {
                break;
            }
            self.fuel -= 1;
            let stmt = self.stmt(depth);
            out.extend(stmt);
        }
        self.scope.truncate(seen);
        out
    }

    fn stmt(&mut self, depth: u32) -> Option<Stmt> {
        if self.late && self.effects && !self.inside && self.by.is_none() && self.chance.percent(12)
        {
            return self.one_late();
        }
        Some(match self.chance.word(30) {
            0..=3 => {
                let scalar = self.some_scalar();
                let e = self.expr(scalar, 3);
                Stmt::Let(self.variable(scalar, false, false), e)
            }
            4 | 5 => {
                let scalar = self.some_scalar();
                let e = self.expr(scalar, 2);
                Stmt::Var(self.variable(scalar, true, false), e)
            }
            6 | 7 => {
                let known: Vec<_> = (self.scope.iter()).filter(|v| v.mutable).copied().collect();
                let v = (!known.is_empty()).then(|| self.chance.pick(&known))?;
                Stmt::Assign(v.id, v.scalar, self.expr(v.scalar, 3))
            }
            8..=13 if self.effects => {
                let own = self.own();
                let buffer = (!own.is_empty()).then(|| self.chance.pick(&own))?;
                self.store_to(buffer)
            }
            14 if self.effects => self.copy()?,
            15 | 16 if self.effects => self.atomic()?,
            17 if self.effects && !self.inside && self.by.is_none() => {
                let bits = self.buffers_where(|r| matches!(r, Role::Bits));
                let buffer = (!bits.is_empty()).then(|| self.chance.pick(&bits))?;
                Stmt::Bit(self.variable(Scalar::Bool, false, false), buffer)
            }
            18 if self.effects && self.rounds == 1 && self.by.is_none() => {
                let logs = self.buffers_where(|r| matches!(r, Role::Log { .. }));
                Stmt::Append((!logs.is_empty()).then(|| self.chance.pick(&logs))?)
            }
            19 if self.effects && self.by.is_none() => match self.call(2, true)? {
                Expr::Call(function, arguments) => Stmt::Do(function, arguments),
                _ => return None,
            },
            20..=22 if depth > 0 => {
                let c = self.expr(Scalar::Bool, 2);
                let then = self.block(depth - 1);
                let other = if self.chance.percent(50) {
                    self.block(depth - 1)
                } else {
                    Vec::new()
                };
                Stmt::If(c, then, other)
            }
            23..=26 if depth > 0 && self.rounds < ROUNDS => self.iterate(depth),
            27 if depth > 0 => {
                let e = self.expr(Scalar::U32, 2);
                let e = Expr::Bin(Bin::Mod, Box::new(e), Box::new(Expr::word(4)));
                let cases = (0..self.chance.within(1, 3))
                    .map(|number| (number, self.block(depth - 1)))
                    .collect();
                Stmt::Switch(e, cases, self.block(depth - 1))
            }
            28 if self.loops > 0 => {
                let c = self.expr(Scalar::Bool, 2);
                if self.chance.percent(50) {
                    Stmt::BreakIf(c)
                } else {
                    Stmt::ContinueIf(c)
                }
            }
            29 if self.by.is_none() => Stmt::ReturnIf(match self.chance.percent(50) {
                true => self.guard(),
                false => self.expr(Scalar::Bool, 2),
            }),
            _ => return None,
        })
    }

    fn some_scalar(&mut self) -> Scalar {
        self.chance.weighted(&[
            (5, Scalar::U32),
            (2, Scalar::I32),
            (2, Scalar::F32),
            (1, Scalar::Bool),
        ])
    }

    fn iterate(&mut self, depth: u32) -> Stmt {
        let most = self.chance.within(1, 7);
        let bound = match self.chance.word(4) {
            0 => Expr::word(self.chance.within(1, most)),
            1 => Expr::Param(self.chance.word(5) as usize),
            _ => self.expr(Scalar::U32, 2),
        };
        self.rounds *= most;
        self.loops += 1;
        let seen = self.scope.len();
        let v = self.variable(Scalar::U32, false, false);
        let body = self.block(depth - 1);
        self.scope.truncate(seen);
        self.loops -= 1;
        self.rounds /= most;
        match self.chance.percent(60) {
            true => Stmt::For(v, bound, most, body),
            false => Stmt::Loop(v, bound, most, body),
        }
    }

    pub(super) fn store_to(&mut self, buffer: usize) -> Stmt {
        let (place, ty) = self.own_place(buffer, 2);
        match ty {
            Ty::Scalar(scalar) => {
                let e = self.expr(scalar, 3);
                let style = match (scalar, self.chance.word(5)) {
                    (_, 0) => Style::Pointer,
                    (Scalar::U32 | Scalar::I32, 1 | 2) => Style::Compound,
                    _ => Style::Plain,
                };
                Stmt::Store(place, style, e)
            }
            // A vector: from one of data of the same type, or else one of its components.
            ty => match self.source_of(&ty) {
                Some(from) => Stmt::Copy(place, from, ty),
                None => {
                    let (Ty::Vector(scalar, n), mut place) = (ty, place) else {
                        unreachable!("a place ends in a scalar or a vector")
                    };
                    let at = self.chance.word(n);
                    place.steps.push(Step::At(at));
                    place.scalar = scalar;
                    Stmt::Store(place, Style::Plain, self.expr(scalar, 3))
                }
            },
        }
    }

    /// Some place of a type, to copy from.
    fn source_of(&mut self, ty: &Ty) -> Option<Place> {
        let data = self.buffers_where(|r| matches!(r, Role::Data(_)));
        let whole: Vec<_> = (data.into_iter())
            .filter(|b| self.program.buffers[*b].element == *ty)
            .collect();
        let buffer = (!whole.is_empty()).then(|| self.chance.pick(&whole))?;
        let count = self.program.buffers[buffer].count;
        let index = Index::Any(Box::new(self.index(count, 2)), false);
        Some(self.whole(buffer, index))
    }

    fn whole(&self, buffer: usize, index: Index) -> Place {
        Place {
            buffer,
            index,
            steps: Vec::new(),
            scalar: Scalar::U32,
        }
    }

    /// A whole element into one of the invocation's own.
    fn copy(&mut self) -> Option<Stmt> {
        let own = self.own();
        let buffer = (!own.is_empty()).then(|| self.chance.pick(&own))?;
        let ty = self.program.buffers[buffer].element.clone();
        let slot = |this: &mut Self| Index::Own(Box::new(Expr::word(this.chance.word(4))));
        let to = slot(self);
        let to = self.whole(buffer, to);
        let from = match self.source_of(&ty) {
            Some(from) => from,
            // One of its own to another.
            None => {
                let from = slot(self);
                self.whole(buffer, from)
            }
        };
        Some(Stmt::Copy(to, from, ty))
    }

    fn atomic(&mut self) -> Option<Stmt> {
        let all = self.buffers_where(|r| matches!(r, Role::Atomic(_)));
        let buffer = (!all.is_empty()).then(|| self.chance.pick(&all))?;
        let count = self.program.buffers[buffer].count;
        let scalar = match self.program.buffers[buffer].element {
            Ty::Scalar(scalar) => scalar,
            _ => Scalar::U32,
        };
        let index = self.index(count, 2);
        Some(Stmt::Atomic {
            buffer,
            index,
            choice: self.chance.word(3) as u8,
            value: self.expr(scalar, 2),
        })
    }

    /// What a workgroup does together, with barriers.
    pub(super) fn together(&mut self, depth: u32) -> Vec<Stmt> {
        let seen = self.scope.len();
        let mut out = Vec::new();
        for _ in 0..self.chance.within(1, if self.small { 2 } else { 4 }) {
            let stmt = match self.chance.word(8) {
                0 | 1 => {
                    let (value, from) = (self.expr(Scalar::U32, 2), self.expr(Scalar::U32, 1));
                    Stmt::Exchange(self.variable(Scalar::U32, false, false), value, from)
                }
                2 => {
                    let [at, value, from] = [0, 1, 2].map(|_| self.expr(Scalar::U32, 2));
                    Stmt::Tally(self.variable(Scalar::U32, false, false), at, value, from)
                }
                3 => {
                    let e = self.expr(Scalar::U32, 2);
                    Stmt::Uniform(self.variable(Scalar::U32, false, true), e)
                }
                4 => Stmt::Barrier,
                5 if depth > 0 && self.rounds < ROUNDS => {
                    let most = self.chance.within(1, 4);
                    let bound = self.same();
                    self.rounds *= most;
                    let seen = self.scope.len();
                    let v = self.variable(Scalar::U32, false, true);
                    let body = self.together(depth - 1);
                    self.scope.truncate(seen);
                    self.rounds /= most;
                    Stmt::For(v, bound, most, body)
                }
                6 if depth > 0 => {
                    let [a, b] = [0, 1].map(|_| self.same());
                    let c = Expr::Bin(Bin::Lt, Box::new(a), Box::new(b));
                    let then = self.together(depth - 1);
                    Stmt::If(c, then, Vec::new())
                }
                // Nothing that leaves early: barriers may follow.
                _ => {
                    let own = self.own();
                    let buffer = self.chance.pick(&own);
                    self.store_to(buffer)
                }
            };
            out.push(stmt);
        }
        if depth < 2 {
            self.scope.truncate(seen);
        }
        out
    }

    /// A word that is the same in all of a workgroup.
    fn same(&mut self) -> Expr {
        let known: Vec<_> = (self.scope.iter())
            .filter(|v| v.uniform)
            .map(|v| v.id)
            .collect();
        match self.chance.word(4) {
            0 | 1 if !known.is_empty() => Expr::Var(self.chance.pick(&known), Scalar::U32),
            2 => Expr::Bin(
                Bin::Mod,
                Box::new(Expr::Id(Id::Group)),
                Box::new(Expr::word(self.chance.within(1, 4))),
            ),
            _ => Expr::Param(self.chance.word(5) as usize),
        }
    }
}
