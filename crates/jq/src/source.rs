//! Limits on a program's text, checked before the parser sees it, since the parser and everything
//! after it recurse.

use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::Term;
use jaq_core::load::{Lexer, Parser};

use crate::JqError;

/// Most bytes of a program: 4 KiB.
pub const MAX_PROGRAM_BYTES: usize = 4096;
/// Most brackets `(`, `[`, `{` that a program may open, wherever they stand: its depth is less.
pub const MAX_BRACKETS: usize = 64;
/// Most words and signs of a program.
pub const MAX_WORDS: usize = 400;
/// Most operations that a program may nest; a chain such as `A or B or C` nests once a link.
pub const MAX_DEPTH: usize = 100;

/// Reads `source` into the parser's tree.
pub(crate) fn read(source: &str) -> Result<Term<&str>, JqError> {
    if source.len() > MAX_PROGRAM_BYTES {
        return Err(JqError::TooLong(source.len()));
    }
    let mut openers = source
        .bytes()
        .enumerate()
        .filter(|(_, b)| b"([{".contains(b));
    if let Some((offset, _)) = openers.nth(MAX_BRACKETS) {
        return Err(JqError::TooManyBrackets { offset });
    }
    if source.trim().is_empty() {
        return Err(JqError::Syntax {
            offset: 0,
            expected: "a program such as .manifests[].platform.features".to_owned(),
            found: "nothing".to_owned(),
        });
    }
    let tokens = Lexer::new(source).lex().map_err(|errors| {
        errors.first().map_or_else(
            || syntax(source, "a jq program", source),
            |(expected, rest)| syntax(source, expected.as_str(), rest),
        )
    })?;
    let words = count(&tokens);
    if words > MAX_WORDS {
        return Err(JqError::TooManyWords(words));
    }
    Parser::new(&tokens).parse(Parser::term).map_err(|errors| {
        errors.first().map_or_else(
            || syntax(source, "a jq program", source),
            |(expected, found)| {
                let rest = Token::opt_as_str(*found, source);
                syntax(source, expected.as_str(), rest)
            },
        )
    })
}

fn count(tokens: &[Token<&str>]) -> usize {
    tokens
        .iter()
        .map(|Token(_, tok)| match tok {
            Tok::Block(inner) => 1 + count(inner),
            Tok::Str(parts) => parts.iter().fold(1, |sum, part| match part {
                StrPart::Term(token) => sum + count(std::slice::from_ref(token)),
                StrPart::Str(_) | StrPart::Char(_) => sum,
            }),
            Tok::Word | Tok::Var | Tok::Fmt | Tok::Num | Tok::Sym => 1,
        })
        .sum()
}

/// Where `part`, a slice of `source`, starts in it.
pub(crate) fn offset_of(source: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(source.as_ptr() as usize)
        .min(source.len())
}

fn syntax(source: &str, expected: &str, rest: &str) -> JqError {
    let found: String = rest.chars().take(20).collect();
    JqError::Syntax {
        offset: offset_of(source, rest),
        expected: expected.to_owned(),
        found: if found.is_empty() {
            "the end".to_owned()
        } else {
            format!("'{found}'")
        },
    }
}
