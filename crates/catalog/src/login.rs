//! Parses a user name: an account, a profile, or both, by the grammar `[account "/"] selector { "+"
//! selector }`. It splits and names; passwords are checked in `auth`.

use crate::ParameterError;

/// Most bytes of a login.
pub const MAX_LOGIN_BYTES: usize = 512;
/// Most selectors in a login.
pub const MAX_SELECTORS: usize = 32;

/// Why a user name is not a login. The text is made for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It breaks the grammar.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A selector names nothing.
    #[error("no profile is called '{selector}'{}", Near(.near))]
    Unknown {
        /// The selector as written.
        selector: String,
        /// Selectors that exist and are written much like it, best first; at most three.
        near: Vec<String>,
    },
    /// A value that a profile's parameter cannot have.
    #[error("'{selector}': {problem}")]
    Parameter {
        /// The selector as it was understood.
        selector: String,
        /// Why not.
        problem: Box<ParameterError>,
    },
    /// A value that its key cannot have.
    #[error("'{selector}' does not say what {key} means: write it as in {example}")]
    Value {
        /// The selector as written.
        selector: String,
        /// The built-in key.
        key: &'static str,
        /// How it is written.
        example: String,
    },
}

/// How a user name breaks the grammar of logins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// Nothing.
    #[error("the user name is empty: expected an account or a profile such as zen3")]
    Empty,
    /// More than [`MAX_LOGIN_BYTES`].
    #[error("a user name of {0} bytes is too long: at most {MAX_LOGIN_BYTES} are accepted")]
    TooLong(usize),
    /// A character that no user name has.
    #[error(
        "{found:?} cannot be part of a user name: expected letters, digits and '.', '_', '/', \
         '+', '=', '#', '-', as in zen3+cuda=12.4"
    )]
    Character {
        /// The first such character.
        found: char,
    },
    /// More than [`MAX_SELECTORS`].
    #[error("{0} selectors are too many: at most {MAX_SELECTORS} can be joined with '+'")]
    TooMany(usize),
    /// Nothing between two `+`, before the first or after the last.
    #[error(
        "there is nothing on one side of a '+' in '{0}': expected selectors, as in zen3+cuda=12.4"
    )]
    EmptySelector(String),
    /// A selector that can be neither profile nor feature.
    #[error(
        "'{0}' is not a selector: expected a profile such as zen3, aws/cli or \
         glow-extended=1.5.0, or a feature such as cuda=12.4"
    )]
    Selector(String),
}

struct Near<'a>(&'a [String]);

impl std::fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str(
                ": a user name is an account, a profile such as zen3 or aws/cli, or a feature \
                 such as cuda=12.4",
            ),
            [only] => write!(f, ": did you mean {only}?"),
            [first @ .., last] => write!(f, ": did you mean {} or {last}?", first.join(", ")),
        }
    }
}

/// One selector, split where its value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selector<'t> {
    pub(crate) namespace: Option<&'t str>,
    pub(crate) name: &'t str,
    /// What follows the first `#` or `=`, and which of the two it was.
    pub(crate) value: Option<(char, &'t str)>,
}

impl<'t> Selector<'t> {
    /// Reads `[namespace/]name[#value | =value]`.
    pub(crate) fn parse(text: &'t str) -> Result<Self, GrammarError> {
        let wrong = || GrammarError::Selector(text.to_owned());
        let (path, value) = match text.find(['#', '=']) {
            Some(at) => {
                let (path, rest) = text.split_at_checked(at).ok_or_else(wrong)?;
                let mut letters = rest.chars();
                let separator = letters.next().ok_or_else(wrong)?;
                (path, Some((separator, letters.as_str())))
            }
            None => (text, None),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        let ill_formed = name.is_empty()
            || name.contains('/')
            || namespace.is_some_and(str::is_empty)
            || value.is_some_and(|(_, value)| value.is_empty() || value.contains(['#', '=', '/']));
        if ill_formed {
            return Err(wrong());
        }
        Ok(Self {
            namespace,
            name,
            value,
        })
    }
}

/// The selectors of a user name as texts; the first may begin with an account.
pub(crate) fn split(user: &str) -> Result<Vec<&str>, GrammarError> {
    if user.is_empty() {
        return Err(GrammarError::Empty);
    }
    if user.len() > MAX_LOGIN_BYTES {
        return Err(GrammarError::TooLong(user.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+=#-".contains(c);
    if let Some(found) = user.chars().find(|c| !allowed(*c)) {
        return Err(GrammarError::Character { found });
    }
    let texts: Vec<&str> = user.split('+').collect();
    if texts.len() > MAX_SELECTORS {
        return Err(GrammarError::TooMany(texts.len()));
    }
    if texts.iter().any(|text| text.is_empty()) {
        return Err(GrammarError::EmptySelector(user.to_owned()));
    }
    Ok(texts)
}
