//! The table as one HTML page that loads nothing: no script, no font, no picture.

use std::fmt::Write as _;

use metahub_operations::Matrix;

use crate::commands::html::{document, escape, heat_map, legend};

/// The page.
pub(super) fn page(matrix: &Matrix) -> String {
    let mut body = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "<h1>Coverage</h1>\n<p>{} on {}. Each cell says which build a machine of that target gets \
         when it pulls that image.</p>\n",
        counted(matrix.rows.len(), "image"),
        counted(matrix.targets.len(), "target"),
    );
    legend(&mut body);
    heat_map(&mut body, matrix);
    notes(&mut body, matrix);
    document("Coverage", "", &body)
}

fn notes(body: &mut String, matrix: &Matrix) {
    let noted = matrix
        .rows
        .iter()
        .filter(|row| !row.cells.is_empty())
        .filter_map(|row| Some((&row.image, row.note.as_ref()?)));
    let mut list = String::new();
    for (image, note) in noted {
        let _ = writeln!(list, "<li>{}: {}</li>", escape(image), escape(note));
    }
    if !list.is_empty() {
        let _ = write!(body, "<h2>Notes</h2>\n<ul>\n{list}</ul>\n");
    }
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
