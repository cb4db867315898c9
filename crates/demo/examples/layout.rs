//! Writes every demo image as an OCI image layout: `cargo run --example layout -- FOLDER`.
//!
//! `skopeo copy oci:FOLDER/qnib/featuretest/latest docker-daemon:featuretest:latest` and the like
//! then load one, without any registry.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use metahub_demo::DemoImage;
use metahub_oci::Digest;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: layout FOLDER")?
        .into();
    for image in metahub_demo::images()? {
        let at = folder
            .join(image.repository.as_str())
            .join(image.tag.as_str());
        write(&at, &image)?;
    }
    Ok(())
}

fn write(at: &Path, image: &DemoImage) -> Result<(), Box<dyn Error>> {
    let blobs = at.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |digest: &Digest, bytes: &[u8]| fs::write(blobs.join(digest.hex()), bytes);
    for (digest, bytes) in &image.blobs {
        put(digest, bytes)?;
    }
    for document in &image.documents {
        put(document.digest(), document.bytes())?;
    }
    let root = image.root().ok_or("a demo image without documents")?;
    let root = Value::Object(root.descriptor().as_json().clone());
    let index = json!({ "schemaVersion": 2, "manifests": [root] });
    fs::write(at.join("index.json"), index.to_string())?;
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}
