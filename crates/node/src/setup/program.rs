//! Installs the helper where clients find it: a link `docker-credential-metahub` to this program,
//! in a folder of `PATH`.

use std::io;
use std::path::{Path, PathBuf};

use super::plan::{Context, Scope, SetupError};

/// As clients look for it.
pub(super) const HELPER: &str = "docker-credential-metahub";
const PROGRAM: &str = "metahub-node";

/// Where the helper is found on `PATH`.
pub(super) fn find(context: &Context<'_>, name: &str) -> Option<PathBuf> {
    let path = context.variable("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Installs the helper unless it is found already; returns what it made.
pub(super) fn install(context: &Context<'_>, exe: &Path) -> Result<Option<PathBuf>, SetupError> {
    let live = context.root == Path::new("/");
    if live && find(context, HELPER).is_some() {
        return Ok(None);
    }
    let folder = folder(context)?;
    let (program, helper) = (folder.join(PROGRAM), folder.join(HELPER));
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |problem| SetupError::Io { file, problem }
    };
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let is_there = std::fs::canonicalize(&program).ok() == std::fs::canonicalize(exe).ok();
    if !is_there {
        let bytes = std::fs::read(exe).map_err(failed(exe))?;
        crate::trusted::write(&program, &bytes, 0o755, 0o755).map_err(failed(&program))?;
    }
    match std::os::unix::fs::symlink(PROGRAM, &helper) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(failed(&helper)(error)),
        Ok(()) => Ok(Some(helper)),
    }
}

/// Removes a link that [`install`] made. The program itself stays.
pub(super) fn remove(context: &Context<'_>) -> Result<Option<PathBuf>, SetupError> {
    let Ok(folder) = folder(context) else {
        return Ok(None);
    };
    let helper = folder.join(HELPER);
    let is_ours = std::fs::read_link(&helper).is_ok_and(|target| target == Path::new(PROGRAM));
    if !is_ours {
        return Ok(None);
    }
    std::fs::remove_file(&helper).map_err(|problem| SetupError::Io {
        file: helper.clone(),
        problem,
    })?;
    Ok(Some(helper))
}

/// A folder that can be written and is searched.
fn folder(context: &Context<'_>) -> Result<PathBuf, SetupError> {
    let system = context.system("/usr/local/bin");
    if context.root != Path::new("/") {
        return Ok(system);
    }
    let path = context.variable("PATH").unwrap_or_default();
    let searched: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_root = rustix::process::geteuid().is_root();
    let mut folders = Vec::new();
    if context.scope == Scope::User
        && let Ok(home) = context.home()
    {
        folders.extend([home.join(".local/bin"), home.join("bin")]);
    }
    if context.scope == Scope::System || is_root {
        folders.push(system);
    }
    let first = folders.first().cloned().unwrap_or_default();
    folders
        .into_iter()
        .find(|folder| searched.contains(folder))
        .ok_or(SetupError::Path(first))
}
