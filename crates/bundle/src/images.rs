//! Images in files of either form: an archive of an OCI image layout, or a folder. Manifests and
//! configurations are read one by one, so content that is not needed may be missing.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use metahub_oci::{Descriptor, Digest, Document, MAX_MANIFEST_BYTES};

use crate::folder::Folder;
use crate::read::verify;
use crate::stream::{ContentReader, Verified};
use crate::{Bundle, BundleError};

/// Images in a file or a folder. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ImageFiles(Form);

#[derive(Clone, Debug)]
enum Form {
    Archive(Bundle),
    Folder(Arc<Folder>),
}

impl ImageFiles {
    /// Opens the images at `path`: an archive of an OCI image layout, a folder of that form, or one
    /// as `skopeo copy --all IMAGE dir:FOLDER` writes it. Blocks.
    ///
    /// # Errors
    /// What cannot be read, or has another form.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let form = if path.is_dir() {
            Form::Folder(Arc::new(Folder::open(path)?))
        } else {
            Form::Archive(Bundle::open(path)?)
        };
        Ok(Self(form))
    }

    /// The images that are listed.
    #[must_use]
    pub fn entries(&self) -> &[Descriptor] {
        match &self.0 {
            Form::Archive(bundle) => bundle.entries(),
            Form::Folder(folder) => folder.entries(),
        }
    }

    /// The content that `descriptor` points to, verified; nothing if it is not there. Blocks.
    ///
    /// # Errors
    /// Content of more than `limit` bytes, of another size than the descriptor says or of another
    /// digest, and what cannot be read.
    pub fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Option<Bytes>, BundleError> {
        let digest = descriptor.digest();
        let bytes = match &self.0 {
            Form::Folder(folder) => folder.bytes(digest, limit)?,
            Form::Archive(bundle) => archived(bundle, digest, limit)?,
        };
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        if bytes.len() as u64 != descriptor.size() {
            return Err(BundleError::Size {
                digest: digest.clone(),
                expected: descriptor.size(),
                found: bytes.len() as u64,
            });
        }
        verify(digest, Digest::of(digest.algorithm(), &bytes))?;
        Ok(Some(bytes))
    }

    /// The content that `descriptor` points to as a stream, which ends with an error where its
    /// bytes have another digest or size; nothing if it is not there. Blocks.
    ///
    /// # Errors
    /// What cannot be opened.
    pub fn reader(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Box<dyn Read + Send>>, BundleError> {
        let digest = descriptor.digest();
        let content: Box<dyn Read + Send> = match &self.0 {
            Form::Folder(folder) => match folder.file(digest)? {
                Some(file) => Box::new(file),
                None => return Ok(None),
            },
            Form::Archive(bundle) => match bundle.content(digest) {
                Some(content) => Box::new(ContentReader::new(content)),
                None => return Ok(None),
            },
        };
        Ok(Some(Box::new(Verified::new(content, descriptor))))
    }

    /// The manifest or index that `descriptor` points to, verified; nothing if it is not there.
    /// Blocks.
    ///
    /// # Errors
    /// As [`ImageFiles::bytes`], and what is no manifest.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Option<Document>, BundleError> {
        let Some(bytes) = self.bytes(descriptor, MAX_MANIFEST_BYTES as u64)? else {
            return Ok(None);
        };
        let digest = descriptor.digest().clone();
        Document::parse_as(bytes, digest.clone(), Some(descriptor.media_type()))
            .map(Some)
            .map_err(|source| BundleError::Document { digest, source })
    }
}

fn archived(bundle: &Bundle, digest: &Digest, limit: u64) -> Result<Option<Bytes>, BundleError> {
    let Some(mut content) = bundle.content(digest) else {
        return Ok(None);
    };
    if content.size() > limit {
        let size = content.size();
        return Err(bundle.malformed(format!(
            "{digest} has {size} bytes: at most {limit} are read of such content"
        )));
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = content.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

    fn document() -> Document {
        Document::parse(Bytes::from_static(MANIFEST.as_bytes()), None).unwrap()
    }

    /// A layout of the manifest and, under its configuration's digest, `config`.
    fn layout(config: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(folder.path().join("oci-layout"), crate::LAYOUT).unwrap();
        let document = document();
        fs::write(blobs.join(document.digest().hex()), MANIFEST).unwrap();
        let Document::Manifest(manifest) = &document else {
            panic!()
        };
        fs::write(
            blobs.join(manifest.config().unwrap().digest().hex()),
            config,
        )
        .unwrap();
        let entry = serde_json::Value::Object(document.descriptor().as_json().clone());
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        folder
    }

    fn config_of(files: &ImageFiles) -> Result<Option<Bytes>, BundleError> {
        let document = files.document(&files.entries()[0])?.unwrap();
        let Document::Manifest(manifest) = &document else {
            panic!()
        };
        files.bytes(manifest.config().unwrap(), 1000)
    }

    #[test]
    fn a_layout_and_a_plain_folder_give_the_same() {
        let layout = layout("{}");
        let plain = tempfile::tempdir().unwrap();
        fs::write(plain.path().join("manifest.json"), MANIFEST).unwrap();
        let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        fs::write(plain.path().join(hex), "{}").unwrap();
        for folder in [&layout, &plain] {
            let files = ImageFiles::open(folder.path()).unwrap();
            assert_eq!(files.entries().len(), 1);
            assert_eq!(files.entries()[0].digest(), document().digest());
            assert_eq!(config_of(&files).unwrap().unwrap(), "{}");
        }
        fs::remove_file(plain.path().join(hex)).unwrap();
        let files = ImageFiles::open(plain.path()).unwrap();
        assert!(config_of(&files).unwrap().is_none(), "it may be missing");
    }

    #[test]
    fn content_that_is_not_what_it_is_called_is_refused() {
        for (config, told) in [("[]", "hashes to"), ("{} ", "3 bytes instead of 2")] {
            let folder = layout(config);
            let files = ImageFiles::open(folder.path()).unwrap();
            let error = config_of(&files).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let folder = layout("{}");
        let files = ImageFiles::open(folder.path()).unwrap();
        let error = files
            .bytes(&files.entries()[0], 10)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at most 10 bytes"), "{error}");
    }

    #[test]
    fn a_folder_of_another_form_says_what_is_expected() {
        let folder = tempfile::tempdir().unwrap();
        let error = ImageFiles::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("oci-layout") && error.contains("manifest.json"),
            "{error}"
        );
        fs::create_dir(folder.path().join("manifest.json")).unwrap();
        let error = ImageFiles::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("expected a plain file"), "{error}");
    }
}
