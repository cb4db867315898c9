//! The inputs of `metahub resolve` without a server: documents, and images of files or upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use metahub_hardware::Microarchitectures;
use metahub_oci::ImageReference;
use metahub_operations::{ImageReader, LocalImages, Resolve, ResolveLocally};

use crate::args::{SettingsArgs, graph, load_config};
use crate::config::Layer;
use crate::local_documents::{LocalDocuments, entries};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Without a server")]
pub(crate) struct LocalArgs {
    /// Ask no server: documents, a file or a folder, may be repeated
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    catalog: Vec<PathBuf>,
    /// Ask no server: configuration file, for documents, CPU targets, policies and upstreams
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Ask no server and no upstream: images, as an archive or a folder of an OCI image layout, or
    /// a folder as `skopeo copy --all IMAGE dir:FOLDER` writes it; IMAGE= before it says what its
    /// one image is called; may be repeated
    #[arg(long, value_name = "[IMAGE=]PATH", value_hint = ValueHint::AnyPath, value_parser = images)]
    from: Vec<LocalImages>,
}

impl LocalArgs {
    /// Whether no server is to be asked.
    pub(crate) fn is_given(&self) -> bool {
        !self.catalog.is_empty() || self.config.is_some() || !self.from.is_empty()
    }

    /// The CPU targets by which logins are compared: with a configuration those of the site, too.
    pub(crate) fn graph(&self) -> miette::Result<Arc<Microarchitectures>> {
        if !self.is_given() {
            return Ok(Microarchitectures::builtin());
        }
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        graph(&load_config(&settings, Layer::default())?)
    }

    /// The operation that answers `request` for `login`.
    pub(crate) fn operation(
        &self,
        request: Resolve,
        login: Option<String>,
    ) -> miette::Result<ResolveLocally> {
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        let flags = Layer {
            catalog: entries(&self.catalog),
            ..Layer::default()
        };
        let config = load_config(&settings, flags)?;
        let LocalDocuments { paths, followed } = LocalDocuments::of(&config)?;
        Ok(ResolveLocally {
            graph: graph(&config)?,
            reader: ImageReader {
                upstreams: config.upstreams.clone(),
                settings: config.registry.clone(),
                server: None,
            },
            paths,
            followed,
            files: self.from.clone(),
            login,
            request,
        })
    }
}

/// `PATH`, or `IMAGE=PATH` where what is before the sign is an image's name.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the form of a parser of arguments"
)]
pub(crate) fn images(text: &str) -> Result<LocalImages, String> {
    let named = text.split_once('=').and_then(|(name, path)| {
        let name: ImageReference = name.parse().ok()?;
        Some(LocalImages {
            name: Some(name),
            path: path.into(),
        })
    });
    Ok(named.unwrap_or_else(|| LocalImages {
        name: None,
        path: text.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_a_path() {
        let of = |text| {
            let images = images(text).unwrap();
            let name = images.name.map(|name| name.to_string());
            (name.unwrap_or_default(), images.path.display().to_string())
        };
        let pair = |name: &str, path: &str| (name.to_owned(), path.to_owned());
        assert_eq!(of("app.tar"), pair("", "app.tar"));
        assert_eq!(of("lab/app:v1=app.tar"), pair("lab/app:v1", "app.tar"));
        assert_eq!(of("./a=b.tar"), pair("", "./a=b.tar"));
    }
}
