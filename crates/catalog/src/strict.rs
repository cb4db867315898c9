//! Rules for catalogs that others follow, beyond what parsing demands.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use metahub_hardware::{Feature, Key, Microarchitecture, Target};

use crate::collection::{Collection, Entry};
use crate::problem::Problem;
use crate::{Catalog, Location};

/// The placeholder that the author of a new document must replace.
const TODO: &str = "TODO";

/// Words that tags begin with which publishers move. With a date or a year after it, a tag is a
/// release, and so is one of digits alone.
const MOVING: &[&str] = &[
    "latest", "main", "master", "trunk", "develop", "devel", "dev", "edge", "nightly", "stable",
    "testing", "unstable", "rolling", "current", "head", "snapshot",
];

/// Everything that `metahub check --strict` finds in collections beside what is wrong with their
/// documents, as warnings in the order of their names.
#[must_use]
pub fn strict(catalog: &Catalog) -> Vec<Problem> {
    let provided: HashSet<&Key> = catalog
        .profiles()
        .flat_map(|profile| &profile.features)
        .map(Feature::key)
        .collect();
    let mut collections: Vec<&Collection> = catalog.collections().collect();
    collections.sort_by_key(|collection| &collection.location);
    let mut found = Vec::new();
    let mut told = HashSet::new();
    for collection in collections {
        // Problems of a document's application are reported once for all its collections.
        if told.insert(Arc::as_ptr(&collection.application)) {
            application(collection, &mut found);
        }
        generic(collection, &mut found);
        unfinished(collection, &mut found);
        for (at, entry) in collection.entries.iter().enumerate() {
            image(entry, &mut found);
            features(entry, &provided, &mut found);
            contradiction(catalog, entry, &mut found);
            let before = collection.entries.iter().take(at);
            if let Some(other) = before.into_iter().find(|other| is_equal(entry, other)) {
                equal(entry, other, &mut found);
            }
        }
    }
    found
}

/// No machine is of two targets neither of which runs what is built for the other.
fn contradiction(catalog: &Catalog, entry: &Entry, found: &mut Vec<Problem>) {
    let graph = catalog.graph();
    let targets: Vec<&Target> = entry.requires.iter().filter_map(Feature::target).collect();
    let runs_both = |a: &Target, b: &Target| {
        let mut machines = graph.iter().map(Microarchitecture::target);
        machines.any(|machine| graph.runs(machine, a) && graph.runs(machine, b))
    };
    for (at, one) in targets.iter().enumerate() {
        let mut before = targets.iter().take(at);
        if let Some(other) = before.find(|other| !runs_both(one, other)) {
            note(
                found,
                &entry.location,
                "contradiction",
                format!("no machine is both {other} and {one}, so this is never chosen"),
                "name the one target that it is built for, or write an entry for each",
            );
        }
    }
}

/// Whether two entries are for the same machines, by what is written of them.
fn is_equal(entry: &Entry, other: &Entry) -> bool {
    // What is left open the images say themselves.
    let open = |entry: &Entry| entry.requires.is_empty() && !entry.requires_nothing;
    let requires = |entry: &Entry| {
        let features = entry.requires.iter().map(|f| f.canonical().to_owned());
        features.collect::<BTreeSet<String>>()
    };
    let same_image = entry.image == other.image;
    (same_image || !(open(entry) || open(other)))
        && entry.weight == other.weight
        && entry.platform.clone().unwrap_or_default() == other.platform.clone().unwrap_or_default()
        && requires(entry) == requires(other)
}

fn equal(entry: &Entry, other: &Entry, found: &mut Vec<Problem>) {
    let (message, help) = if entry.image == other.image {
        let message = format!("{} is listed twice for the same machines", entry.image);
        (message, "remove one of the two")
    } else {
        let message = format!(
            "{} and {} are for the same machines, so that one is never chosen",
            other.image, entry.image
        );
        let help = "say what else one of them requires, or give one a `weight`";
        (message, help)
    };
    note(found, &entry.location, "equal-entries", message, help);
}

fn note(
    found: &mut Vec<Problem>,
    location: &Location,
    code: &'static str,
    message: String,
    help: &str,
) {
    let problem = Problem::doubt(location, code, message, Some(help.to_owned()));
    found.push(problem);
}

