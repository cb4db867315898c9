//! `Source`: the text of a document. It indexes its lines and some offsets in between, so that
//! finding and showing the place of a problem takes the same time however many problems there are
//! and however long the text or its lines.

use std::sync::Arc;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::location::Location;
use crate::yaml::Mark;

/// Bytes between two places where the characters are counted.
const STEP: usize = 256;
/// Most bytes of a line that are shown on either side of what is wrong in it.
const SHOWN: usize = 200;

/// A text that documents are read from, and its name.
#[derive(Debug)]
pub(crate) struct Source {
    name: Arc<str>,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    /// Bytes, about [`STEP`] apart, and the characters before each.
    counted: Vec<(usize, usize)>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Arc<Self> {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        let mut counted = vec![(0, 0)];
        let mut last = 0;
        for (characters, (byte, _)) in text.char_indices().enumerate() {
            if byte >= last + STEP {
                counted.push((byte, characters));
                last = byte;
            }
        }
        Arc::new(Self {
            name: name.into(),
            lines: std::iter::once(0).chain(after).collect(),
            counted,
            text: text.to_owned(),
        })
    }

    pub(crate) fn location(&self, mark: Mark) -> Location {
        Location {
            file: Arc::clone(&self.name),
            line: mark.line,
            column: mark.column,
        }
    }

    /// Where a mark begins and how many bytes it has, at most to the end of its line: a label that
    /// runs over several lines hides what it points at.
    pub(crate) fn span(&self, mark: Mark) -> (usize, usize) {
        let start = self.offset(mark);
        let (_, end) = self.line(mark.line.saturating_sub(1));
        let line = self.text.get(start..end).unwrap_or_default();
        let bytes = mark.bytes.min(line.trim_end_matches(['\r', '\n']).len());
        (start, bytes)
    }

    /// Where the line `number`, from 0, begins and ends, its line break included; the text's end
    /// for a line beyond it.
    fn line(&self, number: usize) -> (usize, usize) {
        let at = |number: usize| self.lines.get(number).copied();
        let end = self.text.len();
        (
            at(number).unwrap_or(end),
            at(number.saturating_add(1)).unwrap_or(end),
        )
    }

    /// The number, from 0, of the line that has the byte `offset`.
    fn line_at(&self, offset: usize) -> usize {
        let begun = self.lines.partition_point(|start| *start <= offset);
        begun.saturating_sub(1)
    }

    /// How many characters there are before the byte `offset`.
    fn characters_before(&self, offset: usize) -> usize {
        let after = self.counted.partition_point(|(byte, _)| *byte <= offset);
        let place = self.counted.get(after.saturating_sub(1)).copied();
        let (byte, characters) = place.unwrap_or_default();
        let rest = self.text.get(byte..offset).unwrap_or_default();
        characters + rest.chars().count()
    }

    /// The byte at which the character `number`, from 0, begins.
    fn byte_of(&self, number: usize) -> usize {
        let after = self
            .counted
            .partition_point(|(_, before)| *before <= number);
        let place = self.counted.get(after.saturating_sub(1)).copied();
        let (byte, characters) = place.unwrap_or_default();
        let rest = self.text.get(byte..).unwrap_or_default();
        let within = rest.char_indices().nth(number - characters);
        within.map_or(self.text.len(), |(offset, _)| byte + offset)
    }

    /// The byte at which a line's column starts; the line's end for a column beyond it, and the
    /// text's for a line beyond it.
    fn offset(&self, mark: Mark) -> usize {
        let (start, end) = self.line(mark.line.saturating_sub(1));
        let column = mark.column.saturating_sub(1);
        // No character has less than a byte.
        if column >= end - start {
            return end;
        }
        self.byte_of(self.characters_before(start) + column)
            .min(end)
    }

    /// The part of the text that shows a span with lines around it. Of a line that is very long
    /// only what is near.
    fn window(&self, from: usize, to: usize, before: usize, after: usize) -> (usize, usize) {
        let (first, last) = (self.line_at(from), self.line_at(to));
        let (line, _) = self.line(first);
        let (mut start, _) = self.line(first.saturating_sub(before));
        let (_, mut end) = self.line(last.saturating_add(after));
        if from - start > SHOWN + (from - line).min(SHOWN) {
            start = self.boundary(line.max(from.saturating_sub(SHOWN)));
        }
        if end - to > 2 * SHOWN {
            let (_, line_end) = self.line(last);
            end = self.boundary(line_end.min(to + SHOWN)).max(to);
        }
        (start, end)
    }

    /// The nearest character's beginning at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        let down = (0..=offset)
            .rev()
            .find(|at| self.text.is_char_boundary(*at));
        down.unwrap_or(0)
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        if to > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let (start, end) = self.window(from, to, before, after);
        let line = self.line_at(start);
        // Without lines before it, what is asked for is where the span itself begins.
        let column = if before == 0 {
            let (line, _) = self.line(self.line_at(from));
            self.characters_before(from) - self.characters_before(line)
        } else {
            0
        };
        let part = self.text.as_bytes().get(start..end);
        let contents = MietteSpanContents::new_named(
            self.name.to_string(),
            part.ok_or(MietteError::OutOfBounds)?,
            (start, end - start).into(),
            line,
            column,
            self.line_at(end),
        );
        Ok(Box::new(contents.with_language("yaml")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &str, line: usize, column: usize) -> usize {
        let before: usize = text
            .split_inclusive('\n')
            .take(line - 1)
            .map(str::len)
            .sum();
        let rest = text.split_inclusive('\n').nth(line - 1).unwrap_or_default();
        let within = rest.char_indices().nth(column - 1);
        before + within.map_or(rest.len(), |(offset, _)| offset)
    }

    proptest! {
        #[test]
        fn a_place_is_where_reading_from_the_start_finds_it(
            lines in prop::collection::vec("[aä€\u{1f600}]{0,300}", 1..6),
            line in 1_usize..8,
            column in 1_usize..400,
        ) {
            let text = lines.join("\n");
            let source = Source::new("f.yaml", &text);
            let mark = Mark { line, column, bytes: 1 };
            prop_assert_eq!(source.offset(mark), naive(&text, line, column));
            let problem = source.problem(crate::Severity::Warning, "c", mark, "m".to_owned(), None);
            prop_assert!(!problem.render(false, 100).is_empty());
        }
    }

    /// Showing a problem costs the same at the end of a long file, or line, as at its beginning.
    #[test]
    fn however_long_the_text_a_problem_shows_little_of_it() {
        let item = "{name: site/node, features: [arch:zen33]}";
        for separator in ["\n", ", "] {
            let text = vec![item; 25_000].join(separator);
            let source = Source::new("f.yaml", &text);
            assert_eq!(source.counted.len(), text.len().div_ceil(STEP));
            let mut shown = 0;
            for n in (0..25_000).step_by(1_000) {
                let at = n * (item.len() + separator.len()) + 29;
                let span = SourceSpan::from((at, 10));
                let contents = source.read_span(&span, 1, 1).unwrap();
                shown += contents.data().len();
                let label = at - contents.span().offset();
                assert_eq!(
                    contents.data().get(label..label + 10),
                    Some(&b"arch:zen33"[..])
                );
            }
            assert!(shown < 25 * 3 * SHOWN, "{shown} bytes are shown");
        }
    }
}
