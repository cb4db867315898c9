//! Compares what an entry requires with what an image's code needs. No I/O.

use std::collections::HashSet;

use metahub_catalog::Entry;
use metahub_hardware::{Microarchitectures, Target};
use metahub_inspect::ImageNeeds;
use metahub_registry::{Excess, Lifted};

use super::images::FoundImage;
use crate::inspect::{LabelVerdict, statements};

/// Most findings that are reported for one image.
const TOLD: usize = 3;

/// The CPU targets that a machine must have to get an image.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    targets: Vec<Target>,
}

/// The comparison of an image with its entry.
pub(super) struct Compared {
    pub(super) required: Option<String>,
    pub(super) verdict: LabelVerdict,
    pub(super) evidence: Vec<String>,
}

/// A finding about an entry.
pub(super) struct Finding {
    pub(super) is_error: bool,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Claim {
    /// The claim of the entry itself.
    pub(super) fn written(entry: &Entry) -> Self {
        let targets = entry.requires.iter().filter_map(|f| f.target().cloned());
        Self {
            targets: targets.collect(),
        }
    }

    /// The claim of the entry and the image's own statements, as for a pull: for a single image the
    /// entry takes precedence, for one of an index all statements count together.
    pub(super) fn of(entry: &Entry, image: &FoundImage, of_index: bool) -> Self {
        let mut claim = Self::written(entry);
        if of_index || (claim.targets.is_empty() && !entry.requires_nothing) {
            let said = statements(&image.config, Some(&image.manifest));
            let said = said.requirements.into_iter();
            claim
                .targets
                .extend(said.filter_map(|stated| stated.feature.target().cloned()));
        }
        claim
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.targets.iter().map(ToString::to_string).collect()
    }

    fn described(&self) -> String {
        if self.targets.is_empty() {
            return "any processor of its architecture".to_owned();
        }
        self.names().join(" + ")
    }
}

/// Compares a claim with needs.
pub(super) fn compare(
    claim: &Claim,
    needs: &ImageNeeds,
    graph: &Microarchitectures,
) -> (Compared, Vec<Finding>) {
    let required = highest_required(needs, graph);
    let excess = Excess::of(needs, &claim.targets, graph, &Lifted::default());
    let (proven, unknown): (Vec<Excess>, Vec<Excess>) =
        excess.into_iter().partition(|excess| excess.proven);
    let may_need = needs.files.values().any(|file| !file.unknown.is_empty());
    let mut findings = Vec::new();
    let mut verdict = LabelVerdict::Agrees;
    if !unknown.is_empty() {
        verdict = LabelVerdict::Unknown;
        findings.push(unknown_finding(claim, &unknown));
    } else if !may_need && let Some(finding) = claims_more(claim, required.as_ref(), graph) {
        verdict = LabelVerdict::ClaimsMore;
        findings.push(finding);
    }
    if !proven.is_empty() {
        verdict = LabelVerdict::ClaimsLess;
        findings.insert(0, claims_less(claim, &proven));
    }
    let shown: Vec<&Excess> = proven.iter().chain(&unknown).collect();
    let evidence = if shown.is_empty() {
        let files = needs.files.iter();
        let requiring = files.filter_map(|(path, file)| {
            let need = file.required.as_ref()?;
            Some(format!(
                "{path} requires {} ({})",
                need.level.as_deref()?,
                need.why
            ))
        });
        requiring.take(TOLD).collect()
    } else {
        shown.iter().take(TOLD).map(ToString::to_string).collect()
    };
    let compared = Compared {
        required: required.map(|target| target.to_string()),
        verdict,
        evidence,
    };
    (compared, findings)
}

fn highest_required(needs: &ImageNeeds, graph: &Microarchitectures) -> Option<Target> {
    let files = needs.files.values();
    files
        .filter_map(|file| file.required.as_ref()?.level.as_deref())
        .filter_map(|level| graph.find(level).ok())
        .max_by_key(|target| graph.depth(target))
}

fn claims_less(claim: &Claim, proven: &[Excess]) -> Finding {
    let levels: Vec<&str> = proven
        .iter()
        .filter_map(|e| e.need.level.as_deref())
        .collect();
    let mut levels: Vec<&str> = levels
        .into_iter()
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    levels.sort_unstable();
    let level = levels.last().copied().unwrap_or("more");
    Finding {
        is_error: true,
        code: "less-than-code",
        message: format!(
            "its code requires {level}, and the entry gives it to {}: {}",
            claim.described(),
            listed(proven)
        ),
        help: Some(format!(
            "machines without {level} may be given this image, and its programs die there: write \
             `features: [arch:{level}]`, or build it for less"
        )),
    }
}

fn unknown_finding(claim: &Claim, unknown: &[Excess]) -> Finding {
    Finding {
        is_error: false,
        code: "code-unknown",
        message: format!(
            "it is unknown whether its code runs on {}: {}",
            claim.described(),
            listed(unknown)
        ),
        help: Some("`metahub inspect IMAGE --explain` lists what was found".to_owned()),
    }
}

/// An entry that requires a higher level than its code needs.
fn claims_more(
    claim: &Claim,
    required: Option<&Target>,
    graph: &Microarchitectures,
) -> Option<Finding> {
    let more = |target: &&Target| {
        let level = graph.generic(target);
        match required {
            Some(required) => level != *required && graph.descends_from(&level, required),
            None => graph.depth(&level) > 0,
        }
    };
    let target = claim.targets.iter().find(more)?;
    let needs = required.map_or_else(
        || {
            format!(
                "there is no evidence that it needs more than {}",
                graph.family(target)
            )
        },
        |required| format!("needs only {required}"),
    );
    Some(Finding {
        is_error: false,
        code: "more-than-code",
        message: format!("built for {target}, {needs}"),
        help: Some(
            "more machines could run it; leave it as it is if it was tuned for these".to_owned(),
        ),
    })
}

fn listed(excess: &[Excess]) -> String {
    let mut text: Vec<String> = excess.iter().take(TOLD).map(ToString::to_string).collect();
    if excess.len() > TOLD {
        text.push(format!("and {} more", excess.len() - TOLD));
    }
    text.join("; ")
}

#[cfg(test)]
mod tests {
    use metahub_inspect::LayerNeeds;

