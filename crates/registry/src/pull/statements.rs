//! What images state about themselves, for `metahub check --images` and `metahub coverage`.

use metahub_catalog::Composed;
use metahub_hardware::Statements;
use metahub_oci::{Digest, Document, ImageReference, Index, Platform, Tag};

use crate::Registry;
use crate::access::pass_through::Request;
use crate::access::repository::{Operator, Read, Repository};
use crate::error::RegistryError;
use crate::pull::candidates::Candidates;
use crate::pull::judgement::Own;
use crate::pull::source::{Children, Source};

/// An image's statements about itself.
#[derive(Clone, Debug)]
pub struct ImageSays {
    /// The platform of its configuration.
    pub platform: Platform,
    /// Its requirements.
    pub statements: Statements,
    /// Why its compatibility artifact could not be looked up, if so.
    pub incomplete: Option<String>,
}

impl Operator {
    /// The current digest of `image`: of an image, an index or an artifact. `None` if it does not
    /// exist.
    pub async fn image_digest(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Digest>, RegistryError> {
        let source = self.registry().image_source(image).await?;
        let document = source.map(|source| source.document()).transpose()?;
        Ok(document.map(|document| document.digest().clone()))
    }

    /// A single image's statements about itself. `None` if `image` is an index or an artifact.
    pub async fn image_says(
        &self,
        image: &ImageReference,
    ) -> Result<Option<ImageSays>, RegistryError> {
        let registry = self.registry();
        let source = registry.image_source(image).await?;
        let source =
            source.ok_or_else(|| RegistryError::unknown(image.name(), image.reference()))?;
        let Children::At(location) = &source.children else {
            return Ok(None);
        };
        match source.document()? {
            Document::Manifest(manifest) if manifest.is_image() => {
                match registry.own_words(location, manifest.digest()).await {
                    Ok(Own::Image(said)) => Ok(Some(ImageSays {
                        platform: said.platform.clone(),
                        statements: said.statements.clone(),
                        incomplete: None,
                    })),
                    Ok(Own::NoImage) => Ok(None),
                    Ok(Own::Absent(problem)) => Ok(Some(ImageSays::incomplete(problem))),
                    Err(error) => Ok(Some(ImageSays::incomplete(error.to_string()))),
                }
            }
            _ => Ok(None),
        }
    }
}

impl Repository<'_, Read> {
    /// The entries of `tag` before any event, as an index: a collection's, an index's own, or a
    /// single image's one. Also returns what could not be read.
    pub async fn entries(&self, tag: &Tag) -> Result<(Index, Option<String>), RegistryError> {
        let repository = self.authorise(Request::Tag(tag)).await?;
        let registry = repository.registry();
        let source = repository.source(tag).await?;
        let index = match source.document()? {
            Document::Index(index) => registry.read_entries(&source, index).await?,
            Document::Manifest(ref manifest) => {
                let descriptor = Document::from(manifest.clone()).descriptor();
                let platform = match source.location_of(manifest.digest()) {
                    Some(location) => registry.platform_of(location, manifest).await,
                    None => None,
                };
                Index::new(vec![match platform {
                    Some(platform) => descriptor.with_platform(&platform),
                    None => descriptor,
                }])
            }
        };
        Ok((index, source.warning))
    }
}

impl Registry {
    /// The entries of an index with their images' statements, as a choice among them sees them.
    async fn read_entries(&self, source: &Source, index: Index) -> Result<Index, RegistryError> {
        let nobody = Composed::none();
        let judged = self.judged(source, &nobody).await?;
        Ok(match &*self.candidates(&judged, source, &nobody).await? {
            Candidates::Index(candidates) => candidates.clone(),
            Candidates::Single(_) | Candidates::None => index,
        })
    }
}

impl ImageSays {
    fn incomplete(problem: String) -> Self {
        Self {
            platform: Platform::default(),
            statements: Statements::default(),
            incomplete: Some(problem),
        }
    }
}
