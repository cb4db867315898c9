//! Running an image on an emulated processor, so that an operator may lift what reading its code
//! left unknown. A run shows something of the files that it opened only, and of that processor and
//! those above it; what was proven stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metahub_bundle::{UnpackLimits, Unpacked};
use metahub_emulation::{Bounds, EmulationError, Emulator, End, Processor, Ran, Run};
use metahub_hardware::{Microarchitectures, Target};
use metahub_inspect::{ImageNeeds, LayerNeeds, LayerReader, Limits};
use metahub_oci::ImageConfig;
use metahub_registry::{Excess, Lifted};
use serde::Serialize;
use serde_json::Value;

use super::open::OpenImage;
use crate::error::OperationError;

/// Most that is unpacked of an image.
const UNPACKED: UnpackLimits = UnpackLimits {
    bytes: 32 << 30,
    entries: 1_000_000,
};
/// Bytes of memory that a run may take.
const MEMORY: u64 = 8 << 30;
/// Bytes that it may write.
const DISK: u64 = 4 << 30;

/// How an image is to be run.
#[derive(Clone, Debug)]
pub struct RunOn {
    /// The processor.
    pub target: Target,
    /// What is run; what the image says if empty.
    pub command: Vec<String>,
    /// How long it may last.
    pub time: Duration,
    /// How it is emulated.
    pub processor: Processor,
    /// By what.
    pub emulator: Emulator,
}

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The processor by its name in archspec.
    pub target: Target,
    /// The emulator.
    pub emulator: String,
    /// What the emulator was told of the processor.
    pub processor: String,
    /// What was run.
    pub command: Vec<String>,
    /// How it ended.
    pub ended: End,
    /// What that means.
    pub outcome: RunOutcome,
    /// Files of which something was unknown and that ran: an operator may lift it.
    pub lifts: Vec<LiftedFile>,
    /// Files of which something is unknown and stays so.
    pub stays: Vec<LiftedFile>,
    /// What was proven to need more than the target has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// A file of which something is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiftedFile {
    /// The path in the image; nothing where it is of the image as a whole.
    pub file: String,
    /// The SHA-256 of its content in hexadecimal; none of what was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why it stays unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

/// What a run means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// It ran to its end, without a fault.
    Ran,
    /// It came to an instruction that the processor does not have.
    NeedsMore,
    /// It ended for another reason, which says nothing of the processor.
    Failed,
}

impl RunOn {
    /// Makes ready to run on `target`.
    ///
    /// # Errors
    /// When that processor cannot be emulated here.
    pub fn new(
        target: Target,
        graph: &Microarchitectures,
        command: Vec<String>,
        time: Duration,
    ) -> Result<Self, EmulationError> {
        let processor = Processor::of(&target, graph)?;
        let emulator = Emulator::find(&processor)?;
        Ok(Self {
            target,
            command,
            time,
            processor,
            emulator,
        })
    }

    /// The one image that this processor runs.
    pub(crate) fn choose(&self, images: Vec<OpenImage>) -> Result<OpenImage, OperationError> {
        let architecture = self.processor.architecture;
        let fits = |image: &OpenImage| {
            let platform = image.config.platform();
            platform.os == "linux" && platform.architecture == architecture
        };
        let mut fitting: Vec<OpenImage> = images.into_iter().filter(fits).collect();
        match (fitting.pop(), fitting.len()) {
            (Some(image), 0) => Ok(image),
            (None, _) => Err(OperationError::NoImage(format!(
                "it has no image for linux/{architecture}, which {} runs",
                self.target
            ))),
            (Some(_), others) => Err(OperationError::NoImage(format!(
                "it has {} images for linux/{architecture}: name one of them by its digest",
                others + 1
            ))),
        }
    }
}

/// Runs an image. Blocks, for as long as the run lasts.
pub(crate) fn run(
    image: &OpenImage,
    run_on: &RunOn,
    graph: &Microarchitectures,
) -> Result<RunReport, OperationError> {
    let (command, run) = said(&image.config, &run_on.command)?;
    let temporary = |error: std::io::Error| OperationError::Unpack {
        what: "the temporary folder".to_owned(),
        why: error.to_string(),
    };
    let folder = tempfile::Builder::new().prefix("metahub-run-").tempdir();
    let folder = folder.map_err(temporary)?;
    let root = folder.path().join("root");
    std::fs::create_dir(&root).map_err(temporary)?;
    let needs = unpack(image, Unpacked::new(root, UNPACKED))?;
    let target = [run_on.target.clone()];
    let (proven, unknown): (Vec<Excess>, Vec<Excess>) =
        Excess::of(&needs, &target, graph, &Lifted::default())
            .into_iter()
            .partition(|excess| excess.proven);
    let files: BTreeMap<String, Option<String>> = unknown
        .into_iter()
        .map(|excess| (excess.file.unwrap_or(excess.need.why), excess.sha256))
        .collect();
    let run = Run {
        folder: folder.path().to_owned(),
        command: command.clone(),
        watched: files.keys().cloned().collect(),
        bounds: Bounds {
            time: run_on.time,
            memory: MEMORY,
            disk: DISK,
        },
        ..run
    };
    let ran = run.run(&run_on.emulator, &run_on.processor)?;
    let outcome = outcome(&ran);
    let (mut lifts, mut stays) = (Vec::new(), Vec::new());
    for (file, sha256) in files {
        let why = stays_unknown(outcome, ran.opened.contains(&file), sha256.is_some());
        let list = if why.is_some() {
            &mut stays
        } else {
            &mut lifts
        };
        list.push(LiftedFile { file, sha256, why });
    }
    Ok(RunReport {
        target: run_on.target.clone(),
        emulator: run_on.emulator.path.display().to_string(),
        processor: run_on.processor.model.clone(),
        command,
        ended: ran.end,
        outcome,
        lifts,
        stays,
        requires: proven.iter().map(ToString::to_string).collect(),
    })
}

