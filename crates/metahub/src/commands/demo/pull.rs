//! One demo login pulling one image over HTTP, and whether it got what the table says. Plays a
//! container tool: log in, tag, index, manifest, configuration, every layer, each verified.

use std::io::Read as _;

use metahub_demo::{Expected, TARGET_LABEL};
use metahub_oci::{Digest, Document, ImageConfig, ImageReference, Manifest, Platform, Reference};
use metahub_registry::Resolution;
use serde_json::Value;

use metahub_client::session::{Client, Session, SessionError};

/// Layers of a demo image before anything is added: the base and the program.
const OWN_LAYERS: usize = 2;
/// Most that a demo layer unpacks to, in bytes.
const MAX_UNPACKED: u64 = 1024 * 1024;

/// The result of one pull.
pub(super) struct Pulled {
    /// The digest of the tag, as container tools print it; `None` if nothing fits or something
    /// failed.
    pub(super) digest: Option<Digest>,
    /// What it was built for, in words.
    pub(super) target: String,
    /// Why this one.
    pub(super) why: String,
    /// The difference from what was expected, if any.
    pub(super) problem: Option<String>,
}

/// The image that a container tool gets.
struct Image {
    root: Digest,
    target: Option<String>,
    layers: usize,
}

/// Why the image is not right, although everything was answered.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Client(#[from] SessionError),
    #[error("{0}")]
    Wrong(String),
}

fn wrong(text: impl Into<String>) -> PullError {
    PullError::Wrong(text.into())
}

/// Pulls `image` for a machine of `platform` and compares with what is `expected`. `pushed` is
/// the digest that the tag was pushed with, if it was pushed.
pub(super) async fn pull(
    client: &Client,
    image: &ImageReference,
    platform: &Platform,
    expected: Expected,
    pushed: Option<&Digest>,
) -> Pulled {
    let why = explain(client, image, platform).await;
    match fetch(client, image, platform).await {
        Ok(got) => {
            let problem = compare(&got, expected, pushed);
            let added = got.layers.saturating_sub(OWN_LAYERS);
            let target = got.target.as_deref().unwrap_or("generic");
            Pulled {
                digest: Some(got.root),
                target: match added {
                    0 => target.to_owned(),
                    added => format!("{target} + {added} layers"),
                },
                problem: problem.or(why.as_ref().err().cloned()),
                why: why.unwrap_or_default(),
            }
        }
        Err(PullError::Client(SessionError::Refused {
            status, message, ..
        })) if status.as_u16() == 404 && expected == Expected::NothingFits => Pulled {
            digest: None,
            target: "nothing fits".to_owned(),
            why: message,
            problem: None,
        },
        Err(error) => Pulled {
            digest: None,
            target: "-".to_owned(),
            why: String::new(),
            problem: Some(error.to_string()),
        },
    }
}

async fn explain(
    client: &Client,
    image: &ImageReference,
    platform: &Platform,
) -> Result<String, String> {
    let (image, platform) = (image.to_string(), platform.to_string());
    let query = [("image", image.as_str()), ("platform", platform.as_str())];
    match client.api::<Resolution>("/api/v1/resolve", &query).await {
        Ok(resolution) => Ok(resolution.why),
        Err(error) => Err(format!("the explanation: {error}")),
    }
}

async fn fetch(
    client: &Client,
    image: &ImageReference,
    platform: &Platform,
) -> Result<Image, PullError> {
    let session = client.open(image.name()).await?;
    let document = session.manifest(&image.reference()).await?;
    let root = document.digest().clone();
    let manifest = match document {
        Document::Manifest(manifest) => manifest,
        Document::Index(index) => {
            // As container tools do: the first entry of the machine's platform.
            let entry = index
                .manifests()
                .iter()
                .find(|entry| {
                    entry
                        .platform()
                        .is_some_and(|found| found.same_machine(platform))
                })
                .ok_or_else(|| wrong(format!("the index has no entry for {platform}")))?;
            match session
                .manifest(&Reference::Digest(entry.digest().clone()))
                .await?
            {
                Document::Manifest(manifest) => manifest,
                Document::Index(_) => return Err(wrong("an index within the index")),
            }
        }
    };
    let config = configuration(&session, &manifest, platform).await?;
    Ok(Image {
        root,
        target: target_of(&config),
        layers: manifest.layers().len(),
    })
}

/// The image's configuration, after every layer was read and compared with it.
async fn configuration(
    session: &Session<'_>,
    manifest: &Manifest,
    platform: &Platform,
) -> Result<ImageConfig, PullError> {
    let descriptor = manifest.config().ok_or_else(|| wrong("no configuration"))?;
    let config = ImageConfig::parse(session.blob(descriptor).await?)
        .map_err(|error| wrong(error.to_string()))?;
    if !config.platform().same_machine(platform) {
        return Err(wrong(format!(
            "an image for {}, not {platform}",
            config.platform()
        )));
    }
    if config.diff_ids().len() != manifest.layers().len() {
        return Err(wrong("the configuration lists another number of layers"));
    }
    for (layer, diff_id) in manifest.layers().iter().zip(config.diff_ids()) {
        let blob = session.blob(layer).await?;
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&*blob)
            .take(MAX_UNPACKED)
            .read_to_end(&mut archive)
            .map_err(|error| wrong(format!("layer {}: {error}", layer.digest())))?;
        if !diff_id.matches(&archive) {
            return Err(wrong(format!("layer {} is not {diff_id}", layer.digest())));
        }
    }
    Ok(config)
}

fn target_of(config: &ImageConfig) -> Option<String> {
    let labels = config.as_json().get("config")?.get("Labels")?;
    labels
        .get(TARGET_LABEL)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// The difference from what was expected, if any.
fn compare(got: &Image, expected: Expected, pushed: Option<&Digest>) -> Option<String> {
    let (target, added) = match expected {
        Expected::Target(target, added) => (Some(target), added),
        Expected::Generic(added) => (None, added),
        Expected::Untouched => {
            let untouched = pushed == Some(&got.root);
            return (!untouched).then(|| "the index is not the one that was pushed".to_owned());
        }
        Expected::NothingFits => return Some("expected that nothing fits".to_owned()),
    };
    if got.target.as_deref() != target {
        return Some(format!("expected {}", target.unwrap_or("generic")));
    }
    let layers = OWN_LAYERS + added;
    (got.layers != layers).then(|| format!("expected {layers} layers, found {}", got.layers))
}
