//! The layers of an open image, each read as often as is asked for, and verified.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use metahub_bundle::{Bundle, ContentReader, DockerArchive};
use metahub_oci::{Descriptor, Digest, Hasher};
use metahub_store::OpenBlob;

/// A layer, or why there is none.
pub(crate) struct OpenLayer {
    pub(crate) name: String,
    /// By which it is verified. Archives of `docker save` have none, and what a store holds was
    /// verified when it came.
    pub(crate) digest: Option<Digest>,
    pub(crate) source: Result<LayerSource, String>,
}

/// Where the bytes of a layer come from, as often as they are asked for.
pub(crate) enum LayerSource {
    Blob(OpenBlob),
    File(PathBuf),
    Bundle(Bundle, Digest),
    Docker(Arc<DockerArchive>, String),
}

impl LayerSource {
    pub(crate) fn reader(&self) -> Result<Box<dyn Read + Send>, String> {
        match self {
            Self::Blob(blob) => Ok(Box::new(blob.reader())),
            Self::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(format!("it cannot be opened: {error}")),
            },
            Self::Bundle(bundle, digest) => match bundle.content(digest) {
                Some(content) => Ok(Box::new(ContentReader::new(content))),
                None => Err("it is not in the archive".to_owned()),
            },
            Self::Docker(archive, name) => match archive.reader(name) {
                Ok(reader) => Ok(Box::new(reader)),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl OpenLayer {
    /// Lets `read` have the layer, and reads on to its end, so that its digest is known.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut dyn Read) -> T) -> Result<T, String> {
        let source = self.source.as_ref().map_err(Clone::clone)?;
        let mut hashed = Hashed {
            reader: source.reader()?,
            hasher: self
                .digest
                .as_ref()
                .map(|digest| Hasher::new(digest.algorithm())),
        };
        let taken = read(&mut hashed);
        io::copy(&mut hashed, &mut io::sink()).map_err(|error| error.to_string())?;
        match (&self.digest, hashed.hasher.map(Hasher::finish)) {
            (Some(expected), Some(found)) if *expected != found => {
                Err(format!("its bytes have the digest {found}"))
            }
            _ => Ok(taken),
        }
    }

    pub(crate) fn new(layer: &Descriptor, source: Result<LayerSource, String>) -> Self {
        Self {
            name: layer.digest().to_string(),
            digest: Some(layer.digest().clone()),
            source,
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
