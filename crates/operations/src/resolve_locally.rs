//! Resolves an image for a login without a server: documents are read from files, images from files
//! or upstreams, and the registry's own code chooses and derives, so that the answer is that of a
//! server with these documents. Nothing is kept.

use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::Composed;
use metahub_hardware::Microarchitectures;
use metahub_registry::Resolution;

use crate::error::OperationError;
use crate::image_reader::ImageReader;
use crate::local_catalog;
use crate::local_images::{self, LocalImages};
use crate::offline::offline;
use crate::resolve::{NothingFits, Resolve};

/// A request for what a login gets for an image, without a server.
#[derive(Clone, Debug)]
pub struct ResolveLocally {
    /// The CPU targets that documents may name.
    pub graph: Arc<Microarchitectures>,
    /// The documents: files, or folders of .yaml and .yml files.
    pub paths: Vec<PathBuf>,
    /// The last documents of followed catalogs, each with a name.
    pub followed: Vec<Vec<(String, String)>>,
    /// Files with images; without any, the upstreams are asked.
    pub files: Vec<LocalImages>,
    /// The upstreams, and the policy for unknown facts.
    pub reader: ImageReader,
    /// The login. Accounts do not exist here.
    pub login: Option<String>,
    /// The image.
    pub request: Resolve,
}

/// What a login gets.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// This image.
    Image(Box<Resolution>),
    /// None: the image exists, and none of it fits.
    Nothing {
        /// For people.
        message: String,
        /// For programs.
        detail: NothingFits,
    },
}

impl ResolveLocally {
    /// Resolves it.
    ///
    /// # Errors Documents with errors, an invalid login, unreadable files, and a missing image.
    pub async fn run(self) -> Result<Resolved, OperationError> {
        let catalog = local_catalog::load(self.graph, &self.paths, &self.followed)?;
        let profile = match self.login.as_deref().filter(|login| !login.is_empty()) {
            Some(login) => catalog.interpret(login, &|_| false)?.profile,
            None => Arc::new(Composed::none()),
        };
        let image = &self.request.image;
        let registry = if self.files.is_empty() {
            self.reader.open(catalog).await?
        } else {
            let images = local_images::read(self.files, image.clone()).await?;
            let named = local_images::named(&catalog, &profile);
            let named = named.chain(images.iter().map(|one| &one.name));
            let upstreams = offline(self.reader.upstreams, named.chain([image]));
            let settings = self.reader.settings;
            local_images::registry(&images, catalog, upstreams, settings).await?
        };
        let name = registry.client_name(image)?;
        let repository = registry.operator().read(&name);
        let error = match self.request.run(&repository, &profile).await {
            Ok(resolution) => return Ok(Resolved::Image(Box::new(resolution))),
            Err(error) => error,
        };
        match NothingFits::of(&error) {
            Some(detail) => {
                let remarks = profile.remarks().iter();
                let told = std::iter::once(error.to_string()).chain(remarks.cloned());
                Ok(Resolved::Nothing {
                    message: told.collect::<Vec<_>>().join("; "),
                    detail,
                })
            }
            None => Err(error.into()),
        }
    }
}
