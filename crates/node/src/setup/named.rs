//! The client names that `setup` accepts: clients that it sets up, clients that read another's
//! setup, and clients that need no setup, for which it prints what to run instead.

use clap::ValueEnum as _;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::plan::Client;
use crate::policy::Policy;
use crate::server::host_of;

/// The meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A client that is set up.
    SetUp(Client),
    /// One that needs no setup.
    Without(&'static Advice),
}

/// What to run in place of a setup.
#[derive(Debug, PartialEq, Eq)]
pub struct Advice {
    name: &'static str,
    /// `HOST` is replaced by the MetaHub.
    text: &'static str,
    /// Whether it goes by `metahub-node exec`, for which the policy must name the MetaHub.
    by_exec: bool,
}

/// Names of clients that read another client's configuration.
const SAME: &[(&str, Client)] = &[
    ("nerdctl", Client::Docker),
    ("skopeo", Client::Podman),
    ("buildah", Client::Podman),
    ("cri-o", Client::Podman),
];

const fn by_exec(name: &'static str, text: &'static str) -> Advice {
    Advice {
        name,
        text,
        by_exec: true,
    }
}

const fn other(name: &'static str, text: &'static str) -> Advice {
    Advice {
        name,
        text,
        by_exec: false,
    }
}

static WITHOUT: &[Advice] = &[
    by_exec(
        "charliecloud",
        "metahub-node exec -- ch-image pull HOST/NAME:TAG",
    ),
    by_exec(
        "enroot",
        "metahub-node exec -- enroot import docker://HOST#NAME:TAG",
    ),
    by_exec(
        "podman-hpc",
        "metahub-node exec -- podman-hpc pull HOST/NAME:TAG",
    ),
    by_exec("sarus", "metahub-node exec -- sarus pull HOST/NAME:TAG"),
    by_exec(
        "shifter",
        "metahub-node exec -- shifterimg pull HOST/NAME:TAG",
    ),
    by_exec(
        "singularity",
        "metahub-node exec -- singularity pull docker://HOST/NAME:TAG",
    ),
    other(
        "udocker",
        "udocker login --registry=https://HOST --username=$(metahub-node login --registry HOST) --password=node",
    ),
    other(
        "kubelet",
        "start it with --image-credential-provider-config=FILE and --image-credential-provider-bin-dir=DIR; the file is examples/kubernetes/credential-provider-config.yaml",
    ),
    other(
        "nomad",
        "name the helper docker-credential-metahub-nomad in the docker driver's auth, as examples/nomad/client.hcl does",
    ),
];

impl Named {
    fn of(name: &str) -> Option<Self> {
        let same = SAME.iter().find(|(same, _)| *same == name);
        let set_up = || Client::from_str(name, false).ok();
        let set_up = same.map(|(_, client)| *client).or_else(set_up);
        let without = || WITHOUT.iter().find(|advice| advice.name == name);
        set_up
            .map(Self::SetUp)
            .or_else(|| without().map(Self::Without))
    }
}

impl Advice {
    /// What to do for the MetaHub `host`, which the policy names or not.
    #[must_use]
    pub fn told(&self, host: &str, is_in_policy: bool) -> String {
        let Self { name, text, .. } = self;
        let first = match self.by_exec && !is_in_policy {
            true => format!("name {host} under `registries` in /etc/metahub/node.yaml, then "),
            false => String::new(),
        };
        format!(
            "{name} needs no setup: {first}{}\n",
            text.replace("HOST", host)
        )
    }
}

/// The clients to set up, each once, and messages about the others.
#[must_use]
pub fn told_apart(names: &[Named], registry: &str, policy: &Policy) -> (Vec<Client>, String) {
    let host = host_of(registry);
    let is_in_policy = host.is_some_and(|host| policy.is_metahub(&host));
    let (mut clients, mut advice) = (Vec::new(), String::new());
    for named in names {
        match named {
            Named::SetUp(client) if clients.contains(client) => {}
            Named::SetUp(client) => clients.push(*client),
            Named::Without(one) => advice += &one.told(registry, is_in_policy),
        }
    }
    (clients, advice)
}

/// Reads a name.
pub fn parser() -> impl TypedValueParser<Value = Named> {
    let clients = Client::value_variants().iter();
    let clients = clients.filter_map(clap::ValueEnum::to_possible_value);
    let same = SAME.iter().map(|(name, _)| PossibleValue::new(*name));
    let without = WITHOUT.iter().map(|advice| PossibleValue::new(advice.name));
    let names: Vec<_> = clients.chain(same).chain(without).collect();
    PossibleValuesParser::new(names)
        .try_map(|name| Named::of(&name).ok_or("it is no client that is known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_for_something() {
        for (name, client) in [
            ("docker", Client::Docker),
            ("nerdctl", Client::Docker),
            ("buildah", Client::Podman),
            ("apptainer", Client::Apptainer),
            ("slurm", Client::Slurm),
        ] {
            assert_eq!(Named::of(name), Some(Named::SetUp(client)), "{name}");
        }
        for advice in WITHOUT {
            assert_eq!(Named::of(advice.name), Some(Named::Without(advice)));
            let known = advice.told("hub.example", true);
            assert!(
                !known.contains("HOST") && !known.contains("node.yaml"),
                "{known}"
            );
            let told = advice.told("hub.example", false);
            assert_eq!(told.contains("node.yaml"), advice.by_exec, "{told}");
        }
        assert_eq!(Named::of("dockr"), None);
    }
}