/// A catalog tells people what its collections are.
fn application(collection: &Collection, found: &mut Vec<Problem>) {
    let about = &collection.application;
    let missing = [
        ("description", about.description.is_none()),
        ("homepage", about.homepage.is_none()),
        ("license", about.license.is_none()),
    ];
    let missing: Vec<&str> = missing
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
    if !missing.is_empty() {
        note(
            found,
            &collection.location,
            "no-about",
            format!(
                "the document of {} does not say: {}",
                collection.name,
                missing.join(", ")
            ),
            "write `about: {description: …, homepage: https://…, license: …}` beside `manifests`",
        );
    }
}

/// Nothing is left of what `metahub catalog new` writes to be filled in.
fn unfinished(collection: &Collection, found: &mut Vec<Problem>) {
    let about = &collection.application;
    let mut texts = vec![("tag", Some(collection.tag.as_str()))];
    texts.push(("description", about.description.as_deref()));
    texts.push(("homepage", about.homepage.as_deref()));
    texts.push(("license", about.license.as_deref()));
    texts.push(("no_generic", collection.about.no_generic.as_deref()));
    let keywords = about.keywords.iter();
    texts.extend(keywords.map(|word| ("keywords", Some(word.as_str()))));
    let mut todo = |location: &Location, key: &str| {
        let message = format!("`{key}` still says {TODO}");
        note(found, location, "todo", message, "write what it is to say");
    };
    for (key, text) in texts {
        if text.is_some_and(|text| text.contains(TODO)) {
            todo(&collection.location, key);
        }
    }
    for entry in &collection.entries {
        if entry.image.to_string().contains(TODO) {
            todo(&entry.location, "image");
        }
        let documented = entry.about.documented.as_ref();
        if documented.is_some_and(|url| url.contains(TODO)) {
            todo(&entry.location, "documented");
        }
    }
}

/// Of each collection some image runs anywhere, or it is said why none does.
fn generic(collection: &Collection, found: &mut Vec<Problem>) {
    let any = collection.entries.iter().any(is_generic);
    match (&collection.about.no_generic, any) {
        (None, false) => note(
            found,
            &collection.location,
            "no-generic",
            format!(
                "no image of {}:{} is for any machine",
                collection.name, collection.tag
            ),
            "add one without features, or say why there is none: \
             `about: {no_generic: its publisher builds for GPUs only}`",
        ),
        (Some(_), true) => note(
            found,
            &collection.location,
            "generic-after-all",
            format!(
                "{}:{} says that no image is for any machine, and one requires nothing",
                collection.name, collection.tag
            ),
            "remove `no_generic`",
        ),
        _ => {}
    }
}

fn is_generic(entry: &Entry) -> bool {
    let platform = entry.platform.as_ref();
    entry.requires.is_empty() && platform.is_none_or(|platform| platform.variant.is_none())
}

/// An image stays what it was, and somebody documents it.
fn image(entry: &Entry, found: &mut Vec<Problem>) {
    let image = &entry.image;
    let moving = image.digest().is_none()
        && image.tag().is_none_or(|tag| {
            let tag = tag.as_str().to_ascii_lowercase();
            let mut digits = tag.split(|letter: char| !letter.is_ascii_digit());
            let dated = digits.any(|digits| digits.len() >= 4);
            let after = MOVING.iter().find_map(|word| tag.strip_prefix(word));
            let word = |rest: &str| rest.is_empty() || rest.starts_with(['-', '_', '.']);
            !dated && after.is_some_and(word)
        });
    if moving && !entry.about.moving {
        note(
            found,
            &entry.location,
            "moving-tag",
            format!("{image} is a tag that moves: what it gives changes without this document"),
            "name a release or a digest, or write `about: {moving: true}`",
        );
    }
    if entry.about.documented.is_none() || entry.about.certainty.is_none() {
        note(
            found,
            &entry.location,
            "no-source",
            format!("nothing says where {image} is documented, and how certain it is"),
            "write `about: {documented: https://…, certainty: high}`; `certainty: low` where \
             nobody documents it",
        );
    }
}

/// What an image requires can be provided.
fn features(entry: &Entry, provided: &HashSet<&Key>, found: &mut Vec<Problem>) {
    for feature in &entry.requires {
        let key = feature.key();
        if matches!(key, Key::Other(_)) && !provided.contains(key) {
            note(
                found,
                &entry.location,
                "unknown-feature",
                format!("no profile of this catalog provides `{key}`, which `{feature}` needs"),
                "use one of the built-in keys, or add a profile that provides it",
            );
        }
    }
}
