//! `exec -- CLIENT ARGS…`: for clients without credential helpers. Every `HOST/NAME:TAG` of a
//! MetaHub among the arguments becomes the reference by digest that this node gets, and the
//! client's login variables are set, for this one command alone: such variables apply to every
//! registry, so they are set only where all images come from one MetaHub.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::answer::Answer;
use crate::policy::{Environment, Policy};
use crate::reference::ImageRef;
use crate::resolve::{ResolveError, Resolver};

/// A client, the variables for its user name and password, and what else must be set.
type Variables = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Clients that take a login from variables.
const CLIENTS: &[Variables] = &[
    (
        "ch-image",
        "CH_IMAGE_USERNAME",
        "CH_IMAGE_PASSWORD",
        &[("CH_IMAGE_AUTH", "yes")],
    ),
    (
        "apptainer",
        "APPTAINER_DOCKER_USERNAME",
        "APPTAINER_DOCKER_PASSWORD",
        &[],
    ),
    (
        "singularity",
        "SINGULARITY_DOCKER_USERNAME",
        "SINGULARITY_DOCKER_PASSWORD",
        &[],
    ),
];

/// Clients that refuse references by digest.
const NO_DIGESTS: &[&str] = &["udocker"];

/// The program to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The client's arguments.
    pub arguments: Vec<OsString>,
    /// Variables for it.
    pub variables: Vec<(String, String)>,
}

/// Puts digests in the place of tags.
///
/// # Errors
/// When an image of a MetaHub cannot be resolved; the command is not run then.
pub fn prepare(
    policy: &Policy,
    environment: Environment<'_>,
    client: &str,
    arguments: &[OsString],
    notes: &mut Vec<String>,
) -> Result<Prepared, ResolveError> {
    let resolver = Resolver::new(policy, environment);
    let name = client.rsplit('/').next().unwrap_or(client);
    let mut changed = Vec::with_capacity(arguments.len());
    let mut hosts: Vec<String> = Vec::new();
    let mut others = false;
    for argument in arguments {
        let text = argument.to_str();
        // --image=HOST/NAME:TAG
        let (option, word) = match text.and_then(|text| text.split_once('=')) {
            Some((option, word)) if option.starts_with('-') => (Some(option), Some(word)),
            _ => (None, text),
        };
        let enroot = word.and_then(ImageRef::parse_enroot);
        let is_enroot = enroot.is_some();
        let image = enroot.or_else(|| word.and_then(ImageRef::parse));
        let host = image.as_ref().and_then(ImageRef::registry);
        match (image, host) {
            (Some(_), Some(host)) if policy.is_metahub(&host) && NO_DIGESTS.contains(&name) => {
                return Err(ResolveError::NoDigest {
                    client: name.to_owned(),
                    host,
                });
            }
            (Some(image), Some(host)) if policy.is_metahub(&host) => {
                let digest = resolver.digest(&image, notes)?;
                let reference = match is_enroot {
                    true => image.by_digest_for_enroot(&digest),
                    false => image.by_digest(&digest),
                };
                changed.push(match option {
                    Some(option) => format!("{option}={reference}").into(),
                    None => reference.into(),
                });
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
            (image, _) => {
                others |= image.is_some_and(|image| image.host.contains(['.', ':']));
                changed.push(argument.clone());
            }
        }
    }
    let mut variables = Vec::new();
    let known = CLIENTS.iter().find(|(client, ..)| *client == name);
    if let (Some((_, user, secret, more)), [host]) = (known, &hosts[..])
        && !others
        && let Some(login) = resolver.login(host, notes)
    {
        variables.push(((*user).to_owned(), login.user));
        variables.push(((*secret).to_owned(), login.secret));
        let more = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        variables.extend(more);
    }
    Ok(Prepared {
        arguments: changed,
        variables,
    })
}

/// Becomes the client; returns only where that fails.
#[must_use]
pub fn exec(policy: &Policy, environment: Environment<'_>, command: &[OsString]) -> Answer {
    let Some((client, arguments)) = command.split_first() else {
        return Answer::error(2, "expected a command: metahub-node exec -- CLIENT ARGS...");
    };
    let name = client.to_string_lossy();
    let mut notes = Vec::new();
    match prepare(policy, environment, &name, arguments, &mut notes) {
        Ok(prepared) => {
            let _ = Answer::default().noting(notes).print();
            let error = Command::new(client)
                .args(prepared.arguments)
                .envs(prepared.variables)
                .exec();
            Answer::error(127, format!("cannot run {name}: {error}"))
        }
        Err(error) => Answer::error(error.code(), error.to_string()).noting(notes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn prepared(client: &str, argument: &str) -> Result<Vec<OsString>, ResolveError> {
        let mut policy = Policy {
            login: Some("zen3".to_owned()),
            tools: false,
            cache: "/nonexistent".into(),
            ..Policy::default()
        };
        policy.registries.push("hub.example".to_owned());
        let arguments = [OsString::from("pull"), OsString::from(argument)];
        prepare(&policy, &|_| None, client, &arguments, &mut Vec::new())
            .map(|prepared| prepared.arguments)
    }

    #[rstest::rstest]
    #[case("sarus", "hub.example/lab/app@", "hub.example/lab/app@")]
    #[case(
        "enroot",
        "docker://me@hub.example#lab/app@",
        "docker://hub.example#lab/app@"
    )]
    #[case("enroot", "docker://nvcr.io#lab/app@", "docker://nvcr.io#lab/app@")]
    #[case("udocker", "other.example/lab/app@", "other.example/lab/app@")]
    fn references_stay_as_each_client_writes_them(
        #[case] client: &str,
        #[case] given: &str,
        #[case] expected: &str,
    ) {
        let arguments = prepared(client, &format!("{given}{DIGEST}")).unwrap();
        assert_eq!(arguments, ["pull", &format!("{expected}{DIGEST}")]);
    }

    #[test]
    fn a_client_without_digests_is_not_run() {
        let error = prepared("/usr/bin/udocker", "hub.example/lab/app:1").unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(
            error
                .to_string()
                .contains("udocker login --registry=https://hub.example")
        );
    }
}
