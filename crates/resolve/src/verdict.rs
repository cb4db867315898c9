//! Why an entry of an index was kept or left out: the material of explanations. An index may have
//! thousands of entries whose verdicts share most words, so all verdicts are stored together and
//! looked at in place.

use std::fmt;

use metahub_hardware::Feature;
use metahub_oci::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes in the text of a digest.
const DIGEST: usize = 128;

/// The verdict on one entry of an index. The field names are those of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict<'a> {
    /// Its place in the index, from 0.
    pub position: usize,
    /// The image that a collection's entry points to.
    pub image: Option<&'a str>,
    /// The digest of its manifest.
    pub digest: &'a Digest,
    /// Its platform, `os/architecture` or `os/architecture/variant`.
    pub platform: Option<&'a str>,
    /// What it requires, as written, in order.
    pub requires: Vec<&'a str>,
    /// Whether the image's own statements were read, and are among its requirements.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read: bool,
    /// Whether it is served.
    pub kept: bool,
    /// Its place among the entries for its machine that fit, from 1.
    pub rank: Option<usize>,
    /// Whether it would be served if the one that is served were not there.
    pub runner_up: bool,
    /// Why, in words.
    pub reason: &'a str,
}

impl Verdict<'_> {
    /// The headings over [`Verdict::cells`].
    pub const HEADINGS: [&'static str; 6] = ["", "RANK", "IMAGE", "PLATFORM", "REQUIRES", "WHY"];

    /// The verdict as the cells of a row: a mark (`✓` when served), its rank, the image or the
    /// short form of its digest, its platform, what it requires, and why.
    #[must_use]
    pub fn cells(&self) -> [String; 6] {
        let requires = if self.requires.is_empty() {
            "nothing".to_owned()
        } else {
            brief(&self.requires).join(", ")
        };
        [
            if self.kept { "✓" } else { "" }.to_owned(),
            self.rank.map(|rank| rank.to_string()).unwrap_or_default(),
            self.image.unwrap_or_else(|| self.digest.short()).to_owned(),
            self.platform.unwrap_or("-").to_owned(),
            requires,
            self.reason.to_owned(),
        ]
    }
}

/// Requirements as people read them; expressions over hardware may be pages long.
pub(crate) fn brief(requires: &[&str]) -> Vec<String> {
    const LONG: usize = 80;
    let brief = |written: &&str| match Feature::parse(written) {
        Ok(feature) if written.len() > LONG => feature.brief().to_string(),
        _ => (*written).to_owned(),
    };
    requires.iter().map(brief).collect()
}

/// The verdicts on the entries of an index, in their order. Written as a list of [`Verdict`].
#[derive(Clone, Default)]
pub struct Verdicts {
    /// What the entries say of themselves.
    pub(crate) stated: Texts,
    /// The reasons.
    pub(crate) told: Texts,
    pub(crate) requires: Vec<Span>,
    pub(crate) lines: Vec<Line>,
}

/// One verdict, its texts by where they stand.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) position: usize,
    pub(crate) image: Option<Span>,
    pub(crate) digest: Digest,
    pub(crate) platform: Option<Span>,
    /// Which of `requires`.
    pub(crate) requires: Span,
    pub(crate) read: bool,
    pub(crate) told: Told,
}

/// The verdict on an entry, and the place of its reason.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) kept: bool,
    pub(crate) rank: Option<usize>,
    pub(crate) runner_up: bool,
    /// Whether all that it requires is met.
    pub(crate) fits: bool,
    pub(crate) reason: Span,
}

impl Told {
    pub(crate) fn left_out(reason: Span) -> Self {
        Self {
            kept: false,
            rank: None,
            runner_up: false,
            fits: false,
            reason,
        }
    }
}

/// From here to there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Many texts, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts(String);

impl Texts {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    pub(crate) fn add(&mut self, text: &str) -> Span {
        self.write(|all| all.push_str(text))
    }

    /// Adds whatever `write` adds to the end.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut String)) -> Span {
        let start = self.0.len();
        write(&mut self.0);
        let end = self.0.len();
        Span { start, end }
    }

    pub(crate) fn at(&self, span: Span) -> &str {
        self.0.get(span.start..span.end).unwrap_or_default()
    }
}

impl Verdicts {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of memory that they take, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        let spans = self.requires.len() * size_of::<Span>();
        let lines = self.lines.len() * (size_of::<Line>() + DIGEST);
        self.stated.0.len() + self.told.0.len() + spans + lines
    }

    /// The verdict on the entry with that number.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Verdict<'_>> {
        self.lines.get(at).map(|line| self.view(line))
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Verdict<'_>> {
        self.lines.iter().map(|line| self.view(line))
    }

    fn view<'a>(&'a self, line: &'a Line) -> Verdict<'a> {
        let stated = |span: Option<Span>| span.map(|span| self.stated.at(span));
        let Span { start, end } = line.requires;
        let requires = self.requires.get(start..end).unwrap_or_default();
        Verdict {
            position: line.position,
            image: stated(line.image),
            digest: &line.digest,
            platform: stated(line.platform),
            requires: requires.iter().map(|span| self.stated.at(*span)).collect(),
            read: line.read,
            kept: line.told.kept,
            rank: line.told.rank,
            runner_up: line.told.runner_up,
            reason: self.told.at(line.told.reason),
        }
    }
}

impl PartialEq for Verdicts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Verdicts {}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Verdicts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Verdicts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            position: usize,
            image: Option<String>,
            digest: Digest,
            platform: Option<String>,
            requires: Vec<String>,
            #[serde(default)]
            read: bool,
            kept: bool,
            rank: Option<usize>,
            #[serde(default)]
            runner_up: bool,
            reason: String,
        }
        let mut verdicts = Self::default();
        for written in Vec::<Written>::deserialize(deserializer)? {
            let Self {
                stated,
                told,
                requires,
                lines,
            } = &mut verdicts;
            let start = requires.len();
            requires.extend(written.requires.iter().map(|text| stated.add(text)));
            let end = requires.len();
            lines.push(Line {
                position: written.position,
                image: written.image.map(|text| stated.add(&text)),
                digest: written.digest,
                platform: written.platform.map(|text| stated.add(&text)),
                requires: Span { start, end },
                read: written.read,
                told: Told {
                    kept: written.kept,
                    rank: written.rank,
                    runner_up: written.runner_up,
                    fits: false,
                    reason: told.add(&written.reason),
                },
            });
        }
        Ok(verdicts)
    }
}
