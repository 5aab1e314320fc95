//! WGSL and GLSL cut into just the tokens that say how deep a text nests.

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, a keyword or a number.
    Word(&'a str),
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `{`.
    Begin,
    /// `}`.
    End,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// One character of an operator.
    Operator,
    /// A line of the preprocessor behind its `#`, with the lines that continue it.
    Directive(&'a str),
}

/// Cuts a text into tokens, each with the byte where it begins. What is neither comment nor token is skipped.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    glsl: bool,
    /// Whether only blanks came before in this line.
    line_begins: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str, glsl: bool) -> Self {
        Self {
            text,
            at: 0,
            glsl,
            line_begins: true,
        }
    }

    /// Skips a comment, if one begins here.
    fn comment(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if rest.starts_with("//") {
            // Where one language ends a line and the other does not, the text is taken for code: at worst it counts.
            self.at += rest.find(ends_line).unwrap_or(rest.len());
            return true;
        }
        if !rest.starts_with("/*") {
            return false;
        }
        let mut depth = 1;
        let mut at = 2;
        while depth > 0 {
            let inner = &rest[at..];
            let Some(found) = inner.find(['*', '/']) else {
                at = rest.len();
                break;
            };
            let inner = &inner[found..];
            at += found;
            if inner.starts_with("*/") {
                depth -= 1;
                at += 2;
            } else if inner.starts_with("/*") && !self.glsl {
                depth += 1;
                at += 2;
            } else {
                at += 1;
            }
        }
        // The preprocessor takes a comment for a blank, and some the line after it for a new one.
        self.line_begins |= rest[..at].contains('\n');
        self.at += at;
        true
    }

    /// The rest of a preprocessor's line.
    fn directive(&mut self) -> Token<'a> {
        let from = self.at;
        let mut end = from;
        loop {
            let rest = &self.text[end..];
            let Some(found) = rest.find('\n') else {
                end = self.text.len();
                break;
            };
            end += found;
            let continued = self.text[from..end].trim_end_matches('\r').ends_with('\\');
            if !continued {
                break;
            }
            end += 1;
        }
        self.at = end;
        Token::Directive(&self.text[from..end])
    }
}

fn ends_line(c: char) -> bool {
    matches!(
        c,
        '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.at;
            let c = self.text[from..].chars().next()?;
            if c == '/' && self.comment() {
                continue;
            }
            self.at += c.len_utf8();
            let begins = self.line_begins;
            if ends_line(c) {
                self.line_begins = true;
            } else if !c.is_whitespace() {
                self.line_begins = false;
            }
            let token = match c {
                '(' | '[' => Token::Open,
                ')' | ']' => Token::Close,
                '{' => Token::Begin,
                '}' => Token::End,
                ',' => Token::Comma,
                ';' => Token::Semicolon,
                '#' if self.glsl && begins => self.directive(),
                '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '~' | '!' | '<' | '>' | '='
                | '?' | '.' => Token::Operator,
                c if c.is_alphanumeric() || c == '_' => {
                    let number = c.is_ascii_digit();
                    let rest = &self.text[from..];
                    let inside = |c: char| c.is_alphanumeric() || c == '_' || (number && c == '.');
                    let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
                    self.at = from + end;
                    Token::Word(&rest[..end])
                }
                _ => continue,
            };
            return Some((from, token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, glsl: bool) -> Vec<Token<'_>> {
        Tokens::new(text, glsl).map(|(_, token)| token).collect()
    }

    #[test]
    fn comments_are_skipped_as_each_language_has_them() {
        use Token::{Operator, Word};
        assert_eq!(
            all("a /* + /* + */ + */ b // c + d\ne", false),
            [Word("a"), Word("b"), Word("e")]
        );
        assert_eq!(
            all("a /* /* */ + b", true),
            [Word("a"), Operator, Word("b")]
        );
        assert_eq!(all("a // b\re", false), [Word("a"), Word("e")]);
        assert_eq!(all("a /* b", false), [Word("a")]);
        assert_eq!(
            all("1.5e3 .x ü", false),
            [Word("1.5e3"), Operator, Word("x"), Word("ü")]
        );
    }

    #[test]
    fn directives_are_whole_lines() {
        use Token::{Directive, Word};
        assert_eq!(
            all("  #define A \\\n 1+1\nb # c", true),
            [Directive("define A \\\n 1+1"), Word("b"), Word("c")]
        );
        assert_eq!(all("#a", false), [Word("a")]);
    }
}
