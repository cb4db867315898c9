//! Reading the layers of an open image, each verified against its digest.

use metahub_hardware::{Microarchitectures, Statements};
use metahub_inspect::{Image, Limits};
use metahub_oci::{ImageConfig, Manifest};
use serde_json::Value;

use super::open::OpenImage;
use super::report::{InspectReport, Said};
use super::verdict::verdict;

/// Reads an image. Blocks, and computes for long.
pub(crate) fn report(image: &OpenImage, graph: &Microarchitectures) -> InspectReport {
    let statements = statements(&image.config, image.manifest.as_ref());
    let mut read = Image::new(Limits::default());
    for layer in &image.layers {
        let done = layer.read(|source| read.add_layer(&layer.name, source));
        if let Err(why) = done {
            read.add_unread_layer(&layer.name, &why);
        }
    }
    let facts = read.facts();
    let verdict = verdict(&facts, &statements, graph);
    let said = Said {
        image: image.name.clone(),
        digest: image.digest.clone(),
        platform: image.config.platform(),
        statements,
    };
    InspectReport::new(facts, said, verdict)
}

/// What the labels, the annotations, the environment and the platform say.
pub(crate) fn statements(config: &ImageConfig, manifest: Option<&Manifest>) -> Statements {
    let mut statements = Statements::default();
    let texts = |map: Option<&serde_json::Map<String, Value>>| -> Vec<(String, String)> {
        let entries = map.into_iter().flatten();
        entries
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let run = config.as_json().get("config");
    let labels = texts(run.and_then(|c| c.get("Labels")).and_then(Value::as_object));
    statements.add_labels(
        labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let manifest = manifest.map(Manifest::as_json);
    let annotations = texts(
        manifest
            .and_then(|m| m.get("annotations"))
            .and_then(Value::as_object),
    );
    statements.add_annotations(
        annotations
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    statements.add_env(config.env());
    let platform = config.platform();
    statements.add_platform(
        &platform.os,
        &platform.architecture,
        platform.variant.as_deref(),
        &platform.os_features,
    );
    statements
}
