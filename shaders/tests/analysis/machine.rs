//! A small random language: its programs as WGSL text, and a plain interpreter for them.

use std::collections::HashSet;
use std::fmt::Write;

use super::common::{Ids, Touches};

/// A generator, and how many loads it has made.
pub struct Random(pub u64, pub u32);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 13
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}

/// How many variables a function has.
pub const VARIABLES: u32 = 4;
pub const LEN: u32 = 96;

pub enum Expr {
    Literal(u32),
    Variable(u32),
    Gid(u32),
    Lid,
    Groups,
    Size,
    Uniform,
    Length,
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Select(Box<Expr>, Box<Expr>, Box<Cond>),
    /// A load from `a`, with a number of its own.
    Load(u32, Box<Expr>),
    Signed(&'static str, Box<Expr>, Box<Expr>),
    Helper(Box<Expr>, Box<Expr>),
}

pub enum Cond {
    Compare(&'static str, bool, Expr, Expr),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
    Both(Box<Cond>, Box<Cond>),
    Not(Box<Cond>),
    Flag,
}

pub enum Stmt {
    Assign(u32, Expr),
    Add(u32, Expr),
    SetFlag(Cond),
    Store(Expr),
    If(Cond, Vec<Stmt>, Vec<Stmt>),
    /// Counts a variable of its own; the fuel keeps wild ones short.
    While(Cond, Vec<Stmt>),
    For(u32, Expr, Expr, Expr, Vec<Stmt>),
    Down(u32, Expr, Vec<Stmt>),
    Switch(Expr, Vec<Stmt>, Vec<Stmt>, Vec<Stmt>),
    Step(u32, Expr),
    /// Changes a variable that no address is made of.
    Mix(Expr),
    /// The same, under a condition.
    Pick(Cond),
    Break,
    Continue,
    Return,
}

pub const BINARY: [&str; 12] = [
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "min", "max",
];
pub const COMPARE: [&str; 6] = ["<", "<=", ">", ">=", "==", "!="];

pub fn expr(random: &mut Random, depth: u32) -> Expr {
    let leaf = depth == 0 || random.below(3) == 0;
    if leaf {
        return match random.below(10) {
            0 => Expr::Literal(
                [0, 1, 2, 3, 5, 16, 95, 96, 1000, u32::MAX][random.below(10) as usize],
            ),
            1 => Expr::Literal(random.below(12)),
            2..=4 => Expr::Variable(random.below(VARIABLES)),
            5 | 6 => Expr::Gid(random.below(2)),
            7 => Expr::Lid,
            8 => [Expr::Groups, Expr::Size][random.below(2) as usize].copy(),
            _ => [Expr::Uniform, Expr::Length][random.below(2) as usize].copy(),
        };
    }
    let mut next = || Box::new(expr(random, depth - 1));
    let (a, b) = (next(), next());
    match random.below(14) {
        0 => {
            random.1 += 1;
            Expr::Load(random.1, a)
        }
        1 => Expr::Select(a, b, Box::new(cond(random, depth - 1))),
        2 => Expr::Signed(
            ["+", "-", "max", "min", "abs"][random.below(5) as usize],
            a,
            b,
        ),
        3 => Expr::Helper(a, b),
        4..=7 => Expr::Binary(["+", "-", "*"][random.below(3) as usize], a, b),
        _ => Expr::Binary(BINARY[random.below(12) as usize], a, b),
    }
}

impl Expr {
    fn copy(&self) -> Expr {
        match self {
            Expr::Groups => Expr::Groups,
            Expr::Size => Expr::Size,
            Expr::Uniform => Expr::Uniform,
            _ => Expr::Length,
        }
    }
}

pub fn cond(random: &mut Random, depth: u32) -> Cond {
    if depth > 0 && random.below(3) == 0 {
        let mut next = || Box::new(cond(random, depth - 1));
        let (a, b) = (next(), next());
        return match random.below(4) {
            0 => Cond::And(a, b),
            1 => Cond::Or(a, b),
            2 => Cond::Both(a, b),
            _ => Cond::Not(a),
        };
    }
    if random.below(8) == 0 {
        return Cond::Flag;
    }
    let op = COMPARE[random.below(6) as usize];
    let (a, b) = (expr(random, depth.min(1)), expr(random, depth.min(1)));
    Cond::Compare(op, random.below(4) == 0, a, b)
}

pub fn stmts(random: &mut Random, depth: u32, in_loop: bool) -> Vec<Stmt> {
    let count = 1 + random.below(4);
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(match random.below(if depth == 0 { 12 } else { 21 }) {
            0 | 1 => Stmt::Assign(random.below(VARIABLES), expr(random, 2)),
            2 => Stmt::Add(random.below(VARIABLES), expr(random, 1)),
            3 => Stmt::SetFlag(cond(random, 1)),
            4..=6 => Stmt::Store(expr(random, 2)),
            7 => Stmt::Step(random.below(VARIABLES), expr(random, 1)),
            8 if in_loop && random.below(2) == 0 => Stmt::Continue,
            8 => Stmt::Store(Expr::Variable(random.below(VARIABLES))),
            9 | 10 => Stmt::Mix(expr(random, 2)),
            11 => Stmt::Pick(cond(random, 1)),
            12..=15 => {
                let condition = cond(random, 2);
                let mut accept = stmts(random, depth - 1, in_loop);
                match random.below(4) {
                    0 => accept.push(Stmt::Return),
                    1 if in_loop => accept.push(Stmt::Break),
                    _ => {}
                }
                let reject = if random.below(2) == 0 {
                    stmts(random, depth - 1, in_loop)
                } else {
                    Vec::new()
                };
                Stmt::If(condition, accept, reject)
            }
            16 => Stmt::While(cond(random, 1), stmts(random, depth - 1, true)),
            17 | 18 => Stmt::For(
                random.below(VARIABLES),
                expr(random, 1),
                expr(random, 1),
                if random.below(2) == 0 {
                    Expr::Literal(1)
                } else {
                    expr(random, 0)
                },
                stmts(random, depth - 1, true),
            ),
            19 => Stmt::Down(
                random.below(VARIABLES),
                expr(random, 1),
                stmts(random, depth - 1, true),
            ),
            _ => Stmt::Switch(
                expr(random, 1),
                stmts(random, depth - 1, false),
                stmts(random, depth - 1, false),
                stmts(random, depth - 1, false),
            ),
        });
        if matches!(list.last(), Some(Stmt::Continue)) {
            break;
        }
    }
    list
}

pub fn show(expr: &Expr) -> String {
    match expr {
        Expr::Literal(value) => format!("{value}u"),
        Expr::Variable(index) => format!("v{index}"),
        Expr::Gid(axis) => format!("gid.{}", ["x", "y"][*axis as usize]),
        Expr::Lid => "lid.x".to_owned(),
        Expr::Groups => "nwg.x".to_owned(),
        Expr::Size => "n.y".to_owned(),
        Expr::Uniform => "n.x".to_owned(),
        Expr::Length => "arrayLength(&a)".to_owned(),
        Expr::Binary(op @ ("min" | "max"), a, b) => format!("{op}({}, {})", show(a), show(b)),
        // Shifts of constants by constants that are too far are errors in WGSL: variables are not.
        Expr::Binary(op @ ("<<" | ">>"), a, b) => {
            format!("(({} + zero) {op} (({} + zero) & 31u))", show(a), show(b))
        }
        Expr::Binary(op, a, b) => format!("(({} + zero) {op} ({} + zero))", show(a), show(b)),
        Expr::Select(a, b, c) => format!("select({}, {}, {})", show(a), show(b), show_cond(c)),
        Expr::Load(number, at) => format!("/*{number}*/a[{} + zero]", show(at)),
        Expr::Signed("abs", a, b) => {
            format!(
                "u32(abs(i32({} + zero) - i32({} + zero)))",
                show(a),
                show(b)
            )
        }
        Expr::Signed(op @ ("min" | "max"), a, b) => {
            format!(
                "u32({op}(i32({} + zero), i32({} + zero)))",
                show(a),
                show(b)
            )
        }
        Expr::Signed(op, a, b) => {
            format!("u32(i32({} + zero) {op} i32({} + zero))", show(a), show(b))
        }
        Expr::Helper(a, b) => format!("helper({}, {})", show(a), show(b)),
    }
}

pub fn show_cond(cond: &Cond) -> String {
    match cond {
        Cond::Compare(op, true, a, b) => {
            format!("(i32({} + zero) {op} i32({} + zero))", show(a), show(b))
        }
        Cond::Compare(op, false, a, b) => {
            format!("(({} + zero) {op} ({} + zero))", show(a), show(b))
        }
        Cond::And(a, b) => format!("({} && {})", show_cond(a), show_cond(b)),
        Cond::Or(a, b) => format!("({} || {})", show_cond(a), show_cond(b)),
        Cond::Both(a, b) => format!("({} & {})", show_cond(a), show_cond(b)),
        Cond::Not(a) => format!("!{}", show_cond(a)),
        Cond::Flag => "flag".to_owned(),
    }
}

pub fn show_all(list: &[Stmt], out: &mut String) {
    for stmt in list {
        match stmt {
            Stmt::Assign(v, e) => _ = writeln!(out, "v{v} = {};", show(e)),
            Stmt::Add(v, e) => _ = writeln!(out, "v{v} += {};", show(e)),
            Stmt::SetFlag(c) => _ = writeln!(out, "flag = {};", show_cond(c)),
            Stmt::Store(e) => _ = writeln!(out, "b[{} + zero] = 1u;", show(e)),
            Stmt::Step(v, e) => _ = writeln!(out, "step(&v{v}, {});", show(e)),
            Stmt::Mix(e) => _ = writeln!(out, "w = w * 3u + {};", show(e)),
            Stmt::Pick(c) => _ = writeln!(out, "if ({}) {{ w += 1u; }}", show_cond(c)),
            Stmt::Break => out.push_str("break;\n"),
            Stmt::Continue => out.push_str("continue;\n"),
            Stmt::Return => out.push_str("return;\n"),
            Stmt::If(c, accept, reject) => {
                _ = writeln!(out, "if ({}) {{", show_cond(c));
                show_all(accept, out);
                out.push_str("} else {\n");
                show_all(reject, out);
                out.push_str("}\n");
            }
            Stmt::While(c, body) => {
                _ = writeln!(out, "while (fuel > 0u && {}) {{ fuel -= 1u;", show_cond(c));
                show_all(body, out);
                out.push_str("}\n");
            }
            Stmt::For(v, from, to, by, body) => {
                _ = writeln!(
                    out,
                    "for (v{v} = {}; v{v} < {} && fuel > 0u; v{v} += {}) {{ fuel -= 1u;",
                    show(from),
                    show(to),
                    show(by)
                );
                show_all(body, out);
                out.push_str("}\n");
            }
            Stmt::Down(v, from, body) => {
                _ = writeln!(
                    out,
                    "for (v{v} = {}; v{v} > 0u && fuel > 0u; v{v}--) {{ fuel -= 1u;",
                    show(from)
                );
                show_all(body, out);
                out.push_str("}\n");
            }
            Stmt::Switch(e, zero, two, other) => {
                _ = writeln!(out, "switch ({} & 3u) {{ case 0u: {{", show(e));
                show_all(zero, out);
                out.push_str("} case 1u, 2u: {\n");
                show_all(two, out);
                out.push_str("} default: {\n");
                show_all(other, out);
                out.push_str("} }\n");
            }
        }
    }
}

/// One invocation of the generated program.
pub struct Machine<'a> {
    pub ids: Ids,
    pub uniform: [u32; 2],
    pub groups: u32,
    pub variables: [u32; VARIABLES as usize],
    pub flag: bool,
    pub fuel: u32,
    pub touches: &'a mut Touches,
    /// Loads that give zero.
    pub zeroed: &'a HashSet<u32>,
}

