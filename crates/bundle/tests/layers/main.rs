//! Layers of folders and tar files: the same content makes the same bytes, and what has no place
//! in a layer is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use metahub_bundle::{
    Bundle, Compression, LayerFile, LayerImage, LayerSettings, write_layout, write_layout_archive,
};
use metahub_oci::{Digest, Platform};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Made {
    Folder(u32),
    File(u32, Vec<u8>),
    Symlink(String),
    Hardlink(String),
}

type MadeEntry = (String, Made);

fn build(source: &Path) -> LayerFile {
    LayerFile::build(source, &LayerSettings::default()).unwrap()
}

fn refused(source: &Path) -> String {
    let built = LayerFile::build(source, &LayerSettings::default());
    built.unwrap_err().to_string()
}

/// Writes entries into a folder, in the order given; parents are made as they are needed.
fn folder(entries: &[MadeEntry]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for (path, made) in entries {
        let parent = at(path).parent().unwrap().to_owned();
        fs::create_dir_all(&parent).unwrap();
        match made {
            Made::Folder(_) => fs::create_dir_all(at(path)).unwrap(),
            Made::File(_, content) => fs::write(at(path), content).unwrap(),
            Made::Symlink(target) => symlink(target, at(path)).unwrap(),
            Made::Hardlink(target) => fs::hard_link(at(target), at(path)).unwrap(),
        }
    }
    // Last, since a folder may not be writable.
    let mut folders: BTreeMap<PathBuf, u32> = BTreeMap::new();
    for (path, made) in entries {
        for parent in Path::new(path).ancestors().skip(1) {
            folders.entry(parent.to_owned()).or_insert(0o755);
        }
        match made {
            Made::Folder(mode) => drop(folders.insert(path.into(), *mode)),
            Made::File(mode, _) => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).unwrap();
            }
            _ => {}
        }
    }
    folders.remove(Path::new(""));
    for (path, mode) in folders {
        let path = folder.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

/// The same as a tar file, with other times and owners.
fn tar(entries: &[MadeEntry], mtime: u64) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, made) in entries {
        let mut header = Header::new_gnu();
        header.set_mtime(mtime);
        header.set_uid(1234);
        header.set_gid(100);
        header.set_size(0);
        header.set_mode(0o777);
        match made {
            Made::Folder(mode) => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                let path = format!("./{path}/");
                tar.append_data(&mut header, path, &b""[..]).unwrap();
            }
            Made::File(mode, content) => {
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, &content[..]).unwrap();
            }
            Made::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                // `append_link` would write short targets otherwise than they are.
                if header.set_link_name_literal(target).is_ok() {
                    tar.append_data(&mut header, path, &b""[..]).unwrap();
                } else {
                    tar.append_link(&mut header, path, target).unwrap();
                }
            }
            Made::Hardlink(target) => {
                header.set_entry_type(EntryType::Link);
                tar.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar");
    fs::write(&file, bytes).unwrap();
    (folder, file)
}

/// Trees of up to three levels with files, links and long names; no entry is below a file.
fn trees() -> impl Strategy<Value = Vec<MadeEntry>> {
    let name = prop_oneof![
        "[a-c]",
        "[a-c][-.+][a-c]",
        Just("ü".to_owned()),
        Just("n".repeat(120)),
    ];
    let mode = prop_oneof![
        Just(0o644),
        Just(0o755),
        Just(0o600),
        Just(0o4755),
        Just(0o1777)
    ];
    let content = prop::collection::vec(any::<u8>(), 0..600);
    let file = (mode, content).prop_map(|(mode, content)| Made::File(mode, content));
    let leaf = prop_oneof![
        4 => file,
        1 => prop_oneof![Just(0o755), Just(0o700), Just(0o1777)].prop_map(Made::Folder),
        1 => prop_oneof![Just("/usr/bin/env".to_owned()), Just("x//y".to_owned()), Just("t".repeat(130))]
            .prop_map(Made::Symlink),
    ];
    let path = prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let tree = prop::collection::btree_map(path, leaf, 1..12);
    (tree, any::<bool>()).prop_map(|(tree, linked)| {
        let mut entries: Vec<MadeEntry> = Vec::new();
        for (path, made) in tree {
            // A path below a file or a link would be another tree.
            let below = entries.iter().any(|(other, made)| {
                let folder = matches!(made, Made::Folder(_));
                !folder && path.starts_with(&format!("{other}/"))
            });
            let taken = entries
                .iter()
                .any(|(other, _)| other.starts_with(&format!("{path}/")));
            if !below && !taken {
                entries.push((path, made));
            }
        }
        let first = entries
            .iter()
            .find(|(_, made)| matches!(made, Made::File(..)))
            .map(|(path, _)| path.clone());
        if let Some(first) = first.filter(|_| linked) {
            entries.push(("0-link".to_owned(), Made::Hardlink(first.clone())));
            entries.push(("z-link".to_owned(), Made::Hardlink(first)));
        }
        entries
    })
}

