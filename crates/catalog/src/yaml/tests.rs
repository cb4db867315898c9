//! Scalars are taken as they are written, places are right, and bombs do not go off.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn one(text: &str) -> Node {
    let (mut nodes, error) = parse(text);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(nodes.len(), 1);
    nodes.remove(0)
}

/// The value of the last key of the only document's mapping.
fn last(text: &str) -> Node {
    match one(text).value {
        Value::Map(mut pairs) => pairs.pop().unwrap().1,
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str) -> SyntaxError {
    parse(text).1.expect("an error")
}

#[rstest]
#[case("2021.5", "2021.5")]
#[case("2021.10", "2021.10")]
#[case("1.0", "1.0")]
#[case("1.00", "1.00")]
#[case("1e3", "1e3")]
#[case("1.5E+3", "1.5E+3")]
#[case("0x10", "0x10")]
#[case("0o17", "0o17")]
#[case("0b11", "0b11")]
#[case("007", "007")]
#[case("08", "08")]
#[case("+5", "+5")]
#[case("-0.0", "-0.0")]
#[case(".5", ".5")]
#[case("5.", "5.")]
#[case("1_000", "1_000")]
#[case("12:30:45", "12:30:45")]
#[case("2023", "2023")]
#[case("2023-01-02", "2023-01-02")]
#[case("2023-01-02T03:04:05Z", "2023-01-02T03:04:05Z")]
#[case(
    "340282366920938463463374607431768211456",
    "340282366920938463463374607431768211456"
)]
#[case("1e999", "1e999")]
#[case(".inf", ".inf")]
#[case("-.INF", "-.INF")]
#[case(".NaN", ".NaN")]
#[case("true", "true")]
#[case("False", "False")]
#[case("yes", "yes")]
#[case("on", "on")]
#[case("n", "n")]
#[case("2021.10   # the release", "2021.10")]
#[case("!!str 2021.10", "2021.10")]
#[case("!!float 2021.10", "2021.10")]
#[case("&anchor 2021.10", "2021.10")]
#[case("'2021.10'", "2021.10")]
#[case("\"2021.10\"", "2021.10")]
#[case("\"a\\tb\\u00e9\"", "a\tbé")]
#[case("'it''s'", "it's")]
#[case("'null'", "null")]
#[case("''", "")]
#[case("|\n  2021.10\n", "2021.10")]
#[case(">-\n  a\n  b\n", "a b")]
#[case("|\n  a\n  b\n", "a\nb")]
#[case("a\n  b", "a b")]
#[case(
    ".manifests .[] .platform .features",
    ".manifests .[] .platform .features"
)]
#[case("a:b", "a:b")]
#[case("a#b", "a#b")]
#[case("é 1.10", "é 1.10")]
#[case("<<", "<<")]
#[case("=", "=")]
fn a_scalar_is_what_is_written(#[case] written: &str, #[case] text: &str) {
    for document in [
        format!("k: {written}\n"),
        format!("é: 1.0\nk: {written}\r\n"),
        format!("\u{feff}k: {written}"),
    ] {
        match last(&document).value {
            Value::Text(found) => assert_eq!(found, text, "{document:?}"),
            other => panic!("{document:?}: {other:?}"),
        }
    }
}

#[rstest]
#[case("")]
#[case("~")]
#[case("null")]
#[case("NULL")]
#[case("!!null x")]
#[case("# only a remark")]
fn nothing_is_nothing(#[case] written: &str) {
    assert!(matches!(
        last(&format!("k: {written}\n")).value,
        Value::Null
    ));
}

#[test]
fn an_alias_is_what_its_anchor_is_and_stands_where_it_is_used() {
    let node = last("a: &x 2021.10\nb: *x\n");
    assert!(matches!(&node.value, Value::Text(text) if text == "2021.10"));
    assert_eq!((node.mark.line, node.mark.column), (2, 4));
    let node = last("a: &x {tag: 1.10}\nb: {<<: *x}\n");
    let Value::Map(pairs) = node.value else {
        panic!("{node:?}")
    };
    assert!(matches!(&pairs[0].1.value, Value::Text(text) if text == "1.10"));
    assert_eq!(pairs[0].1.mark.line, 2);
}

#[test]
fn columns_count_characters() {
    let node = last("é: {ü: ö, k: 1.10}\n");
    let Value::Map(pairs) = node.value else {
        panic!("{node:?}")
    };
    assert_eq!(
        pairs[1].1.mark,
        Mark {
            line: 1,
            column: 14,
            bytes: 4
        }
    );
}

