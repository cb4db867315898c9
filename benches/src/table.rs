//! The report as text: what was compared, a table for each row, and a line for each thing that
//! was wanted. Medians of the rounds stand in the tables.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::report::{Check, Row, Spread, number};

/// One row of the comparison.
pub(crate) fn row(row: &Row) -> String {
    let mut text = format!("\n{}\n{}\n", row.title, row.how);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in row.figures.iter().flat_map(|figures| &figures.values) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once("").chain(names.iter().copied()).map(right));
    for figures in &row.figures {
        let values = names.iter().map(|name| {
            let spread = Spread::of(figures.of(name).iter().copied());
            right(&spread.map_or("–".to_owned(), |spread| number(spread.median)))
        });
        table.add_row(std::iter::once(Cell::new(&figures.server)).chain(values));
    }
    let _ = writeln!(text, "{}", table.to_string().trim_end());
    for check in &row.checks {
        let _ = writeln!(text, "  {}", line(check));
    }
    for note in &row.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

/// Everything that was wanted, in one place; nothing if nothing was.
pub(crate) fn summary(rows: &[Row]) -> String {
    if !rows
        .iter()
        .flat_map(|row| &row.checks)
        .any(|check| check.met.is_some())
    {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["row", "what", "found", "wanted", ""]);
    for row in rows {
        for check in row.checks.iter().filter(|check| check.met.is_some()) {
            let verdict = if check.met == Some(true) {
                "met"
            } else {
                "MISSED"
            };
            table.add_row([
                &row.title,
                &check.what,
                &check.found,
                &check.wanted,
                verdict,
            ]);
        }
    }
    format!(
        "\nwhat was wanted, and what was found: the median of the rounds (lowest–highest)\n{table}"
    )
}

fn line(check: &Check) -> String {
    match check.met {
        None => format!("{}: {}", check.what, check.found),
        Some(met) => {
            let verdict = if met { "met" } else { "MISSED" };
            format!(
                "{}: {}, wanted {}: {verdict}",
                check.what, check.found, check.wanted
            )
        }
    }
}

fn right(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Bound, P99, RATE};

    #[test]
    fn every_server_has_a_line_and_what_it_lacks_is_a_dash() {
        let mut report = Row::new("pulls", "many of them");
        report.add("MetaHub", RATE, 1200.0);
        report.add("MetaHub", P99, 0.5);
        report.add("nginx", RATE, 1000.0);
        report.check_ratio("MetaHub", "nginx", RATE, Bound::AtLeast(1.0));
        let text = row(&report);
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(words.contains(&vec!["MetaHub", "1200", "0.50"]), "{text}");
        assert!(words.contains(&vec!["nginx", "1000", "–"]), "{text}");
        let check = "req/s, MetaHub ÷ nginx: 1.20, wanted at least 1: met";
        assert!(text.contains(check), "{text}");
        assert!(summary(&[report]).contains("at least 1"), "{text}");
    }
}
