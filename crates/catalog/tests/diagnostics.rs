//! Every file of `bad/` as `metahub check` shows it: one line for each problem, then its help;
//! and one problem as a report.

use std::path::Path;

use metahub_catalog::{Catalog, Problem, Severity, check};

const BAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");

fn lines(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
        if let Some(help) = &problem.help {
            text.push_str(&format!("    help: {help}\n"));
        }
    }
    text
}

fn of_file(name: &str) -> Vec<Problem> {
    let text = std::fs::read_to_string(Path::new(BAD).join(name)).unwrap();
    Catalog::from_documents(&[(name, text)]).problems
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let mut names: Vec<String> = std::fs::read_dir(BAD)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        insta::with_settings!({ snapshot_suffix => name.replace('.', "_") }, {
            insta::assert_snapshot!("problems", lines(&of_file(&name)));
        });
    }
}
