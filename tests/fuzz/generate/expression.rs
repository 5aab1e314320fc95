//! Random expressions: addresses above all.

use super::super::program::{Bin, Expr, Id, Index, Place, Shape, Step, Un};
use super::super::sound::MOST_BITS;
use super::super::types::{Scalar, Ty};
use super::Generator;

fn bin(op: Bin, a: Expr, b: Expr) -> Expr {
    Expr::Bin(op, Box::new(a), Box::new(b))
}

/// A number that a compiler would compute beforehand, and refuse when it overflows.
pub(super) fn constant(e: &Expr) -> bool {
    match e {
        Expr::Lit(..) | Expr::Length(_) => true,
        Expr::Un(_, e) | Expr::Cast(_, e) => constant(e),
        Expr::Bin(_, a, b) => constant(a) && constant(b),
        Expr::Select(c, a, b) => constant(c) && constant(a) && constant(b),
        _ => false,
    }
}

impl Generator {
    pub(super) fn expr(&mut self, scalar: Scalar, depth: u32) -> Expr {
        let e = if depth == 0 || self.chance.percent(25) {
            self.leaf(scalar, depth)
        } else {
            match scalar {
                Scalar::U32 | Scalar::I32 => self.integer(scalar, depth - 1),
                Scalar::F32 => self.float(depth - 1),
                Scalar::Bool => self.condition(depth - 1),
            }
        };
        match scalar {
            Scalar::F32 if e.bits() > MOST_BITS => self.literal(Scalar::F32),
            _ => e,
        }
    }

    fn literal(&mut self, scalar: Scalar) -> Expr {
        let value = match (scalar, self.chance.word(6)) {
            (Scalar::Bool, n) => n & 1,
            (Scalar::F32, n) => n.wrapping_sub(2),
            (_, 0) => self.chance.next() as u32,
            (_, 1) => self.chance.word(1000),
            (Scalar::I32, 2) => 0u32.wrapping_sub(self.chance.word(9)),
            _ => self.chance.word(9),
        };
        Expr::Lit(scalar, value)
    }

    fn id(&mut self) -> Expr {
        if self.by.is_some() {
            return Expr::Id(Id::Invocation);
        }
        Expr::Id(self.chance.weighted(&[
            (6, Id::Invocation),
            (2, Id::Lane),
            (2, Id::Group),
            (1, Id::X),
            (1, Id::Y),
            (1, Id::Groups),
        ]))
    }

    fn leaf(&mut self, scalar: Scalar, depth: u32) -> Expr {
        let known: Vec<_> = (self.scope.iter())
            .filter(|v| v.scalar == scalar)
            .map(|v| v.id)
            .collect();
        match self.chance.word(10) {
            0..=2 if !known.is_empty() => Expr::Var(self.chance.pick(&known), scalar),
            3 => self.literal(scalar),
            4 | 5 if scalar == Scalar::U32 => Expr::Param(self.chance.word(8) as usize),
            6.. if self.fuel > 0 => {
                self.fuel -= 1;
                let found = self.load(depth);
                self.cast(scalar, found)
            }
            _ => {
                let id = self.id();
                self.cast(scalar, id)
            }
        }
    }

    fn cast(&self, to: Scalar, e: Expr) -> Expr {
        if e.scalar() == to {
            e
        } else {
            Expr::Cast(to, Box::new(e))
        }
    }

    fn integer(&mut self, scalar: Scalar, depth: u32) -> Expr {
        match self.chance.word(14) {
            0 => {
                let op = self.chance.pick(&[Un::Neg, Un::Not, Un::Abs]);
                let e = self.expr(Scalar::I32, depth);
                if constant(&e) {
                    return self.cast(scalar, e);
                }
                self.cast(scalar, Expr::Un(op, Box::new(e)))
            }
            1 => {
                let c = self.expr(Scalar::Bool, depth);
                let [a, b] = [0, 1].map(|_| self.expr(scalar, depth));
                Expr::Select(Box::new(c), Box::new(a), Box::new(b))
            }
            2 => {
                let from = self
                    .chance
                    .pick(&[Scalar::U32, Scalar::I32, Scalar::F32, Scalar::Bool]);
                let e = self.expr(from, depth);
                // Of a negative constant there is no unsigned one.
                if constant(&e) {
                    self.leaf(scalar, 0)
                } else {
                    self.cast(scalar, e)
                }
            }
            3 if scalar == Scalar::U32
                && self.by.is_none()
                && !self.functions.iter().all(|effects| *effects) =>
            {
                self.call(depth, false).expect("one without effects")
            }
            n => {
                let op = self.chance.pick(&[
                    Bin::Add,
                    Bin::Add,
                    Bin::Sub,
                    Bin::Mul,
                    Bin::Div,
                    Bin::Mod,
                    Bin::And,
                    Bin::Or,
                    Bin::Xor,
                    Bin::Shl,
                    Bin::Shr,
                    Bin::Min,
                    Bin::Max,
                ]);
                let mut a = self.expr(scalar, depth);
                let shifts = matches!(op, Bin::Shl | Bin::Shr);
                let by = if shifts { Scalar::U32 } else { scalar };
                let b = if n > 9 {
                    self.literal(by)
                } else {
                    self.expr(by, depth)
                };
                if constant(&a) && constant(&b) {
                    let id = self.id();
                    a = self.cast(scalar, id);
                }
                bin(op, a, b)
            }
        }
    }

