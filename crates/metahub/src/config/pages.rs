//! Generates the pages about the declared keys, `metahub.example.yaml` and the tables of
//! `docs/configuration.md`, and compares them with the files; `METAHUB_WRITE=1` writes them.

use std::path::{Path, PathBuf};

use super::declare::{Declared, Keys as _};
use super::keys::Layer;

const HEAD: &str = "\
# Configuration of `metahub serve`, every key with its default. All keys are optional; unknown
# keys are refused. Start with: metahub serve --config metahub.yaml
#
# Each key has an environment variable, written beside it, whose value is what would stand here.
# Flags win over variables, variables over this file, this file over the defaults. Relative paths
# in this file start at the file's own folder. No password ever stands here.
";

/// Keys that have a flag of `metahub serve`, too.
const FLAGS: [&str; 4] = ["listen", "data", "catalog", "anonymous"];

/// Columns of the example file.
const WIDTH: usize = 100;

fn variable(path: &str) -> String {
    format!("METAHUB_{}", path.replace('.', "_").to_uppercase())
}

/// The paragraphs of a text, each in one line.
fn paragraphs(text: &str) -> Vec<String> {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let words = paragraph.split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    });
    paragraphs
        .filter(|paragraph| !paragraph.is_empty())
        .collect()
}

/// Markdown without its marks.
fn plain(text: &str) -> String {
    let links = regex::Regex::new(r"\[([^\]]+)\]\([^)]*\)").unwrap();
    links.replace_all(text, "$1").replace('`', "")
}

fn comment(text: &str, indent: &str, into: &mut String) {
    let mut line = format!("{indent}#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            into.push_str(&line);
            into.push('\n');
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    into.push_str(&line);
    into.push('\n');
}

fn example() -> String {
    let mut written = HEAD.to_owned();
    for key in Layer::declared() {
        written.push('\n');
        describe(&key, key.key, "", &mut written);
    }
    written
}

fn describe(key: &Declared, path: &str, indent: &str, into: &mut String) {
    let within = (key.within)();
    let mut text = plain(&paragraphs(key.text)[0]);
    if within.is_empty() {
        text.push_str(&format!(" [{}", variable(path)));
        if FLAGS.contains(&path) {
            text.push_str(&format!(", --{path}"));
        }
        text.push(']');
    }
    comment(&text, indent, into);
    into.push_str(&format!("{indent}{}:", key.key));
    match key.default {
        "" => {}
        block if block.starts_with('\n') => into.push_str(block),
        value => into.push_str(&format!(" {value}")),
    }
    into.push('\n');
    for below in within {
        let path = format!("{path}.{}", below.key);
        describe(&below, &path, "  ", into);
    }
}

/// The table of some keys, those within others by their whole path.
fn table(keys: &[&str]) -> String {
    let mut rows = "| key and variable | default | meaning |\n|---|---|---|\n".to_owned();
    let declared = Layer::declared();
    for name in keys {
        let key = declared.iter().find(|key| key.key == *name);
        let key = key.unwrap_or_else(|| panic!("the page names {name}, which is no key"));
        let within = (key.within)();
        if within.is_empty() {
            rows.push_str(&row(name, key));
        }
        for below in within {
            rows.push_str(&row(&format!("{name}.{}", below.key), &below));
        }
    }
    rows
}

fn row(path: &str, key: &Declared) -> String {
    let first = key.default.lines().next().unwrap_or_default();
    let default = match (path, first) {
        ("upstreams", _) => "Docker Hub".to_owned(),
        (_, "") if key.default.is_empty() => "–".to_owned(),
        (_, "") => "`{}`".to_owned(),
        (_, value) => format!("`{value}`"),
    };
    let meaning = paragraphs(key.text).join(" ");
    format!(
        "| `{path}`<br>`{}` | {default} | {meaning} |\n",
        variable(path)
    )
}

/// The page with its tables made anew, and the keys that they have.
fn page(written: &str) -> (String, Vec<String>) {
    let (mut page, mut shown) = (String::new(), Vec::new());
    let mut skipping = false;
    for line in written.lines() {
        let end = line == "<!-- end -->";
        if !skipping || end {
            page.push_str(line);
            page.push('\n');
        }
        skipping &= !end;
        if let Some(keys) = line.strip_prefix("<!-- keys: ") {
            let keys: Vec<&str> = keys.trim_end_matches(" -->").split(' ').collect();
            page.push_str(&table(&keys));
            shown.extend(keys.into_iter().map(str::to_owned));
            skipping = true;
        }
    }
    (page, shown)
}

fn hold(name: &str, make: impl Fn(&str) -> String) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    let found = std::fs::read_to_string(&path).unwrap();
    let made = make(&found);
    if std::env::var_os("METAHUB_WRITE").is_some() {
        std::fs::write(&path, &made).unwrap();
    } else {
        let differs = found
            .lines()
            .zip(made.lines())
            .find(|(found, made)| found != made);
        assert!(
            found == made,
            "{name} is not what the declared keys make of it; METAHUB_WRITE=1 writes it: {differs:?}"
        );
    }
}

#[test]
fn the_example_file_is_made_of_the_declared_keys() {
    hold("metahub.example.yaml", |_| example());
}

#[test]
fn the_tables_of_the_manual_are_made_of_the_declared_keys_and_have_each_once() {
    hold("docs/configuration.md", |found| {
        let (page, mut shown) = page(found);
        let mut keys: Vec<_> = Layer::declared()
            .iter()
            .map(|key| key.key.to_owned())
            .collect();
        keys.sort();
        shown.sort();
        assert_eq!(shown, keys);
        page
    });
}

#[test]
fn the_schema_has_every_key_with_its_default_and_refuses_others() {
    let schema = super::schema();
    assert_eq!(schema["additionalProperties"], false);
    for key in Layer::declared() {
        let property = &schema["properties"][key.key];
        for below in (key.within)() {
            let group = property["$ref"]
                .as_str()
                .or(property["allOf"][0]["$ref"].as_str());
            let group = group.unwrap_or_else(|| panic!("{}: {property}", key.key));
            let group = schema.pointer(group.trim_start_matches('#')).unwrap();
            assert_eq!(group["additionalProperties"], false, "{group}");
            let property = &group["properties"][below.key];
            assert_eq!(
                property["default"].is_null(),
                below.default.is_empty(),
                "{}.{}: {property}",
                key.key,
                below.key
            );
        }
        if (key.within)().is_empty() {
            let none = key.default.is_empty();
            assert_eq!(
                property["default"].is_null(),
                none,
                "{}: {property}",
                key.key
            );
        }
    }
}
