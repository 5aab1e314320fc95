//! A program as WGSL, in two forms: as a person writes it, and with every bound spelled out.
//!
//! What WGSL does with an index that is out of bounds differs from driver to driver. The second form, whose accesses go
//! through functions that compare each index with its bound, says what gmem gives: zero, and stores that are dropped.

use std::fmt::Write as _;

mod access;
mod expression;

use super::program::{Buffer, Expr, Function, PATIENCE, Program, Role, Shape, Stmt, Style};
use super::types::{Scalar, Ty};
use expression::fold_name;

/// How accesses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Directly.
    Bare,
    /// Through functions that check.
    Checked,
}

/// Counters in workgroup memory.
pub const TALLIES: u32 = 8;

/// The kernel's text.
pub fn wgsl(program: &Program, form: Form) -> String {
    let mut printer = Printer {
        program,
        form,
        types: Vec::new(),
        accesses: Vec::new(),
        folds: Vec::new(),
        inside: false,
    };
    printer.module()
}

/// The name of a binding.
pub fn name(buffer: usize) -> String {
    format!("b{buffer}")
}

struct Printer<'a> {
    program: &'a Program,
    form: Form,
    types: Vec<Ty>,
    /// Checked accesses that are functions already: body, and the name's number.
    accesses: Vec<String>,
    folds: Vec<Ty>,
    /// Whether a helper function is being written.
    inside: bool,
}

const IDS: &str = "i, l, w, x, y, n";

