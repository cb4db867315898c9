//! From a source index to the index that a login gets.

use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Index};

use crate::candidate::CandidateList;
use crate::filter::Filters;
use crate::nothing_fits::NothingFits;
use crate::one_per_machine::shape;
use crate::rewrite::with_entries;
use crate::serve::served_descriptor;
use crate::verdict::Verdicts;

/// What a login gets of an index, before its children are derived.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// The derived index. The source itself, byte for byte, if nothing in it had to change.
    pub index: Index,
    /// The entries of the source that were chosen, as they are there; the same children in the
    /// same order as in `index`.
    pub chosen: Vec<Descriptor>,
    /// One verdict for each entry of the source, in order.
    pub verdicts: Verdicts,
    /// What whoever pulls should be told.
    pub warnings: Vec<String>,
}

/// Runs what `profile` does on `post-manifest-list-get`: its filters, then the choice of one
/// entry for each machine, by what the profile provides.
///
/// The derived index keeps the source's annotations, media type and unknown fields; its
/// attestations are gone, since they are about entries that may be derived in turn.
///
/// The empty profile narrows as well: to the entries that require least, as a collection is
/// served without a profile. An index that someone pushed is then served as it is instead; that
/// is the caller's to decide, by [`applies`](crate::applies).
pub fn narrow(index: &Index, profile: &Composed) -> Result<Narrowed, NothingFits> {
    let candidates = CandidateList::of(index.manifests());
    let shaped = Filters::of(profile)
        .objections(index, &candidates)
        .and_then(|objections| {
            shape(
                &candidates,
                objections,
                profile.provided(),
                profile.selection(),
            )
        })
        .map_err(|error| in_terms_of(error, profile))?;
    let served = shaped.chosen.iter().map(served_descriptor).collect();
    Ok(Narrowed {
        index: with_entries(index, served),
        chosen: shaped.chosen,
        verdicts: shaped.verdicts,
        warnings: shaped.warnings,
    })
}

/// Whoever reads the error logged in with selectors, so they are named if they say something
/// else than the features.
fn in_terms_of(error: NothingFits, profile: &Composed) -> NothingFits {
    let login = profile.to_string();
    if login.is_empty() || error.wanted.is_empty() {
        return error;
    }
    NothingFits {
        wanted: format!("{} (login {login})", error.wanted),
        ..error
    }
}
