//! The command as people and scripts meet it: exit codes, output for programs, and mistakes.
//! What needs a running server is tested end to end, elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;

use assert_cmd::Command;
use rstest::rstest;
use serde_json::Value;

fn metahub(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("metahub").unwrap();
    command.args(args).env("NO_COLOR", "1");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("METAHUB_")) {
        command.env_remove(name);
    }
    command
}

fn stdout(command: &mut Command, code: i32) -> String {
    let output = command.assert().code(code).get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

fn stderr(command: &mut Command, code: i32) -> String {
    let output = command.assert().code(code).get_output().stderr.clone();
    String::from_utf8(output).unwrap()
}

fn account(data: &Path, args: &[&str]) -> Command {
    let mut command = metahub(&["account"]);
    command.args(args).arg("--data").arg(data);
    command
}

#[test]
fn help_explains_the_exit_codes() {
    for args in [&["--help"][..], &["resolve", "--help"], &["demo", "--help"]] {
        let help = stdout(&mut metahub(args), 0);
        assert!(help.contains("3  nothing fits"), "{help}");
    }
}

#[rstest]
#[case(&["serv"])]
#[case(&["serve", "--listen", "everywhere"])]
#[case(&["check"])]
#[case(&["account", "add", "Not A Name"])]
#[case(&["account", "add", "alice", "--role", "owner"])]
#[case(&["resolve", "Not An Image"])]
#[case(&["resolve", "a/b", "--platform", "linux"])]
fn wrong_arguments_end_with_2(#[case] args: &[&str]) {
    metahub(args).assert().code(2);
}

#[test]
fn accounts_are_added_listed_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let added = stdout(
        &mut account(&data, &["add", "alice", "--role", "pusher"]),
        0,
    );
    let password = added
        .lines()
        .find_map(|line| line.strip_prefix("password: "))
        .unwrap();
    assert!(password.len() >= 20, "{added}");

    let given = "a given password";
    let added = stdout(
        account(
            &data,
            &["add", "bob", "--role", "admin", "--password-stdin"],
        )
        .write_stdin(given),
        0,
    );
    assert!(!added.contains(given), "{added}");

    let listed = stdout(&mut account(&data, &["list", "--format", "json"]), 0);
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|row| (&row["name"], &row["role"]))
        .collect();
    assert_eq!(
        names,
        [
            (&"alice".into(), &"pusher".into()),
            (&"bob".into(), &"admin".into())
        ]
    );
    let text = stdout(&mut account(&data, &["list"]), 0);
    assert!(
        text.starts_with("NAME") && !text.contains("argon2"),
        "{text}"
    );

    stdout(&mut account(&data, &["role", "bob", "reader"]), 0);
    stdout(&mut account(&data, &["remove", "alice"]), 0);
    let listed = stdout(&mut account(&data, &["list", "--format", "json"]), 0);
    assert!(
        listed.contains("reader") && !listed.contains("alice"),
        "{listed}"
    );
}

#[test]
fn an_account_whose_name_is_a_profile_is_added_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut add = account(data, &["add", "zen3", "--generate"]);
    let output = add.assert().code(0).get_output().clone();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(err.contains("warning: zen3 is also a profile"), "{err}");
    assert!(out.contains("-u zen3/PROFILE"), "{out}");
    let plain = stderr(&mut account(data, &["add", "alice", "--generate"]), 0);
    assert_eq!(plain, "");
}

#[rstest]
#[case(&["gc"])]
#[case(&["scrub"])]
#[case(&["account", "list"])]
#[case(&["account", "remove", "alice"])]
fn a_data_folder_with_a_misspelled_name_is_not_made(#[case] args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nowhere");
    let message = stderr(metahub(args).arg("--data").arg(&data), 1);
    assert!(message.contains("no data folder"), "{message}");
    assert!(message.contains("METAHUB_DATA"), "{message}");
    assert!(!data.exists());
}

#[test]
fn a_data_folder_that_is_a_file_is_named_with_the_settings_that_chose_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("file");
    std::fs::write(&data, "").unwrap();
    let message = stderr(&mut account(&data, &["add", "alice", "--generate"]), 1);
    assert!(message.contains("METAHUB_DATA"), "{message}");
    assert_eq!(message.matches("os error").count(), 1, "{message}");
}

