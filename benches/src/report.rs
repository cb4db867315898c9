//! What a row of the comparison found: figures for every server and round, and what was wanted
//! of them. Figures of one round are compared with each other, never with those of another: the
//! machine may be busy in one and idle in the next.

use serde::{Serialize, Serializer};

/// Answers in a second.
pub(crate) const RATE: &str = "req/s";
/// Decimal gigabytes of bodies in a second.
pub(crate) const THROUGHPUT: &str = "GB/s";
/// Processor seconds of the server for a gibibyte of bodies.
pub(crate) const CPU_PER_GIB: &str = "CPU s/GiB";
/// Processor microseconds of the server for a request.
pub(crate) const CPU_PER_REQUEST: &str = "CPU µs/req";
pub(crate) const SECONDS: &str = "seconds";
/// System calls.
pub(crate) const CALLS_PER_MIB: &str = "calls/MiB";
pub(crate) const CALLS_PER_REQUEST: &str = "calls/req";
/// The time that half of the requests did not pass.
pub(crate) const P50: &str = "p50 ms";
/// The time that 99 of 100 requests did not pass.
pub(crate) const P99: &str = "p99 ms";
/// Resident memory.
pub(crate) const RESIDENT: &str = "RSS MiB";
/// Resident memory that is no mapped file.
pub(crate) const OWN: &str = "anon MiB";
/// The most resident memory.
pub(crate) const PEAK: &str = "peak RSS MiB";
/// What others took of the processors meanwhile, in percent of all of them.
pub(crate) const OTHERS: &str = "others %";

/// From this on, [`OTHERS`] spoil a figure.
const BUSY: f64 = 5.0;

/// One row of the comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) title: String,
    /// How it was measured, in one sentence.
    pub(crate) how: String,
    /// One for each server, or for each thing that it did.
    pub(crate) figures: Vec<Figures>,
    pub(crate) checks: Vec<Check>,
    pub(crate) notes: Vec<String>,
}

/// What one server did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) server: String,
    /// By name, one value for each round.
    #[serde(serialize_with = "by_name")]
    pub(crate) values: Vec<(&'static str, Vec<f64>)>,
}

/// Something that was wanted, and whether it is so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) found: String,
    /// What was wanted; empty where nothing is.
    pub(crate) wanted: String,
    /// Nothing where nothing was wanted.
    pub(crate) met: Option<bool>,
}

/// Of several values, the one in the middle and the two at the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

/// A bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    pub(crate) fn new(title: impl Into<String>, how: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            how: how.into(),
            figures: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds one round's value.
    pub(crate) fn add(&mut self, server: &str, name: &'static str, value: f64) {
        let at = self
            .figures
            .iter()
            .position(|figures| figures.server == server);
        let at = at.unwrap_or_else(|| {
            self.figures.push(Figures {
                server: server.to_owned(),
                values: Vec::new(),
            });
            self.figures.len() - 1
        });
        let Some(figures) = self.figures.get_mut(at) else {
            return;
        };
        match figures.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => figures.values.push((name, vec![value])),
        }
    }

    /// All rounds' values.
    pub(crate) fn values(&self, server: &str, name: &str) -> &[f64] {
        let figures = self.figures.iter().find(|figures| figures.server == server);
        figures.map(|figures| figures.of(name)).unwrap_or_default()
    }

    /// A server's value over another's, round by round; nothing if either is missing.
    pub(crate) fn ratio(&self, ours: &str, theirs: &str, name: &str) -> Option<Spread> {
        let pairs = self
            .values(ours, name)
            .iter()
            .zip(self.values(theirs, name));
        Spread::of(
            pairs
                .map(|(ours, theirs)| ours / theirs)
                .filter(|ratio| ratio.is_finite()),
        )
    }

    /// Checks a ratio of two servers, where both were measured.
    pub(crate) fn check_ratio(&mut self, ours: &str, theirs: &str, name: &str, bound: Bound) {
        if let Some(ratio) = self.ratio(ours, theirs, name) {
            let what = format!("{name}, {ours} ÷ {theirs}");
            self.check(what, ratio, bound);
        }
    }

    /// Checks a value.
    pub(crate) fn check(&mut self, what: impl Into<String>, found: Spread, bound: Bound) {
        self.checks.push(Check {
            what: what.into(),
            found: found.to_string(),
            wanted: bound.to_string(),
            met: Some(bound.holds(found.median)),
        });
    }

    /// Tells a value of which nothing is wanted.
    pub(crate) fn tell(&mut self, what: impl Into<String>, found: impl std::fmt::Display) {
        self.checks.push(Check {
            what: what.into(),
            found: found.to_string(),
            wanted: String::new(),
            met: None,
        });
    }

    /// Says so where others took much of the machine: what a server could do in a second is then
    /// less than it can do, while what it cost still holds.
    pub(crate) fn note_others(&mut self) {
        let values = self.figures.iter().flat_map(|figures| figures.of(OTHERS));
        let most = values.copied().fold(0.0, f64::max);
        if most > BUSY {
            self.notes.push(format!(
                "others took up to {} % of the processors: believe the processor time rather than \
                 speeds and latencies",
                number(most)
            ));
        }
    }

    /// Checks what a request and a byte cost beside the build of before, where that was measured.
    pub(crate) fn check_before(&mut self) {
        const BEFORE: &str = " before";
        let servers: Vec<_> = self.figures.iter().map(|f| f.server.clone()).collect();
        for before in servers.iter().filter(|server| server.ends_with(BEFORE)) {
            let now = before.trim_end_matches(BEFORE);
            for name in [CPU_PER_REQUEST, CPU_PER_GIB] {
                self.check_ratio(now, before, name, Bound::AtMost(1.1));
            }
        }
    }

    /// Tells a ratio of two servers, where both were measured.
    pub(crate) fn tell_ratio(&mut self, ours: &str, theirs: &str, name: &str) {
        if let Some(ratio) = self.ratio(ours, theirs, name) {
            self.tell(format!("{name}, {ours} ÷ {theirs}"), ratio);
        }
    }
}

