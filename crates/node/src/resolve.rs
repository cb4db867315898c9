//! `resolve`: the reference by digest of the image that this node gets for a tag.

use metahub_client::blocking::{ClientError, Login, Registry};
use metahub_hardware::detect::Root;
use metahub_oci::{Digest, Reference, RepositoryName, Tag};
use serde_json::Value;

use crate::answer::Answer;
use crate::helper::Helper;
use crate::policy::{Environment, Policy};
use crate::reference::ImageRef;

/// The exit code where the registry has the image and nothing of it fits.
pub const NOTHING_FITS: u8 = 3;

/// Why there is no reference.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No reference to an image.
    #[error("'{0}' is no image at a registry: expected HOST/NAME:TAG")]
    Reference(String),
    /// The client cannot pull by digest.
    #[error(
        "{client} takes no digest: log in by {client} login --registry=https://{host} \
         --username=$(metahub-node login --registry {host}) --password=node, and pull by tag"
    )]
    NoDigest {
        /// The client.
        client: String,
        /// The registry.
        host: String,
    },
    /// Nothing fits this node.
    #[error("nothing fits this node ({login}): {message}")]
    NothingFits {
        /// The login that was used.
        login: String,
        /// The registry's words.
        message: String,
    },
    /// The registry gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ResolveError {
    /// The exit code to end with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::NothingFits { .. } => NOTHING_FITS,
            Self::Reference(_) | Self::NoDigest { .. } => 2,
            Self::Client(_) => 1,
        }
    }
}

/// Asks registries as this node, with the caller's own logins.
pub struct Resolver<'a> {
    policy: &'a Policy,
    environment: Environment<'a>,
    root: Root,
}

impl<'a> Resolver<'a> {
    /// As this node.
    #[must_use]
    pub fn new(policy: &'a Policy, environment: Environment<'a>) -> Self {
        Self {
            policy,
            environment,
            root: Root::new("/"),
        }
    }

    /// The login that clients get at `host`.
    pub fn login(&self, host: &str, notes: &mut Vec<String>) -> Option<Login> {
        let helper = Helper {
            policy: self.policy,
            environment: self.environment,
            root: &self.root,
        };
        let answer = helper.run("get", host);
        notes.extend(answer.notes);
        if answer.code != 0 {
            return None;
        }
        let answer: Value = serde_json::from_str(&answer.stdout).ok()?;
        let text = |key: &str| Some(answer.get(key)?.as_str()?.to_owned());
        Some(Login {
            user: text("Username")?,
            secret: text("Secret")?,
        })
    }

    /// The digest of the manifest that `image` has for this node.
    ///
    /// # Errors
    /// When there is none.
    pub fn digest(
        &self,
        image: &ImageRef,
        notes: &mut Vec<String>,
    ) -> Result<String, ResolveError> {
        let host = image.registry().unwrap_or_default();
        let login = match image.digest {
            Some(_) => None,
            None => self.login(&host, notes),
        };
        self.digest_as(image, login.as_ref())
    }

    /// The digest of the manifest that `image` has for `login`.
    ///
    /// # Errors
    /// When there is none.
    pub fn digest_as(
        &self,
        image: &ImageRef,
        login: Option<&Login>,
    ) -> Result<String, ResolveError> {
        if let Some(digest) = &image.digest {
            return Ok(digest.clone());
        }
        let host = image.registry().unwrap_or_default();
        let connect = self.policy.connect(&host, self.policy.timeout);
        let registry = Registry::new(&host, &connect)?;
        let name = format!("{}:{}", image.name, image.tag);
        let query = [("image", name.as_str())];
        let answer = registry.document("/api/v1/resolve", &query, login);
        let digest = answer.as_ref().ok().and_then(|answer| {
            let digest = answer.get("manifest")?.as_str()?;
            digest.parse::<Digest>().ok()
        });
        if let Some(digest) = digest {
            return Ok(digest.to_string());
        }
        match answer {
            Err(error @ ClientError::Unreachable { .. }) => return Err(error.into()),
            Err(ClientError::Refused {
                message, reason, ..
            }) if reason.as_deref() == Some("nothing-fits") => {
                return Err(ResolveError::NothingFits {
                    login: login.map_or_else(|| "anonymous".to_owned(), |login| login.user.clone()),
                    message,
                });
            }
            _ => {}
        }
        // A registry without that API still has manifests.
        let no_reference = || ResolveError::Reference(format!("{host}/{name}"));
        let tag: Tag = image.tag.parse().map_err(|_| no_reference())?;
        let name: RepositoryName = image.name.parse().map_err(|_| no_reference())?;
        let digest = registry.manifest_digest(&name, &Reference::Tag(tag), login)?;
        Ok(digest.to_string())
    }
}

/// Resolves one image.
#[must_use]
pub fn resolve(policy: &Policy, environment: Environment<'_>, image: &str) -> Answer {
    let mut notes = Vec::new();
    let found = ImageRef::parse(image)
        .ok_or_else(|| ResolveError::Reference(image.to_owned()))
        .and_then(|reference| {
            let digest = Resolver::new(policy, environment).digest(&reference, &mut notes)?;
            Ok(reference.by_digest(&digest))
        });
    match found {
        Ok(reference) => Answer::ok(reference).noting(notes),
        Err(error) => Answer::error(error.code(), error.to_string()).noting(notes),
    }
}