impl Printer<'_> {
    fn module(&mut self) -> String {
        let program = self.program;
        let mut code = String::new();
        let [x, y, z] = program.workgroup;
        let _ = writeln!(code, "@compute @workgroup_size({x}, {y}, {z})");
        code += "fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(local_invocation_index) l: u32,\n        \
                 @builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>) {\n    \
                 let x = gid.x; let y = gid.y; let n = nwg.x;\n    \
                 let w = wid.x + nwg.x * (wid.y + nwg.y * wid.z);\n";
        let _ = match program.by_id {
            true if program.grid[1..] == [1, 1] && [y, z] == [1, 1] => {
                writeln!(code, "    let i = gid.x;")
            }
            true => writeln!(
                code,
                "    let i = gid.x + nwg.x * {x}u * (gid.y + nwg.y * {y}u * gid.z);"
            ),
            false => writeln!(code, "    let i = w * {}u + l;", program.lanes()),
        };
        self.block(&program.body, 1, &mut code);
        code += "}\n";
        // From the last to the first, as far as they are called.
        self.inside = true;
        for (at, function) in program.functions.iter().enumerate().rev() {
            if names(&code, &format!("f{at}")) {
                code = self.function(at, function) + &code;
            }
        }
        let code = self.accesses.concat() + &code;
        let code = self.helpers() + &code;
        self.declarations(&code) + &code
    }

    fn function(&mut self, at: usize, function: &Function) -> String {
        let parameters: Vec<_> = (function.parameters.iter())
            .map(|v| format!(", v{v}: u32"))
            .collect();
        let ids = IDS.replace(", ", ": u32, ");
        let mut code = format!("fn f{at}({ids}: u32{}) -> u32 {{\n", parameters.concat());
        self.block(&function.body, 1, &mut code);
        let _ = writeln!(code, "    return {};\n}}", self.expr(&function.result));
        code
    }

    fn helpers(&mut self) -> String {
        let mut text = String::new();
        for ty in std::mem::take(&mut self.folds) {
            let name = ty.name(&mut self.types);
            let Ty::Vector(scalar, n) = ty else { continue };
            let words = match scalar {
                Scalar::F32 => format!("bitcast<vec{n}<u32>>(vec{n}<i32>(v))"),
                Scalar::I32 => format!("bitcast<vec{n}<u32>>(v)"),
                _ => "v".to_owned(),
            };
            let parts = ["u.x", "u.y * 3u", "u.z * 5u", "u.w * 7u"];
            let sum = parts[..n as usize].join(" + ");
            let id = fold_name(&ty);
            let _ = writeln!(
                text,
                "fn {id}(v: {name}) -> u32 {{ let u = {words}; return {sum}; }}"
            );
        }
        text
    }

    /// What the code uses: structures, bindings, workgroup memory, the uniform.
    fn declarations(&mut self, code: &str) -> String {
        let mut text = String::new();
        let used = |name: &str| names(code, name);
        let mut bindings = String::new();
        for (at, buffer) in self.program.buffers.iter().enumerate() {
            if !used(&name(at)) {
                continue;
            }
            let element = self.element(buffer);
            let access = if buffer.read_write {
                "read_write"
            } else {
                "read"
            };
            let ty = match buffer.shape {
                Shape::Runtime => format!("array<{element}>"),
                Shape::Fixed => format!("array<{element}, {}>", buffer.count),
                Shape::Header(words) => {
                    let _ = writeln!(
                        bindings,
                        "struct H{at} {{ head: array<u32, {words}>, tail: array<{element}>, }}"
                    );
                    format!("H{at}")
                }
            };
            let _ = writeln!(
                bindings,
                "@group({}) @binding({at}) var<storage, {access}> {}: {ty};",
                buffer.group,
                name(at)
            );
        }
        let structs: Vec<Ty> = self.types.clone();
        for ty in &structs {
            text += &ty.declaration(&mut self.types);
        }
        text += &bindings;
        let parts = self.program.params.len().div_ceil(4);
        if used("p") {
            let members: Vec<_> = (0..parts).map(|i| format!(" q{i}: vec4<u32>,")).collect();
            let _ = writeln!(
                text,
                "struct P {{{} }}\n@group(2) @binding(0) var<uniform> p: P;",
                members.concat()
            );
        }
        for (name, ty) in [
            ("tile", format!("array<u32, {}>", self.program.lanes())),
            ("tally", format!("array<atomic<u32>, {TALLIES}>")),
            ("shared_word", "u32".to_owned()),
        ] {
            if used(name) {
                let _ = writeln!(text, "var<workgroup> {name}: {ty};");
            }
        }
        text
    }

    fn element(&mut self, buffer: &Buffer) -> String {
        match (&buffer.role, &buffer.element) {
            (Role::Atomic(_) | Role::Bits | Role::Counter | Role::Claims, Ty::Scalar(s)) => {
                format!("atomic<{}>", s.name())
            }
            (_, ty) => ty.name(&mut self.types),
        }
    }

    fn block(&mut self, stmts: &[Stmt], depth: usize, out: &mut String) {
        for stmt in stmts {
            self.stmt(stmt, depth, out);
        }
    }

    fn nested(&mut self, head: &str, stmts: &[Stmt], tail: &str, depth: usize, out: &mut String) {
        let pad = "    ".repeat(depth);
        let _ = writeln!(out, "{pad}{head} {{");
        self.block(stmts, depth + 1, out);
        let _ = writeln!(out, "{pad}}}{tail}");
    }

    fn stmt(&mut self, stmt: &Stmt, depth: usize, out: &mut String) {
        let pad = "    ".repeat(depth);
        let line = match stmt {
            Stmt::Let(v, e) | Stmt::Var(v, e) => {
                let value = confined(e.scalar(), &self.expr(e));
                let word = if matches!(stmt, Stmt::Let(..)) {
                    "let"
                } else {
                    "var"
                };
                format!("{word} v{v} = {value};")
            }
            Stmt::Assign(v, scalar, e) => {
                let value = self.expr(e);
                format!("v{v} = {};", confined(*scalar, &value))
            }
            Stmt::Store(place, style, e) => self.store(place, *style, e),
            Stmt::Copy(to, from, ty) => {
                let value = self.load(from, ty);
                self.store_value(to, ty, Style::Plain, &value)
            }
            Stmt::Atomic {
                buffer,
                index,
                choice,
                value,
            } => self.atomic(*buffer, index, *choice, value),
            Stmt::Bit(v, buffer) => {
                let old = self.update(*buffer, "i >> 5u", "atomicOr", "1u << (i & 31u)");
                format!("let v{v} = ({old} & (1u << (i & 31u))) != 0u;")
            }
            Stmt::Append(log) => self.append(*log),
            Stmt::Toss(bag, e) => self.toss(*bag, e),
            Stmt::Ticket(counter, body) => {
                // Whatever is said of `i` is said of the number.
                let number = self.update(*counter, "0u", "atomicAdd", "1u");
                let head = format!("{{\n{pad}    let i = {number};\n{pad}   ");
                return self.nested(&head, body, &format!("\n{pad}}}"), depth, out);
            }
            Stmt::Claim {
                claims,
                index,
                choice,
                body,
            } => {
                let index = format!("({}) % {}", self.expr(index), self.length(*claims));
                let operation = ["atomicExchange", "atomicMax", "atomicOr"][*choice as usize % 3];
                let old = self.update(*claims, "c", operation, "1u");
                let head = format!("{{\n{pad}    let c = {index};\n{pad}    if {old} == 0u");
                let (head, tail) = (format!("{head} {{ let i = c;"), format!(" }}\n{pad}}}"));
                return self.nested(&head, body, &tail, depth, out);
            }
            Stmt::Until(v, place) => {
                let seen = self.load(place, &Ty::WORD);
                let store = self.store(place, Style::Plain, &Expr::word(1));
                format!(
                    "var v{v} = 0u;\n{pad}loop {{\n{pad}    if {seen} != 0u {{ break; }}\n{pad}    {store}\n{pad}    \
                     continuing {{ v{v} += 1u; break if v{v} >= {PATIENCE}u; }}\n{pad}}}"
                )
            }
            Stmt::If(c, then, other) => {
                let condition = format!("if {}", self.expr(c));
                self.nested(&condition, then, "", depth, out);
                if !other.is_empty() {
                    out.pop();
                    self.nested(" else", other, "", depth, out);
                }
                return;
            }
            Stmt::For(v, bound, most, body) => {
                let bound = self.expr(bound);
                let head = format!("for (var v{v} = 0u; v{v} < min({bound}, {most}u); v{v}++)");
                return self.nested(&head, body, "", depth, out);
            }
            Stmt::Loop(v, bound, most, body) => {
                let bound = self.expr(bound);
                let _ = writeln!(out, "{pad}var v{v} = 0u;\n{pad}loop {{");
                let _ = writeln!(
                    out,
                    "{pad}    if v{v} >= min({bound}, {most}u) {{ break; }}"
                );
                self.block(body, depth + 1, out);
                format!("    continuing {{ v{v} += 1u; }}\n{pad}}}")
            }
            Stmt::Switch(e, cases, default) => {
                let _ = writeln!(out, "{pad}switch {} {{", self.expr(e));
                for (number, body) in cases {
                    self.nested(&format!("case {number}u:"), body, "", depth + 1, out);
                }
                self.nested("default:", default, "", depth + 1, out);
                "}".to_owned()
            }
            Stmt::BreakIf(c) => format!("if {} {{ break; }}", self.expr(c)),
            Stmt::ContinueIf(c) => format!("if {} {{ continue; }}", self.expr(c)),
            Stmt::ReturnIf(c) => {
                let value = if self.inside { " 0u" } else { "" };
                format!("if {} {{ return{value}; }}", self.expr(c))
            }
            Stmt::Do(function, arguments) => {
                format!("_ = {};", self.call(*function, arguments))
            }
            Stmt::Exchange(v, value, from) => {
                let (value, from) = (self.expr(value), self.expr(from));
                let lanes = self.program.lanes();
                format!(
                    "tile[l] = {value};\n{pad}workgroupBarrier();\n{pad}let v{v} = tile[{from} % {lanes}u];\n{pad}workgroupBarrier();"
                )
            }
            Stmt::Tally(v, at, value, from) => {
                let [at, value, from] = [at, value, from].map(|e| self.expr(e));
                format!(
                    "atomicAdd(&tally[{at} % {TALLIES}u], {value});\n{pad}workgroupBarrier();\n{pad}let v{v} = atomicLoad(&tally[{from} % {TALLIES}u]);\n{pad}workgroupBarrier();"
                )
            }
            Stmt::Uniform(v, e) => {
                let e = self.expr(e);
                format!(
                    "if l == 0u {{ shared_word = {e}; }}\n{pad}let v{v} = workgroupUniformLoad(&shared_word);"
                )
            }
            Stmt::Barrier => "storageBarrier();".to_owned(),
        };
        let _ = writeln!(out, "{pad}{line}");
    }
}

/// Whether code has a name in it.
fn names(code: &str, name: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| {
        let after = code[at + name.len()..].chars().next();
        let before = code[..at].chars().next_back();
        !word(after) && !word(before)
    })
}

/// What is stored: floats are whole numbers of eight bits.
fn confined(scalar: Scalar, value: &str) -> String {
    match scalar {
        Scalar::F32 => format!("f32(i32(clamp({value}, -255.0, 255.0)))"),
        _ => value.to_owned(),
    }
}
