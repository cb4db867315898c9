//! The contents of one document of a file: collections, profiles, or one list as manifest-tool
//! writes it.

use std::sync::Arc;

use crate::TestCase;
use crate::about::About;
use crate::collection::Collection;
use crate::profile::{Profile, Read};
use crate::reader::{Fields, Reader};
use crate::yaml::{Mark, Node};

pub(crate) const DOCUMENT_KEYS: &[&str] = &[
    "manifests",
    "profile",
    "profiles",
    "image",
    "tags",
    "tests",
    "about",
];

/// A parsed document, with the places of its names.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) collections: Vec<(Collection, Mark)>,
    pub(crate) profiles: Vec<Read>,
    pub(crate) cases: Vec<TestCase>,
}

impl Document {
    /// Parses a document; invalid parts are left out and reported.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Self {
        let mut document = Self::default();
        let Some(fields) = reader.fields(node, "a document", DOCUMENT_KEYS) else {
            return document;
        };
        document.read_collections(reader, &fields);
        let about = fields
            .get("about")
            .and_then(|node| About::read(reader, node));
        let collections = ["manifests", "image"].map(|key| fields.key(key));
        if let (Some(mark), [None, None]) = (fields.key("about"), collections) {
            reader.warn(
                "about-nothing",
                mark,
                "`about` tells of the collections of its document, and there are none",
                "write it in the document of the collections, or remove it".to_owned(),
            );
        }
        let about = Arc::new(about.unwrap_or_default());
        for (collection, _) in &mut document.collections {
            collection.application = Arc::clone(&about);
        }
        if let Some(profile) = fields.get("profile") {
            document.profiles.extend(Profile::read(reader, profile));
        }
        for item in items(reader, &fields, "profiles", "profiles: [{name: zen3}]") {
            document.profiles.extend(Profile::read(reader, item));
        }
        if let Some(tests) = fields.get("tests") {
            let profiles = document.profiles.iter().map(|read| &read.profile);
            document.cases = TestCase::read_all(reader, tests, profiles);
        }
        for name in DOCUMENT_KEYS {
            if let (Some(mark), None) = (fields.key(name), fields.get(name)) {
                let help = format!("write what belongs to `{name}` below it, or remove it");
                reader.error("no-value", mark, format!("`{name}` has no value"), help);
            }
        }
        document
    }

    fn read_collections(&mut self, reader: &mut Reader<'_>, fields: &Fields<'_>) {
        if let Some(image) = fields.get("image") {
            let (tags, manifests) = (fields.get("tags"), fields.get("manifests"));
            let found = Collection::read_manifest_tool(reader, image, tags, manifests, fields.mark);
            self.collections
                .extend(found.into_iter().map(|collection| (collection, image.mark)));
            return;
        }
        if let Some(mark) = fields.key("tags") {
            reader.error(
                "unknown-key",
                mark,
                "`tags` goes with `image`, as manifest-tool writes them",
                "write a collection for each tag: `manifests: [{name: …, tag: …}]`".to_owned(),
            );
        }
        let example = "manifests: [{name: gromacs, tag: 2021.5, manifests: […]}]";
        for item in items(reader, fields, "manifests", example) {
            self.collections.extend(Collection::read(reader, item));
        }
    }
}

fn items<'n>(
    reader: &mut Reader<'_>,
    fields: &Fields<'n>,
    name: &str,
    example: &str,
) -> &'n [Node] {
    let Some(node) = fields.get(name) else {
        return &[];
    };
    let items = reader.list(node, name, example);
    if items.is_some_and(<[Node]>::is_empty) {
        let help = format!("write it as in `{example}`, or remove it");
        reader.warn(
            "empty-list",
            node.mark,
            format!("`{name}` is an empty list"),
            help,
        );
    }
    items.unwrap_or_default()
}
