//! How deep a text nests, estimated from above before anything parses it.
//!
//! The front ends recurse along expressions, blocks and chains of `else if`, so a text can overflow any stack. Here
//! every text is counted first: the brackets that are open, and on each level the operators of the expression and the
//! `else`s of the statement that are going on. What stays within the bounds fits the stack of
//! [`deep`](super::guard::deep).

use super::Language;
use super::macros::{self, Factors, Macros};
use super::tokens::{Token, Tokens};
use crate::error::ShaderError;

/// The most brackets inside each other. WGSL allows 127 for blocks.
const BRACKETS: usize = 500;

/// The most levels in all: brackets, and one for each operator and `else` of what is open.
const LEVELS: u64 = 4000;

/// The most declarations of a module, since they may depend on each other in one chain.
const DECLARATIONS: u64 = 100_000;

/// The most tokens, macros expanded.
const TOKENS: u64 = 20_000_000;

/// Refuses a text that nests too deep to be parsed.
///
/// # Errors
/// [`ShaderError::Parse`] with the line where it becomes too deep.
pub(super) fn check(text: &str, language: Language) -> Result<(), ShaderError> {
    let glsl = language == Language::Glsl;
    let macros = if glsl {
        let all = macros::weigh(text);
        all.ok_or_else(|| {
            refused(
                text,
                0,
                "the macros use each other in too long a chain".to_owned(),
            )
        })?
    } else {
        Macros::new()
    };
    walk(text, text, 0, glsl, &macros)
}

#[derive(Default)]
struct Level {
    /// Operators and `else`s since the last thing began.
    chain: u64,
    /// A statement has ended: only `else` goes on with it.
    ended: bool,
}

fn walk(
    whole: &str,
    text: &str,
    offset: usize,
    glsl: bool,
    macros: &Macros<'_>,
) -> Result<(), ShaderError> {
    let mut levels = vec![Level::default()];
    let mut factors = Factors::default();
    // The sum of all chains.
    let mut open: u64 = 0;
    let mut tokens: u64 = 0;
    let mut declarations: u64 = 0;
    for (at, token) in Tokens::new(text, glsl) {
        if let Token::Directive(line) = token {
            // Conditions are parsed as well; what a macro stands for counts where it is used.
            if !line.trim_start().starts_with("define") {
                walk(whole, line, offset + at + 1, false, macros)?;
            }
            continue;
        }
        let used = match token {
            Token::Word(word) => macros.get(word),
            _ => None,
        };
        let weight = factors.step(token, used);
        tokens = tokens.saturating_add(weight.tokens);
        let depth = levels.len();
        let Some(level) = levels.last_mut() else {
            continue;
        };
        let goes_on = token == Token::Word("else");
        if std::mem::take(&mut level.ended) && !goes_on {
            open -= std::mem::take(&mut level.chain);
        }
        match token {
            Token::Open | Token::Begin => levels.push(Level::default()),
            Token::Close | Token::End => {
                if depth > 1 {
                    open -= level.chain;
                    levels.pop();
                }
                if let Some(level) = levels.last_mut() {
                    level.ended = token == Token::End;
                    // What is called or indexed is one level below its call or index.
                    let more = u64::from(token == Token::Close);
                    level.chain += more;
                    open += more;
                }
                declarations += u64::from(depth <= 2 && token == Token::End);
            }
            Token::Comma => open -= std::mem::take(&mut level.chain),
            Token::Semicolon => {
                level.ended = true;
                declarations += u64::from(depth == 1);
            }
            Token::Operator => {
                level.chain += weight.operators;
                open += weight.operators;
            }
            Token::Word(word) => {
                let nests = matches!(word, "else" | "if" | "for" | "while" | "do" | "switch");
                let more = weight.operators + u64::from(nests);
                level.chain += more;
                open += more;
            }
            Token::Directive(_) => {}
        }
        let refuse = |what: String| Err(refused(whole, offset + at, what));
        if levels.len() > BRACKETS {
            return refuse(format!("more than {BRACKETS} brackets are open here"));
        }
        if open + levels.len() as u64 > LEVELS {
            return refuse(format!(
                "what is open here nests more than {LEVELS} levels deep: name parts of it with `let`, or use a loop"
            ));
        }
        if tokens > TOKENS {
            return refuse(format!("more than {TOKENS} tokens, with macros expanded"));
        }
        if declarations > DECLARATIONS {
            return refuse(format!("more than {DECLARATIONS} declarations"));
        }
    }
    Ok(())
}

fn refused(text: &str, at: usize, message: String) -> ShaderError {
    ShaderError::Parse {
        line: 1 + text[..at.min(text.len())].matches('\n').count() as u32,
        message,
        report: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(text: &str, language: Language) -> Option<String> {
        check(text, language).err().map(|e| e.to_string())
    }

    #[test]
    fn long_and_wide_is_not_deep() {
        let table = format!(
            "const t = array<u32, 99999>({});",
            "1u + 2u, ".repeat(99_999)
        );
        assert_eq!(refuses(&table, Language::Wgsl), None);
        let body = "if a { b = b * 2u + c[d]; } else if e { f(); } ".repeat(20_000);
        assert_eq!(
            refuses(&format!("fn f() {{ {body} }}"), Language::Wgsl),
            None
        );
        let glsl = "#define SQ(x) ((x) * (x))\nvoid f() {".to_owned()
            + &"a = SQ(SQ(b) + c);".repeat(20_000)
            + "}";
        assert_eq!(refuses(&glsl, Language::Glsl), None);
    }

    #[test]
    fn what_is_too_deep_is_told_with_its_line() {
        for (text, what) in [
            (format!("fn f() {{\n{}", "(".repeat(1000)), "brackets"),
            (format!("fn f() {{\n{}", "{".repeat(1000)), "brackets"),
            (format!("fn f() {{\nx = {};", "a+".repeat(5000)), "levels"),
            (format!("fn f() {{\nx = {}1;", "-".repeat(5000)), "levels"),
            (format!("fn f() {{\nx = a{};", "[0]".repeat(5000)), "levels"),
            (
                format!("fn f() {{\n if a {{}} {}", "else if b {} ".repeat(5000)),
                "levels",
            ),
            (format!("fn f() {{\n{}", "if (a) ".repeat(5000)), "levels"),
        ] {
            for language in [Language::Wgsl, Language::Glsl] {
                let told = refuses(&text, language).unwrap_or_else(|| panic!("{text:.40}"));
                assert!(
                    told.starts_with("line 2: ") && told.contains(what),
                    "{told}"
                );
            }
        }
        let told = refuses(&"const a = 1;\n".repeat(100_001), Language::Wgsl);
        assert!(told.is_some_and(|told| told.starts_with("line 100001: ")));
    }

    #[test]
    fn macros_count_where_they_are_used() {
        let mut text = "#define M0 1\n".to_owned();
        for i in 1..20 {
            text += &format!("#define M{i} M{}+M{}\n", i - 1, i - 1);
        }
        assert_eq!(refuses(&text, Language::Glsl), None);
        text += "int x = M19;";
        assert!(refuses(&text, Language::Glsl).is_some_and(|t| t.starts_with("line 21: ")));
        let calls = format!(
            "#define D(x) x+x\nint x = {}1{};",
            "D(".repeat(40),
            ")".repeat(40)
        );
        assert!(refuses(&calls, Language::Glsl).is_some());
    }
}
