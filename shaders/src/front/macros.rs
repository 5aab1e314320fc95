//! What GLSL's macros expand to, at most: counted, never expanded.

use std::collections::HashMap;

use super::tokens::{Token, Tokens};

/// Beyond this a number means "too much".
pub(super) const TOO_MUCH: u64 = 1 << 40;

/// How often macros are looked at again because those that they use have grown.
const PASSES: usize = 32;

/// What one use of a macro stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Operators and opening brackets.
    pub(super) operators: u64,
    /// Tokens.
    pub(super) tokens: u64,
    /// How often an argument comes up, at most.
    pub(super) copies: u64,
}

/// The macros of a text.
pub(super) type Macros<'a> = HashMap<&'a str, Weight>;

struct Definition<'a> {
    name: &'a str,
    parameters: Vec<&'a str>,
    body: &'a str,
}

/// Reads `define NAME body` or `define NAME(a, b) body`.
fn definition(line: &str) -> Option<Definition<'_>> {
    let rest = line.trim_start().strip_prefix("define")?;
    let rest = rest.strip_prefix(|c: char| c.is_whitespace() || c == '\\')?;
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let (parameters, body) = match rest.strip_prefix('(') {
        Some(rest) => {
            let (parameters, body) = rest.split_once(')')?;
            (parameters.split(',').map(str::trim).collect(), body)
        }
        None => (Vec::new(), rest),
    };
    Some(Definition {
        name,
        parameters,
        body,
    })
}

/// The weights of all macros that a text defines, each at its heaviest. `None` where they are nested too deep to say.
pub(super) fn weigh<'a>(text: &'a str) -> Option<Macros<'a>> {
    let definitions: Vec<Definition<'a>> = Tokens::new(text, true)
        .filter_map(|(_, token)| match token {
            Token::Directive(line) => definition(line),
            _ => None,
        })
        .collect();
    let mut macros = Macros::new();
    for definition in &definitions {
        macros.insert(definition.name, Weight::default());
    }
    for _ in 0..PASSES {
        let mut settled = true;
        for definition in &definitions {
            let new = of(definition, &macros);
            let known = macros.entry(definition.name).or_default();
            let grown = Weight {
                operators: known.operators.max(new.operators),
                tokens: known.tokens.max(new.tokens),
                copies: known.copies.max(new.copies),
            };
            settled &= grown == *known;
            *known = grown;
        }
        if settled {
            return Some(macros);
        }
    }
    None
}

fn of(definition: &Definition<'_>, macros: &Macros<'_>) -> Weight {
    let mut copies = vec![0u64; definition.parameters.len()];
    let mut weight = Weight::default();
    let mut factors = Factors::default();
    for (_, token) in Tokens::new(definition.body, true) {
        let factor = factors.factor();
        let used = match token {
            Token::Word(word) if word != definition.name => {
                if let Some(i) = definition.parameters.iter().position(|p| *p == word) {
                    copies[i] = (copies[i] + factor).min(TOO_MUCH);
                }
                macros.get(word)
            }
            _ => None,
        };
        let one = factors.step(token, used);
        weight.operators = (weight.operators + one.operators).min(TOO_MUCH);
        weight.tokens = (weight.tokens + one.tokens).min(TOO_MUCH);
    }
    weight.copies = copies.into_iter().max().unwrap_or(0);
    weight
}

/// How often what stands at a place comes up: as often as the macros around it repeat their arguments.
#[derive(Default)]
pub(super) struct Factors {
    around: Vec<u64>,
    /// What the next bracket is the argument list of.
    next: Option<u64>,
}

impl Factors {
    /// How often the present place comes up.
    pub(super) fn factor(&self) -> u64 {
        self.around.last().copied().unwrap_or(1)
    }

    /// Goes past a token, `used` being the macro that it names, and says what it counts for.
    pub(super) fn step(&mut self, token: Token<'_>, used: Option<&Weight>) -> Weight {
        let factor = self.factor();
        let times = |n: u64| factor.saturating_mul(n).min(TOO_MUCH);
        let next = self.next.take();
        let mut operators = 0;
        let mut tokens = 1;
        match token {
            Token::Open => {
                self.around.push(times(next.unwrap_or(1)));
                operators = 1;
            }
            Token::Begin => {
                self.around.push(factor);
                operators = 1;
            }
            Token::Close | Token::End => {
                self.around.pop();
            }
            Token::Operator => operators = 1,
            Token::Word(_) => {
                if let Some(used) = used {
                    self.next = Some(used.copies.max(1));
                    operators = used.operators;
                    tokens = used.tokens.max(1);
                }
            }
            Token::Comma | Token::Semicolon | Token::Directive(_) => {}
        }
        Weight {
            operators: times(operators),
            tokens: times(tokens),
            copies: factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_count_for_what_they_stand_for() {
        let macros = weigh(
            "#define A 1+2\n#define B A*A\n#define C(x, y) x-x+(y)\n#define D C(B, 1)\n#define E E+1\n",
        )
        .unwrap();
        let of = |name| {
            (
                macros[name].operators,
                macros[name].tokens,
                macros[name].copies,
            )
        };
        assert_eq!(of("A"), (1, 3, 0));
        assert_eq!(of("B"), (3, 7, 0));
        assert_eq!(of("C"), (3, 7, 2));
        assert!(macros["D"].operators >= 2 * 3 + 3);
        assert_eq!(of("E"), (1, 3, 0));
    }

    #[test]
    fn repeated_doubling_is_seen_in_either_order() {
        let mut lines: Vec<String> = (1..28)
            .map(|i| format!("#define M{i} M{}+M{}\n", i - 1, i - 1))
            .collect();
        lines.insert(0, "#define M0 1\n".to_owned());
        assert!(weigh(&lines.concat()).unwrap()["M27"].operators >= 1 << 26);
        lines.reverse();
        assert!(weigh(&lines.concat()).is_none_or(|m| m["M27"].operators >= 1 << 26));
        let nested = format!(
            "#define D(x) x+x\n#define N {}1{}\n",
            "D(".repeat(30),
            ")".repeat(30)
        );
        assert!(weigh(&nested).unwrap()["N"].tokens >= 1 << 30);
    }
}
