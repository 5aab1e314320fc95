//! WGSL in.

use std::borrow::Cow;
use std::sync::Arc;

use naga::Module;

use super::guard::caught;
use super::{Language, inlined, lacking, nesting, prelude};
use crate::error::ShaderError;

/// Extensions whose operations naga knows, or that change none, but whose `enable` it refuses.
const KNOWN: [&str; 7] = [
    "subgroups",
    "subgroups_f16",
    "chromium_experimental_subgroups",
    "chromium_experimental_push_constant",
    "chromium_experimental_immediate",
    "chromium_experimental_dp4a",
    "chromium_disable_uniformity_analysis",
];

/// What naga says of constants that it cannot evaluate.
const NOT_EVALUATED: &str = "Not implemented as constant expression";

/// How many bytes constants may add that are written out, beside what the text had.
const LONG: usize = 64 << 10;

/// Parses WGSL. The text is what positions are positions in: the lines are those of `source`.
pub(super) fn parse(source: &str) -> Result<(Module, Arc<str>), ShaderError> {
    let known = without_known_directives(source);
    let mut text = lacking::supplied(&known);
    let before = text.len();
    text = prelude::supplied(text);
    let supplied = text.len() > before;
    for _ in 0..inlined::MOST {
        let error = match caught(|| naga::front::wgsl::parse_str(&text))? {
            Ok(module) => {
                // Directives are shown as they were, where nothing has moved.
                let own = prelude::own(&text, supplied);
                let same = own.len() == source.len();
                return Ok((module, Arc::from(if same { source } else { own })));
            }
            Err(error) => error,
        };
        let place = error.labels().next().and_then(|(span, _)| span.to_range());
        let written_out = place
            .filter(|_| error.message().starts_with(NOT_EVALUATED))
            .and_then(|place| inlined::without_constant(&text, place.start));
        match written_out {
            // Constants may be made of each other: what has become long or deep is no text for the front end.
            Some(new) if new.len() <= 4 * source.len() + LONG => {
                nesting::check(&new, Language::Wgsl)?;
                text = Cow::Owned(new);
            }
            _ => return Err(ShaderError::wgsl(&error, &text)),
        }
    }
    caught(|| naga::front::wgsl::parse_str(&text))?
        .map(|module| (module, Arc::from(prelude::own(&text, supplied))))
        .map_err(|error| ShaderError::wgsl(&error, &text))
}

/// Blanks the directives that naga refuses although it has what they ask for: `enable subgroups;`, and every
/// `requires`, which by the language changes nothing: what it asks for is there, or its first use is an error.
/// Positions stay as they are.
fn without_known_directives(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // Directives come first: skip blanks and comments, look at each, stop at anything else.
    loop {
        let skipped = leading_blanks(rest);
        out.push_str(&rest[..skipped]);
        rest = &rest[skipped..];
        let Some(end) = rest.find(';').map(|i| i + 1) else {
            break;
        };
        let directive = &rest[..end];
        let word = directive.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let (word, names) = directive.split_at(word.unwrap_or(directive.len()));
        match word {
            "enable" => out.push_str(&settled(directive, names)),
            "requires" => out.push_str(&blanked(directive, 0)),
            "diagnostic" => out.push_str(directive),
            _ => break,
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// An `enable` without the extensions that need none.
fn settled(directive: &str, names: &str) -> String {
    let names = names.trim_end_matches(';').split(',').map(str::trim);
    let (known, others): (Vec<&str>, Vec<&str>) = names
        .filter(|name| !name.is_empty())
        .partition(|name| KNOWN.contains(name));
    if known.is_empty() {
        return directive.to_owned();
    }
    let kept = if others.is_empty() {
        String::new()
    } else {
        format!("enable {};", others.join(","))
    };
    let from = kept.len().min(directive.len());
    kept + &blanked(directive, from)
}

/// A text's bytes from one on as blanks; lines stay lines.
fn blanked(text: &str, from: usize) -> String {
    let blank = |b| if b == b'\n' { '\n' } else { ' ' };
    text.bytes().skip(from).map(blank).collect()
}

/// Bytes of white space and comments at the start.
fn leading_blanks(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("//") {
            at += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            at += block_comment(trimmed);
        } else {
            return at;
        }
    }
}

/// Bytes of the comment that a text begins with; comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(['*', '/']) {
        at += found;
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_directives_become_blanks() {
        for (from, to) in [
            ("enable subgroups;fn", "                 fn"),
            ("enable f16, subgroups ;fn", "enable f16;            fn"),
            (
                "enable f16;enable\nsubgroups;fn",
                "enable f16;      \n          fn",
            ),
            ("enable f16;fn", "enable f16;fn"),
            ("requires a, b;\nfn", "              \nfn"),
            (
                "diagnostic(off, x.y);enable subgroups;fn",
                "diagnostic(off, x.y);                 fn",
            ),
            (
                "/* /* */ enable subgroups; */ requires a;fn",
                "/* /* */ enable subgroups; */            fn",
            ),
            ("fn f() {} enable subgroups;", "fn f() {} enable subgroups;"),
            (
                "enable_it; enable subgroups;",
                "enable_it; enable subgroups;",
            ),
            ("enable", "enable"),
            ("enable é;x", "enable é;x"),
            ("enable subgroups,é;x", "enable é;          x"),
        ] {
            let text = without_known_directives(from);
            assert_eq!(text, to, "{from}");
            assert_eq!(text.len(), from.len(), "{from}");
        }
    }
}
