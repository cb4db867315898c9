//! Applies setups, client by client: the program first, then the policy, then the client's files;
//! in reverse order to undo them.

use std::fmt::Write as _;
use std::path::Path;

use super::plan::{Change, Client, Context, Plan, Request, Scope, SetupError, existing};
use super::{apptainer, containerd, docker, lock, podman, policy_file, program, slurm};
use crate::answer::Answer;
use crate::cred_file::names_helper;
use crate::logins::{Logins, LoginsFile};
use crate::policy::{Environment, Policy};
use crate::server::host_of;

/// Carries out `request`; `node` is this node's login at the registry, `exe` this program.
#[must_use]
pub fn run(
    request: &Request,
    policy: &Policy,
    environment: Environment<'_>,
    node: Option<&str>,
    exe: &Path,
) -> Answer {
    let mut out = String::new();
    let mut notes = Vec::new();
    match carry_out(
        request,
        policy,
        environment,
        node,
        exe,
        &mut out,
        &mut notes,
    ) {
        Ok(()) => Answer::ok(out).noting(notes),
        Err(error) => {
            notes.push(error.to_string());
            Answer {
                stdout: out,
                notes,
                code: 1,
            }
        }
    }
}

fn carry_out(
    request: &Request,
    policy: &Policy,
    environment: Environment<'_>,
    node: Option<&str>,
    exe: &Path,
    out: &mut String,
    notes: &mut Vec<String>,
) -> Result<(), SetupError> {
    let host = host_of(&request.registry)
        .filter(|_| !request.registry.contains('/'))
        .ok_or_else(|| SetupError::Registry(request.registry.clone()))?;
    let policy = policy_file::naming(policy, &host);
    let is_root = rustix::process::geteuid().is_root();
    let file = LoginsFile::of_user(environment);
    let mut clients = request.clients.clone();
    let base = |scope| Context {
        host: &host,
        undo: request.undo,
        scope,
        root: &request.root,
        environment,
        policy: &policy,
        logins: &EMPTY,
        node,
        slurm_version: request.slurm_version.as_deref(),
    };
    if clients.is_empty() {
        let context = base(Scope::User);
        let here = |name: &str| program::find(&context, name).is_some();
        clients.extend(
            Client::ALL
                .iter()
                .filter(|c| c.programs().iter().any(|n| here(n))),
        );
    }
    if clients.is_empty() {
        return Err(SetupError::NoClient);
    }
    for client in clients {
        let scope = request.scope.unwrap_or(client.usual_scope(is_root));
        // From reading to writing: of two at once the second sees what the first wrote.
        let _lock = match scope {
            Scope::User => base(scope).home().ok().and_then(|home| lock::folder(&home)),
            Scope::System => lock::folder(&base(scope).system("/etc")),
        };
        let logins = match (&file, scope) {
            (Ok(file), Scope::User) => file.read()?,
            _ => Logins::default(),
        };
        let context = Context {
            logins: &logins,
            ..base(scope)
        };
        let mut plan = plan_of(client, &context)?;
        notes.append(&mut plan.notes);
        if request.print {
            show(&plan, out);
            continue;
        }
        let logins_file = match scope {
            Scope::User => Some(file.as_ref().map_err(|_| SetupError::NoHome)?),
            Scope::System => None,
        };
        if request.undo {
            take_back(&context, plan, logins_file, out)?;
        } else {
            set_up(&context, plan, logins_file, exe, out)?;
        }
    }
    Ok(())
}

static EMPTY: Logins = Logins::none();

fn set_up(
    context: &Context<'_>,
    plan: Plan,
    logins: Option<&LoginsFile>,
    exe: &Path,
    out: &mut String,
) -> Result<(), SetupError> {
    let installed = match plan.uses_helper {
        true => program::install(context, exe)?,
        false => None,
    };
    let written = write_set_up(context, plan, logins, out);
    match (&written, installed) {
        (Ok(()), Some(installed)) => {
            out.insert_str(0, &format!("installed {}\n", installed.display()));
        }
        // No file names it.
        (Err(_), Some(installed)) => {
            let _ = std::fs::remove_file(installed);
        }
        (_, None) => {}
    }
    written
}

/// Writes the list of MetaHubs first, then the client's files. Written files stay only if all could
/// be written.
fn write_set_up(
    context: &Context<'_>,
    plan: Plan,
    logins: Option<&LoginsFile>,
    out: &mut String,
) -> Result<(), SetupError> {
    let Some(file) = logins else {
        let mut changes: Vec<Change> = policy_file::change(context)?.into_iter().collect();
        changes.extend(plan.changes);
        return write_all(&changes, out);
    };
    let planned = plan.logins.unwrap_or_else(|| context.logins.clone());
    let host = context.host;
    file.change(|all| {
        all.helpers.extend(planned.helpers);
        all.created.extend(planned.created);
        for (host, login) in planned.logins {
            all.logins.entry(host).or_insert(login);
        }
        all.registries.insert(host.to_owned());
    })?;
    write_all(&plan.changes, out).inspect_err(|_| forget(file, context.logins, host))
}

/// Takes back what a setup of `host` that failed wrote into the user's logins, which were
/// `before`. Where that fails too, the helper knows a registry at which no client asks it.
fn forget(file: &LoginsFile, before: &Logins, host: &str) {
    let _ = file.change(|all| {
        all.created.retain(|path| before.created.contains(path));
        all.helpers
            .retain(|host, _| before.helpers.contains_key(host));
        if !before.registries.contains(host) {
            all.registries.remove(host);
        }
        if !before.logins.contains_key(host) {
            all.logins.remove(host);
        }
    });
    remove_if_empty(file);
}

