//! Layers as a stranger makes them: what upper layers hide, and what was made to do harm. Memory
//! and work are bounded by counts, every answer comes with a finding, and nothing panics.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read, Write as _};

use metahub_inspect::{Image, ImageFacts, ImageNeeds, LayerNeeds, LayerReader, Limits};
use tar::{Builder, EntryType, Header};

/// A program that every machine for these tests has.
const PROGRAM: &str = "/bin/true";

fn program() -> Vec<u8> {
    std::fs::read(PROGRAM).unwrap()
}

/// A layer under construction.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, name: &str, link: &str, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        // Written as they are, since the library refuses names that lead elsewhere.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", bytes)
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn paths(layers: &[Vec<u8>]) -> Vec<String> {
    let mut image = Image::new(Limits::default());
    for layer in layers {
        image.add_layer("l", layer.as_slice());
    }
    image.programs().map(|(path, _)| path.to_owned()).collect()
}

fn facts(limits: Limits, layer: impl Read) -> ImageFacts {
    let mut image = Image::new(limits);
    image.add_layer("l", layer);
    image.facts()
}

#[test]
fn layers_are_read_plain_and_compressed() {
    let layer = Layer::new()
        .file("./bin/a", &program())
        .file("etc/text", b"text")
        .done();
    let zstd = zstd::encode_all(layer.as_slice(), 1).unwrap();
    for bytes in [layer.clone(), gzip(&layer), zstd] {
        assert_eq!(paths(&[bytes]), ["bin/a"]);
    }
    let facts = facts(Limits::default(), gzip(&layer).as_slice());
    assert_eq!(
        facts.architectures.into_iter().collect::<Vec<_>>(),
        [metahub_oci_architecture()]
    );
    assert!(facts.findings.is_empty(), "{:?}", facts.findings);
}

/// What OCI images call the architecture of this machine.
fn metahub_oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("{other}"),
    }
}

#[test]
fn what_upper_layers_hide_does_not_count() {
    let program = program();
    let lower = Layer::new()
        .file("bin/a", &program)
        .file("opt/x/b", &program)
        .file("opt/x/deep/c", &program)
        .file("lib/d", &program)
        .done();
    let all = ["bin/a", "lib/d", "opt/x/b", "opt/x/deep/c"];
    let over = |upper: Layer| paths(&[lower.clone(), upper.done()]);
    assert_eq!(over(Layer::new()), all);
    assert_eq!(over(Layer::new().file("bin/.wh.a", b"")), all[1..]);
    assert_eq!(over(Layer::new().file("opt/.wh.x", b"")), all[..2]);
    assert_eq!(over(Layer::new().file("opt/x/.wh..wh..opq", b"")), all[..2]);
    // A whiteout hides lower layers only, wherever it stands in its own.
    let own = Layer::new()
        .file("opt/x/e", &program)
        .file("opt/x/.wh..wh..opq", b"");
    assert_eq!(over(own), ["bin/a", "lib/d", "opt/x/e"]);
    // A file in the place of another, of a folder, and a folder in the place of a file.
    assert_eq!(over(Layer::new().file("bin/a", b"#!/bin/sh")), all[1..]);
    assert_eq!(over(Layer::new().file("opt/x", b"text")), all[..2]);
    let folder = Layer::new().entry(EntryType::Directory, "bin/a", "", b"");
    assert_eq!(over(folder), all[1..]);
    let link = Layer::new().entry(EntryType::Symlink, "bin/a", "b", b"");
    assert_eq!(over(link), all[1..]);
    let hard = Layer::new().entry(EntryType::Link, "bin/z", "lib/d", b"");
    assert_eq!(
        over(hard),
        ["bin/a", "bin/z", "lib/d", "opt/x/b", "opt/x/deep/c"]
    );
}

#[test]
fn names_and_links_that_lead_out_or_in_circles_are_findings() {
    let program = program();
    let layer = Layer::new()
        .file("../bin/a", &program)
        .file("usr/../../b", &program)
        .entry(EntryType::Link, "hard", "../../etc/shadow", b"")
        .entry(EntryType::Link, "itself", "itself", b"")
        .entry(EntryType::Link, "x", "y", b"")
        .entry(EntryType::Link, "y", "x", b"")
        .entry(EntryType::Symlink, "s", "s", b"")
        .entry(EntryType::Block, "device", "", b"")
        .file("good", &program)
        .done();
    let facts = facts(Limits::default(), layer.as_slice());
    assert_eq!(facts.programs, 1);
    assert_eq!(facts.findings.len(), 3, "{:?}", facts.findings);
}

