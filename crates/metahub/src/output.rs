//! The output of commands for people and programs: text, tables and JSON on standard output.
//!
//! Colours appear only on a terminal, and never under `NO_COLOR`. A reader that goes away (`metahub
//! man | head`) ends the output, not the program.

use std::io::{ErrorKind, Write as _};

use anstream::AutoStream;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use miette::IntoDiagnostic as _;
use owo_colors::{OwoColorize as _, Style};

/// Sets the format of failures: one line each, however long, so that scripts find FILE:LINE:COLUMN
/// in one piece. Terminals wrap lines themselves.
pub(crate) fn report_errors() {
    let hook = miette::set_hook(Box::new(|_| {
        Box::new(
            miette::MietteHandlerOpts::new()
                .terminal_links(false)
                .wrap_lines(false)
                .build(),
        )
    }));
    // An error only says that a hook is set already.
    drop(hook);
}

/// Writes `text` and a line break to standard output.
pub(crate) fn line(text: impl AsRef<str>) -> miette::Result<()> {
    let mut stdout = AutoStream::auto(std::io::stdout().lock());
    let written = writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).into_diagnostic(),
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> miette::Result<()> {
    line(serde_json::to_string_pretty(value).into_diagnostic()?)
}

/// A table without lines, as wide as the terminal allows.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(
            head.iter()
                .map(|title| Cell::new(title).add_attribute(Attribute::Bold)),
        );
    table
}

/// Writes a table, without the blanks that fill its last column.
pub(crate) fn print_table(table: &mut Table) -> miette::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    line(lines.join("\n"))
}

/// A cell for success or failure. The table colours its cells, since it would take colour codes for
/// text and get its widths wrong.
pub(crate) fn verdict(good: bool, text: &str) -> Cell {
    Cell::new(text).fg(if good { Color::Green } else { Color::Red })
}

/// A section's title.
pub(crate) fn heading(text: &str) -> String {
    text.style(Style::new().bold()).to_string()
}

/// Something that went well.
pub(crate) fn good(text: &str) -> String {
    text.style(Style::new().green()).to_string()
}

/// Something that did not.
pub(crate) fn bad(text: &str) -> String {
    text.style(Style::new().red().bold()).to_string()
}

/// Something of less weight.
pub(crate) fn faint(text: &str) -> String {
    text.style(Style::new().dimmed()).to_string()
}
