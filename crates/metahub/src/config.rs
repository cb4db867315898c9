//! The settings of a server: defaults, then the configuration file, then environment variables,
//! then flags. [`keys`] declares them all. Every key of the file has a variable `METAHUB_KEY`. An
//! unknown key, a key given twice and a wrong type are errors with file, line and column. No
//! setting is a secret itself. A key within another, such as `tls: {key: …}`, has the variable
//! `METAHUB_TLS_KEY`.

mod catalog;
mod declare;
mod environment;
mod groups;
mod keys;
mod schema;
mod settings;
mod shapes;
mod shown;
mod slurm_jwt;
mod time;
mod values;
mod warm;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metahub_hardware::{Extension, ExtensionError, Microarchitectures};
use metahub_registry::Free;

pub(crate) use self::catalog::{
    CatalogEntry, FollowedConfig, followed, parsed as parse_reference, paths,
};
use self::declare::Keys as _;
use self::environment::Environment;
pub(crate) use self::keys::Layer;
pub(crate) use self::schema::schema;
pub(crate) use self::settings::{Config, SigningSettings, TlsFiles, Upkeep};
pub(crate) use self::shown::{Shown, Written, misspelt, shown, variable};
use self::values::UpstreamList;
pub(crate) use self::warm::WarmConfig;
pub(crate) use self::yaml::ConfigError;
use self::yaml::{Problem, parse};

impl Config {
    /// Joins all layers. `file` is what `--config` says; the environment is asked if it says
    /// nothing.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: Environment<'_>,
        flags: Layer,
    ) -> Result<Self, ConfigError> {
        let named = environment("METAHUB_CONFIG").filter(|name| !name.is_empty());
        let file = file.map(Path::to_path_buf).or(named.map(PathBuf::from));
        let file = match file {
            Some(file) => Layer::in_file(&file)?,
            None => Layer::default(),
        };
        Self::of(flags.over(Layer::read(environment, "METAHUB")?).over(file))
    }

    /// The defaults with a layer over them.
    fn of(layer: Layer) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        layer.over(Layer::defaults()?).apply_to(&mut config);
        config.tls.check()?;
        config.signing.check()?;
        config.check_nodes()?;
        config.bound();
        Ok(config)
    }

    /// The CPU targets that this site knows: archspec's and its own.
    pub(crate) fn graph(&self) -> Result<Arc<Microarchitectures>, ExtensionError> {
        let builtin = Microarchitectures::builtin();
        if self.hardware == Extension::default() {
            return Ok(builtin);
        }
        builtin.extend(&self.hardware).map(Arc::new)
    }

    /// The bounds of the cache by upstream. Offline there are none: what was evicted could not be
    /// fetched again.
    fn bound(&mut self) {
        let bounds = &mut self.registry.cache;
        if self.upstreams.offline {
            bounds.keep_free = Free::Bytes(0);
            bounds.size = None;
            return;
        }
        let sized = self.upstreams.upstreams.iter();
        bounds.sizes = sized
            .filter_map(|one| Some((one.host.clone(), one.cache_size?)))
            .collect();
    }
}

impl Layer {
    /// Reads a configuration file. Relative paths in it start at the file's own folder.
    fn in_file(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let mut layer: Self = parse(&text).map_err(|problem| problem.in_file(file, &text))?;
        if let Some((location, why)) = layer.upstreams.as_ref().and_then(UpstreamList::misfit) {
            let problem = Problem::new(why, Some(location), &text);
            return Err(problem.in_file(file, &text));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let paths = layer
            .data
            .iter_mut()
            .chain(&mut layer.tls.certificate)
            .chain(&mut layer.tls.key)
            .chain(&mut layer.tls.client_authorities)
            .chain(&mut layer.signing.key)
            .chain(&mut layer.signing.password_file);
        for path in paths {
            *path = folder.join(&*path);
        }
        if let Some(source) = &mut layer.nodes.slurm_jwt {
            source.rebase(folder);
        }
        for entry in layer.catalog.iter_mut().flatten() {
            entry.rebase(folder);
        }
        Ok(layer)
    }
}

#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