/// The entries in another order, in which hard links come after what they name.
fn other_order(entries: &[MadeEntry]) -> Vec<MadeEntry> {
    let mut other: Vec<MadeEntry> = entries.iter().rev().cloned().collect();
    other.sort_by_key(|(_, made)| matches!(made, Made::Hardlink(_)));
    other
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_content_makes_one_digest(entries in trees(), mtime in 1_u64..2_000_000_000) {
        let first = folder(&entries);
        let built = build(first.path());
        let second = folder(&other_order(&entries));
        prop_assert_eq!(&built.built, &build(second.path()).built, "another order");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime);
        for (path, made) in &entries {
            if !matches!(made, Made::Symlink(_)) {
                let file = fs::File::open(first.path().join(path)).unwrap();
                file.set_modified(time).unwrap();
            }
        }
        prop_assert_eq!(&built.built, &build(first.path()).built, "another time");
        let plain = tar(&entries, mtime);
        let (_folder, file) = written(&plain);
        prop_assert_eq!(&built.built, &build(&file).built, "a tar file");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &plain).unwrap();
        let zstd = zstd::encode_all(&*plain, 1).unwrap();
        for bytes in [gzip.finish().unwrap(), zstd] {
            let (_folder, file) = written(&bytes);
            prop_assert_eq!(&built.built, &build(&file).built, "compressed");
        }
    }

    #[test]
    fn a_layer_unpacks_to_its_folder(entries in trees()) {
        let folder = folder(&entries);
        let layer = build(folder.path());
        let mut tar = tar::Archive::new(GzDecoder::new(layer.open().unwrap()));
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            let real = folder.path().join(&path);
            let metadata = fs::symlink_metadata(&real).unwrap();
            let header = entry.header().clone();
            prop_assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            prop_assert_eq!(header.mtime().unwrap(), 0);
            match header.entry_type() {
                EntryType::Symlink => {
                    let target = fs::read_link(&real).unwrap();
                    let found = entry.link_name().unwrap().unwrap();
                    prop_assert_eq!(found.as_os_str(), target.as_os_str());
                }
                EntryType::Link => {
                    let first = folder.path().join(entry.link_name().unwrap().unwrap());
                    prop_assert_eq!(fs::read(first).unwrap(), fs::read(&real).unwrap());
                }
                kind => {
                    let mode = metadata.permissions().mode() & 0o7777;
                    prop_assert_eq!(header.mode().unwrap(), mode);
                    prop_assert_eq!(kind == EntryType::Directory, metadata.is_dir());
                    if metadata.is_file() {
                        let mut content = Vec::new();
                        entry.read_to_end(&mut content).unwrap();
                        prop_assert_eq!(content, fs::read(&real).unwrap());
                    }
                }
            }
            seen.push(path.to_string_lossy().trim_end_matches('/').to_owned());
        }
        prop_assert_eq!(seen.len(), layer.built.entries);
        for (path, _) in &entries {
            prop_assert!(seen.contains(path), "{} is missing", path);
        }
    }
}

fn file(path: &str, content: &str) -> MadeEntry {
    (
        path.to_owned(),
        Made::File(0o644, content.as_bytes().to_vec()),
    )
}

