//! `credHelpers` in a credential file: Docker's `config.json`, containers' `auth.json`, Apptainer's
//! `docker-config.json`. Never `credsStore`: Podman ignores it, crane and regctl stay anonymous
//! with it, and Apptainer's cache mixes identities up.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::plan::{Change, Context, Plan, SetupError, existing_text};
use crate::helper::NAME;
use crate::login::{Join, join_of};
use crate::logins::{Logins, OwnLogin};
use crate::server::host_of;

const HELPERS: &str = "credHelpers";

/// Adds to `plan` the entries to write into `file`, or to remove from it.
pub(super) fn edit(context: &Context<'_>, file: &Path, plan: &mut Plan) -> Result<(), SetupError> {
    let before = existing_text(file, "JSON")?;
    let mut document = parse(file, before.as_deref())?;
    let mut logins = plan.logins.take().unwrap_or_else(|| context.logins.clone());
    if context.undo {
        undo(context, file, &mut document, &mut logins, plan);
    } else {
        configure(context.host, file, &mut document, &mut logins, plan);
        if before.is_none() {
            logins.created.insert(file.to_owned());
        }
        plan.uses_helper = true;
    }
    let made_here = logins.created.contains(file);
    let after = if context.undo && document.is_empty() && (made_here || before.is_none()) {
        logins.created.remove(file);
        None
    } else {
        Some(print(&document, before.as_deref()))
    };
    plan.logins = Some(logins);
    let before = before.map(String::into_bytes);
    if after != before {
        plan.changes.push(Change {
            path: file.to_owned(),
            before,
            after,
            mode: 0o600,
        });
    }
    Ok(())
}

fn parse(file: &Path, text: Option<&str>) -> Result<Map<String, Value>, SetupError> {
    let malformed = |problem: String| SetupError::Malformed {
        file: file.to_owned(),
        form: "JSON",
        problem,
    };
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(Map::new());
    };
    let document: Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    let Value::Object(document) = document else {
        return Err(malformed("an object was expected".to_owned()));
    };
    for key in [HELPERS, "auths"] {
        if document
            .get(key)
            .is_some_and(|value| !value.is_object() && !value.is_null())
        {
            return Err(malformed(format!("{key} is no object")));
        }
    }
    Ok(document)
}

fn configure(
    host: &str,
    file: &Path,
    document: &mut Map<String, Value>,
    logins: &mut Logins,
    plan: &mut Plan,
) {
    let before = helper_of(document, host);
    if before.as_deref() != Some(NAME) {
        // From now on this node's helper asks the helper that stored the logins of this host.
        let store = document.get("credsStore").and_then(Value::as_str);
        if let Some(other) = before.or(store.map(str::to_owned)) {
            logins.helpers.entry(host.to_owned()).or_insert(other);
        }
    }
    take_over(host, file, document, logins, plan);
    let helpers = document
        .entry(HELPERS)
        .or_insert_with(|| Value::Object(Map::new()));
    if helpers.is_null() {
        *helpers = Value::Object(Map::new());
    }
    if let Some(helpers) = helpers.as_object_mut() {
        helpers.insert(host.to_owned(), json!(NAME));
    }
}

/// Takes over a login that the helper will hide.
fn take_over(
    host: &str,
    file: &Path,
    document: &Map<String, Value>,
    logins: &mut Logins,
    plan: &mut Plan,
) {
    let Some(auths) = document.get("auths").and_then(Value::as_object) else {
        return;
    };
    for (server, entry) in auths {
        if host_of(server).as_deref() != Some(host) {
            continue;
        }
        if is_namespaced(server) {
            plan.notes.push(format!(
                "{}: the login for {server} stays there; where a client asks the helper first, \
                 it is hidden",
                file.display()
            ));
            continue;
        }
        if logins.logins.contains_key(host) {
            continue;
        }
        match login_of(entry) {
            Some(login) => {
                plan.notes.push(format!(
                    "{}: the login as {} is taken over",
                    file.display(),
                    login.username
                ));
                logins.logins.insert(host.to_owned(), login);
            }
            // Docker leaves an entry without a login where a credential store has the login.
            None if entry.as_object().is_some_and(Map::is_empty) => {}
            None => plan.notes.push(format!(
                "{}: the login for {server} cannot be read and is hidden from now on: log in again",
                file.display()
            )),
        }
    }
}

