//! jq programs, run on documents. They end, within their budget, and come to the same again.

use std::sync::LazyLock;

use metahub_jq::{Budget, MAX_OUTPUTS, Program};
use serde_json::{Value, json};

use super::words;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "jq",
    files: &[],
    cases: 100_000,
    most_bytes: 5 * 1024,
    words: &[
        ".",
        "..",
        "[]",
        "[0]",
        ".manifests",
        ".platform",
        ".features",
        ".annotations",
        "?",
        "//",
        "|",
        ",",
        "and",
        "or",
        "not",
        "if ",
        " then ",
        " else ",
        " end",
        "try ",
        " catch ",
        "select(",
        "test(\"",
        "\")",
        "has(\"",
        "map(",
        "any",
        "all",
        "contains(",
        "startswith(",
        "length",
        "keys",
        "to_entries",
        "split(\"",
        "join(\"",
        "ascii_downcase",
        "tonumber",
        "tostring",
        "IN(",
        "first(",
        "range(",
        "reduce ",
        "as $x",
        "$x",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "==",
        "!=",
        "<=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "1e308",
        "\"\\(.)\"",
        "error",
        "empty",
        "flatten",
        "unique",
        "sort_by(",
        "group_by(",
        "add",
        "min",
        "max",
        "..",
        "def f: f; ",
    ],
    read,
};

const STEPS: u64 = 100_000;

static INPUTS: LazyLock<[Value; 4]> = LazyLock::new(|| {
    let entry = |n: usize| {
        json!({
            "digest": format!("sha256:{n:064}"),
            "platform": {"os": "linux", "features": ["arch:zen3", format!("site:{n}")]},
            "annotations": {"a": "b", "n": n.to_string()},
        })
    };
    [
        json!({"schemaVersion": 2, "manifests": (0..20).map(entry).collect::<Vec<_>>()}),
        json!({"layers": [{"size": 1.5}, {"size": -0.0}, {"size": 9_007_199_254_740_993_u64}]}),
        json!([null, true, "x", [1, [2, [3]]], {"a": {"b": {"c": []}}}]),
        Value::Null,
    ]
});

fn read(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let program = match Program::parse(&text) {
        Ok(program) => program,
        Err(error) => return words(&error),
    };
    assert_eq!(program.source(), text);
    let mut outcome = String::new();
    for input in INPUTS.iter() {
        let budget = Budget::new(STEPS);
        match program.run_within(input, &budget) {
            Ok(values) => {
                assert!(values.len() <= MAX_OUTPUTS);
                // With the steps that it took it comes to the same, with one fewer to nothing.
                let took = STEPS - budget.left();
                let again = program.run_within(input, &Budget::new(took));
                assert_eq!(again.as_ref(), Ok(&values));
                if let Some(fewer) = took.checked_sub(1) {
                    assert!(program.run_within(input, &Budget::new(fewer)).is_err());
                }
                let kinds = values.iter().take(3).map(|value| match value {
                    Value::Null => 'n',
                    Value::Bool(_) => 'b',
                    Value::Number(_) => '1',
                    Value::String(_) => 's',
                    Value::Array(_) => 'a',
                    Value::Object(_) => 'o',
                });
                outcome.extend(kinds);
            }
            Err(error) => outcome += &words(&error),
        }
        outcome.push('|');
    }
    outcome
}
