//! Programs that are built here for many processors, beside the truth: the emulated processors on
//! which each of them runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::metahub::command;
use crate::process::Cmd;

/// Emulated processors, the simplest first (`qemu64` has SSE3 and CMPXCHG16B, of the second level);
const PROCESSORS: [&str; 3] = ["qemu64,-pni,-cx16", "Nehalem", "Haswell"];
/// Levels of x86-64 by their names in archspec.
pub const LEVELS: [&str; 4] = ["x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images/inspect")
}

/// Programs in a folder, which become the one layer of an image.
pub struct Corpus {
    /// Where its programs are, in `bin`.
    pub folder: TempDir,
}

/// What inspection says of a file: the number of the level that it requires, and whether it may
/// need more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// It dies without.
    pub required: usize,
    /// The highest that it chooses by itself.
    pub dispatched: usize,
    /// Whether it may need more.
    pub unknown: bool,
}

impl Corpus {
    /// No program yet.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        Self { folder }
    }

    /// Where a program is, or is to be.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("bin").join(name)
    }

    /// Builds with a shell command, in which `OUT` stands for the file.
    pub fn build(&self, name: &str, line: &str) {
        let out = self.file(name).display().to_string();
        Cmd::new("sh")
            .args(["-ec", &line.replace("OUT", &out)])
            .dir(&sources())
            // Go builds its library anew for each level.
            .limit(Duration::from_secs(600))
            .ok();
    }

    /// The number of the level that a program really needs.
    #[must_use]
    pub fn truth(program: &Path) -> usize {
        let runs = |processor: &&&str| {
            let emulated = Cmd::new("qemu-x86_64")
                .args(["-cpu", processor])
                .arg(program);
            emulated.run().code == Some(0)
        };
        let found = PROCESSORS.iter().position(|processor| runs(&processor));
        found.unwrap_or(PROCESSORS.len())
    }

    /// The programs as a compressed layer.
    #[must_use]
    pub fn layer(&self) -> Vec<u8> {
        let layer = self.folder.path().join("layer.tar.gz");
        Cmd::new("tar")
            .arg("-czf")
            .arg(&layer)
            .args(["-C"])
            .arg(self.folder.path())
            .arg("bin")
            .ok();
        std::fs::read(&layer).unwrap()
    }

    /// Packs the programs into an image; what inspection says of it.
    #[must_use]
    pub fn report(&self) -> Value {
        let layout = self.folder.path().join("layout");
        let _ = layout_of(&layout, &[&self.layer()], &json!({}));
        let name = format!("oci:{}", layout.display());
        let inspect = command(&["inspect", &name, "--format", "json"]);
        inspect.run().ok_json()
    }

    /// Packs the programs into an image and inspects it: the answer for each program that has one.
    #[must_use]
    pub fn inspect(&self) -> BTreeMap<String, Answer> {
        let report = self.report();
        let architectures = report["architectures"].as_array().unwrap();
        assert!(architectures.contains(&json!("amd64")), "{report}");
        let level = |value: &Value| LEVELS.iter().position(|l| value == l).unwrap_or(0);
        let files = report["files"].as_array().unwrap().iter();
        files
            .map(|file| {
                let name = file["file"].as_str().unwrap().trim_start_matches("bin/");
                let answer = Answer {
                    required: level(&file["required"]),
                    dispatched: level(&file["dispatched"]),
                    unknown: file["unknown"].as_bool().unwrap(),
                };
                (name.to_owned(), answer)
            })
            .collect()
    }

    /// The same for any architecture: the program, what it requires, and whether it may need more.
    #[must_use]
    pub fn requirements(&self) -> Vec<(String, Option<String>, bool)> {
        let report = self.report();
        let files = report["files"].as_array().unwrap().iter();
        files
            .map(|file| {
                let name = file["file"].as_str().unwrap().trim_start_matches("bin/");
                let required = file["required"].as_str().map(str::to_owned);
                (
                    name.to_owned(),
                    required,
                    file["unknown"].as_bool().unwrap(),
                )
            })
            .collect()
    }

    /// Holds every answer against the truth; how many were exact, and how many there were.
    pub fn hold(&self, truths: &BTreeMap<String, usize>) -> (usize, usize) {
        let answers = self.inspect();
        let (mut wrong, mut exact) = (Vec::new(), 0);
        for (name, truth) in truths {
            let answer = answers.get(name).copied().unwrap_or_default();
            println!("{name}: needs {}, {answer:?}", LEVELS[*truth]);
            let missed = answer.required < *truth && !answer.unknown;
            if missed || answer.required > *truth {
                wrong.push(format!("{name}: needs {}, {answer:?}", LEVELS[*truth]));
            }
            exact += usize::from(answer.required == *truth && !answer.unknown);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        (exact, truths.len())
    }
}

/// Writes an OCI layout with one image; its digest.
#[must_use]
pub fn layout_of(folder: &Path, layers: &[&[u8]], labels: &Value) -> String {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let hex = hex::encode(Sha256::digest(bytes));
        std::fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    };
    let layers: Vec<Value> = layers
        .iter()
        .map(|bytes| put("application/vnd.oci.image.layer.v1.tar+gzip", bytes))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let image = json!({
        "schemaVersion": 2, "mediaType": manifest,
        "config": put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": layers,
    });
    let index =
        json!({"schemaVersion": 2, "manifests": [put(manifest, image.to_string().as_bytes())]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}