#[test]
fn digests_stay_what_they_are() {
    let folder = folder(&[
        (
            "opt/tool/run".to_owned(),
            Made::File(0o755, b"#!/bin/sh\n".to_vec()),
        ),
        file("etc/tool.conf", "a=1\n"),
        (
            "opt/tool/sh".to_owned(),
            Made::Symlink("/bin/sh".to_owned()),
        ),
    ]);
    let layer = build(folder.path());
    // If this changes, so does every layer image that a site has built.
    assert_eq!(layer.built.diff_id.as_str(), DIFF_ID);
    let bytes = fs::read(layer.path()).unwrap();
    assert_eq!(layer.built.digest, Digest::sha256(&bytes));
    assert_eq!(layer.built.size, bytes.len() as u64);
    let image = LayerImage::of(&layer.built, &[Platform::linux_amd64()]).unwrap();
    assert_eq!(image.root.digest().as_str(), IMAGE);
}

const DIFF_ID: &str = "sha256:2cc73ee43e94e2140117e1602ac03a83d2c44796e9eca9011b2369718fdb9d9a";
const IMAGE: &str = "sha256:856e4e525d61330a31793ef01cfcf41ad2d299b5ebfac54ecddf6a98b77f9b9c";

#[test]
fn settings_change_what_they_say() {
    let made = folder(&[
        ("run".to_owned(), Made::File(0o775, b"x".to_vec())),
        ("note".to_owned(), Made::File(0o640, b"y".to_vec())),
        ("sub".to_owned(), Made::Folder(0o2775)),
    ]);
    let settings = LayerSettings {
        compression: Compression::Zstd,
        mtime: 86_400,
        owner: (1000, 100),
        normal_modes: true,
    };
    let layer = LayerFile::build(made.path(), &settings).unwrap();
    assert!(layer.built.media_type().ends_with("tar+zstd"));
    let plain = zstd::decode_all(layer.open().unwrap()).unwrap();
    let mut tar = tar::Archive::new(&*plain);
    let mut modes = Vec::new();
    for entry in tar.entries().unwrap() {
        let header = entry.unwrap().header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1000, 100));
        assert_eq!(header.mtime().unwrap(), 86_400);
        modes.push(header.mode().unwrap());
    }
    assert_eq!(modes, [0o644, 0o755, 0o755]);
}

#[test]
fn layouts_hold_the_image_beside_others_and_are_read_again() {
    let made = folder(&[file("opt/note", "x")]);
    let layer = build(made.path());
    let platforms = ["linux/amd64", "linux/arm64"].map(|text| text.parse().unwrap());
    let image = LayerImage::of(&layer.built, &platforms).unwrap();
    let out = tempfile::tempdir().unwrap();
    let layout = out.path().join("layout");
    for name in ["site/a:1", "site/b:1", "site/a:1"] {
        write_layout(&layout, name, &image, &layer).unwrap();
    }
    let index = fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| &entry["annotations"]["org.opencontainers.image.ref.name"])
        .collect();
    assert_eq!(names, ["site/b:1", "site/a:1"]);
    assert_eq!(entries[0]["digest"], image.root.digest().as_str());
    // An index, two manifests, two configurations, one layer, and all are what they are called.
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let blobs: Vec<PathBuf> = blobs.map(|blob| blob.unwrap().path()).collect();
    assert_eq!(blobs.len(), 6);
    for blob in blobs {
        let found = Digest::sha256(&fs::read(&blob).unwrap());
        assert_eq!(found.hex(), blob.file_name().unwrap().to_str().unwrap());
    }
    // A damaged layer is written again.
    let path = layout.join("blobs/sha256").join(layer.built.digest.hex());
    fs::write(&path, "damaged").unwrap();
    write_layout(&layout, "site/a:1", &image, &layer).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(layer.path()).unwrap());

    let archive = out.path().join("layers.oci.tar");
    for _ in 0..2 {
        write_layout_archive(&archive, "site/a:1", &image, &layer).unwrap();
        let bundle = Bundle::open(&archive).unwrap();
        assert_eq!(bundle.entries().len(), 1);
        assert_eq!(bundle.size(&layer.built.digest), Some(layer.built.size));
    }

    // What is no layout stays as it is.
    let other = out.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "ten years of work").unwrap();
    let refused = write_layout(&other, "site/a:1", &image, &layer).unwrap_err();
    assert!(refused.to_string().contains("is no OCI image layout"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}