/// `HOST/path`, but not the `/v1/` and `/v2/` of Docker's older names.
fn is_namespaced(server: &str) -> bool {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    !matches!(path.trim_matches('/'), "" | "v1" | "v2")
}

fn login_of(entry: &Value) -> Option<OwnLogin> {
    let text = |key: &str| {
        entry
            .get(key)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Some(OwnLogin {
            username: "<token>".to_owned(),
            secret: token.to_owned(),
            join: Join::Nothing,
        });
    }
    let pair = text("auth").and_then(|auth| {
        let bytes = STANDARD.decode(auth.trim()).ok()?;
        let pair = String::from_utf8(bytes).ok()?;
        let (user, secret) = pair.split_once(':')?;
        Some((user.to_owned(), secret.trim_end_matches('\0').to_owned()))
    });
    let plain = || Some((text("username")?.to_owned(), text("password")?.to_owned()));
    let (username, secret) = pair.or_else(plain)?;
    Some(OwnLogin {
        join: join_of(&username),
        username,
        secret,
    })
}

fn undo(
    context: &Context<'_>,
    file: &Path,
    document: &mut Map<String, Value>,
    logins: &mut Logins,
    plan: &mut Plan,
) {
    let host = context.host;
    match helper_of(document, host) {
        Some(name) if name == NAME => {}
        Some(other) => {
            plan.notes.push(format!(
                "{}: the helper for {host} is '{other}' by now, which is left alone",
                file.display()
            ));
            return;
        }
        None => return,
    }
    let store = document.get("credsStore").and_then(Value::as_str);
    let former = logins
        .helpers
        .get(host)
        .filter(|former| store != Some(former));
    let former = former.cloned();
    if let Some(helpers) = document.get_mut(HELPERS).and_then(Value::as_object_mut) {
        match &former {
            Some(former) => helpers.insert(host.to_owned(), json!(former)),
            None => helpers.shift_remove(host),
        };
        if helpers.is_empty() {
            document.shift_remove(HELPERS);
        }
    }
    let has_login = document
        .get("auths")
        .and_then(Value::as_object)
        .is_some_and(|auths| {
            auths
                .keys()
                .any(|server| host_of(server).as_deref() == Some(host) && !is_namespaced(server))
        });
    if let Some(login) = logins.logins.get(host)
        && !has_login
        && former.is_none()
        && login.username != "<token>"
    {
        let pair = STANDARD.encode(format!("{}:{}", login.username, login.secret));
        let auths = document.entry("auths").or_insert_with(|| json!({}));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(host.to_owned(), json!({"auth": pair}));
        }
    }
    let others = document
        .keys()
        .filter(|key| *key != "auths")
        .map(String::as_str)
        .collect::<Vec<_>>();
    if !others.is_empty() {
        plan.notes.push(format!(
            "{}: left alone: {}",
            file.display(),
            others.join(", ")
        ));
    }
}

fn helper_of(document: &Map<String, Value>, host: &str) -> Option<String> {
    let name = document.get(HELPERS)?.get(host)?.as_str()?;
    Some(name.to_owned())
}

/// Printed with the indentation that the file has.
fn print(document: &Map<String, Value>, before: Option<&str>) -> Vec<u8> {
    let indent = before
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with([' ', '\t']))?;
            let blanks = line.len() - line.trim_start().len();
            line.get(..blanks)
        })
        .unwrap_or("\t");
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Into memory, and of texts and lists: this cannot fail.
    let _ = document.serialize(&mut serializer);
    if before.is_none_or(|text| text.ends_with('\n')) {
        bytes.push(b'\n');
    }
    bytes
}
