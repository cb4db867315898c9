//! Archives that were made to do harm, and archives that are merely odd.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::PathBuf;

use metahub_bundle::{Bundle, BundleError};
use metahub_oci::{Descriptor, Digest, MediaType};
use tar::{Builder, EntryType, Header};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

/// A tar file being made, entry by entry, of whatever names and kinds.
struct Made {
    folder: tempfile::TempDir,
    tar: Builder<Vec<u8>>,
}

impl Made {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            tar: Builder::new(Vec::new()),
        }
    }

    fn add(mut self, name: &str, kind: EntryType, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.add(name, EntryType::Regular, content)
    }

    fn whole(self) -> Self {
        self.file("oci-layout", LAYOUT).file("index.json", INDEX)
    }

    fn open(self) -> Result<Bundle, String> {
        let path: PathBuf = self.folder.path().join("made.tar");
        std::fs::write(&path, self.tar.into_inner().unwrap()).unwrap();
        Bundle::open(&path).map_err(|error| error.to_string())
    }
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::sha256(content).hex())
}

#[test]
fn links_devices_and_paths_that_lead_out_are_refused_wherever_they_stand() {
    let refused = |name: &str, kind: EntryType| {
        let made = Made::new().whole().add(name, kind, b"");
        made.open().expect_err(name)
    };
    for name in [
        "/etc/passwd",
        "../up",
        "blobs/../../up",
        "blobs/sha256/../x",
    ] {
        let error = refused(name, EntryType::Regular);
        assert!(error.contains("leads out"), "{name}: {error}");
        assert!(
            refused(name, EntryType::Directory).contains("leads out"),
            "{name}"
        );
    }
    for kind in [
        EntryType::Link,
        EntryType::Symlink,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
    ] {
        // A sparse file with a header of a plain one is malformed already.
        let error = refused("harmless", kind);
        assert!(error.contains("no bundle"), "{kind:?}: {error}");
    }
}

#[test]
fn a_part_that_stands_twice_is_missing_or_is_too_large_is_refused() {
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    for (made, why) in [
        (Made::new().whole().file("index.json", INDEX), "twice"),
        (Made::new().whole().file("./oci-layout", LAYOUT), "twice"),
        (
            Made::new()
                .whole()
                .file(&blob(b"x"), b"x")
                .file(&blob(b"x"), b"x"),
            "twice",
        ),
        (Made::new().file("oci-layout", LAYOUT), "no file index.json"),
        (Made::new().file("index.json", INDEX), "no file oci-layout"),
        (
            Made::new()
                .file("oci-layout", LAYOUT)
                .file("index.json", &large),
            "at most",
        ),
        (
            Made::new()
                .file("oci-layout", &large)
                .file("index.json", INDEX),
            "at most",
        ),
        (
            Made::new()
                .file("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#)
                .file("index.json", INDEX),
            "version 1",
        ),
        (
            Made::new()
                .file("oci-layout", LAYOUT)
                .file("index.json", b"[]"),
            "index.json",
        ),
    ] {
        let error = made.open().expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_name_that_takes_megabytes_is_refused_before_it_is_read_whole() {
    let long = vec![b'a'; 8 * 1024 * 1024];
    let made = Made::new().add("././@LongLink", EntryType::GNULongName, &long);
    let error = made.whole().open().unwrap_err();
    assert!(error.contains("takes more than"), "{error}");
}

#[test]
fn what_is_no_part_of_a_layout_is_passed_over_and_order_does_not_matter() {
    let made = Made::new()
        .file("manifest.json", b"[]")
        .add("blobs/", EntryType::Directory, b"")
        .file("index.json", INDEX)
        .file(&format!("./{}", blob(b"x")), b"x")
        .file("oci-layout", LAYOUT);
    let bundle = made.open().unwrap();
    assert!(bundle.entries().is_empty());
    assert_eq!(bundle.contents(), [(Digest::sha256(b"x"), 1)]);
}

#[test]
fn content_that_is_not_what_it_is_called_is_found_out_at_its_end() {
    let name = blob(b"right");
    let bundle = Made::new().whole().file(&name, b"wrong").open().unwrap();
    let digest = Digest::sha256(b"right");
    let mut content = bundle.content(&digest).unwrap();
    assert!(content.next_chunk().unwrap().is_some());
    let end = content.next_chunk();
    assert!(matches!(end, Err(BundleError::Mismatch { .. })), "{end:?}");
    let manifest = Descriptor::new(MediaType::oci_manifest(), digest.clone(), 5);
    let document = bundle.document(&manifest);
    assert!(matches!(document, Err(BundleError::Mismatch { .. })));
    let longer = Descriptor::new(MediaType::oci_manifest(), digest, 6);
    let document = bundle.document(&longer);
    assert!(matches!(document, Err(BundleError::Size { .. })));
}
