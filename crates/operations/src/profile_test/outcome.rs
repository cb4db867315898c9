//! Compares the result of a test's pull with what is expected.

use metahub_catalog::{Expected, TestCase};
use metahub_oci::{ImageConfig, ImageReference, JsonMap, Manifest};
use metahub_registry::Resolution;
use serde_json::Value;

use super::mismatch::Mismatch;

/// The results of a test.
pub(super) struct Came {
    /// The result of the pull.
    pub(super) pull: Pull,
    /// The image that answered the pull, unless it was denied.
    pub(super) redirect: Option<ImageReference>,
    /// The tags of the repository's list, or why there is none; `None` if the test does not list.
    pub(super) tags: Option<Result<Vec<String>, String>>,
}

/// The result of a pull.
pub(super) enum Pull {
    /// It was refused, with this message.
    Refused {
        /// For people.
        message: String,
        /// Whether the profile denies it.
        denied: bool,
    },
    /// An image.
    Image(Box<Pulled>),
}

impl From<String> for Pull {
    fn from(message: String) -> Self {
        Self::Refused {
            message,
            denied: false,
        }
    }
}

impl From<Pull> for Came {
    fn from(pull: Pull) -> Self {
        Self {
            pull,
            redirect: None,
            tags: None,
        }
    }
}

/// An image that was pulled.
pub(super) struct Pulled {
    pub(super) resolution: Resolution,
    pub(super) manifest: Manifest,
    pub(super) config: ImageConfig,
    /// The names of the chosen image in the test or collection.
    pub(super) names: Vec<String>,
}

impl Came {
    /// The differences from what the case expects.
    pub(super) fn mismatches(&self, case: &TestCase) -> Vec<Mismatch> {
        let all = &case.expect.all;
        let mut mismatches = Vec::new();
        if let Pull::Refused { message, .. } = &self.pull
            && !all.iter().all(|(e, _)| e.is_met_without_an_image())
        {
            mismatches.push(Mismatch {
                location: case.location.clone(),
                what: "the pull".to_owned(),
                expected: "an image".to_owned(),
                found: format!("a refusal: {message}"),
            });
        }
        let checked = all.iter().filter_map(|(expected, location)| {
            let (what, wanted, found) = self.check(expected)?;
            Some(Mismatch {
                location: location.clone(),
                what,
                expected: wanted,
                found,
            })
        });
        mismatches.extend(checked);
        mismatches.sort_by(|a, b| a.location.cmp(&b.location));
        mismatches
    }

    /// The subject of one expectation, what it wants and what was found, if they differ.
    fn check(&self, expected: &Expected) -> Option<(String, String, String)> {
        match expected {
            Expected::Fails(part) => {
                let wanted = format!("a refusal that says '{part}'");
                let (wrong, found) = match &self.pull {
                    Pull::Refused { message, .. } => (!message.contains(part), message.clone()),
                    Pull::Image(pulled) => (true, pulled.described()),
                };
                return differs("the pull", wrong, wanted, found);
            }
            Expected::Denied(part) => return self.check_denied(part),
            Expected::Tags(wanted) => return self.check_tags(wanted),
            Expected::Redirect(wanted) => {
                let found = self.redirect.as_ref()?.to_string();
                let wrong = !equal_references(&wanted.to_string(), &found);
                return differs("redirect", wrong, wanted.to_string(), found);
            }
            _ => {}
        }
        match &self.pull {
            // Reported once, for the pull as a whole.
            Pull::Refused { .. } => None,
            Pull::Image(pulled) => pulled.check(expected),
        }
    }

    fn check_denied(&self, part: &str) -> Option<(String, String, String)> {
        let wanted = format!("a `deny` that says '{part}'");
        let (wrong, found) = match &self.pull {
            Pull::Refused {
                message,
                denied: true,
            } => (!message.contains(part), message.clone()),
            Pull::Refused { message, .. } => (true, format!("another refusal: {message}")),
            Pull::Image(pulled) => (true, pulled.described()),
        };
        differs("the pull", wrong, wanted, found)
    }

    fn check_tags(&self, wanted: &[String]) -> Option<(String, String, String)> {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        match self.tags.as_ref()? {
            Ok(found) => {
                let mut found = found.clone();
                found.sort();
                differs("tags", wanted != found, list(&wanted), list(&found))
            }
            Err(message) => differs("tags", true, list(&wanted), message.clone()),
        }
    }
}

