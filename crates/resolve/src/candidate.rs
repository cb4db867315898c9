//! The entries of an index as candidates: their platforms, requirements and weights. An index may
//! have thousands of entries, of which one is chosen: what they have in common (platforms,
//! features) is parsed once, and everything else is borrowed.

use std::fmt::Write as _;

use metahub_oci::{Descriptor, MediaType, PlatformView};

use crate::annotation::{EXCLUDED, IMAGE, READ, UNKNOWN, WEIGHT};
use crate::numbers::Numbers;
use crate::verdict::{Line, Span, Texts, Told, Verdicts};

/// An entry and its place in the index.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) position: usize,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) platform: Option<PlatformView<'a>>,
    /// The platform as it is written, also half of one: what it requires counts.
    pub(crate) written: Option<PlatformView<'a>>,
    /// Which of the list's platforms that is.
    pub(crate) platform_number: Option<usize>,
    /// Which of what the list requires it requires.
    requires: Span,
    annotated: Annotated<'a>,
}

/// What annotations say that matters here.
#[derive(Clone, Copy, Debug, Default)]
struct Annotated<'a> {
    image: Option<&'a str>,
    weight: Option<&'a str>,
    excluded: Option<&'a str>,
    unknown: Option<&'a str>,
    read: bool,
    describes_another: bool,
}

impl<'a> Annotated<'a> {
    fn of(descriptor: &'a Descriptor) -> Self {
        let mut found = Self::default();
        for (key, value) in descriptor.annotations().into_iter().flatten() {
            let Some(text) = value.as_str() else { continue };
            match key.as_str() {
                IMAGE => found.image = Some(text),
                WEIGHT => found.weight = Some(text),
                EXCLUDED => found.excluded = Some(text),
                UNKNOWN => found.unknown = Some(text),
                READ => found.read = text == "yes",
                Descriptor::REFERENCE_TYPE => found.describes_another = true,
                _ => {}
            }
        }
        found
    }
}

/// The entries of an index.
#[derive(Debug, Default)]
pub(crate) struct CandidateList<'a> {
    list: Vec<Candidate<'a>>,
    stated: Texts,
    /// The different platforms, as people write them.
    platforms: Vec<Span>,
    /// The different texts by which requirements are stated.
    texts: Vec<Span>,
    /// What each candidate requires: numbers of texts, one candidate's after the other's.
    required: Vec<usize>,
}

