//! `post-manifest-get`: runs the actions that change one image, in order.
//!
//! Nothing is fetched here: [`ImageRun::advance`] asks for the layer images that it needs, one at a
//! time, and its caller supplies them.

use std::collections::{HashSet, VecDeque};

use metahub_catalog::actions::{Annotate, Position};
use metahub_catalog::{Action, Args, Composed};
use metahub_hardware::Provided;
use metahub_oci::{
    ConfigError, Document, DocumentError, ImageConfig, ImageReference, JsonMap, Manifest,
    MediaType, RepositoryName,
};
use serde_json::Value;

use super::config_set::config_set;
use super::request::Request;
use super::step::Step;
use super::when::{ConditionFacts, Holds, holds};
use crate::add_error::AddError;
use crate::add_layers::Additions;
use crate::rewrite::document;

/// An image: its manifest and its configuration.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration that it names.
    pub config: ImageConfig,
}

/// Why an action cannot be done to an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Layers cannot be added.
    #[error("layers of {layer}: {error}")]
    Add {
        /// The layer image.
        layer: String,
        /// Why.
        error: AddError,
    },
    /// What it makes is no configuration.
    #[error("the configuration that config-set makes is wrong: {0}")]
    Config(#[from] ConfigError),
    /// What it makes is no manifest, for example because it is too large.
    #[error("the manifest that it makes is wrong: {0}")]
    Manifest(#[from] DocumentError),
}

/// The actions of `profile` on `post-manifest-get` that may be done to images of `repository`, in
/// order. Conditions on the request are seen to by [`for_request`](super::for_request()); whether
/// others hold is not known yet.
#[must_use]
pub fn image_actions<'p>(profile: &'p Composed, repository: &RepositoryName) -> Vec<&'p Action> {
    let changes = |action: &&Action| match &action.args {
        Args::ManifestAdd(add) => add.is_for(repository),
        Args::ConfigSet(_) | Args::Annotate(_) => true,
        _ => false,
    };
    profile.actions().iter().filter(changes).collect()
}

/// The images whose layers the actions may add, each once.
#[must_use]
pub fn layer_images<'p>(actions: &[&'p Action]) -> Vec<&'p ImageReference> {
    let mut seen = HashSet::new();
    named_layer_images(actions)
        .filter(|image| seen.insert(*image))
        .collect()
}

/// The same, each as often as it is named.
pub fn named_layer_images<'p>(actions: &[&'p Action]) -> impl Iterator<Item = &'p ImageReference> {
    let adding = actions.iter().filter_map(|action| match &action.args {
        Args::ManifestAdd(add) => Some(&add.layers),
        _ => None,
    });
    adding.flatten()
}

/// The run of a profile's actions over one image.
pub struct ImageRun<'a> {
    provided: &'a Provided,
    waiting: VecDeque<&'a Action>,
    /// The layer images of the present `manifest-add` that are still to come.
    adding: Option<Adding<'a>>,
    image: Image,
    changed: bool,
    steps: Vec<Step>,
}

struct Adding<'a> {
    action: &'a Action,
    position: Position,
    layers: VecDeque<&'a ImageReference>,
    what: Vec<String>,
    additions: Additions,
    /// The last of which layers are added.
    last: Option<&'a ImageReference>,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The image.
    pub image: Image,
    /// Whether it is another one than it was.
    pub changed: bool,
    /// One for each action, in order.
    pub steps: Vec<Step>,
}

impl<'a> ImageRun<'a> {
    /// A run of `actions` ([`image_actions`]) over `image`, which must be one that can run, for a
    /// login that has `provided`.
    #[must_use]
    pub fn new(image: Image, actions: &[&'a Action], provided: &'a Provided) -> Self {
        Self {
            provided,
            waiting: actions.iter().copied().collect(),
            adding: None,
            image,
            changed: false,
            steps: Vec::new(),
        }
    }

    /// Goes on until a layer image is needed, which is then to be given to [`add`](Self::add);
    /// nothing when all is done.
    ///
    /// # Errors
    /// An action that cannot be done.
    pub fn advance(&mut self) -> Result<Option<&'a ImageReference>, ActionError> {
        loop {
            if let Some(adding) = &self.adding {
                if let Some(layer) = adding.layers.front() {
                    return Ok(Some(*layer));
                }
                self.added()?;
            }
            let Some(action) = self.waiting.pop_front() else {
                return Ok(None);
            };
            if let Some(when) = &action.when {
                let facts = ConditionFacts {
                    document: Some(self.image.manifest.as_json()),
                    config: Some(self.image.config.as_json()),
                };
                let why = match holds(when, &Request::by(self.provided), facts) {
                    Holds::Yes => None,
                    Holds::No => Some("its condition does not hold"),
                    Holds::Unknown => Some("it cannot be said whether its condition holds"),
                };
                if let Some(why) = why {
                    self.steps.push(Step::skipped(action, why));
                    continue;
                }
            }
            match &action.args {
                Args::ManifestAdd(add) => {
                    let layers = add.layers.iter();
                    // What is put below everything comes last first.
                    let layers = match add.position {
                        Position::After => layers.collect(),
                        Position::Before => layers.rev().collect(),
                    };
                    self.adding = Some(Adding {
                        action,
                        position: add.position,
                        layers,
                        what: Vec::new(),
                        additions: Additions::new(add.position),
                        last: None,
                    });
                }
                Args::ConfigSet(set) => match config_set(&self.image.config, set)? {
                    None => self
                        .steps
                        .push(Step::skipped(action, "the image is so already")),
                    Some((config, fields)) => {
                        let manifest = with_config(&self.image.manifest, &config)?;
                        self.image = Image { manifest, config };
                        self.changed = true;
                        self.steps.push(Step::done(action, fields.join(", ")));
                    }
                },
                Args::Annotate(annotate) => self.annotate(action, annotate)?,
                _ => {}
            }
        }
    }