/// Removes an empty file of logins.
fn remove_if_empty(file: &LoginsFile) {
    if file.read().is_ok_and(|all| all == Logins::none()) {
        let _ = std::fs::remove_file(file.path());
        let _ = std::fs::remove_file(file.path().with_extension("lock"));
    }
}

fn take_back(
    context: &Context<'_>,
    plan: Plan,
    logins: Option<&LoginsFile>,
    out: &mut String,
) -> Result<(), SetupError> {
    write_all(&plan.changes, out)?;
    let host = context.host;
    match logins {
        Some(file) => {
            let planned = plan.logins.unwrap_or_else(|| context.logins.clone());
            let still = names_host_in_user_files(context);
            file.change(|all| {
                all.created = planned.created;
                if !still {
                    all.logins.remove(host);
                    all.helpers.remove(host);
                    all.registries.remove(host);
                }
            })
            .inspect_err(|_| put_back(&plan.changes))?;
            remove_if_empty(file);
        }
        None if !system_names_helper(context) => {
            policy_file::change(context)
                .and_then(|change| write_all(change.as_slice(), out))
                .inspect_err(|_| put_back(&plan.changes))?;
        }
        None => {}
    }
    let used = plan.uses_helper || system_names_helper(context) || user_names_helper(context);
    if !used && let Some(removed) = program::remove(context)? {
        let _ = writeln!(out, "removed {}", removed.display());
    }
    Ok(())
}

fn user_files(context: &Context<'_>) -> Vec<std::path::PathBuf> {
    let user = Context {
        scope: Scope::User,
        logins: context.logins,
        ..*context
    };
    let mut files: Vec<_> = docker::user_file(&user).into_iter().collect();
    files.extend(apptainer::own_file(&user));
    files.extend(podman::user_files(&user));
    files
}

fn user_names_helper(context: &Context<'_>) -> bool {
    user_files(context)
        .iter()
        .any(|file| names_helper(file, None))
}

fn names_host_in_user_files(context: &Context<'_>) -> bool {
    user_files(context)
        .iter()
        .any(|file| names_helper(file, Some(context.host)))
}

fn system_names_helper(context: &Context<'_>) -> bool {
    let skeleton = context.system("/etc/skel/.docker/config.json");
    podman::drop_in_names_helper(context) || names_helper(&skeleton, None)
}

/// Writes all files, or restores those that were written.
fn write_all(changes: &[Change], out: &mut String) -> Result<(), SetupError> {
    for (number, change) in changes.iter().enumerate() {
        // A client may have written meanwhile.
        let moved = existing(&change.path)? != change.before;
        let written = if moved {
            Err(std::io::Error::other(
                "it changed meanwhile: run this again",
            ))
        } else {
            write_one(&change.path, change.after.as_deref(), change.mode)
        };
        if let Err(problem) = written {
            put_back(changes.get(..number).unwrap_or_default());
            return Err(SetupError::Io {
                file: change.path.clone(),
                problem,
            });
        }
    }
    for change in changes {
        let verb = if change.after.is_some() {
            "wrote"
        } else {
            "removed"
        };
        let _ = writeln!(out, "{verb} {}", change.path.display());
    }
    Ok(())
}

/// Restores the previous content, as far as it can be written.
fn put_back(done: &[Change]) {
    for change in done.iter().rev() {
        let _ = write_one(&change.path, change.before.as_deref(), change.mode);
    }
}

fn write_one(path: &Path, bytes: Option<&[u8]>, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    match bytes {
        Some(bytes) => {
            let mode = std::fs::metadata(path).map_or(mode, |found| found.mode() & 0o777);
            let folders = if mode & 0o077 == 0 { 0o700 } else { 0o755 };
            crate::trusted::write(path, bytes, mode, folders)
        }
        None => match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => {
                // A folder that was made for it alone.
                if let Some(folder) = path.parent() {
                    let _ = std::fs::remove_dir(folder);
                }
                Ok(())
            }
        },
    }
}

fn show(plan: &Plan, out: &mut String) {
    for change in &plan.changes {
        match &change.after {
            Some(bytes) => {
                let _ = writeln!(out, "# {}", change.path.display());
                // Passwords of other registries must not appear on a terminal.
                out.push_str(&without_secrets(&String::from_utf8_lossy(bytes)));
            }
            None => {
                let _ = writeln!(out, "# {}: removed", change.path.display());
            }
        }
    }
}

fn without_secrets(text: &str) -> String {
    let hidden = |line: &str| {
        let secret = [
            "\"auth\":",
            "\"identitytoken\":",
            "\"password\":",
            "\"registrytoken\":",
        ];
        match line.split_once(':') {
            Some((key, value)) if secret.iter().any(|s| line.trim_start().starts_with(s)) => {
                let comma = if value.trim_end().ends_with(',') {
                    ","
                } else {
                    ""
                };
                format!("{key}: \"...\"{comma}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(hidden).collect()
}

fn plan_of(client: Client, context: &Context<'_>) -> Result<Plan, SetupError> {
    match client {
        Client::Docker => docker::plan(context),
        Client::Podman => podman::plan(context),
        Client::Containerd => containerd::plan(context),
        Client::Apptainer => apptainer::plan(context),
        Client::Slurm => slurm::plan(context),
    }
}
