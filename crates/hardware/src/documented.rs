//! Checks that the page about hardware matches the code, table by table: each row of the code
//! appears there word for word, and no other.

use std::path::Path;

use crate::detect::never_emitted;
use crate::keys::KEYS;
use crate::labels::{
    DESCRIBING, DRAFT_GPU, DRAFT_MPI, GPU_ARCHITECTURE, GPU_NEEDED, GROUPS, HOSTS_MPI, LABELS,
    MPI_LABELS, MPI_MODE,
};
use crate::mpi::IMPLEMENTATIONS;

/// The page, its lines broken nowhere.
fn page() -> String {
    read().replace('\n', " ")
}

fn read() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hardware.md");
    std::fs::read_to_string(page).unwrap()
}

/// The rows of the table under a heading, without its head.
fn table(heading: &str) -> Vec<String> {
    let page = read();
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
    let mut rows: Vec<String> = LABELS
        .iter()
        .map(|(label, key)| format!("| `{label}` | `{key}:VALUE` |"))
        .collect();
    rows.push(format!(
        "| `{GPU_ARCHITECTURE}` | `cc:VALUE` or `gfx:VALUE`, or `gpu:VALUE` where it is a vendor |"
    ));
    for label in GPU_NEEDED {
        rows.push(format!("| `{label}` | `gpu:any`, where it is yes |"));
    }
    rows.push(format!(
        "| `{DRAFT_GPU}` | `gpu:VALUE`, or `cuda:` and `rocm:` with a version (`cuda-12.4`) |"
    ));
    rows.push(format!(
        "| `{DRAFT_MPI}` | `mpi:VALUE`, unless `{MPI_MODE}` says that the image keeps its own |"
    ));
    let modes: Vec<String> = HOSTS_MPI.iter().map(|mode| format!("`{mode}`")).collect();
    let modes = modes.join(" or ");
    for label in MPI_LABELS {
        rows.push(format!(
            "| `{label}` | `mpi:VALUE`, where `{MPI_MODE}` is {modes} |"
        ));
    }
    rows.push(format!(
        "| `LIBRARY.version`, as in `openmpi.version` | `mpi:LIBRARY-VALUE`, where `{MPI_MODE}` \
         is {modes} |"
    ));
    says("## Labels", &rows);
    let quoted = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    let page = page();
    for words in [quoted(GROUPS), quoted(DESCRIBING)] {
        assert!(page.contains(&words), "docs/hardware.md is to say {words}");
    }
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
