//! Apptainer: `credHelpers` in `~/.apptainer/docker-config.json` if it exists, since Apptainer then
//! reads no other; otherwise in Docker's file, since a new one would hide Docker's logins at all
//! other registries. Its variables apply to every registry and are never set.

use super::plan::{Context, Plan, Scope, SetupError};
use super::{cred_helpers, docker};

/// What Apptainer needs.
pub(super) fn plan(context: &Context<'_>) -> Result<Plan, SetupError> {
    let mut plan = Plan::default();
    let file = match context.scope {
        Scope::System => {
            plan.notes.push(
                "Apptainer reads logins from home folders alone: only users made from now on start \
                 with this one"
                    .to_owned(),
            );
            context.system("/etc/skel/.docker/config.json")
        }
        Scope::User => match own_file(context).filter(|file| file.exists()) {
            Some(own) => own,
            None => docker::user_file(context)?,
        },
    };
    cred_helpers::edit(context, &file, &mut plan)?;
    Ok(plan)
}

/// The file that, where it is there, hides Docker's.
pub(super) fn own_file(context: &Context<'_>) -> Option<std::path::PathBuf> {
    let folder = match context.variable("APPTAINER_CONFIGDIR") {
        Some(folder) => folder,
        None => context.home().ok()?.join(".apptainer"),
    };
    Some(folder.join("docker-config.json"))
}
