//! containerd: the node's login as the header `X-Meta-Profile` in `hosts.toml`. Never
//! `Authorization`, which would replace the credentials of pods. The header is at the top, where it
//! belongs to `server` itself: with a host in the table `[host]`, containerd would retry a 404 at
//! `server` without the header, and get the image for no hardware at all. The table itself has to
//! be there, empty: containerd 1.6 ignores a file without it.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::plan::{Change, Context, Plan, Scope, SetupError, existing_text};

/// The header.
const HEADER: &str = "X-Meta-Profile";
/// The comment before the table that only containerd 1.6 needs.
const EMPTY: &str = "# containerd 1.6 ignores a file without this table.";
/// Where `config_path` usually leads.
const FOLDER: &str = "/etc/containerd/certs.d";

/// What containerd needs.
pub(super) fn plan(context: &Context<'_>) -> Result<Plan, SetupError> {
    if context.scope == Scope::User {
        return Err(SetupError::Scope(
            "containerd is set up for the whole machine: leave --user out",
        ));
    }
    let mut plan = Plan::default();
    let file = file(context.root, context.host);
    let before = existing_text(&file, "TOML")?;
    let mut document = parse(&file, before.as_deref())?;
    if context.undo {
        undo(&file, &mut document, &mut plan);
    } else {
        let Some(login) = context.node else {
            return Err(SetupError::Scope(
                "this node has no login to send: see metahub-node detect --why",
            ));
        };
        let plain = context
            .policy
            .plain_http
            .iter()
            .any(|host| host == context.host);
        let scheme = if plain { "http" } else { "https" };
        configure(
            &format!("{scheme}://{}", context.host),
            login,
            &mut document,
            before.is_none(),
        );
        if hosts(&document) > 0 {
            plan.notes.push(format!(
                "{}: its [host] tables come before the registry itself and do not send the login",
                file.display()
            ));
        }
        plan.notes.push(format!(
            "containerd reads {FOLDER} where config_path says so: [plugins.\"io.containerd.grpc.v1.\
             cri\".registry] config_path = \"{FOLDER}\"; ctr takes --hosts-dir {FOLDER}"
        ));
    }
    let after = (!document.is_empty()).then(|| document.to_string().into_bytes());
    let before = before.map(String::into_bytes);
    if after != before {
        plan.changes.push(Change {
            path: file,
            before,
            after,
            mode: 0o644,
        });
    }
    Ok(plan)
}

fn file(root: &Path, host: &str) -> PathBuf {
    let folder = root.join(FOLDER.trim_start_matches('/'));
    // containerd writes the colon before a port as it is, and finds both forms.
    folder.join(host).join("hosts.toml")
}

fn configure(server: &str, login: &str, document: &mut DocumentMut, is_new: bool) {
    if !document.contains_key("server") {
        document.insert("server", value(server));
    }
    if is_new && let Some(mut key) = document.key_mut("server") {
        key.leaf_decor_mut()
            .set_prefix("# Written by metahub-node setup, kept up by metahub-node refresh.\n");
    }
    let header = document.entry("header").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(false);
        Item::Table(table)
    });
    if let Some(header) = header.as_table_like_mut() {
        header.insert(HEADER, value(login));
    }
    if !document.contains_key("host") {
        let mut table = Table::new();
        table.decor_mut().set_prefix(format!("\n{EMPTY}\n"));
        document.insert("host", Item::Table(table));
    }
}

fn undo(file: &Path, document: &mut DocumentMut, plan: &mut Plan) {
    let Some(header) = document.get_mut("header").and_then(Item::as_table_like_mut) else {
        return;
    };
    if header.remove(HEADER).is_none() {
        return;
    }
    if header.is_empty() {
        document.remove("header");
    }
    if is_ours(document.get("host")) {
        document.remove("host");
    }
    let only_server = document.iter().all(|(key, _)| key == "server");
    if only_server {
        // `server` alone says what containerd does anyway.
        document.remove("server");
    } else {
        plan.notes
            .push(format!("{}: its other keys are left alone", file.display()));
    }
}

/// Whether it is the empty table that `configure` adds.
fn is_ours(host: Option<&Item>) -> bool {
    let Some(Item::Table(host)) = host else {
        return false;
    };
    let before = host.decor().prefix().and_then(|prefix| prefix.as_str());
    host.is_empty() && before.is_some_and(|text| text.contains(EMPTY))
}

fn hosts(document: &DocumentMut) -> usize {
    let hosts = document.get("host").and_then(Item::as_table_like);
    hosts.map_or(0, toml_edit::TableLike::len)
}

fn parse(file: &Path, text: Option<&str>) -> Result<DocumentMut, SetupError> {
    let malformed = |problem: String| SetupError::Malformed {
        file: file.to_owned(),
        form: "TOML",
        problem,
    };
    let document: DocumentMut = text
        .unwrap_or_default()
        .parse()
        .map_err(|error: toml_edit::TomlError| malformed(error.to_string()))?;
    match document.get("header") {
        Some(item) if !item.is_table_like() => Err(malformed("header is no table".to_owned())),
        _ => Ok(document),
    }
}

/// Writes the node's login anew where `setup` had written one. `None` where it had not, or where
/// nothing changed.
///
/// # Errors
/// When the file cannot be read or written.
pub fn renew(root: &Path, host: &str, login: &str) -> Result<Option<PathBuf>, SetupError> {
    let file = file(root, host);
    let Some(before) = existing_text(&file, "TOML")? else {
        return Ok(None);
    };
    let mut document = parse(&file, Some(&before))?;
    let header = document.get_mut("header").and_then(Item::as_table_like_mut);
    let Some(header) = header.filter(|header| header.contains_key(HEADER)) else {
        return Ok(None);
    };
    header.insert(HEADER, value(login));
    let after = document.to_string();
    if after == before {
        return Ok(None);
    }
    crate::trusted::write(&file, after.as_bytes(), 0o644, 0o755).map_err(|problem| {
        SetupError::Io {
            file: file.clone(),
            problem,
        }
    })?;
    Ok(Some(file))
}
