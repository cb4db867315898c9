//! The tags of a repository of an upstream.

use http::Method;
use metahub_oci::{RepositoryName, Tag};
use serde::Deserialize;

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Tags read at most.
const MAX_TAGS: usize = 200_000;

#[derive(Deserialize)]
struct TagList {
    // Registries answer null for a repository without tags.
    tags: Option<Vec<String>>,
}

impl Upstream {
    /// All tags of a repository, in the upstream's order, all pages read. None: it has no such
    /// repository.
    ///
    /// # Errors
    /// As [`UpstreamError`] says; texts in the list that are no tags are left out.
    pub async fn tags(&self, name: &RepositoryName) -> Result<Option<Vec<Tag>>, UpstreamError> {
        let ask = Ask::new(self, Method::GET, name, "tags/list");
        let mut tags: Vec<Tag> = Vec::new();
        let found = self
            .pages(ask, |page| {
                let list: TagList = serde_json::from_slice(&page.body).map_err(|_| {
                    Problem::BadAnswer(format!(
                        "a list of tags of content type '{}' that begins \"{}\"",
                        page.content_type,
                        answer::first_words(&page.body)
                    ))
                })?;
                let before = tags.len();
                tags.extend(
                    list.tags
                        .unwrap_or_default()
                        .iter()
                        .filter_map(|t| t.parse().ok()),
                );
                if tags.len() > MAX_TAGS {
                    let limit = MAX_TAGS;
                    return Err(Problem::BadAnswer(format!("more than {limit} tags")));
                }
                // A page without anything new ends the list, whatever it links to.
                Ok(tags.len() > before)
            })
            .await?;
        Ok(found.then_some(tags))
    }
}
