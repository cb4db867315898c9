//! Podman, and with it Skopeo, Buildah and CRI-O. For all users, a drop-in of `registries.conf`
//! that names the helper after the credential files: a person's own login comes first. For one
//! user, `credHelpers` in `auth.json`. The helper is asked for every registry, and a missing one
//! breaks pulls from all of them: it is installed before and removed after.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, value};

use super::cred_helpers;
use super::plan::{Change, Context, Plan, Scope, SetupError, existing_text};
use crate::helper::NAME;

const KEY: &str = "credential-helpers";
/// The list that applies where no file has one.
const USUAL: &str = "containers-auth.json";
/// Read last of the drop-ins, since the last list applies.
const DROP_IN: &str = "/etc/containers/registries.conf.d/zz-metahub.conf";

/// What Podman needs.
pub(super) fn plan(context: &Context<'_>) -> Result<Plan, SetupError> {
    match context.scope {
        Scope::System => system(context),
        Scope::User => user(context),
    }
}

fn system(context: &Context<'_>) -> Result<Plan, SetupError> {
    let mut plan = Plan::default();
    let file = context.system(DROP_IN);
    let before = existing_text(&file, "TOML")?;
    let mut document = parse(&file, before.as_deref())?;
    let in_force = in_force(context, &file)?;
    if context.undo {
        let names = list(&document).unwrap_or_default();
        let others: Vec<&String> = names.iter().filter(|name| *name != NAME).collect();
        if names.iter().any(|name| name == NAME) {
            document.remove(KEY);
        }
        if !document.is_empty() {
            plan.notes
                .push(format!("{}: its other keys are left alone", file.display()));
        }
        if in_force.iter().any(|name| name == NAME) {
            plan.notes.push(
                "another file of registries.conf names the helper too, and is left alone"
                    .to_owned(),
            );
            plan.uses_helper = true;
        }
        if others.iter().any(|name| !in_force.contains(name)) {
            plan.notes.push(format!(
                "{}: helpers that were added there are gone with it: {others:?}",
                file.display()
            ));
        }
    } else {
        let mut names = list(&document).unwrap_or(in_force);
        if !names.iter().any(|name| name == NAME) {
            names.push(NAME.to_owned());
            document.insert(
                KEY,
                value(names.iter().map(String::as_str).collect::<Array>()),
            );
        }
        if before.is_none()
            && let Some(mut key) = document.key_mut(KEY)
        {
            key.leaf_decor_mut().set_prefix(
                "# Written by metahub-node setup; metahub-node setup podman --undo removes it.\n",
            );
        }
        plan.uses_helper = true;
    }
    let after = (!document.is_empty() || !context.undo).then(|| document.to_string().into_bytes());
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

/// The list as all other files together have it.
fn in_force(context: &Context<'_>, own: &Path) -> Result<Vec<String>, SetupError> {
    let mut files = vec![context.system("/etc/containers/registries.conf")];
    let folder = context.system("/etc/containers/registries.conf.d");
    let mut drop_ins: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf") && path != own)
        .collect();
    drop_ins.sort();
    files.extend(drop_ins);
    let mut names = vec![USUAL.to_owned()];
    for file in files {
        let document = parse(&file, existing_text(&file, "TOML")?.as_deref())?;
        if let Some(list) = list(&document).filter(|list| !list.is_empty()) {
            names = list;
        }
    }
    Ok(names)
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
    match document.get(KEY) {
        Some(item) if !item.is_array() => Err(malformed(format!("{KEY} is no list"))),
        _ => Ok(document),
    }
}

fn list(document: &DocumentMut) -> Option<Vec<String>> {
    let list = document.get(KEY)?.as_array()?;
    let text = |item: &toml_edit::Value| item.as_str().map(str::to_owned);
    Some(list.iter().filter_map(text).collect())
}

/// The file that lasts, and those that are read before it: `podman login` writes the session's
/// own file, and a login there would hide the helper unless that file names it too.
fn user(context: &Context<'_>) -> Result<Plan, SetupError> {
    let mut plan = Plan::default();
    let [lasting, hiding @ ..] = &files(context)?[..] else {
        return Ok(plan);
    };
    for file in hiding.iter().filter(|file| can_be(file)) {
        cred_helpers::edit(context, file, &mut plan)?;
    }
    cred_helpers::edit(context, lasting, &mut plan)?;
    Ok(plan)
}

/// Whether the file is there, or the folder of the session that it belongs into.
fn can_be(file: &Path) -> bool {
    let folder = file.parent().and_then(Path::parent);
    file.exists() || folder.is_some_and(Path::is_dir)
}

/// The lasting file of logins first, then those that are read before it.
fn files(context: &Context<'_>) -> Result<Vec<PathBuf>, SetupError> {
    let lasting = match context.variable("XDG_CONFIG_HOME") {
        Some(folder) => folder.join("containers/auth.json"),
        None => context.home()?.join(".config/containers/auth.json"),
    };
    let runtime = match context.variable("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("containers/auth.json"),
        None => PathBuf::from(format!(
            "/run/containers/{}/auth.json",
            rustix::process::geteuid().as_raw()
        )),
    };
    let mut files = vec![lasting, runtime];
    files.extend(context.variable("REGISTRY_AUTH_FILE"));
    Ok(files)
}

/// The files of logins of the caller.
pub(super) fn user_files(context: &Context<'_>) -> Vec<PathBuf> {
    files(context).unwrap_or_default()
}

/// Whether the drop-in names the helper.
pub(super) fn drop_in_names_helper(context: &Context<'_>) -> bool {
    crate::trusted::read_any(&context.system(DROP_IN))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.parse::<DocumentMut>().ok())
        .and_then(|document| list(&document))
        .is_some_and(|list| list.iter().any(|name| name == NAME))
}
