//! Every statement is prepared against the schema, and no other is used.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::records::Change;

/// Wants to know of no change.
struct Nobody;

impl ChangeSink for Nobody {
    fn changing(&self, _: &Change) {}
    fn changed(&self, _: &Change) {}
}

/// Records in a database of their own.
pub(super) async fn temporary() -> (tempfile::TempDir, SqliteRecords) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let clock = Clock::default();
    let records = SqliteRecords::open(&layout, Arc::new(Nobody), clock, true).await;
    (folder, records.unwrap())
}

/// The statements of each module.
const ALL: &[(&str, &[(&str, &str)])] = &[
    ("accounts", accounts::STATEMENTS),
    ("blobs", blobs::STATEMENTS),
    ("cached", cached::STATEMENTS),
    ("checkpoint", checkpoint::STATEMENTS),
    ("demand", demand::STATEMENTS),
    ("derived", derived::STATEMENTS),
    ("derived_eviction", derived_eviction::STATEMENTS),
    ("derived_rows", derived_rows::STATEMENTS),
    ("documents", documents::STATEMENTS),
    ("eviction", eviction::STATEMENTS),
    ("garbage", garbage::STATEMENTS),
    ("identity", identity::STATEMENTS),
    ("inspection", inspection::STATEMENTS),
    ("layer_needs", layer_needs::STATEMENTS),
    ("manifest_rows", manifest_rows::STATEMENTS),
    ("manifests", manifests::STATEMENTS),
    ("needs", needs::STATEMENTS),
    ("nodes", nodes::STATEMENTS),
    ("ownership", ownership::STATEMENTS),
    ("pins", pins::STATEMENTS),
    ("publish_manifest", publish_manifest::STATEMENTS),
    ("repositories", repositories::STATEMENTS),
    ("schema", schema::STATEMENTS),
    ("snapshot", snapshot::STATEMENTS),
    ("stale", stale::STATEMENTS),
    ("tags", tags::STATEMENTS),
    ("transaction", transaction::STATEMENTS),
    ("uploads", uploads::STATEMENTS),
    ("writer", writer::STATEMENTS),
];

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let (folder, records) = temporary().await;
    let path = folder.path().join("metahub.db");
    let mut connection = options(&path).connect().await.unwrap();
    let mut wrong = Vec::new();
    for (module, statements) in ALL {
        for (name, sql) in *statements {
            let explained = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
                .execute(&mut connection)
                .await;
            if let Err(error) = explained {
                wrong.push(format!("{module}::{name}: {error}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    records.close().await;
}

/// `text` without what stands in braces after `head`.
fn without(text: &str, head: &str) -> String {
    let mut rest = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(head) {
            lines.by_ref().find(|line| *line == "}");
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    rest
}

#[test]
fn every_statement_is_declared_as_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/records/sqlite");
    let listed: BTreeSet<&str> = ALL.iter().map(|(module, _)| *module).collect();
    let mut declaring = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module == "tests" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if text.lines().any(|line| line == "statements! {") {
            declaring.insert(module.clone());
        }
        let rest = without(&without(text, "statements! {"), "macro_rules! ");
        for verb in [
            "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "PRAGMA", "VACUUM", "BEGIN", "DROP",
        ] {
            if rest.contains(&format!("\"{verb} ")) {
                wrong.push(format!(
                    "{module}: a statement outside of statements!: {verb}"
                ));
            }
        }
        for call in rest.split("sqlx::query").skip(1) {
            let arguments = call.split_once('(').unwrap().1;
            let first = arguments.split([',', ')']).next().unwrap().trim();
            if !first.chars().all(|c| c.is_alphanumeric() || c == '_') {
                wrong.push(format!("{module}: no declared statement: {first}"));
            }
        }
        if rest.contains("raw_sql") || rest.contains("QueryBuilder") {
            wrong.push(format!("{module}: a statement that is put together"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    let declaring: BTreeSet<&str> = declaring.iter().map(String::as_str).collect();
    assert_eq!(
        declaring, listed,
        "statements! of a module, and the list above"
    );
}

/// Statements that read whole tables by design: small ones, or to count, list or collect
/// everything, beside requests or once.
const OF_EVERYTHING: &[&str] = &[
    "accounts::ALL",
    "cached::TOTALS",
    "cached::RECOUNTED",
    "cached::OF_ONE_CLIENT",
    "cached::CANDIDATES",
    "demand::COUNT",
    "demand::SINCE",
    "derived_eviction::OLDEST",
    "derived_eviction::OF_ONE_CLIENT",
    "derived_rows::TOTAL",
    "documents::ALL",
    "documents::OTHERS",
    "documents::FORGET_DELETED",
    "eviction::UNREFERENCED",
    "garbage::COUNT_LINKS",
    "garbage::COUNT_BLOBS",
    "garbage::REMOVE_REPOSITORIES",
    "identity::HOLDS_ANYTHING",
    "inspection::COUNT",
    "inspection::MISSING_REFERENCES",
    "nodes::ALL",
    "nodes::COUNT",
    "nodes::FORGET_TOKENS",
    "nodes::ADD_TOKEN",
    "nodes::TOKENS",
    "pins::ADD",
    "pins::ALL",
    "schema::HAS_VERSIONS",
    "schema::VERSIONS",
    "snapshot::TOTAL_OF_FILES",
    "snapshot::VALUES",
    "uploads::ALL",
];

#[tokio::test]
async fn what_requests_run_reads_no_whole_table() {
    let (folder, records) = temporary().await;
    let path = folder.path().join("metahub.db");
    let mut connection = options(&path).connect().await.unwrap();
    let mut found = Vec::new();
    for (module, statements) in ALL {
        for (name, sql) in *statements {
            let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            let scans = plan.iter().any(|(_, _, _, step)| {
                // A list that is bound, and what a query found itself.
                let small = ["json_each", "CONSTANT ROW", "n ", "(subquery"];
                let of = step.strip_prefix("SCAN ").map(|of| format!("{of} "));
                of.is_some_and(|of| !small.iter().any(|small| of.starts_with(small)))
            });
            let name = format!("{module}::{name}");
            if scans {
                found.push(name);
            }
        }
    }
    assert_eq!(found, OF_EVERYTHING);
    records.close().await;
}
