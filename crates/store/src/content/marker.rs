//! The marks in the folders of blobs: which store they belong to, and whether they match the
//! database.
//!
//! A file system that is not mounted, an emptied folder, or half a restore must not look like lost
//! blobs: nothing is removed or stored while the marks are not in place. Each start and each backup
//! begins an epoch, which the database and the marks both record, so that restoring one of the two
//! alone is noticed.

use serde::{Deserialize, Serialize};

/// The content of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The store that the blobs belong to.
    pub(crate) store: String,
    /// When it was written, as the database counts.
    pub(crate) epoch: i64,
}

/// The database's record of the blobs' folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) store: String,
    pub(crate) epoch: i64,
    /// The epoch whose marks are, or were, being written.
    pub(crate) next: Option<i64>,
}

/// The state of the file system and the database when a store is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    pub(crate) known: Option<Known>,
    /// Whether the database names any content or repository.
    pub(crate) has_rows: bool,
    /// Blobs whose files were looked for, at most one for each folder.
    pub(crate) looked: usize,
    /// Those that were not there.
    pub(crate) absent: usize,
    /// The mark of each algorithm's folder.
    pub(crate) marks: Vec<Option<Marker>>,
    /// Whether there is any file in a blob's place.
    pub(crate) holds_files: bool,
}

/// The verdict on a survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The folder belongs to the database.
    Fits,
    /// It does, but one of the two is older.
    Suspect(String),
    /// Opening it could turn an unmounted disk into a loss.
    Refuse(String),
}

/// How many of `files` may be missing before it counts as an unmounted disk: one, or one in a
/// hundred.
pub(crate) fn bearable(files: u64) -> u64 {
    (files / 100).max(1)
}

