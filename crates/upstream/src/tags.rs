//! The tags of a repository of an upstream.

use http::Method;
use metahub_client::path;
use metahub_oci::{RepositoryName, Tag};

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Tags read at most, and bytes of them.
const MAX_TAGS: usize = 200_000;
const MAX_TAG_BYTES: usize = 8 * 1024 * 1024;

/// The tags of a repository, as far as they could be read.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The tags, in the upstream's order.
    pub tags: Vec<Tag>,
    /// Why there may be more: a page after the first failed.
    pub failure: Option<UpstreamError>,
}

impl Upstream {
    /// All tags of a repository, in the upstream's order, from all pages. `None` if it has no such
    /// repository.
    ///
    /// # Errors
    /// As [`UpstreamError`] says; texts in the list that are no tags are left out.
    pub async fn tags(&self, name: &RepositoryName) -> Result<Option<Vec<Tag>>, UpstreamError> {
        match self.list_tags(name).await? {
            Some(Listed {
                failure: Some(error),
                ..
            }) => Err(error),
            listed => Ok(listed.map(|listed| listed.tags)),
        }
    }

    /// The same, as far as they can be read: if a page after the first fails, the earlier pages are
    /// returned.
    ///
    /// # Errors
    /// As [`UpstreamError`] says, if the first page fails.
    pub async fn list_tags(&self, name: &RepositoryName) -> Result<Option<Listed>, UpstreamError> {
        let ask = Ask::new(self, Method::GET, name, &path::tags(name));
        let mut tags: Vec<Tag> = Vec::new();
        let mut bytes = 0;
        let mut pages = 0;
        let found = self
            .pages(ask, |page| {
                let listed = metahub_client::tags(&page.body).ok_or_else(|| {
                    Problem::BadAnswer(format!(
                        "a list of tags of content type '{}' that begins \"{}\"",
                        page.content_type,
                        answer::first_words(&page.body)
                    ))
                })?;
                let before = tags.len();
                tags.extend(
                    listed
                        .into_iter()
                        .inspect(|tag| bytes += tag.as_str().len()),
                );
                if tags.len() > MAX_TAGS || bytes > MAX_TAG_BYTES {
                    let (limit, size) = (MAX_TAGS, MAX_TAG_BYTES);
                    let why = format!("more than {limit} tags, or {size} bytes of them");
                    return Err(Problem::BadAnswer(why));
                }
                pages += 1;
                // A page without anything new ends the list, whatever it links to.
                Ok(tags.len() > before)
            })
            .await;
        match found {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Listed {
                tags,
                failure: None,
            })),
            Err(error) if pages > 0 => Ok(Some(Listed {
                tags,
                failure: Some(error),
            })),
            Err(error) => Err(error),
        }
    }
}
