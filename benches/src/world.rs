//! The servers of a comparison, side by side and idle until it is their turn, and the same
//! content in each: one image under `bench/app:latest` whose layers are small blobs and a large
//! one.

use std::path::{Path, PathBuf};

use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST};
use miette::{IntoDiagnostic as _, Result, WrapErr as _, miette};
use serde_json::{Value, json};

use crate::content::{Content, Material};
use crate::peer::{Kind, Peer, Place};
use crate::plan::Plan;

/// Where the content is.
pub(crate) const REPOSITORY: &str = "bench/app";
/// Of one mebibyte each: more than a processor's second-level cache holds.
const SMALL: u64 = 16;
const MEBIBYTE: usize = 1 << 20;

/// Servers with the same content.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) peers: Vec<Peer>,
    /// The path of the manifest by tag.
    pub(crate) manifest: String,
    /// Its size in bytes.
    pub(crate) manifest_size: usize,
    /// The paths of the blobs of 1 MiB.
    pub(crate) small: Vec<String>,
    /// The path of the blob of 100 MiB.
    pub(crate) large: String,
}

/// The content itself.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    small: Vec<Content<'a>>,
    large: Content<'a>,
    manifest: Vec<u8>,
}

impl<'a> Image<'a> {
    pub(crate) fn new(material: &'a Material) -> Result<Self> {
        let one = material.content(MEBIBYTE, 0);
        let small: Vec<_> = (0..SMALL).map(|seed| one.another(seed)).collect();
        let large = material.content(100 * MEBIBYTE, 0);
        let layers: Vec<_> = small.iter().take(7).chain([&large]).collect();
        let manifest = manifest(&config(), &layers)?;
        Ok(Self {
            small,
            large,
            manifest,
        })
    }

    /// Puts it into a server.
    pub(crate) fn fill(&self, peer: &Peer) -> Result<()> {
        let blobs = self.small.iter().chain([&self.large]);
        fill(peer, REPOSITORY, "latest", &config(), &self.manifest, blobs)
    }
}

impl World {
    /// Starts every server that is installed and fills it.
    pub(crate) fn start(plan: &Plan, material: &Material) -> Result<Self> {
        let image = Image::new(material)?;
        let peers = start_all(plan, "world", &Kind::ALL)?;
        peers.iter().try_for_each(|peer| image.fill(peer))?;
        let path = |blob: &Content<'_>| blob_path(REPOSITORY, &blob.digest());
        Ok(Self {
            peers,
            manifest: format!("/v2/{REPOSITORY}/manifests/latest"),
            manifest_size: image.manifest.len(),
            small: image.small.iter().map(path).collect(),
            large: path(&image.large),
        })
    }
}

/// Starts those of `kinds` that are installed, each in a fresh folder below `name`.
pub(crate) fn start_all(plan: &Plan, name: &str, kinds: &[Kind]) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (kind, program) in plan
        .programs
        .iter()
        .filter(|(kind, _)| kinds.contains(kind))
    {
        let folder = plan.folder.join(name).join(kind.name());
        peers.push(start_one(plan, *kind, program, &folder)?);
    }
    Ok(peers)
}

/// Starts one server in a folder, which is made if it is missing.
pub(crate) fn start_one(plan: &Plan, kind: Kind, program: &Path, folder: &Path) -> Result<Peer> {
    std::fs::create_dir_all(folder).into_diagnostic()?;
    let certificate = plan.certificate.as_ref();
    kind.start(
        program,
        Place {
            cores: plan.cores,
            folder,
            certificate,
        },
    )
}

/// The path of a blob.
pub(crate) fn blob_path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// Puts an image into a server: through its API, or as files where it only serves files.
pub(crate) fn fill<'a>(
    peer: &Peer,
    repository: &str,
    tag: &str,
    config: &[u8],
    manifest: &[u8],
    blobs: impl IntoIterator<Item = &'a Content<'a>>,
) -> Result<()> {
    if peer.is_registry() {
        let mut client = peer.connect(repository)?;
        client.push_bytes(repository, config)?;
        for blob in blobs {
            client.push(repository, blob)?;
        }
        return peer.put_manifest(&mut client, repository, tag, manifest);
    }
    let root = peer.content.join("v2").join(repository);
    write(&root.join("manifests").join(tag), [manifest])?;
    for blob in blobs {
        write(&root.join("blobs").join(blob.digest()), blob.slices())?;
    }
    Ok(())
}

fn write<'a>(file: &Path, slices: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
    use std::io::Write as _;
    let write = || {
        let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
        std::fs::create_dir_all::<PathBuf>(folder)?;
        let mut open = std::fs::File::create(file)?;
        slices
            .into_iter()
            .try_for_each(|slice| open.write_all(slice))
    };
    write()
        .into_diagnostic()
        .wrap_err_with(|| file.display().to_string())
}

/// The configuration of the image; nobody runs it.
pub(crate) fn config() -> Vec<u8> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    config.to_string().into_bytes()
}

/// A manifest, laid out as Docker and its kin do.
pub(crate) fn manifest(config: &[u8], layers: &[&Content<'_>]) -> Result<Vec<u8>> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| json!({ "mediaType": LAYER, "digest": layer.digest(), "size": layer.size() }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": metahub_e2e::pusher::descriptor(CONFIG, config),
        "layers": layers,
    });
    serde_json::to_vec_pretty(&manifest).map_err(|error| miette!("{error}"))
}
