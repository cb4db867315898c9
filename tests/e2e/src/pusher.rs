//! Pushes over plain HTTP: for content that no client tool would make.

use serde_json::{Value, json};

use crate::http::{Answer, Call, call, digest_of};

/// The media type of an OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an uncompressed layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Somebody who pushes into one repository.
#[derive(Debug, Clone, Copy)]
pub struct Pusher<'a> {
    /// The registry.
    pub host: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// User name and password, if any.
    pub login: Option<(&'a str, &'a str)>,
}

/// What the images of [`Pusher::builds`] are for, in the order of the index.
pub const BUILDS: [&str; 4] = ["icelake", "zen3", "zen2", "any"];

impl Pusher<'_> {
    /// A request to `path` under the repository, with the login.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        call(
            self.host,
            method,
            &format!("/v2/{}/{path}", self.repository),
        )
        .login(self.login)
    }

    /// Pushes an index with the tag `1` of images for icelake, zen3, zen2 and any machine, in this
    /// order; the descriptors of the images.
    #[must_use]
    pub fn builds(&self) -> Vec<Value> {
        let images = BUILDS.map(|build| self.image(build, "amd64", build.as_bytes()));
        let features: [&[&str]; 4] = [&["arch:icelake"], &["arch:zen3"], &["arch:zen2"], &[]];
        let entries: Vec<(&Value, &str, &[&str])> = images
            .iter()
            .zip(features)
            .map(|(image, features)| (image, "amd64", features))
            .collect();
        self.index("1", &entries);
        images.to_vec()
    }

    /// Begins an upload and returns its path, to which [`with_query`] may add.
    #[must_use]
    pub fn start_upload(&self) -> String {
        let begun = self.call("POST", "blobs/uploads/").send().expect(202);
        let location = begun.header("location").to_owned();
        location
            .split_once(self.host)
            .map_or(location.clone(), |(_, path)| path.to_owned())
    }

    /// Pushes a blob.
    pub fn blob(&self, bytes: &[u8]) {
        let end = with_query(
            &self.start_upload(),
            &format!("digest={}", digest_of(bytes)),
        );
        call(self.host, "PUT", &end)
            .login(self.login)
            .header("Content-Type", "application/octet-stream")
            .body(bytes)
            .send()
            .expect(201);
    }

    /// Pushes a manifest or an index, whatever becomes of it.
    #[must_use]
    pub fn manifest(&self, reference: &str, media_type: &str, body: &[u8]) -> Answer {
        self.call("PUT", &format!("manifests/{reference}"))
            .header("Content-Type", media_type)
            .body(body)
            .send()
    }

    /// Pushes an image of one layer for an architecture of Linux, and returns its descriptor.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn image(&self, tag: &str, architecture: &str, layer: &[u8]) -> Value {
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Env": ["PATH=/usr/bin:/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [digest_of(layer)] },
            "history": [{ "created_by": "a test" }],
        });
        let config = serde_json::to_vec(&config).expect("it is plain JSON");
        self.blob(layer);
        self.blob(&config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, layer)],
        });
        let manifest = serde_json::to_vec(&manifest).expect("it is plain JSON");
        self.manifest(tag, MANIFEST, &manifest).expect(201);
        descriptor(MANIFEST, &manifest)
    }

    /// Pushes an index of images, each with the features that it requires.
    ///
    /// # Panics
    /// When it is refused.
    pub fn index(&self, tag: &str, entries: &[(&Value, &str, &[&str])]) {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(image, architecture, features)| {
                let mut entry = (*image).clone();
                entry["platform"] =
                    json!({ "architecture": architecture, "os": "linux", "features": features });
                entry
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        let index = serde_json::to_vec(&index).expect("it is plain JSON");
        self.manifest(tag, INDEX, &index).expect(201);
    }
}

/// A descriptor of `bytes`.
#[must_use]
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

/// `location` with a further query parameter.
#[must_use]
pub fn with_query(location: &str, query: &str) -> String {
    format!(
        "{location}{}{query}",
        if location.contains('?') { '&' } else { '?' }
    )
}
