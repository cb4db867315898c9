//! The report of missing builds.

use metahub_store::{DemandGot, DemandRecord};
use serde::{Deserialize, Serialize};

use crate::demand::got::{DemandKind, kind};

/// What machines of one kind got for one tag, if it was no build for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemandRow {
    /// `NAME:TAG`.
    pub image: String,
    /// The CPU target of the machines.
    pub target: String,
    /// The kind of their GPU, such as `cc:9.0`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gpu: String,
    /// The CPU target of the build that they got, `generic` or `none`.
    pub got: String,
    /// How well that fits them.
    pub kind: DemandKind,
    /// Different nodes, of those that proved their identity.
    pub nodes: u64,
    /// Whether there are more nodes than are counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_nodes: bool,
    /// Pulls.
    pub pulls: u64,
    /// Bytes of the images that were pulled, whether or not the machine had some of them.
    pub bytes: u64,
}

/// The builds that are missing, most useful first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// One for each tag, kind of machine and result.
    pub rows: Vec<DemandRow>,
    /// Pulls of images with builds for processors, under logins that name one, including those that
    /// got a build for theirs.
    pub pulls: u64,
    /// Those of them that got less than a build for their processor.
    pub fell_back: u64,
    /// Those that got nothing.
    pub nothing: u64,
    /// Whether anything is recorded (`demand.limit` in the configuration).
    pub is_recorded: bool,
}

impl Demand {
    /// The report of those `records` that `is_shown`.
    pub(crate) fn of(
        records: Vec<DemandRecord>,
        is_shown: impl Fn(&str) -> bool,
        is_recorded: bool,
    ) -> Self {
        let mut demand = Self {
            is_recorded,
            ..Self::default()
        };
        for record in records {
            let image = format!("{}:{}", record.key.repository, record.key.tag);
            if !is_shown(&image) {
                continue;
            }
            demand.add(image, record);
        }
        demand.rows.sort_by(|a, b| {
            let paying = |row: &DemandRow| (row.nodes, row.pulls, row.bytes);
            let worth = paying(b).cmp(&paying(a));
            worth.then_with(|| (&a.image, &a.target).cmp(&(&b.image, &b.target)))
        });
        demand
    }

    fn add(&mut self, image: String, record: DemandRecord) {
        let DemandRecord {
            key,
            pulls,
            bytes,
            nodes,
            more_nodes,
        } = record;
        self.pulls += pulls;
        let kind = kind(&key.target, &key.got);
        match kind {
            DemandKind::Exact => return,
            DemandKind::None => self.nothing += pulls,
            DemandKind::Generic | DemandKind::Fallback => self.fell_back += pulls,
        }
        self.rows.push(DemandRow {
            image,
            target: key.target,
            gpu: key.gpu,
            got: match key.got {
                DemandGot::Nothing => "none".to_owned(),
                DemandGot::Generic => "generic".to_owned(),
                DemandGot::Build(target) => target,
            },
            kind,
            nodes,
            more_nodes,
            pulls,
            bytes,
        });
    }
}

#[cfg(test)]
mod tests {
    use metahub_store::DemandKey;

    use super::*;

    fn record(target: &str, got: DemandGot, nodes: u64, pulls: u64) -> DemandRecord {
        DemandRecord {
            key: DemandKey {
                repository: "lab/app".parse().unwrap(),
                tag: "1".parse().unwrap(),
                target: target.to_owned(),
                gpu: String::new(),
                got,
            },
            pulls,
            bytes: pulls * 10,
            nodes,
            more_nodes: false,
        }
    }

    #[test]
    fn what_pays_most_is_first_and_what_is_built_for_a_machine_is_no_demand() {
        let build = |target: &str| DemandGot::Build(target.to_owned());
        let records = vec![
            record("icelake", DemandGot::Generic, 1, 40),
            record("zen3", build("zen3"), 90, 100),
            record("zen4", build("zen3"), 7, 20),
            record("a64fx", DemandGot::Nothing, 1, 3),
        ];
        let demand = Demand::of(records.clone(), |_| true, true);
        let rows = demand.rows.iter();
        let rows: Vec<_> = rows
            .map(|row| (row.target.as_str(), row.got.as_str(), row.kind))
            .collect();
        assert_eq!(
            rows,
            [
                ("zen4", "zen3", DemandKind::Fallback),
                ("icelake", "generic", DemandKind::Generic),
                ("a64fx", "none", DemandKind::None),
            ]
        );
        assert_eq!(
            (demand.pulls, demand.fell_back, demand.nothing),
            (163, 60, 3)
        );
        assert_eq!(Demand::of(records, |_| false, true).rows, []);
    }
}
