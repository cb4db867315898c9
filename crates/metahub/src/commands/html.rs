//! What HTML pages share. They load nothing: no font, no picture, nothing of another host.

use std::fmt::Write as _;

use metahub_operations::{Cell, Kind, Matrix, Row};

const STYLE: &str = include_str!("page.css");

/// A whole page, with `style` after the one that all pages have.
pub(crate) fn document(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>\n{STYLE}{style}</style>\n</head>\n<body>\n{body}</body>\n</html>",
        escape(title)
    )
}

/// The legend of a heat map.
pub(crate) fn legend(body: &mut String) {
    body.push_str("<ul class=\"legend\">");
    let shades = [
        ("exact", "=", "a build for this target"),
        ("near", "zen2", "for an ancestor, one or two steps away"),
        ("mid", "zen", "three to five steps"),
        ("far", "v2", "more steps, or another line"),
        ("generic", "any", "a build that runs anywhere"),
        ("none", "–", "nothing fits"),
    ];
    for (class, mark, meaning) in shades {
        let _ = write!(
            body,
            "<li><span class=\"key {class}\">{mark}</span> {meaning}</li>"
        );
    }
    body.push_str("</ul>\n");
}

/// Which build a machine of each target gets of each image.
pub(crate) fn heat_map(body: &mut String, matrix: &Matrix) {
    body.push_str("<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">image</th>");
    for target in &matrix.targets {
        let _ = write!(
            body,
            "<th scope=\"col\" class=\"target\"><span>{}</span></th>",
            escape(target)
        );
    }
    for kind in Kind::ALL {
        let _ = write!(
            body,
            "<th scope=\"col\" class=\"sum\">{}</th>",
            kind.as_str()
        );
    }
    body.push_str("</tr></thead>\n<tbody>\n");
    for row in &matrix.rows {
        add_row(body, row, matrix);
    }
    body.push_str("</tbody>\n</table></div>\n");
}

fn add_row(body: &mut String, row: &Row, matrix: &Matrix) {
    // Long names may break where a path does.
    let name = escape(&row.image).replace('/', "/<wbr>");
    let _ = write!(body, "<tr><th scope=\"row\">{name}</th>");
    if row.cells.is_empty() {
        let _ = write!(
            body,
            "<td class=\"unread\" colspan=\"{}\">{}</td>",
            matrix.targets.len() + Kind::ALL.len(),
            escape(row.note.as_deref().unwrap_or("it could not be read"))
        );
    }
    for (target, cell) in matrix.targets.iter().zip(&row.cells) {
        let mut title = format!("{target}: {}", cell.kind.as_str());
        if let Some(to) = cell.to.as_ref().filter(|_| cell.kind == Kind::Fallback) {
            let _ = write!(title, " to {to}");
        }
        if !cell.needs.is_empty() {
            let _ = write!(title, ", needs {}", cell.needs.join(" "));
        }
        if let Some(entry) = &cell.entry {
            let _ = write!(title, "\n{entry}");
        }
        let _ = write!(
            body,
            "<td class=\"{}\" title=\"{}\">{}</td>",
            shade(cell),
            escape(&format!("{title}\n{}", cell.why)),
            mark(cell)
        );
    }
    if !row.cells.is_empty() {
        for kind in Kind::ALL {
            let _ = write!(body, "<td class=\"sum\">{}</td>", row.count(kind));
        }
    }
    body.push_str("</tr>\n");
}

/// Darker is nearer.
fn shade(cell: &Cell) -> &'static str {
    match (cell.kind, cell.steps) {
        (Kind::Exact, _) => "exact",
        (Kind::Fallback, Some(0..=2)) => "near",
        (Kind::Fallback, Some(3..=5)) => "mid",
        (Kind::Fallback, _) => "far",
        (Kind::Generic, _) if !cell.needs.is_empty() => "far",
        (Kind::Generic, _) => "generic",
        (Kind::None, _) => "none",
    }
}

/// The text of a cell. Names may break at their underscores.
fn mark(cell: &Cell) -> String {
    match (cell.kind, &cell.to) {
        (Kind::Exact, _) => "=".to_owned(),
        (Kind::Fallback, Some(to)) => escape(to).replace('_', "_<wbr>"),
        (Kind::Fallback, None) => "→".to_owned(),
        (Kind::Generic, _) if !cell.needs.is_empty() => {
            format!(
                "needs {}",
                escape(&cell.needs.join(" ")).replace(':', ":<wbr>")
            )
        }
        (Kind::Generic, _) => "any".to_owned(),
        (Kind::None, _) => "–".to_owned(),
    }
}

/// Escapes a text for HTML, also in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