impl Pulled {
    fn check(&self, expected: &Expected) -> Option<(String, String, String)> {
        match expected {
            // Not about the image.
            Expected::Fails(_)
            | Expected::Denied(_)
            | Expected::Redirect(_)
            | Expected::Tags(_) => None,
            Expected::Image(image) => {
                let same = |name: &String| name == image || equal_references(name, image);
                let wrong = !self.names.iter().any(same);
                differs("image", wrong, image.clone(), self.described())
            }
            Expected::Features(wanted) => {
                let mut wanted = wanted.clone();
                let mut found = self.resolution.requires.clone();
                wanted.sort();
                found.sort();
                let wrong = wanted != found;
                differs("features", wrong, list(&wanted), list(&found))
            }
            Expected::Platform(wanted) => {
                let found = self.resolution.platform.to_string();
                differs("platform", *wanted != found, wanted.clone(), found)
            }
            Expected::Layers(wanted) => {
                let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                let found = self.added();
                differs("layers", wanted != found, list(&wanted), list(&found))
            }
            Expected::Env(name, wanted) => {
                let found = self.variable(name);
                text(&format!("env {name}"), wanted.as_deref(), found)
            }
            Expected::Entrypoint(wanted) => self.texts("entrypoint", "Entrypoint", wanted),
            Expected::Cmd(wanted) => self.texts("cmd", "Cmd", wanted),
            Expected::WorkingDir(wanted) => self.field("working_dir", "WorkingDir", wanted),
            Expected::User(wanted) => self.field("user", "User", wanted),
            Expected::Label(name, wanted) => {
                let labels = self.run().and_then(|run| run.get("Labels"));
                let found = labels.and_then(|labels| labels.get(name)?.as_str());
                text(&format!("label {name}"), wanted.as_deref(), found)
            }
            Expected::Annotation(name, wanted) => {
                let annotations = self.manifest.as_json().get("annotations");
                let found = annotations.and_then(|all| all.get(name)?.as_str());
                text(&format!("annotation {name}"), wanted.as_deref(), found)
            }
        }
    }

    /// The pulled image, for people.
    fn described(&self) -> String {
        let requires = &self.resolution.requires;
        let name = match self.names.first() {
            Some(name) => name.clone(),
            None => self.resolution.manifest.short().to_owned(),
        };
        if requires.is_empty() {
            name
        } else {
            format!("{name} ({})", requires.join(", "))
        }
    }

    /// The images whose layers were added, in order.
    fn added(&self) -> Vec<String> {
        let platform = &self.resolution.platform;
        let all = self.resolution.explanation.added.iter();
        let here = all.filter(|added| {
            let of = added.platform.as_ref();
            of.is_none_or(|of| of.same_machine(platform))
        });
        here.map(|added| added.image.clone()).collect()
    }

    /// How the image is run.
    fn run(&self) -> Option<&JsonMap> {
        self.config.as_json().get("config")?.as_object()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut all = self.config.env();
        all.find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    fn texts(&self, what: &str, key: &str, wanted: &[String]) -> Option<(String, String, String)> {
        let found = self.run().and_then(|run| run.get(key)?.as_array());
        let found: Vec<String> = found
            .into_iter()
            .flatten()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect();
        differs(what, wanted != found, list(wanted), list(&found))
    }

    fn field(&self, what: &str, key: &str, wanted: &str) -> Option<(String, String, String)> {
        let found = self.run().and_then(|run| run.get(key));
        let found = found
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        text(what, Some(wanted).filter(|text| !text.is_empty()), found)
    }
}

/// Whether two texts name the same image: `lab/app` and `lab/app:latest`.
fn equal_references(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<ImageReference>(), b.parse::<ImageReference>()) else {
        return false;
    };
    (a.host(), a.name(), a.reference()) == (b.host(), b.name(), b.reference())
}

fn differs(
    what: &str,
    wrong: bool,
    wanted: String,
    found: String,
) -> Option<(String, String, String)> {
    wrong.then(|| (what.to_owned(), wanted, found))
}

fn text(what: &str, wanted: Option<&str>, found: Option<&str>) -> Option<(String, String, String)> {
    let shown = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |t| format!("'{t}'"));
    differs(what, wanted != found, shown(wanted), shown(found))
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}
