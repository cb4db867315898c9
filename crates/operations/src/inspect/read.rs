//! Reading the layers of an open image, each verified against its digest.

use std::io::{self, Read};

use metahub_hardware::{Microarchitectures, Statements};
use metahub_inspect::{Image, Limits};
use metahub_oci::{Digest, Hasher, ImageConfig, Manifest};
use serde_json::Value;

use super::open::{LayerSource, OpenImage};
use super::report::{InspectReport, Said};
use super::verdict::verdict;

/// Reads an image. Blocks, and computes for long.
pub(crate) fn report(image: OpenImage, graph: &Microarchitectures) -> InspectReport {
    let statements = statements(&image.config, image.manifest.as_ref());
    let mut read = Image::new(Limits::default());
    for layer in image.layers {
        match layer.source {
            // What a store holds was verified when it came.
            Ok(LayerSource::Blob(blob)) => read.add_layer(&layer.name, blob.reader()),
            Ok(LayerSource::Reader(reader)) => {
                verified(&mut read, &layer.name, layer.digest, reader);
            }
            Err(why) => read.add_unread_layer(&layer.name, &why),
        }
    }
    let facts = read.facts();
    let verdict = verdict(&facts, &statements, graph);
    let said = Said {
        image: image.name,
        digest: image.digest,
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

/// Reads a layer to its end, so that its digest is known.
fn verified(image: &mut Image, name: &str, digest: Option<Digest>, reader: impl Read) {
    let hasher = digest
        .as_ref()
        .map(|digest| Hasher::new(digest.algorithm()));
    let mut hashed = Hashed { reader, hasher };
    image.add_layer(name, &mut hashed);
    if let Err(error) = io::copy(&mut hashed, &mut io::sink()) {
        image.add_unread_layer(name, &error.to_string());
        return;
    }
    if let (Some(expected), Some(hasher)) = (digest, hashed.hasher) {
        let found = hasher.finish();
        if found != expected {
            image.add_unread_layer(name, &format!("its bytes have the digest {found}"));
        }
    }
}

/// A stream that is hashed as it is read.
struct Hashed<R> {
    reader: R,
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(length)
    }
}
