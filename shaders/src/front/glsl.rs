//! GLSL in: compute shaders of version 4.20 to 4.60, 3.10 ES and 3.20 ES, as Vulkan has them.
//!
//! naga reads versions 4.40 to 4.60. What a compute shader says in the others means the same there. Beside that, texts
//! are put in words that naga knows: lines stay lines.

use std::ops::Range;
use std::sync::Arc;

use naga::front::glsl::{ErrorKind, Frontend, Options};
use naga::{Expression, Module, ShaderStage, Span};

use super::guard::caught;
use super::stand_in;
use super::tokens::{Token, Tokens};
use crate::error::ShaderError;

/// Parses GLSL. The text is what positions are positions in: the lines are those of `source`.
pub(super) fn parse(source: &str) -> Result<(Module, Arc<str>), ShaderError> {
    let mut options = Options::from(ShaderStage::Compute);
    // The IR has no such words for a buffer that is translated: what has to be seen by others at once is atomic.
    for qualifier in ["coherent", "volatile"] {
        options.defines.insert(qualifier.to_owned(), String::new());
    }
    let words = Words::of(source);
    let size = words.workgroup_size();
    options.defines.insert("gl_WorkGroupSize".to_owned(), size);
    let text = words.applied(source);
    let parsed = caught(|| Frontend::default().parse(&options, &text))?;
    let mut module = parsed.map_err(|errors| {
        let first = errors.errors.first();
        let word = first.and_then(|e| text.get(e.meta.to_range()?));
        let message = match first.map(|e| &e.kind) {
            None => "it is no GLSL".to_owned(),
            // This is all that naga says where a type should stand.
            Some(ErrorKind::NotImplemented("variable qualifier")) => unknown_type(word),
            Some(kind) => kind.to_string(),
        };
        ShaderError::Parse {
            line: first.map_or(0, |e| crate::error::line(e.meta, &text)),
            message,
            // The report is naga's, as is the place that it marks, which may not be there.
            report: caught(|| errors.emit_to_string(&text)).unwrap_or_default(),
        }
    })?;
    words.size_workgroups(&mut module);
    stand_in::put_in_place(&mut module, &text)?;
    Ok((module, text.into()))
}

/// Why a word cannot stand where a type should.
fn unknown_type(word: Option<&str>) -> String {
    let word = word.unwrap_or("this").trim();
    if word.contains("sampler") {
        format!(
            "`{word}` is a texture and its sampler in one binding, which WebGPU has not: declare a texture2D and a sampler"
        )
    } else {
        format!("`{word}` is no type that is known here")
    }
}

/// The names of constants that say the workgroup's size and have none.
const OWN: [&str; 3] = ["gmem_size_x", "gmem_size_y", "gmem_size_z"];

/// What a text says in words that naga does not know.
#[derive(Default)]
struct Words<'a> {
    /// Parts of the text and what takes their place.
    changes: Vec<(Range<usize>, String)>,
    /// What is said of the workgroup's size: a word for each axis.
    sizes: [Option<&'a str>; 3],
    /// The specialisation constants that say it.
    constants: [Option<u16>; 3],
    /// What these constants are called.
    names: [Option<&'a str>; 3],
    /// What one of those that has become a constant says.
    fixed: [Option<u32>; 3],
}

/// A token and the byte where it begins.
type Place<'a> = (usize, Token<'a>);

