//! Problems of a document: what is wrong, where, and how to fix it. A problem prints as one plain
//! line, as JSON and as a report with the source. Callers decide which are shown and whether a
//! warning fails a run.

use std::fmt;
use std::sync::Arc;

use miette::{LabeledSpan, SourceCode, SourceSpan};
use serde::Serialize;

use crate::location::Location;
use crate::source::Source;
use crate::yaml::Mark;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not used.
    Error,
    /// The document is used, and probably does not do what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One problem in one document. Displayed as `file:line:column: error: message`.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// File, line and column.
    #[serde(flatten)]
    pub location: Location,
    /// Error or warning.
    pub severity: Severity,
    /// A short stable name such as `duplicate-key`, for programs.
    pub code: &'static str,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The text of the file and the bytes meant, for reports that show them.
    #[serde(skip)]
    source: Option<(Arc<Source>, SourceSpan)>,
}

impl Problem {
    /// A problem with a file as a whole, such as one that is not there.
    pub(crate) fn of_file(
        file: &str,
        severity: Severity,
        code: &'static str,
        message: String,
        help: &str,
    ) -> Self {
        Self {
            location: Location {
                file: file.into(),
                line: 1,
                column: 1,
            },
            severity,
            code,
            message,
            help: Some(help.to_owned()),
            source: None,
        }
    }

    /// A problem at a place of a text.
    pub(crate) fn at(
        location: Location,
        severity: Severity,
        code: &'static str,
        message: String,
        help: Option<String>,
        place: (Arc<Source>, SourceSpan),
    ) -> Self {
        Self {
            location,
            severity,
            code,
            message,
            help,
            source: Some(place),
        }
    }

    /// A warning about something outside the document itself, such as an image that it names.
    #[must_use]
    pub fn doubt(
        location: &Location,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Self {
        Self {
            location: location.clone(),
            severity: Severity::Warning,
            code,
            message,
            help,
            source: None,
        }
    }

    /// The same as an error: the document states something about an image that is provably wrong.
    #[must_use]
    pub fn disproof(
        location: &Location,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::doubt(location, code, message, help)
        }
    }

    /// Whether the document it is about is left out of the catalog.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// A report of several lines: the problem in one line, as editors and people search for it,
    /// with its code; the place in the source; and what to do about it. Without colours when
    /// `colour` is false; drawn at most `width` characters wide.
    #[must_use]
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour {
            miette::GraphicalTheme::unicode()
        } else {
            miette::GraphicalTheme::unicode_nocolor()
        };
        let handler = miette::GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false);
        let mut drawing = String::new();
        let drawn = handler.render_report(&mut drawing, &Untitled(self));
        // The drawing begins with a line for its title, which is the first line here.
        let place = match (drawn, drawing.split_once('\n')) {
            (Ok(()), Some((_, place))) => place,
            _ => "",
        };
        format!("{self} [{}]\n{place}", self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.location, self.severity, self.message)
    }
}

impl std::error::Error for Problem {}

impl miette::Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let (source, _) = self.source.as_ref()?;
        Some(&**source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.source.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(None, *span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// A problem whose title stands elsewhere.
#[derive(Debug)]
struct Untitled<'a>(&'a Problem);

impl fmt::Display for Untitled<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Untitled<'_> {}

impl miette::Diagnostic for Untitled<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        miette::Diagnostic::severity(self.0)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        miette::Diagnostic::help(self.0)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }
}

impl Source {
    /// A problem at a place of this text.
    pub(crate) fn problem(
        self: &Arc<Self>,
        severity: Severity,
        code: &'static str,
        mark: Mark,
        message: String,
        help: Option<String>,
    ) -> Problem {
        let (start, bytes) = self.span(mark);
        let place = (Arc::clone(self), (start, bytes).into());
        Problem::at(self.location(mark), severity, code, message, help, place)
    }
}