impl Figures {
    /// All rounds' values of one name.
    pub(crate) fn of(&self, name: &str) -> &[f64] {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, values)| values.as_slice())
            .unwrap_or_default()
    }
}

impl Spread {
    /// A value that is the same in every round.
    pub(crate) fn only(value: f64) -> Self {
        Self {
            median: value,
            lowest: value,
            highest: value,
        }
    }

    /// Of no values there is none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len().saturating_sub(1) / 2..=values.len() / 2)?;
        Some(Self {
            median: f64::midpoint(*middle.first()?, *middle.last()?),
            lowest: *values.first()?,
            highest: *values.last()?,
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", number(self.median))?;
        if self.lowest < self.highest {
            write!(f, " ({}–{})", number(self.lowest), number(self.highest))?;
        }
        Ok(())
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

fn by_name<S: Serializer>(values: &[(&str, Vec<f64>)], into: S) -> Result<S::Ok, S::Error> {
    into.collect_map(values.iter().map(|(name, values)| (name, values)))
}

/// Three digits that mean something; more would only be noise.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_pairs_the_rounds_and_its_median_is_what_is_checked() {
        let mut row = Row::new("a row", "");
        // A round in which the machine was busy slows both.
        for (ours, theirs) in [(100.0, 50.0), (10.0, 5.0), (90.0, 30.0)] {
            row.add("ours", RATE, ours);
            row.add("theirs", RATE, theirs);
        }
        let ratio = row.ratio("ours", "theirs", RATE).unwrap();
        assert_eq!(
            ratio,
            Spread {
                median: 2.0,
                lowest: 2.0,
                highest: 3.0
            }
        );
        row.check_ratio("ours", "theirs", RATE, Bound::AtLeast(2.0));
        row.check_ratio("ours", "theirs", RATE, Bound::AtMost(1.9));
        row.check_ratio("ours", "absent", RATE, Bound::AtLeast(2.0));
        let met: Vec<_> = row.checks.iter().map(|check| check.met).collect();
        assert_eq!(met, [Some(true), Some(false)]);
        assert_eq!(row.checks[0].found, "2.00 (2.00–3.00)");
    }

    #[test]
    fn the_build_of_before_is_compared_under_every_name() {
        let mut row = Row::new("a row", "");
        for (server, cpu) in [
            ("MetaHub", 11.0),
            ("MetaHub before", 10.0),
            ("push: MetaHub", 12.0),
            ("push: MetaHub before", 10.0),
            ("nginx", 1.0),
        ] {
            row.add(server, CPU_PER_REQUEST, cpu);
            row.add(server, RATE, cpu);
        }
        row.check_before();
        let checks: Vec<_> = row
            .checks
            .iter()
            .map(|c| (c.what.as_str(), c.met))
            .collect();
        assert_eq!(
            checks,
            [
                ("CPU µs/req, MetaHub ÷ MetaHub before", Some(true)),
                (
                    "CPU µs/req, push: MetaHub ÷ push: MetaHub before",
                    Some(false)
                ),
            ]
        );
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|of| of.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0]), Some(1.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[4.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn numbers_have_as_many_digits_as_mean_something() {
        for (value, text) in [
            (43_210.9, "43211"),
            (99.94, "99.9"),
            (1.234, "1.23"),
            (0.123, "0.12"),
            (0.0123, "0.012"),
            (0.0, "0"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
