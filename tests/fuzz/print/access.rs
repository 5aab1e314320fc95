//! Accesses as WGSL, in either form.

use super::super::program::{Expr, Family, Id, Index, Order, Place, Role, Shape, Step, Style};
use super::super::types::{Scalar, Ty};
use super::{Form, Printer, confined, name};

impl Printer<'_> {
    /// The index of an own element.
    fn own(&mut self, buffer: usize, slot: &Expr) -> String {
        let program = self.program;
        let Role::Own(owning) = &program.buffers[buffer].role else {
            return "i".to_owned();
        };
        let (slots, all) = (owning.slots, program.owners(owning));
        let slot = match slot {
            _ if slots == 1 => String::new(),
            Expr::Lit(_, v) if v % slots == 0 => String::new(),
            Expr::Lit(_, v) => format!("{}u", v % slots),
            e => format!("{} % {slots}u", self.expr(e)),
        };
        let number = match &owning.order {
            Order::Strided | Order::Blocked | Order::Reversed => "i".to_owned(),
            Order::Flipped(mask) => format!("(i ^ {mask}u)"),
            Order::Odd(by, mask) => format!("((i * {by}u) & {mask}u)"),
            Order::Through(other) => {
                let place = Place {
                    buffer: *other,
                    index: Index::Any(Box::new(Expr::Id(Id::Invocation)), false),
                    steps: Vec::new(),
                    scalar: Scalar::U32,
                };
                self.load(&place, &Ty::WORD)
            }
            Order::Lanes => format!("(l * {}u + w)", all / program.lanes()),
        };
        let factor = |e: String, by: u32| if by == 1 { e } else { format!("{e} * {by}u") };
        let blocked = matches!(owning.order, Order::Blocked);
        let mut at = match (slot.as_str(), blocked) {
            ("", true) => number,
            ("", false) => factor(number, slots),
            (slot, true) => format!("({slot}) * {all}u + {number}"),
            (slot, false) => format!("{} + {slot}", factor(number, slots)),
        };
        if matches!(owning.order, Order::Reversed) {
            at = format!("{}u - ({at})", all * slots - 1);
        }
        if owning.gap != 1 {
            at = format!("({at}) * {}u", owning.gap);
        }
        if owning.bias != 0 {
            at = format!("{at} + {}u", owning.bias);
        }
        at
    }

    /// The path to a place with its indices as given, and these.
    fn path(&mut self, place: &Place) -> (String, Vec<(String, String)>) {
        let program = self.program;
        let buffer = &program.buffers[place.buffer];
        let mut path = name(place.buffer);
        // Text of the index, and of its bound.
        let mut indices = Vec::new();
        let header = matches!(buffer.shape, Shape::Header(_));
        let array = if header { ".tail" } else { "" };
        let length = self.length(place.buffer);
        let mut signed_index = false;
        match &place.index {
            Index::Header(at) => path += &format!(".head[{at}]"),
            Index::Any(e, signed) => {
                signed_index = *signed;
                indices.push((self.expr(e), length));
                path += &format!("{array}[@0]");
            }
            Index::Own(slot) => {
                indices.push((self.own(place.buffer, slot), length));
                path += &format!("{array}[@0]");
            }
        }
        let mut ty = buffer.element.clone();
        for step in &place.steps {
            match step {
                Step::Member(m) => {
                    path += &format!(".m{m}");
                    if let Ty::Struct(members, _) = &ty {
                        ty = members[*m as usize].clone();
                    }
                }
                Step::At(at) => {
                    path += &format!("[{at}]");
                    ty = ty.indexed().expect("it has parts").0;
                }
                Step::Dyn(e) => {
                    let (inner, bound) = ty.indexed().expect("it has parts");
                    path += &format!("[@{}]", indices.len());
                    indices.push((self.expr(e), format!("{bound}u")));
                    ty = inner;
                }
            }
        }
        if signed_index && self.form == Form::Bare {
            indices[0].0 = format!("i32({})", indices[0].0);
        }
        (path, indices)
    }

    fn is_component(&self, place: &Place) -> bool {
        let mut ty = self.program.buffers[place.buffer].element.clone();
        let mut component = false;
        for step in &place.steps {
            component = matches!(ty, Ty::Vector(..));
            ty = match (&ty, step) {
                (Ty::Struct(members, _), Step::Member(m)) => members[*m as usize].clone(),
                (parts, _) => parts.indexed().expect("it has parts").0,
            };
        }
        component
    }

    /// The path with its indices in place.
    fn bare(path: &str, indices: &[(String, String)]) -> String {
        let mut out = path.to_owned();
        for (at, (index, _)) in indices.iter().enumerate().rev() {
            out = out.replace(&format!("@{at}"), index);
        }
        out
    }

    /// A call of a function that checks the indices and does something at the path.
    fn checked(
        &mut self,
        path: &str,
        indices: &[(String, String)],
        value: Option<(&str, &str)>,
        result: &str,
        act: impl Fn(&str) -> String,
    ) -> String {
        let names: Vec<_> = (0..indices.len()).map(|at| format!("a{at}")).collect();
        let named: Vec<_> = (names.iter().zip(indices))
            .map(|(n, (_, bound))| (n.clone(), bound.clone()))
            .collect();
        let action = act(&Self::bare(path, &named));
        let mut parameters: Vec<_> = names.iter().map(|n| format!("{n}: u32")).collect();
        let mut arguments: Vec<_> = indices.iter().map(|(index, _)| index.clone()).collect();
        if let Some((value, ty)) = value {
            parameters.push(format!("v: {ty}"));
            arguments.push(value.to_owned());
        }
        let tests: Vec<_> = named.iter().map(|(n, b)| format!("{n} < {b}")).collect();
        let (arrow, otherwise) = match result {
            "" => (String::new(), String::new()),
            ty => (format!(" -> {ty}"), format!(" return {ty}();")),
        };
        let body = match tests.join(" && ") {
            none if none.is_empty() => action,
            tests => format!("if {tests} {{ {action} }}{otherwise}"),
        };
        let tail = format!("({}){arrow} {{ {body} }}\n", parameters.join(", "));
        let there = self.accesses.iter().position(|a| a.ends_with(&tail));
        let number = there.unwrap_or_else(|| {
            self.accesses
                .push(format!("fn at{}{tail}", self.accesses.len()));
            self.accesses.len() - 1
        });
        format!("at{number}({})", arguments.join(", "))
    }

    pub(super) fn load(&mut self, place: &Place, ty: &Ty) -> String {
        let (path, indices) = self.path(place);
        match self.form {
            Form::Bare => Self::bare(&path, &indices),
            Form::Checked => {
                let ty = ty.name(&mut self.types);
                self.checked(&path, &indices, None, &ty, |at| format!("return {at};"))
            }
        }
    }

    pub(super) fn store(&mut self, place: &Place, style: Style, e: &Expr) -> String {
        let value = confined(place.scalar, &self.expr(e));
        self.store_value(place, &Ty::Scalar(place.scalar), style, &value)
    }

    pub(super) fn store_value(
        &mut self,
        place: &Place,
        ty: &Ty,
        style: Style,
        value: &str,
    ) -> String {
        let (path, indices) = self.path(place);
        match (self.form, style) {
            (Form::Bare, Style::Plain) => format!("{} = {value};", Self::bare(&path, &indices)),
            (Form::Bare, Style::Compound) => format!("{} += {value};", Self::bare(&path, &indices)),
            // There are no pointers to components of vectors.
            (Form::Bare, Style::Pointer) if self.is_component(place) => {
                format!("{} = {value};", Self::bare(&path, &indices))
            }
            (Form::Bare, Style::Pointer) => {
                let path = Self::bare(&path, &indices);
                format!("{{ let q = &{path}; *q = {value}; }}")
            }
            (Form::Checked, style) => {
                let ty = ty.name(&mut self.types);
                let op = if style == Style::Compound { "+=" } else { "=" };
                let act = |at: &str| format!("{at} {op} v;");
                self.checked(&path, &indices, Some((value, &ty)), "", act) + ";"
            }
        }
    }

    /// An atomic operation at an index; the old value.
    pub(super) fn update(
        &mut self,
        buffer: usize,
        index: &str,
        operation: &str,
        value: &str,
    ) -> String {
        let scalar = match self.program.buffers[buffer].element {
            Ty::Scalar(scalar) => scalar.name(),
            _ => "u32",
        };
        let header = matches!(self.program.buffers[buffer].shape, Shape::Header(_));
        let path = name(buffer) + if header { ".tail[@0]" } else { "[@0]" };
        let indices = [(index.to_owned(), self.length(buffer))];
        match self.form {
            Form::Bare => {
                format!("{operation}(&{}, {value})", Self::bare(&path, &indices))
            }
            Form::Checked => {
                let act = |at: &str| format!("return {operation}(&{at}, v);");
                self.checked(&path, &indices, Some((value, scalar)), scalar, act)
            }
        }
    }

    pub(super) fn atomic(
        &mut self,
        buffer: usize,
        index: &Expr,
        choice: u8,
        value: &Expr,
    ) -> String {
        let Role::Atomic(family) = self.program.buffers[buffer].role else {
            return String::new();
        };
        let (index, value) = (self.expr(index), self.expr(value));
        let operation = match (family, choice % 3) {
            (Family::Sum, 0) => "atomicAdd",
            (Family::Sum, 1) => "atomicSub",
            (Family::Sum, _) => {
                // It would try for ever where nothing can be exchanged.
                let length = self.length(buffer);
                let header = matches!(self.program.buffers[buffer].shape, Shape::Header(_));
                let path = name(buffer) + if header { ".tail" } else { "" };
                return format!(
                    "{{ let q = {index} % {length}; let add = {value}; loop {{ let old = atomicLoad(&{path}[q]); \
                     if atomicCompareExchangeWeak(&{path}[q], old, old + add).exchanged {{ break; }} }} }}"
                );
            }
            (Family::And, _) => "atomicAnd",
            (Family::Or, _) => "atomicOr",
            (Family::Xor, _) => "atomicXor",
            (Family::Min, _) => "atomicMin",
            (Family::Max, _) => "atomicMax",
        };
        self.update(buffer, &index, operation, &value) + ";"
    }

    pub(super) fn append(&mut self, log: usize) -> String {
        let Role::Log { counter, word } = self.program.buffers[log].role else {
            return String::new();
        };
        self.put(counter, log, &format!("{word}u"))
    }

    pub(super) fn toss(&mut self, bag: usize, value: &Expr) -> String {
        let Role::Bag { counter } = self.program.buffers[bag].role else {
            return String::new();
        };
        let value = self.expr(value);
        self.put(counter, bag, &value)
    }

    /// Puts a word where a counter says.
    fn put(&mut self, counter: usize, log: usize, value: &str) -> String {
        let place = self.update(counter, "0u", "atomicAdd", "1u");
        let path = name(log) + "[@0]";
        let indices = [("q".to_owned(), self.length(log))];
        let store = match self.form {
            Form::Bare => format!("{} = v", Self::bare(&path, &indices)),
            Form::Checked => {
                let act = |at: &str| format!("{at} = v;");
                self.checked(&path, &indices, Some(("v", "u32")), "", act)
            }
        };
        format!("{{ let v = {value}; let q = {place}; {store}; }}")
    }
}
