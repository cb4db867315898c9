//! Programs written to hang, to exhaust memory or to overflow the stack: each ends, soon, with an
//! error. Where a program is stopped by its budget, the budget is the time limit.

use metahub_jq::{Budget, JqError, MAX_BRACKETS, MAX_DEPTH, MAX_OUTPUTS, MAX_WORDS, Program};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

fn hundred() -> Value {
    json!({"items": (0..100).collect::<Vec<_>>(), "text": "x".repeat(1000)})
}

fn crosses(n: usize) -> String {
    [".items[]"].repeat(n).join(" as $x | ") + " as $x | "
}

#[rstest]
#[case::cross_product(format!("[{}1]", crosses(20)))]
#[case::cross_product_without_output(format!("{}empty", crosses(20)))]
#[case::cross_product_of_operators(format!("[{}]", [".items[]"; 40].join("+")))]
#[case::cross_product_of_commas(format!("[{}]", ["(1,2)"; 60].join("+")))]
#[case::cross_product_in_text(format!("\"{}\"", "\\(.items[])".repeat(30)))]
#[case::cross_product_in_an_object(format!("{{{}}}", (0..30).map(|i| format!("k{i}: .items[]")).collect::<Vec<_>>().join(",")))]
#[case::cross_product_in_conditions("if .items[] == 1 then 1 else ".repeat(20) + ". " + &"end ".repeat(20))]
#[case::cross_product_behind_try("[try (.items[] as $x | ".repeat(20) + "empty" + &")?]".repeat(20))]
#[case::any_over_a_cross_product(format!("any({}false; .)", crosses(10)))]
#[case::isempty_over_a_cross_product(format!("isempty({}empty)", crosses(10)))]
#[case::repeated_text("\"x\" * 1000000000".to_owned())]
#[case::repeated_repeated_text("\"x\" * 10000 * 10000 * 10000".to_owned())]
#[case::repeated_by_the_largest_number("\"xx\" * 9223372036854775807".to_owned())]
#[case::doubled_text(format!("\"x\"{}", " | . + .".repeat(60)))]
#[case::doubled_lists(format!("[1]{}", " | . + .".repeat(60)))]
#[case::doubled_nesting(format!("1{}", " | [., .]".repeat(60)))]
#[case::doubled_bindings(format!("\"xx\"{}", " as $x | ($x + $x)".repeat(50)))]
#[case::doubled_by_insertion(format!("\"x\"{}", " | \"\\(.)\\(.)\"".repeat(25)))]
#[case::doubled_objects(format!("{{}}{}", " | {a: ., b: .}".repeat(60)))]
#[case::doubled_by_join(format!("[.text]{}", " | [., .] | map(join(\"xxxxxxxx\")) ".repeat(20)))]
#[case::doubled_outputs(format!("1{}", " | (., .)".repeat(60)))]
#[case::compared_doubles(format!("1{} | . == .", " | [., .]".repeat(40)))]
#[case::subtraction("[.items[] as $a | .items[] | . * 1000 + $a] | . - (map(-.))".to_owned())]
#[case::containment("[.items[] as $a | .items[] | [. * 1000 + $a]] | contains([[-1]] + .) or contains(. + [[-1]])".to_owned())]
#[case::tests_over_and_over("[.items[] as $a | .items[] as $b | .items[] as $c | .text | test(\"(x+x+)+y\")]".to_owned())]
#[case::sorting_over_and_over("[.items[] as $a | .items[] as $b | .items[] as $c | .items | sort]".to_owned())]
fn a_hostile_program_is_stopped(#[case] source: String) {
    let program = match Program::parse(&source) {
        Ok(program) => program,
        // Refused before it could run is as good, if it is for its size.
        Err(JqError::TooManyBrackets { .. } | JqError::TooManyWords(_) | JqError::TooDeep) => {
            return;
        }
        Err(other) => panic!("{source}: {other}"),
    };
    let result = program.run(&hundred());
    assert!(
        matches!(
            result,
            Err(JqError::TooMuchWork { .. } | JqError::TooManyOutputs)
        ),
        "{source}: {:?}",
        result.map(|outputs| outputs.len())
    );
}