/// Whether a name stands in the brackets of a declaration: behind a type, a name and `[`.
fn sizes_arrays(source: &str, tokens: &[Place<'_>], name: &str) -> bool {
    let mut brackets = 0u32;
    let mut declares = Vec::new();
    for (i, &(at, token)) in tokens.iter().enumerate() {
        match token {
            Token::Open => {
                let words = matches!(tokens[..i], [.., (_, Token::Word(_)), (_, Token::Word(_))]);
                let more = matches!(tokens[..i], [.., (_, Token::Close)]);
                let declared = source[at..].starts_with('[') && (words || (more && brackets == 0));
                declares.push(declared);
                brackets += u32::from(declared);
            }
            Token::Close => brackets -= u32::from(declares.pop().unwrap_or_default()),
            Token::Word(word) if word == name && brackets > 0 => return true,
            _ => {}
        }
    }
    false
}

impl<'a> Words<'a> {
    fn of(source: &'a str) -> Self {
        let mut found = Self::default();
        let mut behind = 0;
        let tokens: Vec<_> = Tokens::new(source, true).collect();
        for (i, &(at, token)) in tokens.iter().enumerate() {
            let next = &tokens[i + 1..];
            match token {
                Token::Directive(line) => {
                    if let Some(version) = line.trim_start().strip_prefix("version") {
                        let from = at + 1 + line.len() - version.len();
                        found.version(from, version);
                        behind = (at + 1 + line.len() + 1).min(source.len());
                    }
                }
                Token::Word("const") if matches!(next, [(_, Token::Word("in")), ..]) => {
                    found.changes.push((at..at + 5, " ".repeat(5)));
                }
                Token::Word(word) if word.starts_with("local_size_") => {
                    if let [(_, Token::Operator), (to, Token::Word(value)), ..] = *next {
                        found.size(at, word, to, value);
                    }
                }
                _ => {}
            }
        }
        for (i, &(at, token)) in tokens.iter().enumerate() {
            if token == Token::Word("layout") {
                found.constant(source, at, &tokens[i + 1..], &tokens);
            }
        }
        let mut declared = stand_in::declarations(source);
        for (axis, own) in OWN.into_iter().enumerate() {
            if let Some(number) = found.constants[axis]
                && found.names[axis].is_none()
            {
                let (name, size) = (own, found.sizes[axis].unwrap_or("1"));
                let constant = format!("layout(constant_id={number})const uint {name}={size};");
                declared.push_str(&constant);
                // One constant may say several sizes.
                for (other, name) in found.constants.iter().zip(&mut found.names) {
                    if *other == Some(number) {
                        *name = Some(own);
                    }
                }
            }
        }
        if !declared.is_empty() {
            found.changes.push((behind..behind, declared));
        }
        found
    }

    /// A version, with the profile that may follow it.
    fn version(&mut self, from: usize, version: &str) {
        let mut words = version.split_whitespace();
        let number = words.next().unwrap_or_default();
        let known = match words.next() {
            Some("es") => matches!(number, "310" | "320"),
            _ => matches!(number, "420" | "430"),
        };
        if !known {
            return;
        }
        let es = version.find(" es").filter(|_| number.starts_with('3'));
        let end = es.map_or_else(|| version.find(number).unwrap_or(0) + 3, |es| es + 3);
        let by = format!(" 450{}", " ".repeat(end.saturating_sub(4)));
        self.changes.push((from..from + end, by));
    }

    /// The size of a workgroup along an axis, or the number of the specialisation constant that says it.
    fn size(&mut self, at: usize, word: &str, to: usize, value: &'a str) {
        let (axis, by_constant) = match &word["local_size_".len()..] {
            "x" => (0, false),
            "y" => (1, false),
            "z" => (2, false),
            "x_id" => (0, true),
            "y_id" => (1, true),
            "z_id" => (2, true),
            _ => return,
        };
        if !by_constant {
            self.sizes[axis] = Some(value);
        } else if let Ok(number) = value.parse() {
            self.constants[axis] = Some(number);
            // What stands here says one, unless the size is said besides.
            let size = self.sizes[axis].unwrap_or("1");
            let plain = &word[..word.len() - "_id".len()];
            self.changes
                .push((at..to + value.len(), format!("{plain} = {size}")));
        }
    }

    /// A specialisation constant that says how long an array is becomes a constant, which is all that naga takes: it
    /// keeps the value that the text gives it.
    fn constant(&mut self, source: &str, at: usize, next: &[Place<'a>], all: &[Place<'a>]) {
        let [
            (_, Token::Open),
            (_, Token::Word("constant_id")),
            (_, Token::Operator),
            (_, Token::Word(number)),
            (closed, Token::Close),
            (_, Token::Word("const")),
            (_, Token::Word(_)),
            (_, Token::Word(name)),
            (_, Token::Operator),
            (_, Token::Word(value)),
            ..,
        ] = *next
        else {
            return;
        };
        let says = |id: Option<u16>| id.is_some_and(|id| number.parse() == Ok(id));
        if !sizes_arrays(source, all, name) {
            for axis in 0..3 {
                if says(self.constants[axis]) {
                    self.names[axis] = Some(name);
                }
            }
            return;
        }
        self.changes
            .push((at..closed + 1, blanks(&source[at..=closed])));
        for axis in 0..3 {
            if says(self.constants[axis]) {
                self.constants[axis] = None;
                self.names[axis] = Some(name);
                self.fixed[axis] = value.trim_end_matches(['u', 'U']).parse().ok();
            }
        }
    }

    /// `gl_WorkGroupSize`, in the words that say it.
    fn workgroup_size(&self) -> String {
        let word = |axis: usize| self.names[axis].or(self.sizes[axis]).unwrap_or("1");
        format!("uvec3({},{},{})", word(0), word(1), word(2))
    }

    fn applied(&self, text: &str) -> String {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_by_key(|(part, _)| (part.start, part.end));
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for (part, by) in changes {
            out.push_str(text.get(at..part.start).unwrap_or_default());
            out.push_str(by);
            at = part.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    /// Gives the entry point the size that specialisation constants say.
    fn size_workgroups(&self, module: &mut Module) {
        for entry in &mut module.entry_points {
            for (size, fixed) in entry.workgroup_size.iter_mut().zip(self.fixed) {
                *size = fixed.unwrap_or(*size);
            }
        }
        for entry in &mut module.entry_points {
            let mut overrides = [None; 3];
            for (axis, number) in self.constants.iter().enumerate() {
                let declared = (module.overrides.iter())
                    .find(|(_, o)| number.is_some() && o.id == *number)
                    .map(|(handle, _)| Expression::Override(handle));
                overrides[axis] =
                    declared.map(|value| module.global_expressions.append(value, Span::UNDEFINED));
            }
            if overrides.iter().any(Option::is_some) {
                entry.workgroup_size_overrides = Some(overrides);
            }
        }
    }
}

/// A text as blanks; lines stay lines.
fn blanks(text: &str) -> String {
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    text.chars().map(blank).collect()
}
