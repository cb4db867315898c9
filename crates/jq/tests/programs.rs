//! What programs may say and what they answer.

use metahub_jq::{JqError, Program};
use rstest::rstest;
use serde_json::{Value, json};

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "manifests": [
            {
                "digest": "sha256:aa", "size": 10,
                "platform": {"os": "linux", "architecture": "amd64",
                             "features": ["arch:zen3", "cuda:12.4"]},
                "annotations": {"x": "1", "vendor": "qnib"}
            },
            {"digest": "sha256:bb", "size": 20,
             "platform": {"os": "linux", "architecture": "arm64"}},
        ]
    })
}

#[rstest]
#[case(" .manifests .[] .platform .features", json!([["arch:zen3", "cuda:12.4"], null]))]
#[case(".manifests[]?.annotations[\"x\"]", json!(["1", null]))]
#[case(".manifests[].annotations.x", json!(["1", null]))]
#[case(".manifests[].platform.features[]?", json!(["arch:zen3", "cuda:12.4"]))]
#[case(".manifests | map(select(.size > 15).digest)", json!([["sha256:bb"]]))]
#[case(".manifests[] | select(.platform.architecture == \"arm64\") | .digest", json!(["sha256:bb"]))]
#[case(".manifests[] | select(.platform.features // [] | any(test(\"^CUDA:\"; \"i\"))) | .size", json!([10]))]
#[case(".manifests[0].platform | \"\\(.os)/\\(.architecture)\"", json!(["linux/amd64"]))]
#[case(".manifests[] | {digest, s: (.size * 2)}", json!([{"digest": "sha256:aa", "s": 20}, {"digest": "sha256:bb", "s": 40}]))]
#[case(".manifests as $all | $all[] | select(.size == ($all | map(.size) | max)) | .digest", json!(["sha256:bb"]))]
#[case(".manifests[] | if .platform.features then .size else empty end", json!([10]))]
#[case(".manifests[-1].size, .manifests[5]", json!([20, null]))]
#[case("[.manifests[].size] | add", json!([30]))]
#[case(".manifests[0].platform.features | map(split(\":\")[0])", json!([["arch", "cuda"]]))]
#[case(".manifests[0].platform.features | map(ltrimstr(\"arch:\"))", json!([["zen3", "cuda:12.4"]]))]
#[case(".manifests[0].annotations | keys", json!([["vendor", "x"]]))]
#[case(".manifests[0].annotations | with_entries(select(.key == \"x\"))", json!([{"x": "1"}]))]
#[case(".manifests[0] | has(\"digest\") and (.platform | has(\"nothing\") | not)", json!([true]))]
#[case(".manifests[0].platform.features | contains([\"zen\"])", json!([true]))]
#[case("\"zen3\" | IN(\"zen2\", \"zen3\")", json!([true]))]
#[case("[1,2,3] | .[1:], .[:-1], first, last", json!([[2, 3], [1, 2], 1, 3]))]
#[case("try (1, .a.b.c[\"x\"], (.schemaVersion | .[]), 3) catch \"caught\"", json!([1, null, "caught"]))]
#[case("first(.manifests[].size)", json!([10]))]
#[case("isempty(.manifests[] | select(.size > 99))", json!([true]))]
#[case("[(1,2) + (10,20)]", json!([[11, 12, 21, 22]]))]
#[case("[null, 1, \"a\", [], {}] | map(type)", json!([["null", "number", "string", "array", "object"]]))]
#[case("[.[] | numbers]", json!([[2]]))]
#[case("\"1.5\" | tonumber + 1", json!([2.5]))]
#[case("[3,1,2] | sort, unique, reverse, min, max, length", json!([[1, 2, 3], [1, 2, 3], [2, 1, 3], 1, 3, 3]))]
#[case("\"a,b\" / \",\" | join(\"+\")", json!(["a+b"]))]
#[case("7 % 3, 7 / 2, 6 / 2, -(3)", json!([1, 3.5, 3, -3]))]
#[case("1 == 1.0, 9007199254740993 == 9007199254740992", json!([true, false]))]
#[case("{\"a\": {\"b\": 1}} * {\"a\": {\"c\": 2}}", json!([{"a": {"b": 1, "c": 2}}]))]
#[case("[1,2,3,2] - [2]", json!([[1, 3]]))]
#[case("any(.manifests[]; .size > 15), all(.manifests[]; .size > 15)", json!([true, false]))]
#[case("\"x\" * 3, \"x\" * 0", json!(["xxx", null]))]
#[case("# a comment\n.schemaVersion", json!([2]))]
fn an_allowed_program_answers_as_jq_does(#[case] source: &str, #[case] expected: Value) {
    let outputs = Program::parse(source).unwrap().run(&index());
    assert_eq!(outputs.map(Value::Array), Ok(expected), "{source}");
}

