//! `metahub inspect IMAGE`: what an image's code needs, beside what its labels say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use metahub_hardware::Stated;
use metahub_inspect::{FileEvidence, Level, Status};
use metahub_oci::{ImageReference, Platform};
use metahub_operations::{ImageReader, Inspect, InspectReport, Inspected, RunOn, RunOutcome};
use miette::{IntoDiagnostic as _, miette};
use serde_json::json;
use url::Url;

use crate::args::{Format, SettingsArgs, graph, load_config};
use crate::commands::inspect_attach::attach;
use crate::commands::inspect_run::print_run;
use crate::commands::registry_args::LoginArgs;
use crate::commands::shown::Shown;
use crate::config::Layer;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub inspect quay.io/org/app:1
  metahub inspect lab/app:1 --server http://127.0.0.1:5000 --explain
  metahub inspect oci:FOLDER
  metahub inspect oci-archive:app.tar --format json
  metahub inspect docker-archive:app.tar --platform linux/amd64
  metahub inspect hub.example/lab/app:1 --attach --as alice --password-stdin < password
  metahub inspect lab/app:1 --server http://127.0.0.1:5000 --run-on x86_64_v2
  metahub inspect oci-archive:app.tar --run-on haswell -- app --self-test
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct InspectArgs {
    /// An image of a registry; or oci:FOLDER, oci-archive:FILE, docker-archive:FILE for one on this
    /// machine, for which no network is needed
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Only this platform; all images of an index by default
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Say which file, function and instruction shows it
    #[arg(long)]
    explain: bool,
    /// Also push what was found beside the image, as a referrer of it: an artifact of the type
    /// application/vnd.metahub.inspection.v1+json. The image is read under the same login
    #[arg(long)]
    attach: bool,
    #[command(flatten)]
    login: LoginArgs,
    /// The MetaHub to ask first for names without a host
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// Configuration file, for upstreams and the site's CPU targets
    /// [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Also run the image on an emulated processor, to lift what is unknown: QEMU runs it, without
    /// network and without this machine's files. Ends with 1 if it did not run to its end
    #[arg(long, value_name = "TARGET", conflicts_with = "attach")]
    run_on: Option<String>,
    /// How long it may run
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time, requires = "run_on")]
    run_time: Duration,
    /// What is run, in place of what the image says
    #[arg(last = true, value_name = "COMMAND", requires = "run_on")]
    command: Vec<String>,
}

pub(crate) async fn run(args: InspectArgs) -> miette::Result<Exit> {
    let settings = SettingsArgs {
        config: args.config.clone(),
        data: None,
    };
    let config = load_config(&settings, Layer::default())?;
    let subject = match subject(&args)? {
        Some(image) => {
            let registry = args.login.registry(&image, &config)?;
            Some((image, registry))
        }
        None => None,
    };
    let mut upstreams = config.upstreams.clone();
    if let Some((_, registry)) = &subject {
        // Read where it will be pushed, and under the same login.
        let others = &mut upstreams.upstreams;
        others.retain(|other| other.host != registry.host);
        others.insert(0, registry.clone());
    }
    let reader = || ImageReader {
        upstreams: upstreams.clone(),
        settings: config.registry.clone(),
        server: args.server.clone(),
    };
    let graph = graph(&config)?;
    let run_on = match &args.run_on {
        Some(target) => {
            let target = graph.find(target).into_diagnostic()?;
            let (command, time) = (args.command.clone(), args.run_time);
            Some(RunOn::new(target, &graph, command, time).into_diagnostic()?)
        }
        None => None,
    };
    let inspect = Inspect {
        graph,
        image: image(&args.image, reader)?,
        platform: args.platform,
        run_on,
    };
    let shown = Shown::bytes(0);
    let work = Box::pin(inspect.run(shown.progress()));
    let reports = shown.until_done(work, "Nothing of it is kept.").await??;
    let attached = match &subject {
        Some((image, registry)) => attach(image, registry, &reports).await?,
        None => Vec::new(),
    };
    match (args.format, reports.as_slice()) {
        (Format::Json, [report]) => output::json(report)?,
        (Format::Json, reports) => output::json(&json!({ "images": reports }))?,
        (Format::Text, reports) => {
            for (number, report) in reports.iter().enumerate() {
                if number > 0 {
                    output::line("")?;
                }
                print(report, args.explain)?;
                report.run.iter().try_for_each(print_run)?;
            }
            for (report, digest) in reports.iter().zip(&attached) {
                output::line(format!("attached to {} as {digest}", report.digest))?;
            }
        }
    }
    let mut runs = reports.iter().filter_map(|report| report.run.as_ref());
    Ok(if runs.all(|run| run.outcome == RunOutcome::Ran) {
        Exit::Ok
    } else {
        Exit::Failure
    })
}

fn time(text: &str) -> Result<Duration, String> {
    let span = text.parse::<jiff::SignedDuration>().ok();
    let span = span.and_then(|span| Duration::try_from(span).ok());
    let span = span.filter(|span| !span.is_zero());
    span.ok_or_else(|| "expected a time such as 30s or 10m".to_owned())
}

/// What the reports are attached to, if they are to be.
fn subject(args: &InspectArgs) -> miette::Result<Option<ImageReference>> {
    if !args.attach {
        return Ok(None);
    }
    let image = args.image.parse::<ImageReference>().ok();
    match image.filter(|image| image.host().is_some()) {
        Some(image) => Ok(Some(image)),
        None => Err(miette!(
            help = "write HOST/NAME:TAG",
            "--attach needs an image of a registry, and {} names no host",
            args.image
        )),
    }
}

