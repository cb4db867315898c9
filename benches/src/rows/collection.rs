//! `GET` of collections of 10 and of 1,000 entries by their tag under a profile, beside an index as
//! it was pushed: what a pull costs must not grow with what a document lists. The same of the
//! question which entry a login gets, whose answer tells of every entry.

use std::fmt::Write as _;

use metahub_e2e::pusher::Pusher;
use miette::Result;

use super::documents::{self, write};
use crate::hammer::{Hammer, Until};
use crate::http;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_REQUEST, RATE, Row};
use crate::watch::{add_requests, watched};

const CONNECTIONS: usize = 32;
const BUILDS: &str = "bench/builds";
const PROFILE: &str = "zen3";
/// What the first entries require; all others require what no login here provides, too.
const TARGETS: [&str; 4] = ["x86_64_v2", "haswell", "zen2", "zen3"];
const SIZES: [(usize, &str, &str); 2] = [
    (10, "MetaHub, 10 entries", "bench/ten"),
    (1_000, "MetaHub, 1,000 entries", "bench/thousand"),
];
const PLAIN: &str = "MetaHub, an index as it is";

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let folder = plan.folder.join("collection");
    let catalog = folder.join("catalog");
    write(&catalog.join("collections.yaml"), &collections())?;
    let peer = documents::start(plan, program, &folder, Some(&catalog))?;
    push(&peer);
    let mut pulls = vec![(PLAIN, request(&peer, BUILDS, None, &manifest(BUILDS))?)];
    let mut questions = Vec::new();
    for (_, name, repository) in SIZES {
        let ask = |path: &str| request(&peer, repository, Some(PROFILE), path);
        pulls.push((name, ask(&manifest(repository))?));
        questions.push((
            name,
            ask(&format!("/api/v1/resolve?image={repository}:latest"))?,
        ));
    }
    let mut pulled = Row::new(
        "collection GET by tag, warm".to_owned(),
        format!(
            "{CONNECTIONS} connections, a token with every request; what a login with the profile \
             {PROFILE} gets, beside an index of {} builds as it was pushed",
            TARGETS.len()
        ),
    );
    load(plan, &peer, &pulls, &mut pulled)?;
    for (_, name, _) in SIZES {
        pulled.check_ratio(name, PLAIN, RATE, Bound::AtLeast(0.9));
        pulled.tell_ratio(name, PLAIN, CPU_PER_REQUEST);
    }
    let mut asked = Row::new(
        "what a login gets of a collection, and why, warm".to_owned(),
        format!("{CONNECTIONS} connections; `GET /api/v1/resolve`, which tells of every entry"),
    );
    load(plan, &peer, &questions, &mut asked)?;
    Ok(vec![pulled, asked])
}

fn load(plan: &Plan, peer: &Peer, requests: &[(&str, Vec<Vec<u8>>)], row: &mut Row) -> Result<()> {
    for (name, requests) in plan.turns(requests) {
        let load = Hammer::copying(&peer.host, requests, CONNECTIONS);
        load.run(Until::Passed(plan.turn / 10))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_requests(row, name, measured, cost);
    }
    Ok(())
}

fn request(
    peer: &Peer,
    repository: &str,
    profile: Option<&str>,
    path: &str,
) -> Result<Vec<Vec<u8>>> {
    let token = peer.token_under(repository, profile)?;
    Ok(vec![http::get(&peer.host, path, token.as_deref())])
}

fn manifest(repository: &str) -> String {
    format!("/v2/{repository}/manifests/latest")
}

fn target(number: usize) -> &'static str {
    TARGETS
        .get(number % TARGETS.len())
        .copied()
        .unwrap_or_default()
}

fn collections() -> String {
    let mut text = "manifests:\n".to_owned();
    for (entries, _, repository) in SIZES {
        let _ = writeln!(
            text,
            "  - name: {repository}\n    tag: latest\n    manifests:"
        );
        for number in 0..entries {
            let site = if number < TARGETS.len() {
                String::new()
            } else {
                format!(", 'site:s{number}'")
            };
            let _ = writeln!(
                text,
                "      - {{image: '{BUILDS}:{number}', platform: {{os: linux, architecture: amd64, \
                 features: ['arch:{}'{site}]}}}}",
                target(number)
            );
        }
    }
    text
}

/// An image for each entry, and an index of the first.
fn push(peer: &Peer) {
    let pusher = Pusher {
        host: &peer.host,
        repository: BUILDS,
        login: peer.login(),
    };
    let most = SIZES.iter().map(|(entries, ..)| *entries).max();
    let images: Vec<_> = (0..most.unwrap_or_default())
        .map(|number| {
            let layer = format!("build {number}");
            pusher.image(&number.to_string(), "amd64", layer.as_bytes())
        })
        .collect();
    let features: Vec<_> = (0..TARGETS.len())
        .map(|number| [format!("arch:{}", target(number))])
        .collect();
    let features: Vec<_> = features.iter().map(|[one]| [one.as_str()]).collect();
    let entries: Vec<_> = images
        .iter()
        .zip(&features)
        .map(|(image, requires)| (image, "amd64", requires.as_slice()))
        .collect();
    pusher.index("latest", &entries);
}
