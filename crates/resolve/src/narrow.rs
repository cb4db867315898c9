//! Narrows a source index to the index that a login gets.

use metahub_catalog::Composed;
use metahub_catalog::actions::Selection;
use metahub_oci::{Descriptor, Index};

use crate::candidate::CandidateList;
use crate::choice::Choice;
use crate::filter::Filters;
use crate::nothing_fits::NothingFits;
use crate::one_per_machine::shape;
use crate::own_statements::unmarked;
use crate::policy::Policy;
use crate::rewrite::with_entries;
use crate::serve::served_descriptor;
use crate::verdict::{Texts, Told, Verdicts};

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
    /// Warnings for the client.
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
    narrow_candidates(index, index, profile, Policy::default())
}

/// The same where `candidates` stand for the entries of `source`: with what the images say of
/// themselves ([`with_own`](crate::with_own)), and those of indexes within it. The derived index
/// is the source with other entries; verdicts are on the candidates.
pub fn narrow_candidates(
    source: &Index,
    candidates: &Index,
    profile: &Composed,
    policy: Policy,
) -> Result<Narrowed, NothingFits> {
    let list = CandidateList::of(candidates.manifests());
    if profile.gets_everything() {
        return Ok(everything(source, &list));
    }
    let choice = Choice::of(profile, source);
    let shaped = Filters::of(profile, source)
        .objections(candidates, &list)
        .and_then(|objections| {
            let (provided, selection) = (&*choice.provided, &*choice.selection);
            shape(&list, objections, provided, selection, policy)
        })
        .map_err(|error| in_terms_of(error, profile))?;
    let served = shaped.chosen.iter().map(served_descriptor).collect();
    Ok(Narrowed {
        index: with_entries(source, served),
        chosen: shaped.chosen,
        verdicts: shaped.verdicts,
        warnings: shaped.warnings,
    })
}

/// All of an index, with what its entries require, so that a copy of it says so in turn.
fn everything(source: &Index, list: &CandidateList<'_>) -> Narrowed {
    let mut told = Texts::default();
    let reason = told.add("the login any gets every entry");
    let kept = Told {
        kept: true,
        ..Told::left_out(reason)
    };
    let entries: Vec<Descriptor> = source.manifests().iter().map(unmarked).collect();
    Narrowed {
        index: with_entries(source, entries.clone()),
        chosen: entries,
        verdicts: list.verdicts(vec![kept; list.len()], told),
        warnings: Vec::new(),
    }
}

/// Judges a single image, the only entry of `candidate`: refuses it where the profile's hardware
/// cannot run it. Filters do not apply, since there is nothing to choose from.
pub fn judge(
    candidate: &Index,
    profile: &Composed,
    policy: Policy,
) -> Result<(Verdicts, Vec<String>), NothingFits> {
    let list = CandidateList::of(candidate.manifests());
    let selection = Selection {
        minimum_weight: None,
        ..profile.selection().clone()
    };
    let objections = vec![None; list.len()];
    let shaped = shape(&list, objections, profile.provided(), &selection, policy);
    match shaped {
        Ok(shaped) => Ok((shaped.verdicts, shaped.warnings)),
        Err(error) => Err(NothingFits {
            single: true,
            ..in_terms_of(error, profile)
        }),
    }
}

/// The reader of the error logged in with selectors, so it names them if they say something else
/// than the features.
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
