//! Very many documents: what a server takes to start with 10,000 profiles and 10,000 tags of
//! collections, beside one that has none.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use miette::{IntoDiagnostic as _, Result, WrapErr as _};

use crate::client::{Body, Client};
use crate::peer::{Kind, Peer, Place};
use crate::plan::Plan;
use crate::report::{Bound, OWN, PEAK, RESIDENT, Row, Spread};

/// In one file.
const A_FILE: usize = 100;
/// Processor seconds until the first answer.
const CPU: &str = "CPU s";
/// Until the first answer.
const START: &str = "start s";
const NONE: &str = "MetaHub, no documents";
const MANY: &str = "MetaHub, many documents";

/// Starts a MetaHub with the documents of a folder.
pub(super) fn start(
    plan: &Plan,
    program: &Path,
    folder: &Path,
    catalog: Option<&Path>,
) -> Result<Peer> {
    std::fs::create_dir_all(folder).into_diagnostic()?;
    let place = Place {
        cores: plan.cores,
        folder,
        certificate: None,
    };
    Peer::start_with_documents(program, place, catalog)
}

/// Writes a file, and the folders that it is in.
pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, text))
        .into_diagnostic()
        .wrap_err_with(|| file.display().to_string())
}

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let count = plan.size(10_000, 1_000);
    let catalog = plan.folder.join("documents/catalog");
    fill(&catalog, count)?;
    let mut row = Row::new(
        format!("{count} profiles and {count} tags of collections"),
        format!(
            "files of {A_FILE} documents, read by `metahub serve`: processor time from its start \
             to its first answer, and what is resident then (at most, and at the end); what the \
             documents cost is what lies above a server that has none"
        ),
    );
    for round in 0..plan.rounds {
        for (name, catalog) in [(NONE, None), (MANY, Some(&*catalog))] {
            let folder = plan
                .folder
                .join(format!("documents/{round}-{}", catalog.is_some()));
            let started = Instant::now();
            let peer = start(plan, program, &folder, catalog)?;
            Client::connect(&peer.host, peer.basic())?.ask("GET", "/v2/", Body::Empty, 200)?;
            row.add(name, START, started.elapsed().as_secs_f64());
            row.add(name, CPU, peer.cpu()?);
            let memory = peer.memory()?;
            row.add(name, RESIDENT, memory.resident);
            row.add(name, OWN, memory.own);
            row.add(name, PEAK, memory.peak);
        }
    }
    for (what, name, most) in [("CPU s", CPU, 2.0), ("MiB resident at most", PEAK, 200.0)] {
        let above = row.values(MANY, name).iter().zip(row.values(NONE, name));
        if let Some(above) = Spread::of(above.map(|(many, none)| many - none)) {
            row.check(
                format!("{what}, for the documents"),
                above,
                Bound::AtMost(most),
            );
        }
    }
    Ok(vec![row])
}

/// Profiles with hardware, an action and a condition, and collections of four entries.
fn fill(folder: &Path, count: usize) -> Result<()> {
    for first in (0..count).step_by(A_FILE) {
        let mut text = "profiles:\n".to_owned();
        for number in first..first + A_FILE {
            let _ = writeln!(
                text,
                "  - name: site/p{number}\n    features: [arch:zen3, cuda:12.4, site:s{number}]\n    \
                 actions:\n      \
                 - {{event: post-manifest-get, name: manifest-add, when: {{repository: 'lab/.*'}}, args: {{layers: ['site/layer{number}:1']}}}}\n      \
                 - {{event: post-manifest-list-get, name: manifest-filter, args: {{select: '.manifests[].annotations[\"org.example.kind\"] // \"none\"', any: [debug, test], entries: drop}}}}"
            );
        }
        text += "---\nmanifests:\n";
        for number in first..first + A_FILE {
            let _ = writeln!(
                text,
                "  - name: site/app{}\n    tag: v{number}\n    manifests:",
                number % 1_000
            );
            for (target, architecture) in [
                ("zen3", "amd64"),
                ("zen2", "amd64"),
                ("haswell", "amd64"),
                ("neoverse_v2", "arm64"),
            ] {
                let _ = writeln!(
                    text,
                    "      - {{image: 'site/build-{target}:v{number}', platform: {{os: linux, architecture: {architecture}, features: [arch:{target}]}}}}"
                );
            }
        }
        write(&folder.join(format!("{first:05}.yaml")), &text)?;
    }
    Ok(())
}
