//! `config-set`: how an image is run, as its configuration says it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Event;

/// Changes fields of an image's `config` object
/// (<https://github.com/opencontainers/image-spec/blob/main/config.md>). What is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigSet {
    /// Takes the place of the default arguments. Empty: there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Takes the place of the entrypoint, and takes the default arguments away unless `cmd` is
    /// given, as `ENTRYPOINT` of a Dockerfile does. Empty: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables.
    #[serde(skip_serializing_if = "EnvironmentEdit::is_empty")]
    pub env: EnvironmentEdit,
    /// Ports that are added, each `PORT[/PROTOCOL]`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Labels that are set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops the container, such as `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The user, as `USER[:GROUP]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Paths of volumes that are added.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// A launcher and its arguments, put before what the image runs: before the entrypoint, or
    /// before the default arguments where there is no entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrap: Vec<String>,
}

/// What is done with environment variables, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EnvironmentEdit {
    /// Variables that are taken away.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
    /// Variables and their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// What is put before a variable's value, separators included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prepend: BTreeMap<String, String>,
    /// What is put after a variable's value, separators included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub append: BTreeMap<String, String>,
}

impl EnvironmentEdit {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

impl ConfigSet {
    /// Its name in documents.
    pub const NAME: &'static str = "config-set";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
}
