//! `metahub resolve`: what a login gets for an image on one platform, and why.

use metahub_catalog::Composed;
use metahub_oci::{Document, ImageReference, Platform, Reference, RepositoryName, Tag};
use metahub_resolve::Verdicts;

use crate::access::pass_through::Request;
use crate::access::repository::{Authorised, Read, Repository};
use crate::error::RegistryError;
use crate::pull::explanation::{Child, Explanation, Resolution, SourceKind, children_of};
use crate::pull::manifest::{Outcome, Served};
use crate::pull::outcome::Form;
use crate::pull::source::{Source, parse};

impl Repository<'_, Read> {
    /// Resolves `image`, which is one of this repository, for a client of `platform` under
    /// `profile`. Derives and stores what is missing, exactly as a pull does. The default platform
    /// is linux/amd64, or any if the image has none for that.
    pub async fn resolve(
        &self,
        image: &ImageReference,
        profile: &Composed,
        platform: Option<&Platform>,
    ) -> Result<Resolution, RegistryError> {
        let name = self.name();
        let (stored, explanation, warning) = match image.reference() {
            Reference::Digest(digest) => {
                let served = self.manifest(&digest).await?;
                let repository = self.authorise(Request::Manifest(&digest)).await?;
                let stored = repository.stored().manifest(&digest).await?;
                let children = match stored.as_deref().map(parse).transpose()? {
                    Some(Document::Index(index)) => children_of(&index),
                    Some(Document::Manifest(manifest)) => {
                        let location = repository.stored_location();
                        let registry = repository.registry();
                        vec![Child {
                            platform: registry.platform_of(&location, &manifest).await,
                            digest: digest.clone(),
                            derived_from: None,
                            requires: Vec::new(),
                        }]
                    }
                    None => vec![Child {
                        platform: None,
                        digest: digest.clone(),
                        derived_from: None,
                        requires: Vec::new(),
                    }],
                };
                let explanation = plain(SourceKind::Local, digest, children);
                (served, explanation, None)
            }
            Reference::Tag(tag) => {
                let repository = self.authorise(Request::Tag(&tag)).await?;
                repository.resolve_tag(&tag, profile).await?
            }
        };
        let usual = Platform::linux_amd64();
        let children = &explanation.children;
        let child = match platform {
            Some(platform) => choose(children, platform),
            None => choose(children, &usual).or(children.first()),
        };
        let platform = platform.unwrap_or(&usual);
        let child = child.ok_or_else(|| no_platform(name, image, platform, children))?;
        let repository = self.authorise(Request::Manifest(&stored.digest)).await?;
        let derivation = repository.derivation_of(&stored.digest).await?;
        let manifest_derivation = if child.digest == stored.digest {
            None
        } else {
            repository.derivation_of(&child.digest).await?
        };
        let provided = profile.provided().features();
        Ok(Resolution {
            profile_digest: (!profile.is_empty()).then(|| profile.digest().clone()),
            provides: provided.map(ToString::to_string).collect(),
            derivation,
            manifest_derivation,
            image: image.to_string(),
            profile: profile.to_string(),
            profile_by: None,
            digest: stored.digest,
            media_type: stored.media_type,
            platform: match &child.platform {
                Some(of) => Platform::new(&of.os, &of.architecture),
                None => platform.clone(),
            },
            manifest: child.digest.clone(),
            requires: child.requires.clone(),
            why: why(&explanation, child, profile),
            explanation,
            warning,
            remarks: profile.remarks().to_vec(),
        })
    }
}

impl Authorised<'_> {
    async fn resolve_tag(
        &self,
        tag: &Tag,
        profile: &Composed,
    ) -> Result<(Served, Explanation, Option<String>), RegistryError> {
        match self.explained(tag, profile, Form::Any).await? {
            Outcome::Derived(derived, warning) => Ok((
                (&*derived.stored).into(),
                derived.explanation.clone(),
                warning,
            )),
            Outcome::Plain(source) => {
                let children = self.plain_children(&source).await?;
                let digest = source.stored.digest.clone();
                let explanation = plain(source.kind, digest, children);
                Ok(((&*source.stored).into(), explanation, source.warning))
            }
        }
    }

    async fn plain_children(&self, source: &Source) -> Result<Vec<Child>, RegistryError> {
        match source.document()? {
            Document::Index(index) => Ok(children_of(&index)),
            Document::Manifest(manifest) => {
                let digest = manifest.digest().clone();
                let platform = match source.location_of(&digest) {
                    Some(location) => self.registry().platform_of(location, &manifest).await,
                    None => None,
                };
                Ok(vec![Child {
                    platform,
                    digest,
                    derived_from: None,
                    requires: Vec::new(),
                }])
            }
        }
    }
}

fn plain(source: SourceKind, digest: metahub_oci::Digest, children: Vec<Child>) -> Explanation {
    Explanation {
        source,
        source_digest: digest,
        entries: Verdicts::default(),
        children,
        added: Vec::new(),
        actions: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The child that a client of `platform` takes: the first for its machine, as runtimes do; every
/// client takes one of unknown platform.
fn choose<'a>(children: &'a [Child], platform: &Platform) -> Option<&'a Child> {
    children.iter().find(|child| {
        child
            .platform
            .as_ref()
            .is_none_or(|p| p.same_machine(platform))
    })
}

fn no_platform(
    name: &RepositoryName,
    image: &ImageReference,
    platform: &Platform,
    children: &[Child],
) -> RegistryError {
    let mut there: Vec<String> = children
        .iter()
        .filter_map(|c| c.platform.as_ref())
        .map(ToString::to_string)
        .collect();
    there.sort_unstable();
    there.dedup();
    RegistryError::ManifestUnknown {
        name: name.clone(),
        reference: image.reference(),
        hint: format!(" for {platform}; there is {}", there.join(", ")),
    }
}

fn why(explanation: &Explanation, child: &Child, profile: &Composed) -> String {
    let chosen = explanation
        .entries
        .iter()
        .find(|verdict| {
            let digest = child.derived_from.as_ref().unwrap_or(&child.digest);
            verdict.kept && verdict.digest == digest
        })
        .map(|verdict| verdict.reason.to_owned());
    let mut text = match (chosen, explanation.source) {
        (Some(reason), _) => reason,
        (None, SourceKind::Collection) => "the entry that requires least".to_owned(),
        (None, _) if profile.is_empty() => "no profile: served as it is".to_owned(),
        (None, _) => "a single image: there is nothing to choose from".to_owned(),
    };
    for added in &explanation.added {
        if added
            .platform
            .as_ref()
            .zip(child.platform.as_ref())
            .is_none_or(|(a, b)| a.same_machine(b))
        {
            let plural = if added.layers == 1 { "layer" } else { "layers" };
            text = format!(
                "{text}; {} {plural} of {} on top",
                added.layers, added.image
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(platform: Option<&str>) -> Child {
        Child {
            platform: platform.map(|p| p.parse().unwrap()),
            digest: metahub_oci::Digest::sha256(platform.unwrap_or("").as_bytes()),
            derived_from: None,
            requires: Vec::new(),
        }
    }

    #[test]
    fn a_client_takes_the_first_child_for_its_machine() {
        let children = [child(Some("linux/arm64/v8")), child(Some("linux/amd64"))];
        let amd64 = Platform::linux_amd64();
        assert_eq!(choose(&children, &amd64), children.get(1));
        assert_eq!(
            choose(&children, &Platform::new("linux", "arm64")),
            children.first()
        );
        assert_eq!(choose(&children, &Platform::new("linux", "riscv64")), None);
        assert!(choose(&[child(None)], &amd64).is_some());
    }
}
