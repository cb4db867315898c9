//! The page about hardware says what the code knows, table by table: each row that the code has
//! stands there word for word, and no other.

use std::path::Path;

use crate::detect::never_emitted;
use crate::keys::KEYS;
use crate::labels::{GPU_ARCHITECTURE, HOSTS_MPI, LABELS, MPI_LABELS, MPI_MODE};
use crate::mpi::IMPLEMENTATIONS;

/// The rows of the table under a heading, without its head.
fn table(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hardware.md");
    let page = std::fs::read_to_string(page).unwrap();
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    lines
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn says(heading: &str, rows: &[String]) {
    assert_eq!(
        table(heading),
        rows,
        "docs/hardware.md, {heading}, is to say:\n{}\n",
        rows.join("\n")
    );
}

#[test]
fn the_page_has_the_table_of_keys() {
    let rows: Vec<String> = KEYS
        .iter()
        .map(|row| {
            let names: Vec<String> = std::iter::once(&row.name)
                .chain(row.aliases)
                .map(|name| format!("`{name}`"))
                .collect();
            format!(
                "| {} | `{}` | {} |",
                names.join(", "),
                row.example,
                row.meaning
            )
        })
        .collect();
    says("## Keys", &rows);
}

#[test]
fn the_page_has_the_table_of_labels() {
    let row =
        |label: &str, key: &str, before: &str| format!("| `{label}` | `{key}:{before}VALUE` |");
    let mut rows: Vec<String> = LABELS
        .iter()
        .map(|(label, key, before)| row(label, key, before))
        .collect();
    rows.push(format!(
        "| `{GPU_ARCHITECTURE}` | `cc:VALUE`, or `gfx:VALUE` where it begins with `gfx` |"
    ));
    let modes: Vec<String> = HOSTS_MPI.iter().map(|mode| format!("`{mode}`")).collect();
    for (label, before) in MPI_LABELS {
        rows.push(format!(
            "| `{label}` | `mpi:{before}VALUE`, where `{MPI_MODE}` is {} |",
            modes.join(" or ")
        ));
    }
    says("## Labels", &rows);
}

#[test]
fn the_page_has_the_table_of_mpi_libraries() {
    let rows: Vec<String> = IMPLEMENTATIONS
        .iter()
        .map(|(spelling, name, abi, (major, minor))| {
            format!("| `{spelling}` | `{name}` | {abi} | {major}.{minor} |")
        })
        .collect();
    says("### MPI", &rows);
}

#[test]
fn the_page_has_the_table_of_flags_that_are_forgiven() {
    let rows: Vec<String> = never_emitted()
        .iter()
        .map(|(flag, why)| format!("| `{flag}` | {why} |"))
        .collect();
    says("### Hidden flags", &rows);
}