    fn float(&mut self, depth: u32) -> Expr {
        let a = self.expr(Scalar::F32, depth);
        match self.chance.word(8) {
            0 => Expr::Un(self.chance.pick(&[Un::Neg, Un::Abs]), Box::new(a)),
            1 => {
                let c = self.expr(Scalar::Bool, depth);
                let b = self.expr(Scalar::F32, depth);
                Expr::Select(Box::new(c), Box::new(a), Box::new(b))
            }
            2 => {
                let from = self.chance.pick(&[Scalar::U32, Scalar::I32]);
                let e = self.expr(from, depth);
                self.cast(Scalar::F32, e)
            }
            _ => {
                let op = self
                    .chance
                    .pick(&[Bin::Add, Bin::Sub, Bin::Mul, Bin::Min, Bin::Max]);
                let b = self.expr(Scalar::F32, depth);
                bin(op, a, b)
            }
        }
    }

    fn condition(&mut self, depth: u32) -> Expr {
        match self.chance.word(8) {
            0 => Expr::Un(Un::Not, Box::new(self.expr(Scalar::Bool, depth))),
            1 | 2 => {
                let op = self.chance.pick(&[Bin::And, Bin::Or, Bin::Xor]);
                let [a, b] = [0, 1].map(|_| self.expr(Scalar::Bool, depth));
                bin(op, a, b)
            }
            _ => {
                let op = self.chance.pick(&[Bin::Eq, Bin::Ne, Bin::Lt, Bin::Le]);
                let scalar =
                    self.chance
                        .pick(&[Scalar::U32, Scalar::U32, Scalar::I32, Scalar::F32]);
                let mut a = self.expr(scalar, depth);
                let b = self.expr(scalar, depth);
                if constant(&a) && constant(&b) {
                    let id = self.id();
                    a = self.cast(scalar, id);
                }
                bin(op, a, b)
            }
        }
    }

    /// A call of a function, with or without effects.
    pub(super) fn call(&mut self, depth: u32, effects: bool) -> Option<Expr> {
        let found: Vec<usize> = (0..self.functions.len())
            .filter(|f| self.functions[*f] == effects)
            .collect();
        if found.is_empty() {
            return None;
        }
        let function = self.chance.pick(&found);
        let n = self.program.functions[function].parameters.len();
        let arguments = (0..n).map(|_| self.expr(Scalar::U32, depth)).collect();
        Some(Expr::Call(function, arguments))
    }

    /// What most invocations pass, and some do not: for early returns.
    pub(super) fn guard(&mut self) -> Expr {
        let all = self.program.invocations();
        let limit = match self.chance.word(4) {
            0 => Expr::word(self.chance.within(all / 2, all)),
            1 => Expr::word(all),
            2 => match self.data() {
                Some(data) => Expr::Length(data),
                None => Expr::word(all),
            },
            _ => {
                let some = Expr::Param(self.chance.word(5) as usize);
                bin(Bin::Sub, Expr::word(all), some)
            }
        };
        bin(Bin::Le, limit, Expr::Id(Id::Invocation))
    }

    /// Anything loaded: a scalar of data, or of the invocation's own, or a vector folded.
    fn load(&mut self, depth: u32) -> Expr {
        let own = self.own();
        let (place, ty) = if self.chance.percent(20) && !own.is_empty() {
            let buffer = self.chance.pick(&own);
            self.own_place(buffer, depth)
        } else {
            match self.data() {
                Some(buffer) => self.place_in(buffer, depth),
                None => return self.id(),
            }
        };
        if let Index::Any(..) = place.index
            && let Shape::Header(words) = self.program.buffers[place.buffer].shape
            && self.chance.percent(15)
        {
            return Expr::Load(Place {
                index: Index::Header(self.chance.word(words)),
                steps: Vec::new(),
                scalar: Scalar::U32,
                ..place
            });
        }
        match ty {
            Ty::Scalar(_) => Expr::Load(place),
            ty => Expr::Fold(place, ty),
        }
    }

