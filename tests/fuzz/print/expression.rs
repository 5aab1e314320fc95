//! Expressions as WGSL: what could be undefined, or be evaluated to an error beforehand, is written so that it is neither.

use super::super::program::{Bin, Expr, Id, Shape, Un};
use super::super::types::{Scalar, Ty};
use super::{IDS, Printer, name};

impl Printer<'_> {
    pub(super) fn call(&mut self, function: usize, arguments: &[Expr]) -> String {
        let arguments: Vec<_> = (arguments.iter())
            .map(|e| format!(", {}", self.expr(e)))
            .collect();
        format!("f{function}({IDS}{})", arguments.concat())
    }

    pub(super) fn expr(&mut self, e: &Expr) -> String {
        match e {
            Expr::Lit(scalar, v) => literal(*scalar, *v),
            Expr::Id(id) => match id {
                Id::Invocation => "i",
                Id::Lane => "l",
                Id::Group => "w",
                Id::X => "x",
                Id::Y => "y",
                Id::Groups => "n",
            }
            .to_owned(),
            Expr::Param(at) => {
                let at = at % self.program.params.len();
                format!("p.q{}.{}", at / 4, ["x", "y", "z", "w"][at % 4])
            }
            Expr::Var(v, _) => format!("v{v}"),
            Expr::Un(op, e) => {
                let (scalar, e) = (e.scalar(), self.expr(e));
                match (op, scalar) {
                    (Un::Neg, _) => format!("(-{e})"),
                    (Un::Not, Scalar::Bool) => format!("!{e}"),
                    (Un::Not, _) => format!("(~{e})"),
                    (Un::Abs, _) => format!("abs({e})"),
                }
            }
            Expr::Bin(op, a, b) => self.bin(*op, a, b),
            Expr::Select(c, then, other) => {
                let [c, then, other] = [c, then, other].map(|e| self.expr(e));
                format!("select({other}, {then}, {c})")
            }
            Expr::Cast(to, e) => {
                let (from, e) = (e.scalar(), self.expr(e));
                match (from, to) {
                    (from, to) if from == *to => e,
                    (Scalar::F32, Scalar::U32) => format!("u32(abs({e}))"),
                    (Scalar::F32, Scalar::Bool) => format!("({e} != 0.0)"),
                    (Scalar::U32, Scalar::F32) => format!("f32({e} & 255u)"),
                    (Scalar::I32, Scalar::F32) => format!("f32({e} & 255i)"),
                    (from, Scalar::Bool) => format!("({e} != {}(0))", from.name()),
                    (_, to) => format!("{}({e})", to.name()),
                }
            }
            Expr::Load(place) => self.load(place, &Ty::Scalar(place.scalar)),
            Expr::Fold(place, ty) => {
                if !self.folds.contains(ty) {
                    self.folds.push(ty.clone());
                }
                let value = self.load(place, ty);
                format!("{}({value})", fold_name(ty))
            }
            Expr::Length(buffer) => self.length(*buffer),
            Expr::Call(function, arguments) => self.call(*function, arguments),
        }
    }

    fn bin(&mut self, op: Bin, a: &Expr, b: &Expr) -> String {
        let scalar = a.scalar();
        let by = match b {
            Expr::Lit(_, v) => Some(*v),
            _ => None,
        };
        let (a, b) = (self.expr(a), self.expr(b));
        let one = if scalar == Scalar::I32 { "1i" } else { "1u" };
        let infix = |op: &str| format!("({a} {op} {b})");
        match (op, scalar) {
            (Bin::Add, _) => infix("+"),
            (Bin::Sub, _) => infix("-"),
            (Bin::Mul, _) => infix("*"),
            (Bin::Div | Bin::Mod, _) => {
                let op = if op == Bin::Div { "/" } else { "%" };
                match by {
                    Some(v) if v != 0 => infix(op),
                    _ => format!("({a} {op} ({b} | {one}))"),
                }
            }
            (Bin::And, Scalar::Bool) => infix("&&"),
            (Bin::Or, Scalar::Bool) => infix("||"),
            (Bin::Xor, Scalar::Bool) | (Bin::Ne, _) => infix("!="),
            (Bin::And, _) => infix("&"),
            (Bin::Or, _) => infix("|"),
            (Bin::Xor, _) => infix("^"),
            (Bin::Shl | Bin::Shr, _) => {
                let op = if op == Bin::Shl { "<<" } else { ">>" };
                match by {
                    Some(v) => format!("({a} {op} {}u)", v % 32),
                    None => format!("({a} {op} ({b} & 31u))"),
                }
            }
            (Bin::Min, _) => format!("min({a}, {b})"),
            (Bin::Max, _) => format!("max({a}, {b})"),
            (Bin::Eq, _) => infix("=="),
            (Bin::Lt, _) => infix("<"),
            (Bin::Le, _) => infix("<="),
        }
    }

    pub(super) fn length(&mut self, buffer: usize) -> String {
        match self.program.buffers[buffer].shape {
            Shape::Runtime => format!("arrayLength(&{})", name(buffer)),
            Shape::Header(_) => format!("arrayLength(&{}.tail)", name(buffer)),
            Shape::Fixed => format!("{}u", self.program.buffers[buffer].count),
        }
    }
}

pub(super) fn fold_name(ty: &Ty) -> String {
    match ty {
        Ty::Vector(scalar, n) => format!("fold{n}{}", scalar.name()),
        _ => "fold".to_owned(),
    }
}

fn literal(scalar: Scalar, v: u32) -> String {
    let signed = v.cast_signed();
    match scalar {
        Scalar::U32 => format!("{v}u"),
        Scalar::I32 if signed == i32::MIN => "i32(2147483648u)".to_owned(),
        Scalar::I32 if signed < 0 => format!("(-{}i)", signed.unsigned_abs()),
        Scalar::I32 => format!("{v}i"),
        Scalar::F32 if signed < 0 => format!("(-{}.0)", signed.unsigned_abs()),
        Scalar::F32 => format!("{signed}.0"),
        Scalar::Bool => (v & 1 == 1).to_string(),
    }
}