    use super::*;

    /// The codes that a claim gets for a program that requires, or may require, a level.
    fn codes(claims: &[&str], requires: Option<&str>, may: Option<&str>) -> Vec<&'static str> {
        let graph = Microarchitectures::builtin();
        let claim = Claim {
            targets: claims.iter().map(|c| graph.find(c).unwrap()).collect(),
        };
        let need = |level: &str| serde_json::json!({"level": level, "why": "w"});
        let mut file = serde_json::Map::new();
        if let Some(level) = requires {
            file.insert("required".to_owned(), need(level));
        }
        if let Some(level) = may {
            file.insert("unknown".to_owned(), serde_json::json!([need(level)]));
        }
        let files = if file.is_empty() {
            serde_json::json!({})
        } else {
            serde_json::json!({"bin/app": file})
        };
        let text = serde_json::json!({ "files": files }).to_string();
        let layer = LayerNeeds::from_json(&text).unwrap();
        let needs = ImageNeeds::of([("one", &layer)]);
        let (_, findings) = compare(&claim, &needs, &graph);
        findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn claims_are_held_against_what_code_needs() {
        let none: &[&str] = &[];
        for (claims, requires, may, expected) in [
            (none, None, None, vec![]),
            (none, Some("x86_64_v2"), None, vec!["less-than-code"]),
            (&["zen2"], Some("x86_64_v4"), None, vec!["less-than-code"]),
            (&["x86_64_v4"], Some("x86_64_v4"), None, vec![]),
            (&["zen3"], Some("x86_64_v3"), None, vec![]),
            (&["zen3"], Some("x86_64_v2"), None, vec!["more-than-code"]),
            (&["zen3"], None, None, vec!["more-than-code"]),
            (&["zen3"], None, Some("x86_64_v4"), vec!["code-unknown"]),
            // What may be needed is there anyway.
            (&["zen4"], None, Some("x86_64_v4"), vec![]),
            (
                &["zen2"],
                Some("x86_64_v4"),
                Some("x86_64_v4"),
                vec!["less-than-code", "code-unknown"],
            ),
        ] {
            assert_eq!(
                codes(claims, requires, may),
                expected,
                "{claims:?} {requires:?}"
            );
        }
    }
}