#[test]
fn layers_that_are_cut_off_or_no_layers_are_unknown() {
    let layer = Layer::new().file("bin/a", &program()).done();
    let gz = gzip(&layer);
    let zstd = zstd::encode_all(layer.as_slice(), 1).unwrap();
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let cases = [
        cut(&layer),
        cut(&gz),
        cut(&zstd),
        b"no archive at all, though it is long enough to be one".repeat(100),
        vec![0x1f, 0x8b, 8, 0],
        vec![0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff, 0xff],
    ];
    for bytes in cases {
        let facts = facts(Limits::default(), bytes.as_slice());
        assert!(facts.cpu.unknown, "{:?}", &bytes[..8.min(bytes.len())]);
        assert!(!facts.findings.is_empty());
    }
}

#[test]
fn bombs_end_at_the_bound() {
    let limits = Limits {
        layer_bytes: 1 << 20,
        ..Limits::default()
    };
    let bomb = gzip(&Layer::new().file("zeros", &vec![0; 16 << 20]).done());
    let found = facts(limits, bomb.as_slice());
    assert!(found.cpu.unknown);
    assert!(
        found.findings[0].contains("more than 1048576 bytes"),
        "{:?}",
        found.findings
    );

    // A name that would fill memory.
    let name = Layer::new()
        .entry(
            EntryType::GNULongName,
            "././@LongLink",
            "",
            &vec![b'a'; 8 << 20],
        )
        .file("x", b"")
        .done();
    let found = facts(Limits::default(), name.as_slice());
    assert!(found.cpu.unknown);
    assert!(
        found.findings[0].contains("the name of a file"),
        "{:?}",
        found.findings
    );
    // Before it a long file, whose length must not count for it.
    let name = Layer::new()
        .file("long", &vec![1; 16 << 20])
        .entry(
            EntryType::GNULongName,
            "././@LongLink",
            "",
            &vec![b'a'; 8 << 20],
        )
        .file("x", b"")
        .done();
    let found = facts(Limits::default(), name.as_slice());
    assert!(
        found.findings[0].contains("the name of a file"),
        "{:?}",
        found.findings
    );
}

#[test]
fn a_hundred_thousand_small_files_and_too_many_programs_are_bounded() {
    let mut layer = Layer::new();
    for number in 0..100_000 {
        layer = layer.file(&format!("f/{number}"), b"x");
    }
    let found = facts(
        Limits::default(),
        layer.file("bin/a", &program()).done().as_slice(),
    );
    assert_eq!((found.programs, found.cpu.unknown), (1, false));

    let mut layer = Layer::new();
    let stub = &program()[..200];
    for number in 0..20 {
        layer = layer.file(&format!("f/{number}"), stub);
    }
    let layer = layer.done();
    let limits = Limits {
        programs: 10,
        ..Limits::default()
    };
    let found = facts(limits, layer.as_slice());
    assert_eq!(found.programs, 10);
    let many = |finding: &String| finding.contains("more than 10 programs");
    assert_eq!(
        found
            .findings
            .iter()
            .filter(|finding| many(finding))
            .count(),
        1
    );
    let limits = Limits {
        entries: 10,
        ..Limits::default()
    };
    let found = facts(limits, layer.as_slice());
    assert!(found.cpu.unknown);
    assert!(
        found
            .findings
            .iter()
            .any(|finding| finding.contains("more than 10 files"))
    );
}