fn outcome(ran: &Ran) -> RunOutcome {
    match ran.end {
        _ if ran.illegal => RunOutcome::NeedsMore,
        End::Exited(0) => RunOutcome::Ran,
        _ => RunOutcome::Failed,
    }
}

/// Why a file stays unknown, if it does.
fn stays_unknown(outcome: RunOutcome, opened: bool, hashed: bool) -> Option<&'static str> {
    match outcome {
        RunOutcome::NeedsMore => Some("the run came to an instruction that this processor lacks"),
        RunOutcome::Failed => Some("the run did not end well"),
        RunOutcome::Ran if !hashed => Some("it was not read, so that nothing names it"),
        RunOutcome::Ran if !opened => Some("the run did not open it"),
        RunOutcome::Ran => None,
    }
}

/// Unpacks the layers, and reads what each needs, as a server does.
fn unpack(image: &OpenImage, mut into: Unpacked) -> Result<ImageNeeds, OperationError> {
    let mut reader = LayerReader::new(Limits::default());
    let mut needs: Vec<(&str, LayerNeeds)> = Vec::new();
    for layer in &image.layers {
        let failed = |why: String| OperationError::Unpack {
            what: format!("layer {}", layer.name),
            why,
        };
        let unpacked = layer
            .read(|source| into.add_layer(source))
            .map_err(failed)?;
        unpacked.map_err(|error| failed(error.to_string()))?;
        let read = layer.read(|source| reader.read(source)).map_err(failed)?;
        needs.push((&layer.name, read));
    }
    Ok(ImageNeeds::of(
        needs.iter().map(|(name, needs)| (*name, needs)),
    ))
}

/// What the image says of how it is run, with `command` in place of its own if there is one.
fn said(config: &ImageConfig, command: &[String]) -> Result<(Vec<String>, Run), OperationError> {
    let said = config.as_json().get("config");
    let list = |name: &str| -> Vec<String> {
        let list = said
            .and_then(|said| said.get(name))
            .and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let command = if command.is_empty() {
        [list("Entrypoint"), list("Cmd")].concat()
    } else {
        command.to_vec()
    };
    if command.is_empty() {
        return Err(OperationError::NoCommand);
    }
    let working_dir = said
        .and_then(|said| said.get("WorkingDir"))
        .and_then(Value::as_str);
    let working_dir = working_dir
        .filter(|folder| folder.starts_with('/'))
        .unwrap_or("/");
    let run = Run {
        folder: std::path::PathBuf::new(),
        command: Vec::new(),
        env: config.env().map(str::to_owned).collect(),
        working_dir: working_dir.to_owned(),
        watched: BTreeSet::new(),
        bounds: Bounds {
            time: Duration::ZERO,
            memory: 0,
            disk: 0,
        },
    };
    Ok((command, run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(end: End, illegal: bool) -> Ran {
        Ran {
            end,
            illegal,
            opened: BTreeSet::new(),
        }
    }

    #[test]
    fn only_a_run_without_fault_lifts_and_only_what_it_opened() {
        for (end, illegal, expected) in [
            (End::Exited(0), false, RunOutcome::Ran),
            // A program that hides how another ended.
            (End::Exited(0), true, RunOutcome::NeedsMore),
            (End::Signal(4), true, RunOutcome::NeedsMore),
            (End::Exited(1), false, RunOutcome::Failed),
            (End::Signal(11), false, RunOutcome::Failed),
            (End::Time, false, RunOutcome::Failed),
            (End::Memory, false, RunOutcome::Failed),
        ] {
            assert_eq!(outcome(&ran(end, illegal)), expected, "{end:?}");
        }
        assert_eq!(stays_unknown(RunOutcome::Ran, true, true), None);
        for (outcome, opened, hashed) in [
            (RunOutcome::Ran, false, true),
            (RunOutcome::Ran, true, false),
            (RunOutcome::Failed, true, true),
            (RunOutcome::NeedsMore, true, true),
        ] {
            assert!(stays_unknown(outcome, opened, hashed).is_some());
        }
    }
}