#[test]
fn a_variable_that_is_no_address_says_what_is_expected() {
    let message = stderr(metahub(&["serve"]).env("METAHUB_LISTEN", "5000"), 1);
    assert!(message.contains("METAHUB_LISTEN"), "{message}");
    assert!(message.contains("127.0.0.1:5000"), "{message}");
}

#[test]
fn what_cannot_be_done_with_an_account_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    stdout(&mut account(data, &["add", "alice", "--generate"]), 0);
    let again = stderr(&mut account(data, &["add", "alice", "--generate"]), 1);
    assert!(again.contains("already"), "{again}");
    for args in [
        &["remove", "carol"][..],
        &["role", "carol", "admin"],
        &["password", "carol", "--generate"],
    ] {
        let message = stderr(&mut account(data, args), 1);
        assert!(message.contains("carol"), "{message}");
    }
    let mut short = account(data, &["add", "dave", "--password-stdin"]);
    let message = stderr(short.write_stdin("short\n"), 1);
    assert!(message.contains("at least 8"), "{message}");
}

#[test]
fn documents_are_checked_in_three_forms_of_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.yaml");
    std::fs::write(&file, "profile:\n  name: x\n  acions: []\n").unwrap();
    let path = file.to_str().unwrap();
    let place = format!("{path}:3:3: error: ");
    let text = stdout(&mut metahub(&["check", path]), 1);
    assert!(text.contains(&place) && text.contains("1 error"), "{text}");
    let short = stdout(&mut metahub(&["check", path, "--format", "short"]), 1);
    assert!(
        short.starts_with(&place) && short.lines().count() == 1,
        "{short}"
    );
    let json = stdout(&mut metahub(&["check", path, "--format", "json"]), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["errors"], &json["problems"][0]["line"]),
        (&1.into(), &3.into())
    );
}

#[test]
fn a_configuration_mistake_is_shown_whole_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a-folder-with-a-long-name/".repeat(8));
    std::fs::create_dir_all(&deep).unwrap();
    let file = deep.join("metahub.yaml");
    std::fs::write(&file, "anonymous: read\nanonymus: read\n").unwrap();
    let message = stderr(metahub(&["serve", "--config"]).arg(&file), 1);
    let place = format!("{}:2:1: ", file.display());
    assert!(
        message.lines().any(|line| line.contains(&place)),
        "{message}"
    );
}

#[test]
fn a_configuration_is_checked_and_shown_with_where_each_setting_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metahub.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:7000\ntls: {certificat: a.pem}\n").unwrap();
    let file_text = file.to_str().unwrap();
    let check = ["config", "check", "--config", file_text];
    let told = stderr(&mut metahub(&check), 1);
    assert!(told.contains("did you mean `certificate`?"), "{told}");
    std::fs::write(&file, "listen: 127.0.0.1:7000\ngc: {every: 12h}\n").unwrap();
    let told = stdout(&mut metahub(&check), 0);
    assert!(
        told.contains("can be used; 2 settings are not the default"),
        "{told}"
    );
    let show = [
        "config",
        "show",
        "--changed",
        "--format",
        "json",
        "--config",
        file_text,
    ];
    let mut command = metahub(&show);
    command
        .env("METAHUB_LISTEN", "127.0.0.1:7001")
        .env("METAHUB_OFLINE", "true");
    let shown: Value = serde_json::from_str(&stdout(&mut command, 0)).unwrap();
    let expected = serde_json::json!([
        {"key": "listen", "value": "127.0.0.1:7001", "from": "variable"},
        {"key": "gc.every", "value": "12h", "from": "file"},
    ]);
    assert_eq!(shown, expected);
    let told = stderr(&mut command, 0);
    assert!(
        told.contains("METAHUB_OFLINE is no setting: did you mean METAHUB_OFFLINE?"),
        "{told}"
    );
    let told = stdout(&mut metahub(&["config", "show"]), 0);
    let line = told.lines().find(|line| line.starts_with("data ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["data", "metahub-data", "default"]);
}

#[test]
fn completions_and_manual_pages_come_from_the_command_line_itself() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            stdout(&mut metahub(&["completions", shell]), 0).contains("metahub"),
            "{shell}"
        );
    }
    assert!(stdout(&mut metahub(&["man"]), 0).contains(".TH metahub 1"));
    let folder = tempfile::tempdir().unwrap();
    stdout(metahub(&["man", "--out"]).arg(folder.path()), 0);
    for page in ["metahub.1", "metahub-serve.1", "metahub-account-add.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
}

