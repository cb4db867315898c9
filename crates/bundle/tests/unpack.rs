//! Layers that are unpacked: what upper ones do to lower ones, and what hostile ones try.
#![allow(clippy::unwrap_used, reason = "a test, which fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use metahub_bundle::{UnpackError, UnpackLimits, Unpacked};
use tar::{Builder, EntryType, Header};

/// A layer of entries: a name, what it is, its content or where it leads.
fn layer(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = Header::new_ustar();
        let links = matches!(kind, EntryType::Link | EntryType::Symlink);
        // Not by the setters, which refuse what is tried here.
        for (place, byte) in header.as_old_mut().name.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        if links {
            for (place, byte) in header.as_old_mut().linkname.iter_mut().zip(text.bytes()) {
                *place = byte;
            }
        }
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        let content = if links { "" } else { text };
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn unpack(root: &Path, layers: &[&[(&str, EntryType, &str)]]) -> Result<(), UnpackError> {
    let limits = UnpackLimits {
        bytes: 1 << 20,
        entries: 100,
    };
    let mut unpacked = Unpacked::new(root.to_owned(), limits);
    layers
        .iter()
        .try_for_each(|entries| unpacked.add_layer(layer(entries).as_slice()))
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

#[test]
fn upper_layers_replace_remove_and_follow_links() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    unpack(
        root,
        &[
            &[
                ("usr/lib/a", FILE, "one"),
                ("lib", SYMLINK, "usr/lib"),
                ("etc/gone", FILE, "x"),
                ("etc/stays", FILE, "x"),
                ("opt/old", FILE, "x"),
                ("bin/sh", FILE, "shell"),
                ("dev/null", EntryType::Char, ""),
            ],
            &[
                ("lib/b", FILE, "two"),
                ("etc/.wh.gone", FILE, ""),
                ("opt/.wh..wh..opq", FILE, ""),
                ("opt/new", FILE, "y"),
                ("bin/ash", LINK, "bin/sh"),
                // It is about lower layers only.
                ("new", FILE, "z"),
                (".wh.new", FILE, ""),
                ("etc/stays", FOLDER, ""),
            ],
        ],
    )
    .unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    assert_eq!(
        (read("usr/lib/a"), read("usr/lib/b")),
        ("one".into(), "two".into())
    );
    assert_eq!(
        (read("opt/new"), read("bin/ash"), read("new")),
        ("y".into(), "shell".into(), "z".into())
    );
    for gone in ["etc/gone", "opt/old", "dev/null"] {
        assert!(fs::symlink_metadata(root.join(gone)).is_err(), "{gone}");
    }
    assert!(root.join("etc/stays").is_dir());
    // Nothing runs with the rights of its owner.
    let mode = fs::metadata(root.join("bin/sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn nothing_is_written_outside_whatever_a_layer_holds() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let path = outside.to_str().unwrap();
    let hostile: [&[(&str, EntryType, &str)]; 9] = [
        &[("../outside/a", FILE, "x")],
        &[("a/../../outside/a", FILE, "x")],
        &[("link", SYMLINK, path), ("link/a", FILE, "x")],
        &[("link", SYMLINK, "../outside"), ("link/a", FILE, "x")],
        &[("link", SYMLINK, path), ("link/.wh.secret", FILE, "")],
        &[("link", SYMLINK, path), ("link/.wh..wh..opq", FILE, "")],
        &[("hard", LINK, "../outside/secret")],
        &[("link", SYMLINK, path), ("hard", LINK, "link/secret")],
        &[("circle", SYMLINK, "circle"), ("circle/a", FILE, "x")],
    ];
    for (number, entries) in hostile.into_iter().enumerate() {
        let root = folder.path().join(format!("root{number}"));
        fs::create_dir(&root).unwrap();
        let _ = unpack(&root, &[entries]);
        let names: Vec<_> = fs::read_dir(&outside)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"], "{entries:?}");
        assert!(fs::metadata(root.join("hard")).is_err(), "{entries:?}");
        assert_eq!(
            fs::read_to_string(outside.join("secret")).unwrap(),
            "secret"
        );
    }
}

#[test]
fn what_is_too_long_or_too_many_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(2 << 20);
    assert!(unpack(folder.path(), &[&[("long", FILE, &long)]]).is_err());
    let many: Vec<(&str, EntryType, &str)> = vec![("a", FOLDER, ""); 101];
    let refused = unpack(folder.path(), &[&many]).unwrap_err();
    assert!(matches!(refused, UnpackError::TooMany(100)), "{refused}");
    // A file with a hole that is longer than all that is taken.
    let mut header = Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.realsize.copy_from_slice(b"00400000000\0");
    let cksum = |header: &mut Header| header.set_cksum();
    cksum(&mut header);
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, &[][..]).unwrap();
    let archive = archive.into_inner().unwrap();
    let limits = UnpackLimits {
        bytes: 1 << 20,
        entries: 100,
    };
    let refused = Unpacked::new(folder.path().to_owned(), limits).add_layer(archive.as_slice());
    assert!(refused.is_err());
}
