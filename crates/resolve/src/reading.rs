//! Which candidates' images have to be read before a choice among them can be relied on: an index
//! says less than its images state about themselves. Reading an image only adds requirements.

use metahub_catalog::Composed;
use metahub_oci::Index;

use crate::candidate::{Candidate, CandidateList};
use crate::choice::Choice;
use crate::filter::Filters;
use crate::one_per_machine::{Assessed, assess};
use crate::policy::Policy;

/// Images of one platform that are read although another may win. Of more than that, only those
/// are read that would be chosen, until one is.
pub const MAX_READ_AT_ONCE: usize = 16;

/// The candidates whose images are to be read next, by their position. Empty once everything that
/// is chosen was read, and of up to [`MAX_READ_AT_ONCE`] for one platform everything that could
/// be chosen.
///
/// A candidate that was read carries [`READ`](crate::READ).
#[must_use]
pub fn to_read(candidates: &Index, profile: &Composed, policy: Policy) -> Vec<usize> {
    let list = CandidateList::of(candidates.manifests());
    let objections = Filters::of(profile, candidates).each(candidates, &list);
    let filtered: Vec<bool> = objections.iter().map(Option::is_some).collect();
    let choice = Choice::of(profile, candidates);
    let (provided, selection) = (&*choice.provided, &*choice.selection);
    let assessed = assess(&list, objections, provided, selection, policy);
    let hardware = !provided.is_empty() || !selection.overriding.is_empty();
    let mut by_machine: Vec<Vec<Standing>> = Vec::new();
    let mut wanted = Vec::new();
    for (candidate, objected) in list.iter().zip(filtered) {
        if candidate.not_to_run().is_some() || candidate.excluded().is_some() {
            continue;
        }
        match assessed.machines.get(candidate.position) {
            Some(Some(machine)) => {
                if by_machine.len() <= *machine {
                    by_machine.resize_with(machine + 1, Vec::new);
                }
                if let Some(group) = by_machine.get_mut(*machine) {
                    group.push(Standing::of(candidate, &assessed, objected, hardware));
                }
            }
            // Its own configuration says what it is for.
            _ if candidate.platform.is_none() && !candidate.is_read() => {
                wanted.push(candidate.position);
            }
            _ => {}
        }
    }
    for group in &by_machine {
        // Without hardware there is nothing to judge the only image of a machine by.
        if hardware || group.len() > 1 || group.iter().any(|one| one.objected) {
            wanted.extend(of_machine(group));
        }
    }
    wanted
}

/// A candidate's state by the statements read so far.
struct Standing {
    position: usize,
    read: bool,
    kept: bool,
    /// Whether a filter leaves it out; what its image says may be what the filter looks for.
    objected: bool,
    /// Whether it could be chosen: it fits, or lacks only what the login does not state.
    rank: Option<usize>,
    fits: bool,
}

impl Standing {
    fn of(candidate: &Candidate<'_>, all: &Assessed, objected: bool, hardware: bool) -> Self {
        let position = candidate.position;
        let became = all.became.get(position).copied().unwrap_or_default();
        let any = (!hardware && !objected).then_some(usize::MAX);
        Self {
            position,
            read: candidate.is_read(),
            kept: became.kept,
            objected,
            rank: became.rank.or(any),
            fits: became.fits || any.is_some(),
        }
    }

    fn could_win(&self, any_fits: bool) -> bool {
        self.objected || self.kept || (self.rank.is_some() && (self.fits || !any_fits))
    }
}

/// Which candidates for one machine to read.
fn of_machine(group: &[Standing]) -> Vec<usize> {
    let any_fits = group.iter().any(|one| one.fits);
    let contenders = || group.iter().filter(|one| one.could_win(any_fits));
    let mut unread: Vec<&Standing> = contenders().filter(|one| !one.read).collect();
    if contenders().count() > MAX_READ_AT_ONCE {
        let winner = group.iter().find(|one| one.kept);
        if winner.is_some_and(|winner| winner.read) {
            return Vec::new();
        }
        unread.sort_by_key(|one| (!one.kept, one.objected, one.rank, one.position));
        // The first winner alone; once one did not fit, several at a time.
        let before = group.iter().any(|one| one.read);
        let many = if before || winner.is_none() {
            MAX_READ_AT_ONCE
        } else {
            1
        };
        unread.truncate(many);
    }
    unread.iter().map(|one| one.position).collect()
}
