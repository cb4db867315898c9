//! Test results for other programs: JUnit's XML and the Test Anything Protocol.

use std::fmt::Write as _;

use metahub_catalog::Problem;
use metahub_operations::{ProfileTestReport, TestOutcome};

/// The report as JUnit's XML: one suite for each file, one case for each test. Documents with
/// errors are a suite of their own.
pub(crate) fn junit(report: &ProfileTestReport) -> String {
    let errors: Vec<&Problem> = report.problems.iter().filter(|p| p.is_error()).collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        report.tests.len() + errors.len(),
        report.failed,
        errors.len()
    );
    if !errors.is_empty() {
        let count = errors.len();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"documents\" tests=\"{count}\" failures=\"0\" errors=\"{count}\">"
        );
        for problem in errors {
            let (at, message) = (
                escaped(&problem.location.to_string()),
                escaped(&problem.message),
            );
            let _ = writeln!(
                xml,
                "    <testcase name=\"{at}\" classname=\"documents\"><error message=\"{message}\">\
                 {at}: {message}</error></testcase>"
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    for (file, tests) in by_file(report) {
        let failures = tests.iter().filter(|test| !test.passed).count();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">",
            escaped(file),
            tests.len()
        );
        for test in tests {
            junit_case(&mut xml, file, test);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>");
    xml
}

fn junit_case(xml: &mut String, file: &str, test: &TestOutcome) {
    let (name, file) = (escaped(&test.name), escaped(file));
    let line = test.location.line;
    let _ = write!(
        xml,
        "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{line}\""
    );
    if test.passed {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    for mismatch in &test.mismatches {
        let message = format!(
            "{}: expected {}, found {}",
            mismatch.what, mismatch.expected, mismatch.found
        );
        let _ = writeln!(
            xml,
            "      <failure message=\"{}\">{}</failure>",
            escaped(&message),
            escaped(&mismatch.to_string())
        );
    }
    xml.push_str("    </testcase>\n");
}

/// The report as the Test Anything Protocol, version 14.
pub(crate) fn tap(report: &ProfileTestReport) -> String {
    let mut tap = String::from("TAP version 14\n");
    let _ = writeln!(tap, "1..{}", report.tests.len());
    if let Some(error) = report.problems.iter().find(|problem| problem.is_error()) {
        let _ = write!(tap, "Bail out! {}", one_line(&error.to_string()));
        return tap;
    }
    for (number, test) in report.tests.iter().enumerate() {
        let verdict = if test.passed { "ok" } else { "not ok" };
        // A `#` would begin a directive such as `# SKIP`.
        let name = one_line(&test.name).replace('#', "\\#");
        let _ = writeln!(tap, "{verdict} {} - {name}", number + 1);
        if test.passed {
            continue;
        }
        tap.push_str("  ---\n");
        let quoted = |text: String| serde_json::Value::String(text).to_string();
        let _ = writeln!(tap, "  at: {}", quoted(test.location.to_string()));
        tap.push_str("  failures:\n");
        for mismatch in &test.mismatches {
            let _ = writeln!(tap, "    - {}", quoted(mismatch.to_string()));
        }
        tap.push_str("  ...\n");
    }
    tap.truncate(tap.trim_end().len());
    tap
}

/// The tests of each file, in the order in which they were run.
fn by_file(report: &ProfileTestReport) -> Vec<(&str, Vec<&TestOutcome>)> {
    let mut files: Vec<(&str, Vec<&TestOutcome>)> = Vec::new();
    for test in &report.tests {
        let file = test.location.file.as_ref();
        match files.iter_mut().find(|(known, _)| *known == file) {
            Some((_, tests)) => tests.push(test),
            None => files.push((file, vec![test])),
        }
    }
    files
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text within XML: what has a meaning there is written as an entity, and what no XML document
/// may hold is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}