    /// Adds the layers of `added`, which [`advance`](Self::advance) asked for. Returns how many;
    /// none where the image has them all already.
    ///
    /// # Errors
    /// Layers that cannot be added.
    pub fn add(&mut self, added: &Image) -> Result<usize, ActionError> {
        let Some(adding) = &mut self.adding else {
            return Ok(0);
        };
        let Some(layer) = adding.layers.pop_front() else {
            return Ok(0);
        };
        let Image { manifest, config } = &self.image;
        if adding.additions.has(config, &added.config) {
            adding
                .what
                .push(format!("has the layers of {layer} already"));
            return Ok(0);
        }
        let layers = adding
            .additions
            .add(
                (manifest, config),
                (&added.manifest, &added.config),
                &format!("metahub manifest-add {layer}"),
            )
            .map_err(|error| cannot_add(layer, error))?;
        adding.what.push(format!("{layers} of {layer}"));
        adding.last = Some(layer);
        Ok(layers)
    }

    /// The result.
    #[must_use]
    pub fn finish(self) -> Changed {
        Changed {
            image: self.image,
            changed: self.changed,
            steps: self.steps,
        }
    }

    /// Ends the present `manifest-add`: its layers are all there.
    fn added(&mut self) -> Result<(), ActionError> {
        let Some(adding) = self.adding.take() else {
            return Ok(());
        };
        let place = match adding.position {
            Position::After => "layers on top",
            Position::Before => "layers below",
        };
        let Some(last) = adding.last else {
            let what = adding.what.join(", ");
            self.steps.push(Step::skipped(adding.action, what));
            return Ok(());
        };
        let Image { manifest, config } = &self.image;
        let made = adding.additions.finish(manifest, config);
        let (manifest, config) = made.map_err(|error| cannot_add(last, error))?;
        self.image = Image { manifest, config };
        self.changed = true;
        let what = format!("{place}: {}", adding.what.join(", "));
        self.steps.push(Step::done(adding.action, what));
        Ok(())
    }

    fn annotate(&mut self, action: &Action, annotate: &Annotate) -> Result<(), ActionError> {
        let manifest = &self.image.manifest;
        if manifest.media_type().as_str() != MediaType::OCI_MANIFEST {
            let why = "a manifest in Docker's format has no annotations";
            self.steps.push(Step::skipped(action, why));
            return Ok(());
        }
        let mut map = manifest.as_json().clone();
        let annotations = map.entry("annotations").or_insert(Value::Null);
        if !annotations.is_object() {
            *annotations = Value::Object(JsonMap::new());
        }
        let mut set = Vec::new();
        if let Some(annotations) = annotations.as_object_mut() {
            for (name, value) in &annotate.annotations {
                if annotations.get(name).and_then(Value::as_str) != Some(value) {
                    annotations.insert(name.clone(), value.as_str().into());
                    set.push(name.as_str());
                }
            }
        }
        if set.is_empty() {
            let why = "the image is so already";
            self.steps.push(Step::skipped(action, why));
            return Ok(());
        }
        self.steps.push(Step::done(action, set.join(", ")));
        map.shift_remove("subject");
        self.image.manifest = manifest_of(map, manifest)?;
        self.changed = true;
        Ok(())
    }
}

fn cannot_add(layer: &ImageReference, error: AddError) -> ActionError {
    ActionError::Add {
        layer: layer.to_string(),
        error,
    }
}

/// The manifest with another configuration. It is about nothing that its source was about.
fn with_config(manifest: &Manifest, config: &ImageConfig) -> Result<Manifest, DocumentError> {
    let Some(descriptor) = manifest.config() else {
        return Ok(manifest.clone());
    };
    let descriptor = descriptor.with_content(
        descriptor.media_type().clone(),
        config.digest().clone(),
        config.bytes().len() as u64,
    );
    let mut map = manifest.as_json().clone();
    map.insert("config".into(), Value::Object(descriptor.as_json().clone()));
    map.shift_remove("subject");
    manifest_of(map, manifest)
}

fn manifest_of(map: JsonMap, like: &Manifest) -> Result<Manifest, DocumentError> {
    match document(map, like.media_type())? {
        Document::Manifest(manifest) => Ok(manifest),
        // Its media type says that it is none.
        Document::Index(_) => Ok(like.clone()),
    }
}