#[test]
fn keys_given_twice_are_all_kept() {
    let node = one("a: 1\na: 2\n'a': 3\n");
    assert!(matches!(node.value, Value::Map(pairs) if pairs.len() == 3));
}

#[test]
fn the_documents_before_a_broken_one_are_read() {
    let (nodes, error) = parse("a: 1\n---\nb: 2\n---\nc: [\n---\nd: 4\n");
    assert_eq!(nodes.len(), 2);
    let error = error.unwrap();
    assert_eq!(error.mark.line, 5);
    assert!(!error.message.contains("line"), "{}", error.message);
}

#[test]
fn documents_without_content_are_not_there() {
    for text in ["", "\n", "# remark\n", "---\n", "---\n...\n---\n# x\n"] {
        let (nodes, error) = parse(text);
        assert!(nodes.is_empty() && error.is_none(), "{text:?}");
    }
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    refused(&text);
}

#[rstest]
#[case::many_aliases(format!("a: &a x\nb: [{}]\n", "*a, ".repeat(2_000)))]
#[case::a_large_text_many_times(format!("a: &a {}\nb: [{}]\n", "x".repeat(20_000), "*a, ".repeat(900)))]
#[case::depth_of_brackets("[".repeat(10_000))]
#[case::depth_of_braces("{a: ".repeat(10_000))]
#[case::depth_of_lists("- ".repeat(10_000))]
#[case::depth_by_indent((0..1_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect())]
#[case::a_large_file(" ".repeat(MAX_FILE_BYTES + 1))]
#[case::a_large_scalar(format!("a: {}\n", "x".repeat(MAX_SCALAR_BYTES + 1)))]
#[case::many_documents("--- a\n".repeat(MAX_DOCUMENTS + 2))]
#[case::an_alias_of_itself("a: &a [*a]\n".to_owned())]
#[case::merges_of_merges(
    (1..200).fold("a0: &a0 {k: v}\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} {{<<: [*a{0}, *a{0}], k{n}: v}}\n", n - 1)
    })
)]
fn what_would_take_too_much_is_refused_at_once(#[case] text: String) {
    let started = std::time::Instant::now();
    let error = refused(&text);
    assert!(error.mark.line >= 1 && !error.message.is_empty());
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

/// Lines that look like documents, right and wrong.
fn yaml_ish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("manifests".to_owned()),
        Just("profile".to_owned()),
        Just("profiles".to_owned()),
        Just("name".to_owned()),
        Just("tag".to_owned()),
        Just("image".to_owned()),
        Just("platform".to_owned()),
        Just("features".to_owned()),
        Just("actions".to_owned()),
        Just("event".to_owned()),
        Just("args".to_owned()),
        Just("select".to_owned()),
        Just("manifest-filter".to_owned()),
        Just("arch:zen3".to_owned()),
        Just("&a".to_owned()),
        Just("*a".to_owned()),
        Just("<<".to_owned()),
        "[ -~é\t]{0,12}",
    ];
    let sign = prop_oneof![
        Just(": "),
        Just("- "),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("\r\n"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("'"),
        Just("\""),
        Just("|\n"),
        Just("\n---\n"),
        Just("!!int "),
        Just("# "),
        Just("\u{0}"),
        Just("\u{2028}"),
    ];
    prop::collection::vec((word, sign), 0..60)
        .prop_map(|parts| parts.into_iter().map(|(word, sign)| word + sign).collect())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![yaml_ish(), any::<String>()]) {
        let loaded = crate::Catalog::from_documents(&[("x.yaml", &text)]);
        let mut lines = text.lines().count().max(1) + 1;
        // YAML counts a lone carriage return as the end of a line, too.
        lines += text.matches('\r').count();
        for problem in &loaded.problems {
            prop_assert!((1..=lines).contains(&problem.location.line), "{problem}");
            prop_assert!(!problem.render(false, 80).is_empty());
        }
    }

    #[test]
    fn a_plain_number_is_never_changed(text in r"[0-9]{1,6}(\.[0-9]{0,6})?([eE][0-9]{1,3})?") {
        let node = last(&format!("k: {text}\n"));
        prop_assert!(matches!(&node.value, Value::Text(found) if *found == text));
    }
}