#[test]
fn nothing_catches_the_end_of_the_budget() {
    let source = "try (\"x\" * 1000000000) catch \"caught\", (\"x\" * 1000000000)?, 1 // 2";
    let error = Program::parse(source).unwrap().run(&Value::Null);
    assert!(
        matches!(error, Err(JqError::TooMuchWork { .. })),
        "{error:?}"
    );
}

#[test]
fn outputs_are_counted() {
    let program = Program::parse(".items[] as $a | .items[] | $a").unwrap();
    assert_eq!(program.run(&hundred()).unwrap().len(), MAX_OUTPUTS);
    let program = Program::parse("(.items[] as $a | .items[] | $a), 1").unwrap();
    assert_eq!(program.run(&hundred()), Err(JqError::TooManyOutputs));
}

#[test]
fn a_budget_is_shared_by_the_runs_it_pays_for() {
    let program = Program::parse(".items[]").unwrap();
    let budget = Budget::new(500);
    assert!(program.run_within(&hundred(), &budget).is_ok());
    assert!(budget.left() < 300);
    assert!(program.run_within(&json!({"items": []}), &budget).is_ok());
    assert!(program.run_within(&hundred(), &budget).is_ok());
    assert_eq!(
        program.run_within(&hundred(), &budget),
        Err(JqError::TooMuchWork { steps: 500 })
    );
}

#[test]
fn length_brackets_and_words_are_bounded() {
    let long = format!(".{}", "a".repeat(4096));
    assert_eq!(Program::parse(&long), Err(JqError::TooLong(4097)));
    for open in ["(", "[", "{", "\"\\("] {
        let deep = open.repeat(4096 / open.len());
        let error = Program::parse(&deep).unwrap_err();
        assert!(matches!(error, JqError::TooManyBrackets { .. }), "{error}");
    }
    for words in [
        "-".repeat(4000) + "1",
        "try ".repeat(1000) + ".",
        "if ".repeat(1300),
        "1|".repeat(2000) + "1",
    ] {
        assert!(Program::parse(&words).is_err());
    }
}

/// The deepest programs that are let in run on a stack of 1 MiB, half of what a thread has by
/// default, even unoptimized; one word more is refused, on that stack too.
#[rstest]
#[case::negation("-", MAX_DEPTH - 1, "1", "")]
#[case::pipes("1|", MAX_DEPTH - 1, "1", "")]
#[case::sums("1+", MAX_DEPTH - 1, "1", "")]
#[case::bindings("1 as $x|", MAX_DEPTH - 1, "1", "")]
#[case::attempts("try ", MAX_DEPTH - 1, "1", "")]
#[case::paths(".a", MAX_WORDS, "", "")]
#[case::alternatives("null//", MAX_DEPTH - 1, "1", "")]
#[case::choices(".==1 or ", 98, "1", "")]
#[case::lists("[", MAX_BRACKETS, "", "]")]
#[case::parentheses("(", MAX_BRACKETS, "1", ")")]
#[case::texts("\"\\(", MAX_BRACKETS, "1", ")\"")]
#[case::objects("{a:", MAX_BRACKETS, "1", "}")]
#[case::selections("select(", MAX_BRACKETS, ".", ")")]
#[case::maps("map(", MAX_BRACKETS, ".", ")")]
#[case::attempted_maps("try map(", 49, ".", ")")]
#[case::indices(".[", MAX_BRACKETS, ".", "]")]
#[case::conditions("if 1 then ", 99, "1", " end")]
fn the_deepest_programs_fit_a_small_stack(
    #[case] before: &str,
    #[case] times: usize,
    #[case] middle: &str,
    #[case] after: &str,
) {
    let write = |times| before.repeat(times) + middle + &after.repeat(times);
    let (deepest, deeper) = (write(times), write(times + 1));
    let mut nested = Value::Null;
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let run = move || {
        let program = Program::parse(&deepest).unwrap_or_else(|e| panic!("{deepest}: {e}"));
        let _ = program.run(&nested);
        let refused = Program::parse(&deeper);
        assert!(refused.is_err(), "{deeper}");
    };
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(run).unwrap().join().unwrap();
}

