//! What one image states about itself: whether it exists and is an image at all, its platform, its
//! requirements. Read from the manifest, the configuration, and the compatibility artifact that
//! refers to it; the first two never change, and are cached by digest.

use std::borrow::Cow;
use std::sync::Arc;

use metahub_hardware::{Feature, Key, Stated, Statements, Unread};
use metahub_oci::{Digest, Document, JsonMap, Manifest, Platform, RepositoryName};
use serde_json::Value;

use crate::Registry;
use crate::access::location::Location;
use crate::error::{RegistryError, unreadable};
use crate::pull::artifact::Compatibility;
use crate::pull::source::parse;
use crate::pull::standing::{CatalogIdentity, Lookups, Standing};

/// Largest configuration that is read into memory, in bytes. Real ones have a few KiB.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// The result of reading one image.
pub(crate) enum Own {
    /// An image, with its statements.
    Image(Arc<Said>),
    /// It exists, and is no image.
    NoImage,
    /// It does not exist, or is refused; in words.
    Absent(String),
}

/// An image's statements about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The platform of its configuration; empty where that states none.
    pub(crate) platform: Platform,
    /// What it requires, and what of that cannot be read.
    pub(crate) statements: Statements,
}

/// Recent statements of images, including those of their referrers.
pub(crate) type SaidFound = Lookups<SaidKey, Arc<Said>>;

/// The image, and the documents under which it was read.
pub(crate) struct SaidKey {
    catalog: CatalogIdentity,
    storage: RepositoryName,
    digest: Digest,
    /// Whether an account asked: each notes uses of cached content as its own.
    account: bool,
}

/// Bytes of memory that statements take, roughly.
fn bytes_of(said: &Said) -> usize {
    let stated = said.statements.requirements.iter();
    let stated: usize = stated
        .map(|stated| stated.feature.canonical().len() + 256)
        .sum();
    let unread = said.statements.unread.iter();
    let unread: usize = unread.map(|unread| unread.value.len() + 64).sum();
    stated + unread + 512
}

/// Statements read lately, of which few have more than a KiB.
pub(crate) fn said_lately() -> moka::future::Cache<Digest, Arc<Said>> {
    let weigh = |_: &Digest, said: &Arc<Said>| u32::try_from(bytes_of(said)).unwrap_or(u32::MAX);
    moka::future::Cache::builder()
        .weigher(weigh)
        .max_capacity(16 * 1024 * 1024)
        .build()
}

impl Registry {
    /// The statements of the image `digest` at `place` about itself.
    ///
    /// # Errors Only temporary ones: an upstream that is down or busy, a store that cannot be read.
    /// Lasting problems are part of the result.
    pub(crate) async fn own_words(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Own, RegistryError> {
        let found = &self.inner.said_found;
        let (storage, account) = (location.storage(), self.client == 0);
        let hash = found.hash(&(storage, digest, account));
        let catalog = self.catalog();
        let is = |key: &SaidKey| {
            key.catalog.is(&catalog)
                && (&key.storage, &key.digest, key.account) == (storage, digest, account)
        };
        if let Some(said) = found.get(self, hash, is) {
            return Ok(Own::Image(said));
        }
        // Before anything is read.
        let standing = Standing::of([self.generation(storage)]);
        let own = Box::pin(self.read_own_words(location, digest)).await?;
        // Unreadable parts may be readable soon, and an answer of a pass-through upstream is for
        // one account only.
        if let Own::Image(said) = &own
            && said.statements.unread.is_empty()
            && !self.caller.has_proven()
        {
            let key = SaidKey {
                catalog: CatalogIdentity::of(&catalog),
                storage: storage.clone(),
                digest: digest.clone(),
                account,
            };
            found.keep(hash, key, Arc::clone(said), standing, bytes_of(said));
        }
        Ok(own)
    }

    async fn read_own_words(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Own, RegistryError> {
        let stored = match self.manifest_at(location, digest).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Own::Absent("it is not there".to_owned())),
            Err(error) => return unreadable(error).map(Own::Absent),
        };
        let manifest = match parse(&stored) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => return Ok(Own::NoImage),
            Err(error) => return Ok(Own::Absent(error.to_string())),
        };
        if !manifest.is_image() {
            return Ok(Own::NoImage);
        }
        let basics = match self.basics(location, &manifest).await? {
            Ok(basics) => basics,
            Err(reason) => return Ok(Own::Absent(reason)),
        };
        let mut said = Said::clone(&basics);
        self.know_site_targets(&mut said.statements);
        match self.compatibility(location, digest).await? {
            Compatibility::None => {}
            Compatibility::Specification(json) => {
                // Unreadable parts are recorded in the statements.
                let _ = said.statements.add_compatibility(&json);
            }
            Compatibility::Unreadable(reason) => {
                said.statements.add_unread_compatibility(&reason);
            }
        }
        Ok(Own::Image(Arc::new(said)))
    }

    /// Reads labels that name a CPU target which only this site's configuration knows.
    fn know_site_targets(&self, statements: &mut Statements) {
        let catalog = self.catalog();
        let graph = catalog.graph();
        let Statements {
            requirements,
            unread,
        } = statements;
        unread.retain(|unread| {
            let known =
                unread.at.contains(".cpu.") && matches!(graph.look_up(&unread.value), Some(Ok(_)));
            if let Ok(feature) = Feature::new(Key::Arch.as_str(), &unread.value)
                && known
            {
                let at = unread.at.clone();
                requirements.push(Stated { feature, at });
            }
            !known
        });
    }

    /// The platform of an image's configuration, if it can be read and states one.
    pub(crate) async fn platform_of(
        &self,
        location: &Location,
        manifest: &Manifest,
    ) -> Option<Platform> {
        if !manifest.is_image() {
            return None;
        }
        let basics = self.basics(location, manifest).await.ok()?.ok()?;
        let platform = &basics.platform;
        (!platform.os.is_empty() && !platform.architecture.is_empty()).then(|| platform.clone())
    }

    /// The statements of manifest and configuration; or why no machine can run the image.
    pub(crate) async fn basics(
        &self,
        location: &Location,
        manifest: &Manifest,
    ) -> Result<Result<Arc<Said>, String>, RegistryError> {
        let digest = manifest.digest();
        if let Some(known) = self.inner.said.get(digest).await {
            return Ok(Ok(known));
        }
        let config = match manifest.config() {
            Some(config) => config.digest().clone(),
            None => return Ok(Err("it has no configuration".to_owned())),
        };
        let read = self
            .small_blob_at(location, &config, MAX_CONFIG_BYTES)
            .await;
        let said = match read {
            Ok(bytes) => from_config(manifest, &bytes),
            Err(error) if matches!(error.root(), RegistryError::BlobUnknown(..)) => {
                return Ok(Err("its configuration is not there".to_owned()));
            }
            Err(error) => {
                let mut said = Said::default();
                said.statements
                    .unread
                    .push(config_unread(&unreadable(error)?));
                said
            }
        };
        let said = Arc::new(said);
        self.inner
            .said
            .insert(digest.clone(), Arc::clone(&said))
            .await;
        Ok(Ok(said))
    }
}

