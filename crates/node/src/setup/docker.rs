//! Docker's command line: `credHelpers` in its `config.json`. It has no system-wide configuration;
//! system-wide, only the skeleton for new users can be written.

use super::cred_helpers;
use super::plan::{Context, Plan, Scope, SetupError};

/// What Docker needs.
pub(super) fn plan(context: &Context<'_>) -> Result<Plan, SetupError> {
    let mut plan = Plan::default();
    let file = match context.scope {
        Scope::System => {
            plan.notes.push(
                "Docker's command line has no configuration for all users: only users made from \
                 now on start with this one; for all users let the registry tell nodes by network \
                 or client certificate"
                    .to_owned(),
            );
            context.system("/etc/skel/.docker/config.json")
        }
        Scope::User => user_file(context)?,
    };
    cred_helpers::edit(context, &file, &mut plan)?;
    Ok(plan)
}

/// The caller's file.
pub(super) fn user_file(context: &Context<'_>) -> Result<std::path::PathBuf, SetupError> {
    match context.variable("DOCKER_CONFIG") {
        Some(folder) => Ok(folder.join("config.json")),
        None => Ok(context.home()?.join(".docker/config.json")),
    }
}