/// Where the image is, by how its name begins.
fn image(name: &str, reader: impl Fn() -> ImageReader) -> miette::Result<Inspected> {
    let path = |text: &str| Path::new(text).to_owned();
    Ok(match name.split_once(':') {
        Some(("oci" | "oci-archive", place)) => Inspected::Layout(path(place)),
        Some(("docker-archive", place)) => Inspected::DockerArchive(path(place)),
        _ => {
            let image: ImageReference = name.parse().map_err(|error| {
                miette!(
                    help = "expected NAME:TAG or NAME@DIGEST of a registry, or oci:FOLDER, \
                            oci-archive:FILE or docker-archive:FILE",
                    "{name:?} names no image: {error}"
                )
            })?;
            Inspected::Image(image, Box::new(reader()))
        }
    })
}

fn print(report: &InspectReport, explain: bool) -> miette::Result<()> {
    let InspectReport {
        cpu,
        gpu,
        libraries,
        ..
    } = report;
    let mut facts = vec![
        ("image", report.image.clone()),
        ("digest", report.digest.to_string()),
        ("platform", report.platform.to_string()),
    ];
    facts.extend(processor(report).into_iter().map(|line| ("cpu", line)));
    if report.labels.is_empty() {
        facts.push(("says", "nothing of the hardware that it needs".to_owned()));
    }
    let said = |stated: &Stated| format!("{}, by {}", stated.feature.brief(), stated.at);
    facts.extend(report.labels.iter().map(|stated| ("says", said(stated))));
    facts.extend(
        report
            .unread_labels
            .iter()
            .map(|unread| ("says", unread.clone())),
    );
    facts.push(("verdict", report.verdict.describe().to_owned()));
    let listed = |names: &std::collections::BTreeSet<String>| {
        names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    if !gpu.cuda.is_empty() {
        let ptx = gpu
            .ptx
            .as_ref()
            .map(|ptx| format!(", PTX {ptx}"))
            .unwrap_or_default();
        facts.push(("cuda", format!("code for {}{ptx}", listed(&gpu.cuda))));
    }
    if !gpu.rocm.is_empty() {
        facts.push(("rocm", format!("code for {}", listed(&gpu.rocm))));
    }
    if !libraries.c_library.is_empty() {
        let names: Vec<&str> = libraries.c_library.iter().copied().collect();
        let version = libraries.glibc.as_ref();
        let version = version
            .map(|v| format!(", symbols up to {v}"))
            .unwrap_or_default();
        facts.push(("libc", format!("{}{version}", names.join(" "))));
    }
    for (name, names) in [
        ("mpi", &libraries.mpi),
        ("fabric", &libraries.libfabric),
        ("cuda", &libraries.cuda),
        ("rocm", &libraries.rocm),
    ] {
        if !names.is_empty() {
            facts.push((name, listed(names)));
        }
    }
    facts.extend(
        report
            .findings
            .iter()
            .map(|finding| ("finding", finding.clone())),
    );
    facts.push(("programs", report.programs.to_string()));
    for (name, fact) in facts {
        output::line(format!(
            "{}  {fact}",
            output::heading(&format!("{name:<8}"))
        ))?;
    }
    if explain && !cpu.evidence.is_empty() {
        output::line("")?;
        table(&cpu.evidence)?;
    }
    Ok(())
}

/// What the code asks of the processor, in sentences.
fn processor(report: &InspectReport) -> Vec<String> {
    let cpu = &report.cpu;
    let mut lines = vec![match cpu.required {
        Some(level) => format!("requires {}", level.target()),
        None => "no evidence of a need beyond its architecture".to_owned(),
    }];
    let above = |level: Option<Level>| level.filter(|level| Some(*level) > cpu.required);
    if let Some(level) = above(cpu.dispatched) {
        lines.push(format!(
            "chooses code for up to {} when it runs",
            level.target()
        ));
    }
    if cpu.unknown {
        let unknown = cpu
            .evidence
            .iter()
            .filter(|e| e.evidence.status == Status::Unknown);
        let mut files: Vec<&str> = unknown.map(|evidence| evidence.file.as_str()).collect();
        files.dedup();
        lines.push(format!(
            "unknown: {} may need more (--explain says why): {}",
            if files.len() == 1 { "a file" } else { "files" },
            shortened(&files)
        ));
    }
    lines
}

fn shortened(files: &[&str]) -> String {
    const SHOWN: usize = 3;
    let mut text = files
        .iter()
        .take(SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if files.len() > SHOWN {
        text.push_str(&format!(" and {} more", files.len() - SHOWN));
    }
    text
}

fn table(evidence: &[FileEvidence]) -> miette::Result<()> {
    let mut table = output::table(&["FILE", "IS", "LEVEL", "AT", "INSTRUCTION", "WHY"]);
    for FileEvidence { file, evidence } in evidence {
        let status = match evidence.status {
            Status::Required => "required",
            Status::Dispatched => "dispatched",
            Status::Unknown => "unknown",
        };
        let place = evidence
            .function
            .clone()
            .or_else(|| evidence.address.clone());
        table.add_row(vec![
            file.clone(),
            status.to_owned(),
            evidence
                .level
                .map(Level::target)
                .unwrap_or_default()
                .to_owned(),
            place.unwrap_or_default(),
            evidence.instruction.clone().unwrap_or_default(),
            evidence.why.clone(),
        ]);
    }
    output::print_table(&mut table)
}