#[test]
fn the_schema_is_json_schema() {
    let schema: Value = serde_json::from_str(&stdout(&mut metahub(&["schema"]), 0)).unwrap();
    assert!(
        schema["$schema"]
            .as_str()
            .unwrap()
            .contains("json-schema.org")
    );
}

#[test]
fn every_demo_login_gets_what_it_should() {
    let table = stdout(&mut metahub(&["demo", "--check"]), 0);
    assert!(!table.contains("failed"), "{table}");
    let row = |login: &str, image: &str| {
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let found = table
            .lines()
            .map(words)
            .find(|row| row.starts_with(&[login.into(), image.into()]));
        found.unwrap_or_else(|| panic!("{login} {image}:\n{table}"))
    };
    assert_eq!(row("zen3", "qnib/featuretest:latest")[3], "arch:zen3");
    assert_eq!(row("cascadeLake", "gromacs:2021.5")[3], "arch:x86_64_v4");
    assert_eq!(
        row("aws/cli", "qnib/featuretest:latest")[3..7],
        ["generic", "+", "3", "layers"]
    );
}

#[test]
fn a_server_that_is_not_there_is_a_failure_with_a_hint() {
    // Port 9 is discard: nothing listens there.
    let mut resolve = metahub(&["resolve", "a/b", "--server", "http://127.0.0.1:9"]);
    let message = stderr(&mut resolve, 1);
    assert!(
        message.contains("127.0.0.1:9") && message.contains("metahub serve"),
        "{message}"
    );
}

#[test]
fn a_catalog_is_written_as_pages_that_hold_what_documents_say_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let document = "
about: {description: 'Fast <b>& free</b>', homepage: 'https://www.example.org/', license: MIT, keywords: ['\"quoted\"']}
manifests:
  - name: site/solver
    tag: 1.10
    about: {no_generic: <i>nobody</i> builds one}
    manifests:
      - image: quay.io/site/solver:zen3
        platform: {architecture: amd64, features: [arch:zen3]}
        about: {documented: 'https://www.example.org/?a=1&b=2', certainty: medium, moving: true}
  - name: site/solver
    tag: 1.10-gpu
    manifests: [{image: 'quay.io/site/solver:gpu', platform: {features: [gpu:nvidia]}}]
  - name: other
    manifests: [{image: 'other:1'}]
";
    std::fs::write(at("site.yaml"), document).unwrap();
    let (documents, pages) = (at("site.yaml"), at("public"));
    let site = ["catalog", "site", &documents, "--to", &pages];
    let told = stdout(metahub(&site).args(["--host", "hub.example"]), 0);
    assert!(told.starts_with("3 pages in "), "{told}");
    let page = |name: &str| std::fs::read_to_string(at(&format!("public/{name}"))).unwrap();
    let solver = page("site_solver.html");
    for expected in [
        "Fast &lt;b&gt;&amp; free&lt;/b&gt;",
        "&quot;quoted&quot;",
        "No image runs on any machine: &lt;i&gt;nobody&lt;/i&gt; builds one.",
        "href=\"https://www.example.org/?a=1&amp;b=2\"",
        "medium, the tag moves",
        "docker login hub.example -u zen3 -p any\ndocker pull hub.example/site/solver:1.10\n",
        "<code>quay.io/<wbr>site/<wbr>solver:zen3</code></td><td>amd64, arch:zen3</td>",
    ] {
        assert!(solver.contains(expected), "{expected}: {solver}");
    }
    let list = page("index.html");
    for expected in [
        "<a href=\"site_solver.html\">site/solver</a>",
        "<a href=\"other.html\">",
    ] {
        assert!(list.contains(expected), "{expected}: {list}");
    }
    // The same documents make the same pages.
    stdout(metahub(&site).args(["--host", "hub.example"]), 0);
    assert_eq!(page("site_solver.html"), solver);
    // Documents with errors make none.
    std::fs::write(at("site.yaml"), "manifests: []\nabout: 1\n").unwrap();
    let pages = at("none");
    stderr(
        &mut metahub(&["catalog", "site", &documents, "--to", &pages]),
        1,
    );
    assert!(!Path::new(&pages).exists());
}