/// Outputs are handed on from within, so a chain of deep programs is as deep as all its links.
#[rstest]
#[case("-", "1")]
#[case("1|", "1")]
#[case("1+", "1")]
#[case("1 as $x|", "1")]
#[case("try ", "1")]
#[case("null//", "1")]
#[case("1 and ", "1")]
#[case(".!=1 and ", "true")]
#[case("1,", "1")]
#[case("if . then ", "1")]
#[case(".[1]", "")]
fn chains_of_deep_programs_fit_a_small_stack(#[case] word: &str, #[case] end: &str) {
    let link = |n: usize| {
        let ends = if word.starts_with("if") {
            " end".repeat(n)
        } else {
            String::new()
        };
        format!("({}{end}{ends})", word.repeat(n))
    };
    let program = |n: usize| {
        let links = [link(n), link(n), link(n), link(n), link(n), link(n)];
        Program::parse(&links.join("|"))
    };
    let deepest = (1..100).rev().find_map(|n| program(n).ok()).unwrap();
    let run = move || drop(deepest.run(&Value::Null));
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(run).unwrap().join().unwrap();
}

/// The words that nest without brackets, as many as are let in, reach the parser; it must not
/// overflow before the depth is known.
#[rstest]
#[case("-", "1")]
#[case("1|", "1")]
#[case("1+", "1")]
#[case("1 as $x|", "1")]
#[case("try ", "1")]
#[case("1,", "1")]
#[case("if ", "1")]
#[case("if 1 then ", "1")]
#[case("label $x | ", "1")]
#[case("def f: ", "1")]
#[case("1 and 1 or ", "1")]
#[case("1 // 1 | ", "1")]
#[case("1 as $x | 1 //", "1")]
#[case(". = ", "1")]
fn as_many_words_as_are_let_in_parse_on_a_small_stack(#[case] word: &str, #[case] end: &str) {
    let times = (1..=MAX_WORDS).rev().find(|times| {
        let source = word.repeat(*times) + end;
        source.len() <= 4096 && !matches!(Program::parse(&source), Err(JqError::TooManyWords(_)))
    });
    let source = word.repeat(times.unwrap()) + end;
    let run = move || drop(Program::parse(&source));
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(run).unwrap().join().unwrap();
}

fn fragments() -> impl Strategy<Value = String> {
    let words = [
        ".",
        "..",
        ".a",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "|",
        ",",
        "//",
        "and",
        "or",
        "not",
        "if",
        "then",
        "else",
        "elif",
        "end",
        "as",
        "$x",
        "\"",
        "\\(",
        "\"a\"",
        "1",
        "1e9",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "<",
        "?",
        "try",
        "catch",
        "map",
        "select",
        "test(\"a\")",
        "any",
        "add",
        "sort",
        "join",
        "\"x\"",
        ":",
        ";",
        "reduce",
        "def",
        "@json",
        "#",
        "\n",
        "é",
        ".[]",
        "::",
        "from_entries",
        "tonumber",
        "contains",
        "length",
        "split",
        "first",
        "has",
        "label",
        "foreach",
        "import",
        "input",
        "=",
        "|=",
        "\\u12",
        "keys",
        "min",
        "null",
        "[1,2]",
        "{a:1}",
    ];
    let words = proptest::sample::select(words.to_vec());
    proptest::collection::vec(words, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_text_is_read_or_refused(source in ".{0,200}") {
        let _ = Program::parse(&source);
    }

    #[test]
    fn any_words_are_refused_or_run_to_an_end_and_twice_the_same(source in fragments()) {
        if let Ok(program) = Program::parse(&source) {
            let input = json!({"a": [1, "x", {"a": null}], "b": {"a": 1.5}});
            prop_assert_eq!(program.run(&input), program.run(&input));
        }
    }
}
