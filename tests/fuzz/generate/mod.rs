//! Random programs: well typed, free of races, with one result. The same seed gives the same program.

mod buffers;
mod expression;
mod late;
mod statement;

use super::chance::Chance;
use super::program::{Content, Expr, Function, Index, Place, Program, Role, Stmt};
use super::types::Scalar;

/// A variable that can be seen where code is generated.
#[derive(Clone, Copy, Debug)]
struct Variable {
    id: u32,
    scalar: Scalar,
    /// It may be assigned to.
    mutable: bool,
    /// It has the same value in all of a workgroup.
    uniform: bool,
}

/// A program under way.
struct Generator {
    chance: Chance,
    program: Program,
    /// Whether indices may be out of bounds.
    wild: bool,
    scope: Vec<Variable>,
    next: u32,
    /// Statements and loads that may still be generated.
    fuel: u32,
    /// Iterations that nested loops make of what is generated now.
    rounds: u32,
    /// Loops around what is generated now, which may be left.
    loops: u32,
    /// In a helper function; in one that may store.
    inside: bool,
    effects: bool,
    /// Whether each function may store.
    functions: Vec<bool>,
    /// Whether the kernel is to be a short one.
    small: bool,
    /// Whether what it touches may depend on what it writes.
    late: bool,
    /// Bytes for what is bound late.
    late_bytes: u64,
    /// In whose name: of a number that this buffer hands out.
    by: Option<usize>,
}

/// A program whose bindings are of about so many bytes, together.
pub fn generate(seed: u64, bytes: u64) -> Program {
    let mut chance = Chance(seed);
    chance.next();
    let wild = chance.percent(35);
    let workgroup = chance.weighted(&[
        (4, [64, 1, 1]),
        (4, [32, 1, 1]),
        (2, [16, 1, 1]),
        (1, [1, 1, 1]),
        (1, [7, 1, 1]),
        (1, [8, 4, 1]),
        (1, [4, 2, 4]),
        (1, [128, 1, 1]),
    ]);
    let grid = match chance.word(6) {
        0..=3 => [chance.within(1, 24), 1, 1],
        4 => [chance.within(1, 7), chance.within(1, 4), 1],
        _ => [
            chance.within(1, 4),
            chance.within(1, 3),
            chance.within(1, 3),
        ],
    };
    let params = (0..8)
        .map(|at| match at {
            0..=4 => chance.within(1, 7),
            5 => chance.next() as u32,
            _ => chance.word(1000),
        })
        .collect();
    let mut generator = Generator {
        program: Program {
            buffers: Vec::new(),
            params,
            workgroup,
            grid,
            wild,
            by_id: chance.percent(60),
            functions: Vec::new(),
            body: Vec::new(),
        },
        chance,
        wild,
        scope: Vec::new(),
        next: 0,
        fuel: 0,
        rounds: 1,
        loops: 0,
        inside: false,
        effects: false,
        functions: Vec::new(),
        small: false,
        late: false,
        late_bytes: bytes / 3,
        by: None,
    };
    generator.late = generator.chance.percent(40);
    let kept = match generator.late {
        true => generator.late_bytes,
        false => 0,
    };
    generator.buffers(bytes - kept);
    // Nearly all the time goes into compiling: many small kernels tell more than few large ones.
    generator.small = generator.chance.percent(75);
    for _ in 0..generator.chance.word(if generator.small { 2 } else { 3 }) {
        generator.function();
    }
    generator.fuel = match generator.small {
        true => generator.chance.within(2, 7),
        false => generator.chance.within(6, 22),
    };
    generator.body();
    generator.program
}

impl Generator {
    fn variable(&mut self, scalar: Scalar, mutable: bool, uniform: bool) -> u32 {
        let id = self.next;
        self.next += 1;
        self.scope.push(Variable {
            id,
            scalar,
            mutable,
            uniform,
        });
        id
    }

    fn function(&mut self) {
        self.inside = true;
        self.effects = self.chance.percent(40);
        self.fuel = self.chance.within(2, if self.small { 3 } else { 6 });
        // It may be called in a loop.
        self.rounds = 12;
        let parameters = (0..self.chance.within(0, 2))
            .map(|_| self.variable(Scalar::U32, false, false))
            .collect();
        let body = self.block(2);
        let result = self.expr(Scalar::U32, 2);
        self.scope.clear();
        self.program.functions.push(Function {
            parameters,
            body,
            result,
        });
        self.functions.push(self.effects);
        self.inside = false;
        self.effects = false;
        self.rounds = 1;
    }

    /// First what all of a workgroup do together, then what each does for itself.
    fn body(&mut self) {
        self.effects = true;
        let mut body = Vec::new();
        // Where many barriers meet checks a software driver compiles for minutes.
        let together = match (self.small, self.late) {
            (false, false) => 35,
            (false, true) => 8,
            (true, _) => 20,
        };
        if self.chance.percent(together) {
            body = self.together(if self.small { 1 } else { 2 });
        }
        if self.chance.percent(50) {
            let guard = self.guard();
            body.push(Stmt::ReturnIf(guard));
        }
        body.extend(self.block(if self.small { 2 } else { 3 }));
        if self.late {
            body.extend(self.late());
            body.extend(self.block(1));
        }
        // Something has to come out.
        for buffer in 0..self.program.buffers.len() {
            if self.is_own(buffer) {
                let stored = self.store_to(buffer);
                body.push(stored);
            }
        }
        self.program.body = body;
    }

    /// Whether a buffer's elements belong to whoever does what is generated now.
    fn is_own(&self, buffer: usize) -> bool {
        match &self.program.buffers[buffer].role {
            Role::Own(owning) => owning.by.map(|(by, _)| by) == self.by,
            _ => false,
        }
    }

    fn own(&self) -> Vec<usize> {
        let all = 0..self.program.buffers.len();
        all.filter(|at| self.is_own(*at)).collect()
    }

    fn buffers_where(&self, is: impl Fn(&Role) -> bool) -> Vec<usize> {
        let buffers = self.program.buffers.iter();
        let found = buffers.enumerate().filter(|(_, b)| is(&b.role));
        found.map(|(at, _)| at).collect()
    }

    /// Data that can be loaded: those of small numbers less often than others.
    fn data(&mut self) -> Option<usize> {
        let data = self.buffers_where(|r| matches!(r, Role::Data(_) | Role::Permutation));
        (!data.is_empty()).then(|| self.chance.pick(&data))
    }

    fn indices(&mut self) -> Option<usize> {
        let near = |c: &Content| matches!(c, Content::Near { .. } | Content::Below { .. });
        let data = self.buffers_where(|r| match r {
            Role::Data(content) => near(content),
            Role::Permutation => true,
            _ => false,
        });
        (!data.is_empty()).then(|| self.chance.pick(&data))
    }

    /// A place in data.
    fn place_in(&mut self, buffer: usize, depth: u32) -> (Place, super::types::Ty) {
        let count = self.program.buffers[buffer].count;
        let signed = self.chance.percent(20);
        let index = Index::Any(Box::new(self.index(count, depth)), signed);
        self.inwards(buffer, index, depth)
    }

    /// One of the invocation's own places.
    fn own_place(&mut self, buffer: usize, depth: u32) -> (Place, super::types::Ty) {
        let slot = match self.chance.word(4) {
            0 if depth > 0 => {
                let e = self.expr(Scalar::U32, depth - 1);
                if expression::constant(&e) {
                    Expr::word(self.chance.word(4))
                } else {
                    e
                }
            }
            _ => Expr::word(self.chance.word(4)),
        };
        self.inwards(buffer, Index::Own(Box::new(slot)), depth)
    }
}