pub enum Out {
    Next,
    Break,
    Continue,
    Return,
}

/// What is stored at a word of `a`.
pub fn stored(word: u32) -> u32 {
    if word.is_multiple_of(3) {
        word / 3
    } else {
        word.wrapping_mul(0x9E37_79B9)
    }
}

impl Machine<'_> {
    fn binary(op: &str, a: u32, b: u32) -> u32 {
        match op {
            "+" => a.wrapping_add(b),
            "-" => a.wrapping_sub(b),
            "*" => a.wrapping_mul(b),
            "/" => a.checked_div(b).unwrap_or(a),
            "%" => a.checked_rem(b).unwrap_or(0),
            "&" => a & b,
            "|" => a | b,
            "^" => a ^ b,
            "<<" => a << (b & 31),
            ">>" => a >> (b & 31),
            "min" => a.min(b),
            _ => a.max(b),
        }
    }

    fn load(&mut self, number: u32, word: u32) -> u32 {
        self.touches.read(0, word);
        if self.zeroed.contains(&number) {
            return 0;
        }
        if word < LEN { stored(word) } else { 0 }
    }

    fn eval(&mut self, expr: &Expr) -> u32 {
        match expr {
            Expr::Literal(value) => *value,
            Expr::Variable(index) => self.variables[*index as usize],
            Expr::Gid(axis) => self.ids.gid[*axis as usize],
            Expr::Lid => self.ids.lid[0],
            Expr::Groups => self.groups,
            Expr::Size => self.uniform[1],
            Expr::Uniform => self.uniform[0],
            Expr::Length => LEN,
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.eval(a), self.eval(b));
                Self::binary(op, a, b)
            }
            Expr::Select(a, b, c) => {
                let (a, b) = (self.eval(a), self.eval(b));
                if self.test(c) { b } else { a }
            }
            Expr::Load(number, at) => {
                let at = self.eval(at);
                self.load(*number, at)
            }
            Expr::Signed(op, a, b) => {
                let (a, b) = (self.eval(a) as i32, self.eval(b) as i32);
                match *op {
                    "+" => a.wrapping_add(b) as u32,
                    "-" => a.wrapping_sub(b) as u32,
                    "max" => a.max(b) as u32,
                    "min" => a.min(b) as u32,
                    _ => a.wrapping_sub(b).wrapping_abs() as u32,
                }
            }
            Expr::Helper(a, b) => {
                let (a, b) = (self.eval(a), self.eval(b));
                if a > b {
                    return self.load(0, a - b);
                }
                let mut k = a;
                while k < b && k < a.wrapping_add(3) {
                    self.touches.write(1, k);
                    k += 1;
                }
                k
            }
        }
    }

    fn test(&mut self, cond: &Cond) -> bool {
        match cond {
            Cond::Compare(op, signed, a, b) => {
                let (a, b) = (self.eval(a), self.eval(b));
                let order = if *signed {
                    (a as i32).cmp(&(b as i32))
                } else {
                    a.cmp(&b)
                };
                match *op {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    ">=" => order.is_ge(),
                    "==" => order.is_eq(),
                    _ => order.is_ne(),
                }
            }
            Cond::And(a, b) => self.test(a) && self.test(b),
            Cond::Or(a, b) => self.test(a) || self.test(b),
            Cond::Both(a, b) => {
                let (a, b) = (self.test(a), self.test(b));
                a & b
            }
            Cond::Not(a) => !self.test(a),
            Cond::Flag => self.flag,
        }
    }

    pub fn run(&mut self, list: &[Stmt]) -> Out {
        for stmt in list {
            let out = self.one(stmt);
            if !matches!(out, Out::Next) {
                return out;
            }
        }
        Out::Next
    }

    fn one(&mut self, stmt: &Stmt) -> Out {
        match stmt {
            Stmt::Assign(v, e) => self.variables[*v as usize] = self.eval(e),
            Stmt::Add(v, e) | Stmt::Step(v, e) => {
                let by = self.eval(e);
                let variable = &mut self.variables[*v as usize];
                *variable = variable.wrapping_add(by);
            }
            Stmt::SetFlag(c) => self.flag = self.test(c),
            Stmt::Mix(e) => _ = self.eval(e),
            Stmt::Pick(c) => _ = self.test(c),
            Stmt::Store(e) => {
                let at = self.eval(e);
                self.touches.write(1, at);
            }
            Stmt::If(c, accept, reject) => {
                let list = if self.test(c) { accept } else { reject };
                return self.run(list);
            }
            Stmt::While(c, body) => {
                while self.fuel > 0 && self.test(c) {
                    self.fuel -= 1;
                    match self.run(body) {
                        Out::Break => break,
                        Out::Return => return Out::Return,
                        _ => {}
                    }
                }
            }
            Stmt::For(v, from, to, by, body) => {
                self.variables[*v as usize] = self.eval(from);
                loop {
                    let to = self.eval(to);
                    if self.variables[*v as usize] >= to || self.fuel == 0 {
                        break;
                    }
                    self.fuel -= 1;
                    match self.run(body) {
                        Out::Break => break,
                        Out::Return => return Out::Return,
                        _ => {}
                    }
                    let by = self.eval(by);
                    let variable = &mut self.variables[*v as usize];
                    *variable = variable.wrapping_add(by);
                }
            }
            Stmt::Down(v, from, body) => {
                self.variables[*v as usize] = self.eval(from);
                while self.variables[*v as usize] > 0 && self.fuel > 0 {
                    self.fuel -= 1;
                    match self.run(body) {
                        Out::Break => break,
                        Out::Return => return Out::Return,
                        _ => {}
                    }
                    let variable = &mut self.variables[*v as usize];
                    *variable = variable.wrapping_sub(1);
                }
            }
            Stmt::Switch(e, zero, two, other) => {
                let list = match self.eval(e) & 3 {
                    0 => zero,
                    1 | 2 => two,
                    _ => other,
                };
                return self.run(list);
            }
            Stmt::Break => return Out::Break,
            Stmt::Continue => return Out::Continue,
            Stmt::Return => return Out::Return,
        }
        Out::Next
    }
}
