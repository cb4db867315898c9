//! Sources that are refused: what leads out of the layer, hostile archives, truncated ones.

use std::os::unix::fs::symlink;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::{Made, build, file, folder, refused, written};

#[test]
fn what_leads_out_or_is_no_file_is_refused_by_its_path() {
    for (target, refused_as) in [
        ("../secret", "leads out of the layer"),
        ("sub/../../secret", "leads out of the layer"),
        ("/../secret", "leads out of the layer"),
    ] {
        let folder = folder(&[("a/link".to_owned(), Made::Folder(0o755))]);
        symlink(target, folder.path().join("link")).unwrap();
        let said = refused(folder.path());
        assert!(
            said.contains("'link'") && said.contains(refused_as),
            "{said}"
        );
    }
    // What stays inside is a link like any other.
    let inside = folder(&[
        file("a/b", "x"),
        ("c/l".to_owned(), Made::Symlink("../a/b".to_owned())),
    ]);
    assert_eq!(build(inside.path()).built.entries, 4);
    // One that names the folder on this machine is a mistake.
    let here = folder(&[file("a", "x")]);
    symlink(here.path().join("a"), here.path().join("b")).unwrap();
    assert!(refused(here.path()).contains("on this machine"));

    let socket = folder(&[file("a", "x")]);
    let _listener = std::os::unix::net::UnixListener::bind(socket.path().join("s")).unwrap();
    assert!(refused(socket.path()).contains("'s' is a socket"));
    let whiteout = folder(&[file("sub/.wh.gone", "")]);
    assert!(refused(whiteout.path()).contains("removes a file of the image below"));
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("is empty"));
    assert!(refused(Path::new("/dev/null")).contains("neither a folder nor a tar file"));
    assert!(refused(Path::new("/nowhere/at/all")).contains("No such file"));
}

/// Name, type, target and content of an entry.
type RawEntry<'a> = (&'a str, u8, &'a str, &'a [u8]);

/// A tar file with headers as they are given.
fn raw(entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, link, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(EntryType::new(*kind));
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn hostile_archives_are_refused_by_what_is_wrong_with_them() {
    let cases: &[(&[RawEntry<'_>], &str)] = &[
        (&[("../out", b'0', "", b"x")], "leads out of the layer"),
        (&[("a/../../out", b'0', "", b"x")], "leads out of the layer"),
        (
            &[("a", b'2', "../../etc/passwd", b"")],
            "leads out of the layer",
        ),
        (&[("dev/null", b'3', "", b"")], "a device"),
        (&[("dev/sda", b'4', "", b"")], "a device"),
        (&[("pipe", b'6', "", b"")], "a named pipe"),
        (
            &[("a", b'1', "/etc/passwd", b"")],
            "which is no file of the layer",
        ),
        (
            &[("a", b'1', "b", b""), ("b", b'1', "a", b"")],
            "which is no file of the layer",
        ),
        (&[("a", b'1', "../x", b"")], "leads out of the layer"),
        (
            &[("a", b'2', "b", b""), ("a/x", b'0', "", b"y")],
            "no folder",
        ),
        (
            &[("a", b'0', "", b"x"), ("a", b'0', "", b"y")],
            "is there twice",
        ),
        (
            &[("a", b'0', "", b"x"), ("./a", b'2', "b", b"")],
            "is there twice",
        ),
        (&[(".", b'0', "", b"x")], "is no folder"),
        (&[("a", b'2', "", b"")], "to nothing"),
        (&[("a", b'M', "", b"")], "is of the type"),
        (&[], "is empty"),
    ];
    for (entries, expected) in cases {
        let (_folder, file) = written(&raw(entries));
        let said = refused(&file);
        assert!(said.contains(expected), "{entries:?}: {said}");
    }
    // An absolute name is the same in a layer, whose root is `/`.
    let (_one, absolute) = written(&raw(&[("/opt/x", b'0', "", b"x")]));
    let (_two, relative) = written(&raw(&[("opt/x", b'0', "", b"x")]));
    assert_eq!(build(&absolute).built, build(&relative).built);
}

#[test]
fn a_file_of_two_names_is_the_same_layer_whichever_name_is_the_link() {
    let digests = [("a", "z"), ("z", "a")].map(|(file, link)| {
        let entries: &[RawEntry<'_>] = &[(file, b'0', "", b"x"), (link, b'1', file, b"")];
        let (_folder, path) = written(&raw(entries));
        build(&path).built.digest
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_name_of_megabytes_and_too_many_paths_end_at_a_bound() {
    // A long name of 64 MiB, before any entry of that name.
    let long = vec![b'n'; 64 * 1024 * 1024];
    let (_folder, file) = written(&raw(&[
        ("././@LongLink", b'L', "", &long),
        ("a", b'0', "", b"x"),
    ]));
    let said = refused(&file);
    assert!(said.contains("is no tar file"), "{said}");
    // Paths that share nothing, each with a thousand folders that lead to it: 2 GB of names in all.
    let mut tar = Builder::new(Vec::new());
    for number in 0..1000 {
        let path = format!("{number:04}{}", "/x".repeat(2000));
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let (_folder, file) = written(&tar.into_inner().unwrap());
    let said = refused(&file);
    assert!(said.contains("has paths of more than"), "{said}");
}

#[test]
fn what_is_no_archive_or_breaks_off_is_refused() {
    let whole = raw(&[("a", b'0', "", &[7; 4000])]);
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (
            b"just some text, which is no archive at all",
            "is no tar file",
        ),
        (&whole[..2000], "a"),
        (&[0x1f, 0x8b, 8, 0, 1, 2, 3][..], "cannot read"),
        (&[0x28, 0xb5, 0x2f, 0xfd, 9, 9][..], "cannot read"),
    ] {
        let (_folder, file) = written(bytes);
        let said = refused(&file);
        assert!(said.contains(expected), "{said}");
    }
    let mut tar = Builder::new(Vec::new());
    let name = "SCHILY.xattr.security.capability";
    tar.append_pax_extensions([(name, &b"x"[..])]).unwrap();
    let mut header = Header::new_gnu();
    header.set_size(0);
    tar.append_data(&mut header, "ping", &b""[..]).unwrap();
    let (_folder, file) = written(&tar.into_inner().unwrap());
    assert!(refused(&file).contains("'ping' was packed with --xattrs"));
}
