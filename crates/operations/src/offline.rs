//! Registries that ask no upstream: the layout of their images, and the configuration of their
//! upstreams.

use std::collections::HashSet;

use metahub_oci::{Host, ImageReference, RepositoryName};
use metahub_upstream::{UpstreamConfig, UpstreamsConfig, named_host};

use crate::error::OperationError;

/// The configured upstreams, none of which is asked, with one for each named host, so that images
/// of any host can be stored.
pub(crate) fn offline<'i>(
    configured: UpstreamsConfig,
    images: impl IntoIterator<Item = &'i ImageReference>,
) -> UpstreamsConfig {
    let mut config = UpstreamsConfig {
        offline: true,
        ..configured
    };
    let mut known: HashSet<Host> = config
        .upstreams
        .iter()
        .map(|one| one.host.clone())
        .collect();
    for host in images.into_iter().filter_map(ImageReference::host) {
        if known.insert(host.clone()) {
            config.upstreams.push(UpstreamConfig {
                allow_private: true,
                ..UpstreamConfig::new(host.clone())
            });
        }
    }
    config
}

/// The repository of the store that holds an image: an upstream's carries its host.
pub(crate) fn storage_of(image: &ImageReference) -> Result<RepositoryName, OperationError> {
    match image.host() {
        None => Ok(image.name().clone()),
        Some(host) => {
            let name = format!("{}/{}", named_host(host), image.name());
            name.parse()
                .map_err(|error: metahub_oci::NameError| OperationError::Image(error.into()))
        }
    }
}