    /// From an element inwards to a scalar, or a vector.
    pub(super) fn inwards(&mut self, buffer: usize, index: Index, depth: u32) -> (Place, Ty) {
        let mut ty = self.program.buffers[buffer].element.clone();
        let mut steps = Vec::new();
        let scalar = loop {
            match &ty {
                Ty::Scalar(scalar) => break *scalar,
                Ty::Vector(..) if self.chance.percent(40) => break Scalar::U32,
                Ty::Struct(members, _) => {
                    let member = self.chance.word(members.len() as u32);
                    steps.push(Step::Member(member));
                    ty = members[member as usize].clone();
                }
                parts => {
                    let Some((inner, n)) = parts.indexed() else {
                        break Scalar::U32;
                    };
                    if self.chance.percent(50) {
                        steps.push(Step::At(self.chance.word(n)));
                    } else {
                        let e = self.expr(Scalar::U32, depth.min(1));
                        let wild = self.wild && self.chance.percent(10);
                        let inside = bin(Bin::Mod, e.clone(), Expr::word(n));
                        steps.push(match wild {
                            _ if constant(&e) => Step::At(self.chance.word(n)),
                            true => Step::Dyn(e),
                            false => Step::Dyn(inside),
                        });
                    }
                    ty = inner;
                }
            }
        };
        let place = Place {
            buffer,
            index,
            steps,
            scalar,
        };
        (place, ty)
    }

    /// An index into so many elements.
    pub(super) fn index(&mut self, count: u32, depth: u32) -> Expr {
        let all = self.program.invocations();
        let spread = (count / all).max(1);
        let i = Expr::Id(Id::Invocation);
        let small = Expr::word(self.chance.word(5));
        let e = match self.chance.word(20) {
            0..=3 => i,
            4..=6 => bin(Bin::Add, bin(Bin::Mul, i, Expr::word(spread)), small),
            7 if self.by.is_none() => {
                let group = bin(Bin::Mul, Expr::Id(Id::Group), Expr::word(spread));
                bin(Bin::Add, group, Expr::Id(Id::Lane))
            }
            8 => bin(Bin::Div, i, Expr::word(self.chance.within(1, 9))),
            9 => {
                let stride = self.chance.pick(&[2, 3, 5, 7, 12, 16, 33]);
                bin(Bin::Add, bin(Bin::Mul, i, Expr::word(stride)), small)
            }
            10 => bin(Bin::Sub, Expr::word(count - 1), i),
            11 => {
                let e = self.expr(Scalar::U32, depth.min(2));
                bin(
                    Bin::And,
                    e,
                    Expr::word((count.next_power_of_two() / 2).max(1) - 1),
                )
            }
            12 => {
                let near = self.expr(Scalar::U32, depth.min(1));
                let near = bin(Bin::Mod, near, Expr::word(1 + self.chance.word(64)));
                bin(Bin::Add, bin(Bin::Mul, i, Expr::word(spread)), near)
            }
            13..=16 if depth > 0 && self.fuel > 0 => match self.indices() {
                Some(indices) => {
                    self.fuel -= 1;
                    let (place, _) = self.place_in(indices, depth - 1);
                    let found = Expr::Load(place);
                    if self.chance.percent(30) {
                        bin(Bin::Add, found, small)
                    } else {
                        found
                    }
                }
                None => i,
            },
            17 => {
                let counters: Vec<_> = (self.scope.iter())
                    .filter(|v| v.scalar == Scalar::U32)
                    .map(|v| v.id)
                    .collect();
                match counters.is_empty() {
                    true => i,
                    false => {
                        let counter = Expr::Var(self.chance.pick(&counters), Scalar::U32);
                        bin(Bin::Add, i, counter)
                    }
                }
            }
            18 => Expr::Param(self.chance.word(7) as usize),
            _ => self.expr(Scalar::U32, depth.min(2)),
        };
        if constant(&e) {
            return Expr::word(self.chance.word(count));
        }
        if self.wild && self.chance.percent(15) {
            let far =
                self.chance
                    .pick(&[count, 0x3fff_fff0, 0x4000_0000, 0x7fff_fff0, 0xffff_fff0]);
            return bin(Bin::Add, e, Expr::word(far));
        }
        let safe = matches!(e, Expr::Id(Id::Invocation)) && count >= all;
        match e {
            e if safe || self.wild && self.chance.percent(60) => e,
            e => bin(Bin::Mod, e, Expr::word(count)),
        }
    }
}
