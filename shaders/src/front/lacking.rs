//! What WGSL has and naga's front end lacks, said in words that it knows.
//!
//! - `@diagnostic(…)` on statements, which changes nothing but warnings, becomes blanks;
//! - `subgroupElect()` gets a declaration: the first active invocation is the one before which nothing adds up;
//! - `bitcast` between words and vectors of halves goes through `unpack2x16float` and `pack2x16float`, which is the same
//!   bits but for the payloads of NaNs;
//! - `push_constant` is what `immediate` was called before.
//!
//! Lines stay lines, so that errors name the lines of the source; what is declared is declared behind its end.

use std::borrow::Cow;
use std::ops::Range;

use super::tokens::{Token, Tokens};

const ELECT: &str = "subgroupElect";

/// The text in words that naga's front end knows.
pub(super) fn supplied(text: &str) -> Cow<'_, str> {
    let words = ["diagnostic", ELECT, "bitcast", "push_constant"];
    if !words.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut found = Found::default();
    let tokens: Vec<Place<'_>> = Tokens::new(text, false).collect();
    let mut depth = 0u32;
    for (i, &(at, token)) in tokens.iter().enumerate() {
        let next = &tokens[i + 1..];
        match token {
            Token::Begin => depth += 1,
            Token::End => depth = depth.saturating_sub(1),
            Token::Word("diagnostic") if depth > 0 => found.diagnostic(text, at, next),
            Token::Word("push_constant") if before(&tokens[..i]) == Some("<") => {
                let blank = " ".repeat("push_constant".len() - "immediate".len());
                let replaced = at..at + "push_constant".len();
                found.replace(replaced, format!("immediate{blank}"));
            }
            Token::Word(word) if word == ELECT => {
                found.elected = true;
                found.elect_declared |= before(&tokens[..i]) == Some("fn");
            }
            Token::Word("bitcast") => found.bitcast(text, at, next),
            _ => {}
        }
    }
    found.applied(text)
}

/// A token and the byte where it begins.
type Place<'a> = (usize, Token<'a>);

/// The word just before, or `<` where it is the first one of template arguments.
fn before<'a>(tokens: &[Place<'a>]) -> Option<&'a str> {
    match *tokens {
        [.., (_, Token::Word("var" | "ptr")), (_, Token::Operator)] => Some("<"),
        [.., (_, Token::Word(word))] => Some(word),
        _ => None,
    }
}

/// What is to be changed.
#[derive(Default)]
struct Found {
    /// Parts of the text and what takes their place, the first ones first; a part of no bytes is an insertion.
    changes: Vec<(Range<usize>, String)>,
    elected: bool,
    elect_declared: bool,
    /// How many words the vectors of halves are made of that casts need.
    unpacked: [bool; 2],
    packed: [bool; 2],
}

/// The names of the functions that are added, before what makes them nobody else's.
const UNPACK: [&str; 2] = ["gmem_halves_of_word", "gmem_halves_of_words"];
const PACK: [&str; 2] = ["gmem_word_of_halves", "gmem_words_of_halves"];

impl Found {
    fn replace(&mut self, part: Range<usize>, by: String) {
        self.changes.push((part, by));
    }

