//! What is done.

use proptest::prelude::*;

pub(crate) const REPOSITORIES: [&str; 3] = ["a", "a/b", "qnib/c"];
pub(crate) const TAGS: [&str; 3] = ["1", "latest", "x"];
pub(crate) const BLOBS: usize = 5;
pub(crate) const DOCUMENTS: usize = 6;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    PutBlob(usize, usize),
    Upload {
        repository: usize,
        blob: usize,
        chunk: usize,
        sha512: bool,
        wrong: bool,
    },
    Fill {
        repository: Option<usize>,
        blob: usize,
    },
    Mount(usize, usize, usize),
    DeleteBlob(usize, usize),
    PutManifest {
        repository: usize,
        document: usize,
        tag: Option<usize>,
        require: bool,
        fixed: bool,
    },
    DeleteManifest(usize, usize),
    SetTag(usize, usize, usize),
    DeleteTag(usize, usize),
    Derive(usize, usize),
    Collect,
    Reopen,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (r, b, d, t) = (0..REPOSITORIES.len(), 0..BLOBS, 0..DOCUMENTS, 0..TAGS.len());
    prop_oneof![
        4 => (r.clone(), b.clone()).prop_map(|(r, b)| Step::PutBlob(r, b)),
        2 => (r.clone(), b.clone(), 1..200_000usize, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(repository, blob, chunk, sha512, wrong)| {
                Step::Upload { repository, blob, chunk, sha512, wrong }
            }),
        2 => (prop::option::of(r.clone()), b.clone())
            .prop_map(|(repository, blob)| Step::Fill { repository, blob }),
        2 => (r.clone(), r.clone(), b.clone()).prop_map(|(f, t, b)| Step::Mount(f, t, b)),
        1 => (r.clone(), b).prop_map(|(r, b)| Step::DeleteBlob(r, b)),
        6 => (r.clone(), d.clone(), prop::option::of(t.clone()), any::<bool>(), any::<bool>())
            .prop_map(|(repository, document, tag, require, fixed)| {
                Step::PutManifest { repository, document, tag, require, fixed }
            }),
        1 => (r.clone(), d.clone()).prop_map(|(r, d)| Step::DeleteManifest(r, d)),
        2 => (r.clone(), t.clone(), d.clone()).prop_map(|(r, t, d)| Step::SetTag(r, t, d)),
        1 => (r.clone(), t).prop_map(|(r, t)| Step::DeleteTag(r, t)),
        1 => (r, d).prop_map(|(r, d)| Step::Derive(r, d)),
        1 => Just(Step::Collect),
        1 => Just(Step::Reopen),
    ]
}