impl<'a> CandidateList<'a> {
    pub(crate) fn of(descriptors: &'a [Descriptor]) -> Self {
        let mut all = Self {
            list: Vec::with_capacity(descriptors.len()),
            required: Vec::with_capacity(descriptors.len() * 2),
            ..Self::default()
        };
        let mut platforms = Numbers::default();
        let mut texts = Numbers::default();
        for (position, descriptor) in descriptors.iter().enumerate() {
            // Half a platform names no machine.
            let written = descriptor.platform_view();
            let platform = written.filter(|p| !p.os.is_empty() && !p.architecture.is_empty());
            let platform_number = platform.map(|p| {
                let key = (p.os, p.architecture, p.variant, p.os_version);
                platforms.of(key, || {
                    // Writing to a String cannot fail.
                    let written = all.stated.write(|text| {
                        let _ = write!(text, "{p}");
                    });
                    all.platforms.push(written);
                    all.platforms.len() - 1
                })
            });
            let start = all.required.len();
            for text in written.iter().flat_map(PlatformView::features) {
                let number = texts.of(text, || {
                    all.texts.push(all.stated.add(text));
                    all.texts.len() - 1
                });
                all.required.push(number);
            }
            let end = all.required.len();
            all.list.push(Candidate {
                position,
                descriptor,
                platform,
                written,
                platform_number,
                requires: Span { start, end },
                annotated: Annotated::of(descriptor),
            });
        }
        all
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Candidate<'a>> + Clone {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many different texts state requirements.
    pub(crate) fn texts(&self) -> usize {
        self.texts.len()
    }

    /// What a candidate requires, as written, each with its number.
    pub(crate) fn requires(
        &self,
        candidate: &Candidate<'_>,
    ) -> impl ExactSizeIterator<Item = (usize, &str)> {
        let Span { start, end } = candidate.requires;
        let numbers = self.required.get(start..end).unwrap_or_default().iter();
        numbers.map(|number| {
            let text = self.texts.get(*number).copied().unwrap_or_default();
            (*number, self.stated.at(text))
        })
    }

    pub(crate) fn platform_of(&self, candidate: &Candidate<'_>) -> Option<&str> {
        let text = self.platforms.get(candidate.platform_number?)?;
        Some(self.stated.at(*text))
    }

    /// The verdicts on the candidates, in their order, with reasons.
    pub(crate) fn verdicts(&self, became: Vec<Told>, told: Texts) -> Verdicts {
        let mut stated = self.stated.clone();
        let text = |number: &usize| self.texts.get(*number).copied().unwrap_or_default();
        let lines = self.list.iter().zip(became).map(|(candidate, told)| Line {
            position: candidate.position,
            image: candidate.image().map(|image| stated.add(image)),
            digest: candidate.descriptor.digest().clone(),
            platform: candidate
                .platform_number
                .and_then(|number| self.platforms.get(number).copied()),
            requires: candidate.requires,
            read: candidate.is_read(),
            told,
        });
        Verdicts {
            lines: lines.collect(),
            requires: self.required.iter().map(text).collect(),
            stated,
            told,
        }
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn image(&self) -> Option<&'a str> {
        self.annotated.image
    }

    /// How it is called in messages: the image that it points to, or its digest.
    pub(crate) fn name(&self) -> &'a str {
        self.image()
            .unwrap_or_else(|| self.descriptor.digest().short())
    }

    /// The publisher's preference, 0 if none is stated.
    pub(crate) fn weight(&self) -> i64 {
        let weight = self.annotated.weight;
        weight.and_then(|w| w.parse().ok()).unwrap_or(0)
    }

    /// Why the image cannot be known to run, if so.
    pub(crate) fn excluded(&self) -> Option<&'a str> {
        self.annotated.excluded
    }

    /// The image's own statement that cannot be read, although the image may be chosen.
    pub(crate) fn unknown(&self) -> Option<&'a str> {
        self.annotated.unknown
    }

    /// Whether the image's own statements are among its requirements.
    pub(crate) fn is_read(&self) -> bool {
        self.annotated.read
    }

    /// Whether it is for a WebAssembly runtime rather than for hardware.
    pub(crate) fn is_wasm(&self) -> bool {
        self.platform
            .is_some_and(|p| p.architecture.starts_with("wasm") || p.os.starts_with("wasi"))
    }

    /// Why this entry is none to run, if so: it describes another entry, is an artifact of another
    /// kind, or is an index, which the clients that take the first match do not follow.
    pub(crate) fn not_to_run(&self) -> Option<&'static str> {
        let unknown = self
            .platform
            .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
        if self.annotated.describes_another || unknown {
            return Some("not an image: it describes another entry (attestation)");
        }
        if self.descriptor.media_type().is_index() {
            return Some("an index within the index, which is not followed");
        }
        if !self.descriptor.media_type().is_manifest() {
            return Some("not an image: its media type is not a manifest's");
        }
        if is_artifact(self.descriptor) {
            return Some("not an image: an artifact of another kind");
        }
        None
    }
}

/// Whether a descriptor says that it leads to an artifact that is no image (`artifactType`,
/// image specification, `descriptor.md`).
fn is_artifact(descriptor: &Descriptor) -> bool {
    let mut fields = descriptor.as_json().iter();
    let kind = fields.find_map(|(key, value)| (key == "artifactType").then_some(value.as_str()?));
    kind.is_some_and(|kind| {
        let parsed: Result<MediaType, _> = kind.parse();
        !kind.is_empty() && !parsed.is_ok_and(|kind| kind.is_image_config())
    })
}