/// A GNU sparse file of 30 GB, of which only `head` is stored.
fn sparse(head: &[u8]) -> Vec<u8> {
    const SIZE: u64 = 30_000_000_000;
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path("big").unwrap();
    header.set_size(head.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    let octal = |field: &mut [u8], value: u64| {
        let text = format!("{value:0width$o}", width = field.len() - 1);
        field[..text.len()].copy_from_slice(text.as_bytes());
    };
    octal(&mut gnu.realsize, SIZE);
    octal(&mut gnu.sparse[0].offset, 0);
    octal(&mut gnu.sparse[0].numbytes, head.len() as u64);
    octal(&mut gnu.sparse[1].offset, SIZE);
    octal(&mut gnu.sparse[1].numbytes, 0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, head).unwrap();
    Layer(builder).file("bin/a", &program()).done()
}

#[test]
fn a_sparse_file_of_30_gb_is_passed_over() {
    let found = facts(Limits::default(), sparse(&[1; 512]).as_slice());
    assert_eq!(
        (found.programs, found.cpu.unknown),
        (1, false),
        "{:?}",
        found.findings
    );
    let mut head = program();
    head.truncate(512);
    let found = facts(Limits::default(), sparse(&head).as_slice());
    assert_eq!(found.programs, 2);
    assert!(found.cpu.unknown);
    let big = found
        .cpu
        .evidence
        .iter()
        .find(|evidence| evidence.file == "big")
        .unwrap();
    assert!(big.evidence.why.contains("30000000000 bytes"), "{big:?}");
}

#[test]
fn the_same_program_is_read_once() {
    let program = program();
    let one = Limits {
        // Enough for one reading: a second one would be cut short and unknown.
        instructions: 200_000,
        ..Limits::default()
    };
    let mut layer = Layer::new();
    for number in 0..50 {
        layer = layer.file(&format!("bin/{number}"), &program);
    }
    let found = facts(one, layer.done().as_slice());
    assert_eq!(
        (found.programs, found.cpu.unknown),
        (50, false),
        "{:?}",
        found.cpu.evidence
    );
}

/// The needs of an image whose layers are read one by one, and written down in between.
fn needs(layers: &[Vec<u8>]) -> ImageNeeds {
    let mut reader = LayerReader::new(Limits::default());
    let read: Vec<LayerNeeds> = layers
        .iter()
        .map(|layer| {
            let needs = reader.read(layer.as_slice());
            LayerNeeds::from_json(&needs.to_json()).unwrap()
        })
        .collect();
    ImageNeeds::of(read.iter().map(|needs| ("l", needs)))
}

#[test]
fn layers_that_are_read_one_by_one_give_what_they_give_together() {
    // A program that is cut off may need anything.
    let cut = program()[..4096].to_vec();
    let lower = Layer::new()
        .file("bin/a", &cut)
        .file("opt/x/b", &cut)
        .file("opt/x/deep/c", &cut)
        .file("lib/d", &cut)
        .file("lib/whole", &program())
        .done();
    let uppers = [
        Layer::new(),
        Layer::new().file("bin/.wh.a", b""),
        Layer::new().file("opt/.wh.x", b""),
        Layer::new().file("opt/x/.wh..wh..opq", b""),
        Layer::new()
            .file("opt/x/e", &cut)
            .file("opt/x/.wh..wh..opq", b""),
        Layer::new().file("bin/a", b"#!/bin/sh"),
        Layer::new().file("bin/a", &program()),
        Layer::new().file("opt/x", b"text"),
        Layer::new().entry(EntryType::Symlink, "bin/a", "b", b""),
        Layer::new().entry(EntryType::Link, "bin/z", "lib/d", b""),
        Layer::new()
            .entry(EntryType::Link, "bin/z", "lib/d", b"")
            .file("lib/.wh.d", b""),
        Layer::new().file(".wh..wh..opq", b""),
        Layer::new().file("lib/whole", &cut),
    ];
    for (number, upper) in uppers.into_iter().enumerate() {
        let layers = [lower.clone(), upper.done()];
        let mut image = Image::new(Limits::default());
        for layer in &layers {
            image.add_layer("l", layer.as_slice());
        }
        let together: Vec<String> = image.facts().files.into_iter().map(|f| f.file).collect();
        let needs = needs(&layers);
        let one_by_one: Vec<String> = needs.files.keys().cloned().collect();
        assert_eq!(one_by_one, together, "{number}");
        assert!(needs.unread.is_empty(), "{number}: {:?}", needs.unread);
    }
}

#[test]
fn what_a_layer_needs_is_written_down_in_few_bytes() {
    let cut = program()[..4096].to_vec();
    let mut many = Layer::new();
    for number in 0..3_000 {
        many = many.file(&format!("some/folder/with/a/name/{number}"), &cut);
    }
    let mut reader = LayerReader::new(Limits::default());
    let needs = reader.read(many.done().as_slice());
    let text = needs.to_json();
    assert!(text.len() <= 64 * 1024, "{}", text.len());
    // It still says that not all is known.
    let image = ImageNeeds::of([("l", &LayerNeeds::from_json(&text).unwrap())]);
    assert!(!image.is_empty());
    // Files that need nothing take no room, however many they are.
    let mut plain = Layer::new();
    for number in 0..3_000 {
        plain = plain.file(&format!("some/folder/with/a/name/{number}"), b"text");
    }
    let text = reader.read(plain.done().as_slice()).to_json();
    assert!(text.len() < 100, "{text}");
    let cut_off = reader.read(&[0x1f, 0x8b, 8, 0][..]);
    assert!(!cut_off.problems().is_empty());
}

#[test]
fn paths_that_say_that_they_are_for_every_processor_are_written_down() {
    let mut layer = Layer::new();
    for number in 0..3_000 {
        layer = layer.file(
            &format!("opt/{number}/bin.SSE2/{}", "n".repeat(60)),
            &program(),
        );
    }
    let needs = LayerReader::new(Limits::default()).read(layer.done().as_slice());
    let text = needs.to_json();
    assert!(
        text.contains("bin.SSE2") && text.len() <= 64 * 1024,
        "{}",
        text.len()
    );
}