#[rstest]
#[case("env", "'env'")]
#[case("$ENV", "$ENV")]
#[case("$ENV.PATH", "$ENV")]
#[case("halt", "'halt'")]
#[case("halt_error", "'halt_error'")]
#[case("input", "'input'")]
#[case("inputs", "'inputs'")]
#[case("debug", "'debug'")]
#[case("now", "'now'")]
#[case("input_filename", "'input_filename'")]
#[case("..", "'..'")]
#[case(".. | .features?", "'..'")]
#[case("recurse", "'recurse'")]
#[case("recurse(.[]?)", "'recurse' with 1 argument")]
#[case("repeat(.)", "'repeat'")]
#[case("range(10)", "'range'")]
#[case("last(range(1e18))", "'range'")]
#[case("limit(1; .)", "'limit'")]
#[case("until(false; .)", "'until'")]
#[case("while(true; .)", "'while'")]
#[case("def f: f; f", "'def'")]
#[case("reduce .[] as $x (0; . + 1)", "'reduce'")]
#[case("foreach .[] as $x (0; . + 1)", "'foreach'")]
#[case("label $out | 1, break $out", "a label")]
#[case(".a = 1", "assignment")]
#[case(".a |= 1", "assignment")]
#[case(".a += 1", "assignment")]
#[case(".a //= 1", "assignment")]
#[case("del(.a)", "'del'")]
#[case("paths", "'paths'")]
#[case("fromjson", "'fromjson'")]
#[case("tojson", "'tojson'")]
#[case("implode", "'implode'")]
#[case("combinations", "'combinations'")]
#[case("@base64", "'@base64'")]
#[case("@json \"x\\(.)\"", "format @json")]
#[case("match(\"a\")", "'match'")]
#[case("gsub(\"a\"; \"b\")", "'gsub'")]
#[case("test(.pattern)", "computed regular expression")]
#[case("test(\"\\(.)\")", "computed regular expression")]
#[case("test(\"a\"; .flags)", "computed flags")]
#[case("error(\"x\")", "'error'")]
#[case("select", "'select'")]
#[case(". as [$a] | $a", "taking a value apart")]
#[case("input_line_number", "'input_line_number'")]
#[case("getpath([\"a\"])", "'getpath'")]
#[case("m::f", "'m::f'")]
#[case("1e999", "number this large")]
fn what_could_do_harm_is_refused_by_name(#[case] source: &str, #[case] names: &str) {
    let error = Program::parse(source).unwrap_err();
    let JqError::NotAllowed { what, advice, .. } = &error else {
        panic!("{source}: {error}");
    };
    assert!(what.contains(names), "{source}: {error}");
    assert!(!advice.is_empty());
}

#[rstest]
#[case("")]
#[case("  ")]
#[case(".manifests[")]
#[case(".manifests .[")]
#[case("'a'")]
#[case(".a | ")]
#[case("import \"a\" as a; .")]
#[case("include \"a\"; .")]
#[case("{a:}")]
#[case("\"\\q\"")]
#[case("if . then 1")]
#[case("&")]
fn what_is_no_jq_is_refused_with_the_place(#[case] source: &str) {
    let error = Program::parse(source).unwrap_err();
    assert!(matches!(error, JqError::Syntax { .. }), "{source}: {error}");
    assert!(error.to_string().contains("byte"), "{error}");
}

#[test]
fn an_error_names_the_byte_and_what_is_allowed() {
    let error = Program::parse(".manifests[] | env")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the call 'env' is not allowed"), "{error}");
    assert!(error.contains("byte 15"), "{error}");
    assert!(error.contains("select, sort, split, startswith"), "{error}");
    let error = Program::parse("map(.; .)").unwrap_err().to_string();
    assert!(error.contains("'map' takes 1 arguments"), "{error}");
    let error = Program::parse("$x").unwrap_err();
    assert!(
        matches!(error, JqError::Unbound { offset: 0, .. }),
        "{error}"
    );
    let error = Program::parse("(1 as $x | .) | $x").unwrap_err();
    assert!(
        matches!(error, JqError::Unbound { offset: 16, .. }),
        "{error}"
    );
}

#[rstest]
#[case("test(\"(\")")]
#[case("test(\"a{1000}{1000}\")")]
#[case("test(\"\\\\w{500}\")")]
#[case("test(\"a\"; \"q\")")]
fn a_regular_expression_that_is_wrong_or_large_is_refused(#[case] source: &str) {
    let error = Program::parse(source).unwrap_err();
    assert!(matches!(error, JqError::Regex { .. }), "{source}: {error}");
}

#[rstest]
#[case(".schemaVersion[]", "cannot iterate over a number")]
#[case(".schemaVersion.x", "cannot look up 'x' in a number")]
#[case("1 / 0", "cannot compute 1 / 0")]
#[case("1 % 0", "cannot compute 1 % 0")]
#[case("1e308 * 1e308", "cannot compute")]
#[case("9223372036854775807 % (-9223372036854775807 - 1)", "")]
#[case("(-9223372036854775807 - 1) % -1", "")]
#[case("{} + 1", "cannot compute an object + 1")]
#[case("{(1): 2}", "key needs text")]
#[case("\"x\" | tonumber", "not a number")]
#[case("\"nan\" | tonumber", "not a number")]
#[case("\"x\" * 1.5", "cannot compute")]
fn a_value_that_does_not_fit_is_a_failure_not_a_panic(#[case] source: &str, #[case] says: &str) {
    match Program::parse(source).unwrap().run(&index()) {
        Ok(outputs) => assert!(says.is_empty(), "{source}: {outputs:?}"),
        Err(JqError::Failed(message)) => assert!(message.contains(says), "{message}"),
        Err(other) => panic!("{source}: {other}"),
    }
}

#[test]
fn a_program_is_shared_and_cheap_to_clone() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Program>();
    let program = Program::parse(" .a ").unwrap();
    assert_eq!(program.source(), " .a ");
    assert_eq!(program.clone(), program);
}
