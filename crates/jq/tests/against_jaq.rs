//! Our evaluator against jaq's own, on programs made at random: they must agree on every output
//! and on whether the run fails.
//!
//! Operands are made single-valued, since jq (which we follow) and jaq differ in which side of an
//! operator is the outer loop. Where jaq differs from jq otherwise, the programs avoid it.

// A test's helpers may assert by panicking, too.
#![allow(clippy::unwrap_used, clippy::too_many_lines)]

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use metahub_jq::Program;
use proptest::prelude::*;
use serde_json::{Value, json};

/// jaq's outputs up to its first failure, and whether there was one.
fn jaq(source: &str, input: &Value) -> (Vec<Value>, bool) {
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let file = File {
        code: source,
        path: (),
    };
    let modules = Loader::new(defs).load(&arena, file).unwrap();
    let filter = Compiler::default()
        .with_funs(funs)
        .compile(modules)
        .unwrap();
    let input: Val = read::parse_single(input.to_string().as_bytes()).unwrap();
    let ctx = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let mut outputs = Vec::new();
    for output in filter.id.run((ctx, input)).map(unwrap_valr) {
        match output {
            Ok(value) => outputs.push(serde_json::from_str(&value.to_string()).unwrap()),
            Err(_) => return (outputs, true),
        }
    }
    (outputs, false)
}

fn programs() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        ".",
        ".a",
        ".b",
        ".c",
        ".a.b?",
        ".c[0]",
        ".c | arrays | .[1:]",
        ".c[-1]",
        ".d",
        ".c[]",
        ".[]?",
        "1",
        "2.5",
        "-3",
        "\"x\"",
        "\"arch:zen3\"",
        "null",
        "true",
        "false",
        "[]",
        "[1,2,1]",
        "{}",
        "{a: 1}",
        "empty",
        ".e",
        ".e[]",
        ".e | strings | .[1:3]",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let one = inner.clone().prop_map(|f| format!("first([{f}][0], null)"));
        let functions = proptest::sample::select(vec![
            "length",
            "keys",
            "not",
            "type",
            "objects | has(\"a\")",
            "objects | with_entries(select(.value))",
            "strings | in({x: 1})",
            "iterables | add",
            "sort",
            "unique",
            "min",
            "max",
            "any",
            "all",
            "tostring",
            "objects | to_entries",
            "strings | contains(\"x\")",
            "arrays | contains([1])",
            "arrays | contains([\"x\", []])",
            "objects | contains({a: {b: 1}})",
            "arrays | map(strings) | join(\",\")",
            "ascii_downcase",
            "strings | ltrimstr(\"a\")",
            "strings | rtrimstr(\"x\")",
            "values",
            "strings",
            "numbers",
            "arrays",
            "objects",
            "iterables",
            "scalars",
            "nulls",
            "booleans",
        ]);
        let functions1 = proptest::sample::select(vec![
            "select",
            "map",
            "any",
            "all",
            "first",
            "isempty",
            "startswith",
            "endswith",
            "split",
        ]);
        let operators = proptest::sample::select(vec![
            "+", "-", "*", "==", "!=", "<", "<=", ">", ">=", "and", "or",
        ]);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} | {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l}, {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} as $x | {r}, $x)")),
            (one.clone(), inner.clone()).prop_map(|(l, r)| format!("(({l})? // {r})")),
            (one.clone(), operators, one.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            inner.clone().prop_map(|f| format!("[{f}]")),
            inner.clone().prop_map(|f| format!("{{k: {f}}}")),
            one.clone().prop_map(|f| format!("\"<\\({f})>\"")),
            inner.clone().prop_map(|f| format!("({f})?")),
            (inner.clone(), inner.clone())
                .prop_map(|(l, r)| format!("(try {l} catch ({r} | empty))")),
            (one.clone(), inner.clone(), inner.clone())
                .prop_map(|(c, t, e)| format!("(if {c} then {t} else {e} end)")),
            (inner.clone(), functions).prop_map(|(l, f)| format!("({l} | {f})")),
            (inner, functions1, one).prop_map(|(l, f, a)| format!("({l} | {f}({a}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn a_random_program_answers_as_jaq_does(source in programs()) {
        let input = json!({
            "a": {"b": 1}, "b": "arch:Zen3", "c": ["x", 3, null, {"k": [1]}], "e": "añb:c",
        });
        let Ok(program) = Program::parse(&source) else {
            // Too large, which the generator cannot know.
            return Ok(());
        };
        let ours = program.run(&input);
        let (outputs, failed) = jaq(&source, &input);
        match ours {
            Ok(ours) => {
                prop_assert!(!failed, "{} fails in jaq only; ours: {:?}", source, ours);
                prop_assert_eq!(&ours, &outputs, "{}", source);
            }
            Err(error) => prop_assert!(failed, "{} fails in ours only: {} {:?}", source, error, outputs),
        }
    }
}
