//! What a kernel touches only its own effects tell: results of atomics as indices, lists appended to, cells claimed, chains
//! that are followed and changed at once, loops until something stored is seen.

use super::super::program::{Bin, Expr, Index, Place, Role, Shape, Stmt, Style};
use super::super::types::{Scalar, Ty};
use super::Generator;

/// The most storage bindings of a kernel: what every adapter has.
const BINDINGS: usize = 8;

/// The most iterations of nested loops around what runs in rounds itself.
const ROUNDS: u32 = 12;

impl Generator {
    /// One or two statements of that kind.
    pub(super) fn late(&mut self) -> Vec<Stmt> {
        let many = self.chance.within(1, if self.small { 1 } else { 2 });
        (0..many).filter_map(|_| self.one_late()).collect()
    }

    /// `None` where there is none to be had here.
    pub(super) fn one_late(&mut self) -> Option<Stmt> {
        let once = self.rounds == 1 && self.loops == 0;
        match self.chance.word(8) {
            0..=2 if once => self.ticket(),
            3 | 4 => self.claim(),
            5 if once => self.toss(),
            6 if once => self.until(),
            _ if self.rounds < ROUNDS => self.chain(),
            _ => None,
        }
    }

    /// Room for one more binding, if there is any.
    fn share(&mut self, bindings: usize) -> Option<u64> {
        let bytes = self.late_bytes / 2;
        (self.program.buffers.len() + bindings <= BINDINGS).then(|| {
            self.late_bytes -= bytes;
            bytes
        })
    }

    fn ticket(&mut self) -> Option<Stmt> {
        let bytes = self.share(2)?;
        let counter = self.add(Role::Counter, Ty::WORD, Shape::Runtime, 1);
        // In two launches.
        let many = 2 * self.program.invocations();
        let body = self.in_the_name_of(counter, many, bytes);
        Some(Stmt::Ticket(counter, body))
    }

    fn claim(&mut self) -> Option<Stmt> {
        let bytes = self.share(2)?;
        let all = self.program.invocations();
        let cells = self.chance.pick(&[1, all.div_ceil(5), all, 2 * all]);
        let index = self.index(cells, 2);
        let claims = self.add(Role::Claims, Ty::WORD, Shape::Runtime, cells);
        let body = self.in_the_name_of(claims, cells, bytes);
        Some(Stmt::Claim {
            claims,
            index,
            choice: self.chance.word(3) as u8,
            body,
        })
    }

    /// What is done in the name of a number: of nothing else may it depend, or something be noticed.
    fn in_the_name_of(&mut self, by: usize, many: u32, bytes: u64) -> Vec<Stmt> {
        let buffer = self.own_buffer(bytes, Some((by, many)));
        let scope = std::mem::take(&mut self.scope);
        let loops = std::mem::take(&mut self.loops);
        self.by = Some(by);
        self.fuel = self.fuel.max(if self.small { 2 } else { 5 });
        let mut body = self.block(if self.small { 1 } else { 2 });
        body.push(self.store_to(buffer));
        self.by = None;
        (self.scope, self.loops) = (scope, loops);
        body
    }

    fn toss(&mut self) -> Option<Stmt> {
        let bytes = self.share(2)?;
        let counter = self.add(Role::Counter, Ty::WORD, Shape::Runtime, 1);
        let count = (2 * self.program.invocations()).max((bytes / 4).min(1 << 22) as u32);
        let bag = self.add(Role::Bag { counter }, Ty::WORD, Shape::Runtime, count);
        Some(Stmt::Toss(bag, self.expr(Scalar::U32, 3)))
    }

    fn until(&mut self) -> Option<Stmt> {
        let own = self.own();
        let buffer = (!own.is_empty()).then(|| self.chance.pick(&own))?;
        match self.own_place(buffer, 2) {
            (place, Ty::Scalar(Scalar::U32)) => {
                Some(Stmt::Until(self.variable(Scalar::U32, false, false), place))
            }
            _ => None,
        }
    }

    /// From one of its elements to another, by what is in it, and a number is left behind in each.
    fn chain(&mut self) -> Option<Stmt> {
        let own = self.own();
        let buffer = (!own.is_empty()).then(|| self.chance.pick(&own))?;
        let seen = self.scope.len();
        let start = self.expr(Scalar::U32, 1);
        let most = self.chance.within(2, 6);
        // The counter of a loop of one round: a variable that can be assigned to has to be declared in a block.
        let (outer, at, round) = (
            self.variable(Scalar::U32, false, false),
            self.variable(Scalar::U32, true, false),
            self.variable(Scalar::U32, false, false),
        );
        let here = || Expr::Var(at, Scalar::U32);
        let (place, ty) = self.inwards(buffer, Index::Own(Box::new(here())), 0);
        let found = match &ty {
            Ty::Scalar(scalar) => cast(Scalar::U32, *scalar, Expr::Load(place.clone())),
            ty => Expr::Fold(place.clone(), ty.clone()),
        };
        let next = self.variable(Scalar::U32, false, false);
        let mut body = vec![Stmt::Let(next, found)];
        let next = Expr::Var(next, Scalar::U32);
        if let Ty::Scalar(scalar) = ty {
            let left = bin(
                Bin::Xor,
                next.clone(),
                bin(Bin::Add, here(), Expr::Var(round, Scalar::U32)),
            );
            body.push(Stmt::Store(
                place,
                Style::Plain,
                cast(scalar, Scalar::U32, left),
            ));
        } else {
            body.push(self.store_to(buffer));
        }
        let data = self.data().filter(|_| self.chance.percent(40));
        let next = match data {
            None => next,
            // By way of what is elsewhere.
            Some(data) => {
                let count = self.program.buffers[data].count;
                let index = Box::new(bin(Bin::Mod, next, Expr::word(count)));
                let (place, ty): (Place, Ty) = self.inwards(data, Index::Any(index, false), 0);
                match ty {
                    Ty::Scalar(scalar) => cast(Scalar::U32, scalar, Expr::Load(place)),
                    ty => Expr::Fold(place, ty),
                }
            }
        };
        body.push(Stmt::Assign(at, Scalar::U32, next));
        self.scope.truncate(seen);
        let bound = Expr::word(most);
        let chain = vec![Stmt::Var(at, start), Stmt::For(round, bound, most, body)];
        Some(Stmt::For(outer, Expr::word(1), 1, chain))
    }
}

fn bin(op: Bin, a: Expr, b: Expr) -> Expr {
    Expr::Bin(op, Box::new(a), Box::new(b))
}

fn cast(to: Scalar, from: Scalar, e: Expr) -> Expr {
    if to == from {
        e
    } else {
        Expr::Cast(to, Box::new(e))
    }
}
