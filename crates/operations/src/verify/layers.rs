//! What layers need; each layer is read once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use metahub_inspect::{ImageNeeds, LayerNeeds, LayerReader, Limits};
use metahub_oci::Digest;

use super::images::{FoundImage, Images, LayerStream};

/// Most layers whose needs are remembered.
const REMEMBERED: usize = 200;

/// The layers that were read.
#[derive(Default)]
pub(super) struct Layers {
    known: HashMap<Digest, Arc<LayerNeeds>>,
    reader: LayerReader,
    bytes: u64,
}

impl Layers {
    /// Bytes of layers that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What an image needs. An unreadable layer makes it unknown.
    pub(super) async fn needs(&mut self, images: &Images, image: &FoundImage) -> ImageNeeds {
        let mut all = Vec::new();
        for layer in image.manifest.layers() {
            let digest = layer.digest();
            let needs = match self.known.get(digest) {
                Some(known) => Arc::clone(known),
                None => match images.layer(image, layer).await {
                    Ok(stream) => self.read(digest, stream).await,
                    // Another image's registry may have it.
                    Err(why) => Arc::new(LayerNeeds::unread(why)),
                },
            };
            all.push((digest.to_string(), needs));
        }
        ImageNeeds::of(all.iter().map(|(name, needs)| (name.as_str(), &**needs)))
    }

    async fn read(&mut self, digest: &Digest, stream: LayerStream) -> Arc<LayerNeeds> {
        let mut reader = std::mem::take(&mut self.reader);
        let work = move || {
            let mut stream = Counted {
                source: stream,
                bytes: 0,
            };
            let needs = reader.read(&mut stream);
            // To its end, where it is verified.
            let needs = match io::copy(&mut stream, &mut io::sink()) {
                Ok(_) => needs,
                Err(error) => LayerNeeds::unread(error.to_string()),
            };
            (reader, needs, stream.bytes)
        };
        let (reader, needs, bytes) = match tokio::task::spawn_blocking(work).await {
            Ok(read) => read,
            Err(_) => (
                LayerReader::new(Limits::default()),
                LayerNeeds::unread("reading it was stopped"),
                0,
            ),
        };
        self.reader = reader;
        self.bytes += bytes;
        let needs = Arc::new(needs);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        // What could not be read may be readable elsewhere.
        if needs.problems().is_empty() {
            self.known.insert(digest.clone(), Arc::clone(&needs));
        }
        needs
    }
}

/// A stream whose bytes are counted.
struct Counted {
    source: LayerStream,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}