    /// An attribute `@diagnostic(…)` in a function.
    fn diagnostic(&mut self, text: &str, at: usize, next: &[Place<'_>]) {
        let marked = text[..at].trim_end().strip_suffix('@');
        if let (Some(marked), Some(end)) = (marked, closing(next)) {
            let part = marked.len()..end + 1;
            let blank = |c: char| {
                if c == '\n' {
                    "\n".into()
                } else {
                    " ".repeat(c.len_utf8())
                }
            };
            let by = text[part.clone()].chars().map(blank).collect();
            self.replace(part, by);
        }
    }

    /// A cast to a vector of halves, or of what is written as one.
    fn bitcast(&mut self, text: &str, at: usize, next: &[Place<'_>]) {
        let Some((to, rest)) = template(text, next) else {
            return;
        };
        let Some(end) = closing(rest) else {
            return;
        };
        let open = rest[0].0;
        if let Some(words) = halves(&to) {
            // Whatever holds the bits becomes words first: its type is not known here.
            let word = ["u32", "vec2<u32>"][words];
            self.unpacked[words] = true;
            self.replace(at..open, format!("{}(bitcast<{word}>", UNPACK[words]));
            self.replace(end..end, ")".to_owned());
        } else if let Some(words) = made_of_halves(text, &rest[1..])
            && matches!(
                (to.as_str(), words),
                ("u32" | "i32" | "f32", 0)
                    | (
                        "vec2<u32>" | "vec2u" | "vec2<i32>" | "vec2i" | "vec2<f32>" | "vec2f",
                        1
                    )
            )
        {
            self.packed[words] = true;
            self.replace(open..open, format!("({}", PACK[words]));
            self.replace(end..end, ")".to_owned());
        }
    }

    fn applied(mut self, text: &str) -> Cow<'_, str> {
        let elect = self.elected && !self.elect_declared;
        if self.changes.is_empty() && !elect {
            return Cow::Borrowed(text);
        }
        // A name that is not in the text is nobody's.
        let mut own = String::new();
        while text.contains(&format!("_halves{own}")) || text.contains(&format!("_of_words{own}")) {
            own.push('_');
        }
        self.changes.sort_by_key(|(part, _)| (part.start, part.end));
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for (part, by) in &self.changes {
            if part.start < at {
                // One in another: both cannot be; naga says what it does not know.
                return Cow::Borrowed(text);
            }
            out.push_str(&text[at..part.start]);
            out.push_str(by);
            at = part.end;
        }
        out.push_str(&text[at..]);
        out.push('\n');
        if elect {
            out.push_str("fn subgroupElect() -> bool { return subgroupExclusiveAdd(1u) == 0u; }\n");
        }
        for (words, (word, size)) in [("u32", "2"), ("vec2<u32>", "4")].into_iter().enumerate() {
            let half = format!("vec{size}<f16>");
            let float = format!("vec{size}<f32>");
            let (unpacked, packed) = match words {
                0 => ("unpack2x16float(a)", "pack2x16float(f)"),
                _ => (
                    "vec4<f32>(unpack2x16float(a.x), unpack2x16float(a.y))",
                    "vec2<u32>(pack2x16float(f.xy), pack2x16float(f.zw))",
                ),
            };
            if self.unpacked[words] {
                let name = UNPACK[words];
                out.push_str(&format!(
                    "fn {name}(a: {word}) -> {half} {{ return {half}({unpacked}); }}\n"
                ));
            }
            if self.packed[words] {
                let name = PACK[words];
                out.push_str(&format!(
                    "fn {name}(a: {half}) -> {word} {{ let f = {float}(a); return {packed}; }}\n"
                ));
            }
        }
        Cow::Owned(out)
    }
}

/// Where the bracket that the first token opens is closed.
fn closing(tokens: &[Place<'_>]) -> Option<usize> {
    let mut depth = 0u32;
    for &(at, token) in tokens {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (token == Token::Close).then_some(at);
        }
    }
    None
}

/// The template arguments that come first, without blanks, and the tokens from the bracket behind them on.
fn template<'t, 'a>(text: &str, tokens: &'t [Place<'a>]) -> Option<(String, &'t [Place<'a>])> {
    let first = tokens.first()?.0;
    let behind = tokens.iter().position(|(_, token)| *token == Token::Open)?;
    let inner = text.get(first..tokens[behind].0)?.trim_end();
    let inner = inner.strip_prefix('<')?.strip_suffix('>')?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '<' | '>' | '_') || c.is_whitespace();
    let ty = inner.chars().filter(|c| !c.is_whitespace()).collect();
    inner.chars().all(plain).then(|| (ty, &tokens[behind..]))
}

/// One less than the words that a vector of halves takes.
fn halves(ty: &str) -> Option<usize> {
    match ty {
        "vec2<f16>" | "vec2h" => Some(0),
        "vec4<f16>" | "vec4h" => Some(1),
        _ => None,
    }
}

/// The same, of a value that begins with the name of its type.
fn made_of_halves(text: &str, tokens: &[Place<'_>]) -> Option<usize> {
    let &(at, Token::Word(word)) = tokens.first()? else {
        return None;
    };
    let open = tokens.iter().find(|(_, token)| *token == Token::Open)?.0;
    let ty: String = text.get(at..open)?.split_whitespace().collect();
    // Nothing may follow it but the end of the brackets around.
    let value = &tokens[tokens.iter().position(|(at, _)| *at == open)?..];
    let end = closing(value)?;
    let after = tokens.iter().find(|(at, _)| *at > end)?;
    (after.1 == Token::Close && !word.is_empty()).then(|| halves(&ty))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stays_as_it_is() {
        for text in [
            "fn f() { let a = bitcast<u32>(b); }",
            "@diagnostic(off, derivative_uniformity) fn f() {}",
            "fn subgroupElect() -> bool { return true; } fn f() { subgroupElect(); }",
            "fn f() { let push_constant = 1; let diagnostic = 2; g(diagnostic(3)); }",
            "fn f() { let a = bitcast<u32>(vec2<f16>(b) + c); }",
            "bitcast",
            "bitcast<vec2<f16>>(",
            "{ @diagnostic(",
        ] {
            assert_eq!(supplied(text), text);
        }
    }

    #[test]
    fn positions_stay_where_nothing_is_longer() {
        let text = "var<push_constant> p: u32;\nfn f() { @diagnostic(off,\n x.y) if true {} }";
        let new = supplied(text);
        assert_eq!(
            new.trim_end_matches('\n'),
            "var<immediate    > p: u32;\nfn f() {                 \n      if true {} }"
        );
        let new = supplied("fn f() { if subgroupElect() {} }").into_owned();
        assert!(new.starts_with("fn f() { if subgroupElect() {} }\nfn subgroupElect()"));
    }

    #[test]
    fn casts_of_halves_become_calls() {
        let first = |text| supplied(text).lines().next().unwrap().to_owned();
        assert_eq!(
            first("bitcast < vec2 < f16 > > (a[(1)] + 2)"),
            "gmem_halves_of_word(bitcast<u32>(a[(1)] + 2))"
        );
        assert_eq!(
            first("bitcast<vec4h>(a).x + bitcast<vec2h>(b).y"),
            "gmem_halves_of_words(bitcast<vec2<u32>>(a)).x + gmem_halves_of_word(bitcast<u32>(b)).y"
        );
        assert_eq!(
            first("bitcast<u32>(vec2<f16>(a, 0))"),
            "bitcast<u32>(gmem_word_of_halves(vec2<f16>(a, 0)))"
        );
        assert_eq!(
            first("bitcast<vec2u>(vec4h(a))"),
            "bitcast<vec2u>(gmem_words_of_halves(vec4h(a)))"
        );
    }
}
