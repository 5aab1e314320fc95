//! Constants of a WGSL module that naga cannot evaluate, written out where they are used.
//!
//! naga knows all of WGSL's functions, but evaluates some of them, `mix`, `transpose` or `bitcast` say, only where a kernel
//! runs. So a module's constant that is made with one of those goes, and what it is made of stands wherever its name did.

use super::tokens::{Token, Tokens};

/// The most constants that are written out.
pub(super) const MOST: usize = 64;

/// The text without the module's constant around a byte: its value is where its name was; lines stay lines.
/// `None` where there is none, or its name means something else as well.
pub(super) fn without_constant(text: &str, at: usize) -> Option<String> {
    let tokens: Vec<_> = Tokens::new(text, false).collect();
    let mut depth = 0u32;
    let mut found = None;
    for (i, &(begin, token)) in tokens.iter().enumerate() {
        match token {
            Token::Begin | Token::Open => depth += 1,
            Token::End | Token::Close => depth = depth.saturating_sub(1),
            Token::Word("const") if depth == 0 && begin <= at => found = Some(i),
            _ => {}
        }
    }
    let from = found?;
    let length = tokens[from..]
        .iter()
        .position(|(_, token)| *token == Token::Semicolon)?;
    let end = tokens[from + length].0;
    let (declared, Token::Word(name)) = *tokens.get(from + 1)? else {
        return None;
    };
    if end < at {
        return None;
    }
    // The first `=` ends the type, which has none.
    let (head, value) = text[declared + name.len()..end].split_once('=')?;
    let ty = head.trim().strip_prefix(':').map(str::trim);
    let value = one_line(value)?;
    let value = match ty {
        Some(ty) => format!("{}(({value}))", one_line(ty)?),
        None => format!("({})", concrete(&value)),
    };
    let declaration = tokens[from].0..end + 1;
    let mut own = format!("gmem_{name}");
    while text.contains(&own) {
        own.push('_');
    }
    // Where it was declared it is still looked at, used or not.
    let lines = "\n".repeat(text[declaration.clone()].matches('\n').count());
    let mut changes = vec![(declaration, format!("fn {own}() {{ _ = {value}; }}{lines}"))];
    for (i, &(begin, token)) in tokens.iter().enumerate() {
        if token != Token::Word(name) || (from..from + length).contains(&i) {
            continue;
        }
        let before = text[..begin].trim_end();
        if before.ends_with('.') {
            continue;
        }
        let introduces = i.checked_sub(1).is_some_and(|i| {
            matches!(
                tokens[i].1,
                Token::Word("let" | "var" | "const" | "fn" | "override" | "struct" | "alias")
            )
        });
        // A parameter, a member, a variable with a kind of memory, or an attribute.
        let behind = text[begin + name.len()..].trim_start();
        if introduces || behind.starts_with(':') || before.ends_with('>') || before.ends_with('@') {
            return None;
        }
        changes.push((begin..begin + name.len(), value.clone()));
    }
    changes.sort_by_key(|(part, _)| part.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut copied = 0;
    for (part, by) in changes {
        out.push_str(&text[copied..part.start]);
        out.push_str(&by);
        copied = part.end;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// An expression with its floats without a type as `f32`: naga takes them for what they are only where it evaluates them.
fn concrete(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let dotted = first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        if !word(first) && !dotted {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if !first.is_ascii_digit() && !dotted {
            // A name, and a component behind it, which may hold digits.
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let mut end = 0;
        let mut exponent = false;
        for (i, c) in rest.char_indices() {
            let sign = matches!(c, '+' | '-') && exponent && rest[..i].ends_with(['e', 'E']);
            if !word(c) && c != '.' && !sign {
                break;
            }
            exponent |= matches!(c, 'e' | 'E') && !rest.starts_with("0x");
            end = i + c.len_utf8();
        }
        let number = &rest[..end];
        out.push_str(number);
        let float = (number.contains('.') || exponent) && !number.starts_with("0x");
        if float && number.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
            out.push('f');
        }
        rest = &rest[end..];
    }
    out
}

/// A text in one line; `None` where a comment would then hide the rest of it.
fn one_line(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.contains("//")).then(|| text.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_where_its_name_did() {
        let text = "const A = mix(1.0,\n 2.0, 0.5);\nfn f() -> f32 { return A + s.A; }";
        let new = without_constant(text, 12).unwrap();
        assert_eq!(
            new,
            "fn gmem_A() { _ = (mix(1.0f,  2.0f, 0.5f)); }\n\nfn f() -> f32 { return (mix(1.0f,  2.0f, 0.5f)) + s.A; }"
        );
        let typed = "const A: u32 = f(1); const B = A;";
        assert_eq!(
            without_constant(typed, 16).unwrap(),
            "fn gmem_A() { _ = u32((f(1))); } const B = u32((f(1)));"
        );
    }

    #[test]
    fn floats_get_a_type() {
        for (from, to) in [
            ("mix(1., .5, 1e-3)", "mix(1.f, .5f, 1e-3f)"),
            (
                "a.x1 + 2 * 0x1p3 - 1.5f - 2.0h",
                "a.x1 + 2 * 0x1p3 - 1.5f - 2.0h",
            ),
            ("v2 + 3u + 1.0e+2-1.0", "v2 + 3u + 1.0e+2f-1.0f"),
        ] {
            assert_eq!(concrete(from), to);
        }
    }

    #[test]
    fn a_name_that_means_something_else_too_stays() {
        for text in [
            "const A = f(1); fn g() { let A = 2; }",
            "const A = f(1); fn g(A: u32) {}",
            "const A = f(1); struct S { A: u32 }",
            "const A = f(1 // one\n);",
            "fn g() { const A = f(1); }",
            "let x = f(1);",
            "const",
        ] {
            let at = text.find("f(1").unwrap_or(0);
            assert_eq!(without_constant(text, at), None, "{text}");
        }
    }
}