/// The record of an unreadable configuration.
fn config_unread(problem: &str) -> Unread {
    Unread::new(
        "its configuration",
        problem,
        "an image configuration as JSON",
    )
}

/// The statements of a manifest and its configuration. A configuration that is no JSON object is
/// unreadable; fields that are not needed here may be missing.
fn from_config(manifest: &Manifest, config: &[u8]) -> Said {
    let mut said = Said::default();
    let statements = &mut said.statements;
    if let Some(annotations) = manifest.as_json().get("annotations").and_then(texts) {
        statements.add_annotations(borrowed(&annotations));
    }
    let map: JsonMap = match serde_json::from_slice(config) {
        Ok(Value::Object(map)) => map,
        Ok(_) | Err(_) => {
            statements.unread.push(config_unread("no JSON object"));
            return said;
        }
    };
    let run = map.get("config").filter(|run| !run.is_null());
    if run.is_some_and(|run| !run.is_object()) {
        statements
            .unread
            .push(config_unread("its config is no object"));
    }
    match part_of(run, "Labels").map(texts) {
        Some(Some(labels)) => statements.add_labels(borrowed(&labels)),
        Some(None) => statements
            .unread
            .push(config_unread("its Labels are no object")),
        None => {}
    }
    match part_of(run, "Env").map(Value::as_array) {
        Some(Some(env)) => statements.add_env(env.iter().filter_map(Value::as_str)),
        Some(None) => statements.unread.push(config_unread("its Env is no list")),
        None => {}
    }
    said.platform = normalized(Platform::from_json(&map));
    said
}

/// A JSON object of texts, in its order. Another value is included as JSON, which no label with a
/// known meaning parses, so that it is not ignored. `None` if it is no object.
fn texts(map: &Value) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let map: &JsonMap = map.as_object()?;
    let text = |value: &'_ Value| match value {
        Value::String(_) => None,
        other => Some(other.to_string()),
    };
    let texts = map.iter().map(|(key, value)| {
        let json = text(value).map(Cow::Owned);
        let value = json.unwrap_or_else(|| Cow::Borrowed(value.as_str().unwrap_or_default()));
        (key.as_str(), value)
    });
    Some(texts.collect())
}

/// A field of a configuration's `config`; `None` where it is null.
fn part_of<'a>(run: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    run?.get(key).filter(|part| !part.is_null())
}

fn borrowed<'a>(texts: &'a [(&'a str, Cow<'a, str>)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    texts.iter().map(|(key, value)| (*key, &**value))
}

/// A platform in OCI's names: some configurations use the kernel's names of architectures, which
/// container runtimes accept.
fn normalized(mut platform: Platform) -> Platform {
    platform.os = platform.os.to_ascii_lowercase();
    let architecture = platform.architecture.to_ascii_lowercase();
    platform.architecture = match architecture.as_str() {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "386",
        "armhf" | "armel" => "arm",
        other => other,
    }
    .to_owned();
    // Features of a configuration are no requirements: only an index states such.
    platform.features.clear();
    platform
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_called_as_oci_calls_them() {
        for (written, expected) in [
            ("x86_64", "amd64"),
            ("AArch64", "arm64"),
            ("amd64", "amd64"),
            ("riscv64", "riscv64"),
            ("", ""),
        ] {
            let platform = normalized(Platform::new("Linux", written));
            assert_eq!(platform, Platform::new("linux", expected));
        }
    }
}
