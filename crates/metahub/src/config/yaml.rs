//! Parses the YAML of settings, with places for its errors.

use std::path::{Path, PathBuf};

use metahub_catalog::nearest;
use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, MessageFormatter as _, UserMessageFormatter};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum ConfigError {
    /// The file does not exist, or cannot be read.
    #[error("cannot read the configuration file {}: {source}", .file.display())]
    #[diagnostic(help("name a file that exists with --config or METAHUB_CONFIG, or neither"))]
    Unreadable {
        file: PathBuf,
        source: std::io::Error,
    },
    /// The file has an error.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Malformed(Box<Malformed>),
    /// A key that needs another.
    #[error("the setting {0} needs {1} beside it")]
    #[diagnostic(help("give both, in the configuration file or as variables, or neither"))]
    Alone(&'static str, &'static str),
    /// An environment variable has an error.
    #[error("the environment variable {variable} is wrong: {message}")]
    Variable { variable: String, message: String },
    /// A default that was declared is none: a fault of the program, which a test finds.
    #[error("the default '{text}' is wrong: {message}")]
    Default { text: String, message: String },
}

/// A mistake in the configuration file, and where it stands.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}:{line}:{column}: {message}", .file.display())]
#[diagnostic(help("every key is explained in metahub.example.yaml"))]
pub(crate) struct Malformed {
    file: PathBuf,
    line: u64,
    column: u64,
    message: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    at: Option<SourceSpan>,
}

/// A problem of a YAML text, and its place.
pub(super) struct Problem {
    pub(super) message: String,
    line: u64,
    column: u64,
    span: Option<(usize, usize)>,
}

impl Problem {
    /// What is wrong at a place of `text`.
    pub(super) fn new(message: String, location: Option<Location>, text: &str) -> Self {
        let span = location.and_then(|location| {
            let at = usize::try_from(location.span().byte_offset()?).ok()?;
            let rest = text.get(at..)?;
            // A whole mapping would be marked otherwise.
            let length = rest.find(['\n', ':', '#']).unwrap_or(rest.len());
            Some((at, length))
        });
        Self {
            message,
            line: location.map_or(1, |location| location.line()),
            column: location.map_or(1, |location| location.column()),
            span,
        }
    }

    pub(super) fn in_file(self, file: &Path, text: &str) -> ConfigError {
        ConfigError::Malformed(Box::new(Malformed {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            message: self.message,
            text: NamedSource::new(file.display().to_string(), text.to_owned())
                .with_language("yaml"),
            at: self.span.map(SourceSpan::from),
        }))
    }
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = UserMessageFormatter.format_message(&error).into_owned();
        let message = with_near_name(message);
        Problem::new(message, error.location(), text)
    })
}

/// The message about an unknown key, with the most similar key.
fn with_near_name(message: String) -> String {
    let near = || {
        let (_, rest) = message.split_once("unknown field `")?;
        let (name, rest) = rest.split_once('`')?;
        let (_, known) = rest.split_once("expected one of ")?;
        let known = known.split(", ").map(|known| known.trim_matches('`'));
        nearest(name, known)
    };
    match near() {
        Some(near) => format!("did you mean `{near}`? {message}"),
        None => message,
    }
}