/// Decides whether a folder of blobs is the one that the database was written with.
pub(crate) fn judge(survey: &Survey) -> Verdict {
    let refuse = |problem: &str| Verdict::Refuse(problem.to_owned());
    let marks = || survey.marks.iter().flatten();
    let marked = survey.marks.iter().all(Option::is_some);
    if survey.absent as u64 > bearable(survey.looked as u64) {
        return Verdict::Refuse(format!(
            "of {} files that were looked for, {} are missing",
            survey.looked, survey.absent
        ));
    }
    let Some(known) = &survey.known else {
        // A new database, or one of an earlier version.
        return if survey.holds_files && !survey.has_rows {
            refuse("it holds content and the database names none: the database is new")
        } else {
            Verdict::Fits
        };
    };
    if let Some(other) = marks().find(|mark| mark.store != known.store) {
        return Verdict::Refuse(format!(
            "it belongs to another data folder (its mark is {}, not {})",
            other.store, known.store
        ));
    }
    if !marked && survey.absent > 0 {
        return refuse("its marks are gone and files are missing");
    }
    if !marked && survey.holds_files && survey.looked == 0 {
        return Verdict::Suspect(
            "the folder of blobs has no marks and holds files that the database does not name"
                .to_owned(),
        );
    }
    let current = |epoch: i64| epoch == known.epoch || Some(epoch) == known.next;
    match marks().find(|mark| !current(mark.epoch)) {
        Some(mark) if mark.epoch > known.epoch => Verdict::Suspect(format!(
            "the database is older than its blobs (epoch {} against {}): it was restored without \
             them",
            known.epoch, mark.epoch
        )),
        Some(mark) => Verdict::Suspect(format!(
            "the blobs are older than the database (epoch {} against {}): they were restored \
             without it",
            mark.epoch, known.epoch
        )),
        None => Verdict::Fits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(store: &str, epoch: i64) -> Option<Marker> {
        let store = store.to_owned();
        Some(Marker { store, epoch })
    }

    /// A store in order: known, marked, and every file there.
    fn whole() -> Survey {
        Survey {
            known: Some(Known {
                store: "a".to_owned(),
                epoch: 5,
                next: None,
            }),
            has_rows: true,
            looked: 20,
            absent: 0,
            marks: vec![mark("a", 5), mark("a", 5)],
            holds_files: true,
        }
    }

    fn kind(survey: &Survey) -> &'static str {
        match judge(survey) {
            Verdict::Fits => "fits",
            Verdict::Suspect(why) if why.contains("the database is older") => "database older",
            Verdict::Suspect(why) if why.contains("the blobs are older") => "blobs older",
            Verdict::Suspect(_) => "suspect",
            Verdict::Refuse(_) => "refuse",
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn each_mishap_is_told_from_a_store_that_is_in_order() {
        let new = Survey {
            marks: vec![None, None],
            ..Survey::default()
        };
        let unmarked = vec![None, None];
        let next = |epoch| {
            whole().known.map(|known| Known {
                next: Some(epoch),
                ..known
            })
        };
        let cases = [
            ("in order", whole(), "fits"),
            ("a new folder", new.clone(), "fits"),
            (
                "a new database over content",
                Survey {
                    holds_files: true,
                    ..new
                },
                "refuse",
            ),
            (
                "an earlier version's",
                Survey {
                    known: None,
                    marks: unmarked.clone(),
                    ..whole()
                },
                "fits",
            ),
            (
                "an earlier version's that is not mounted",
                Survey {
                    known: None,
                    marks: unmarked.clone(),
                    absent: 20,
                    holds_files: false,
                    ..whole()
                },
                "refuse",
            ),
            (
                "not mounted",
                Survey {
                    marks: unmarked.clone(),
                    absent: 20,
                    holds_files: false,
                    ..whole()
                },
                "refuse",
            ),
            (
                "one file, not mounted",
                Survey {
                    marks: unmarked.clone(),
                    looked: 1,
                    absent: 1,
                    holds_files: false,
                    ..whole()
                },
                "refuse",
            ),
            (
                "one file gone",
                Survey {
                    looked: 1,
                    absent: 1,
                    ..whole()
                },
                "fits",
            ),
            (
                "some folders gone",
                Survey {
                    absent: 3,
                    ..whole()
                },
                "refuse",
            ),
            (
                "one algorithm not mounted",
                Survey {
                    marks: vec![mark("a", 5), None],
                    absent: 1,
                    ..whole()
                },
                "refuse",
            ),
            (
                "copied without marks",
                Survey {
                    marks: unmarked.clone(),
                    ..whole()
                },
                "fits",
            ),
            (
                "no files yet, marks removed",
                Survey {
                    marks: unmarked.clone(),
                    looked: 0,
                    holds_files: false,
                    ..whole()
                },
                "fits",
            ),
            (
                "no rows, files of somebody",
                Survey {
                    marks: unmarked,
                    looked: 0,
                    ..whole()
                },
                "suspect",
            ),
            (
                "another store's",
                Survey {
                    marks: vec![mark("b", 5), mark("b", 5)],
                    ..whole()
                },
                "refuse",
            ),
            (
                "another store's, empty",
                Survey {
                    marks: vec![mark("b", 5), mark("b", 5)],
                    looked: 0,
                    ..whole()
                },
                "refuse",
            ),
            (
                "database restored",
                Survey {
                    marks: vec![mark("a", 7), mark("a", 7)],
                    ..whole()
                },
                "database older",
            ),
            (
                "blobs restored",
                Survey {
                    marks: vec![mark("a", 3), mark("a", 3)],
                    ..whole()
                },
                "blobs older",
            ),
            (
                "killed while marking",
                Survey {
                    known: next(6),
                    marks: vec![mark("a", 6), mark("a", 5)],
                    ..whole()
                },
                "fits",
            ),
            (
                "killed before marking",
                Survey {
                    known: next(6),
                    ..whole()
                },
                "fits",
            ),
            (
                "killed after marking",
                Survey {
                    known: next(6),
                    marks: vec![mark("a", 6), mark("a", 6)],
                    ..whole()
                },
                "fits",
            ),
        ];
        for (name, survey, expected) in cases {
            assert_eq!(kind(&survey), expected, "{name}: {survey:?}");
        }
    }
}
