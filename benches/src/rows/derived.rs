//! What deriving an image costs the first time that a login asks for it, with all that it is made
//! of at hand; and what the derived manifest costs from then on, beside the image as it was pushed.

use std::fmt::Write as _;
use std::path::Path;

use metahub_e2e::http::digest_of;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, Pusher, descriptor};
use miette::Result;
use serde_json::{Value, json};

use super::documents::{self, write};
use crate::hammer::{Hammer, Until};
use crate::http;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_REQUEST, RATE, Row};
use crate::watch::{add_requests, watched};

const CONNECTIONS: usize = 32;
const LAYERS: usize = 20;
const IMAGE: &str = "bench/twenty";
/// A layer image of one layer each.
const LAYER_IMAGE: &str = "bench/layer";
const ONE: &str = "MetaHub, one layer added";
const TWENTY: &str = "MetaHub, 20 layer images added";
const PLAIN: &str = "MetaHub, the image as it is";
const DERIVED: &str = "MetaHub, derived with one layer image";
const DERIVED_OF_MANY: &str = "MetaHub, derived with 20 layer images";

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let each = plan.size(200, 50);
    let folder = plan.folder.join("derived");
    let catalog = folder.join("catalog");
    profiles(&catalog, plan.rounds * each)?;
    let peer = documents::start(plan, program, &folder, Some(&catalog))?;
    push(&peer);
    let path = format!("/v2/{IMAGE}/manifests/latest");
    let mut cold = Row::new(
        format!("image of {LAYERS} layers, derived for the first time"),
        format!(
            "one connection; {each} profiles a round, each of which sets a label and adds one or \
             {LAYERS} layer images; all manifests and configurations are in the store"
        ),
    );
    for round in 0..plan.rounds {
        for (name, kind) in [(ONE, "one"), (TWENTY, "twenty")] {
            let numbers = round * each..(round + 1) * each;
            let requests = numbers.map(|number| {
                let token = peer.token_under(IMAGE, Some(&format!("{kind}{number}")))?;
                Ok(http::get(&peer.host, &path, token.as_deref()))
            });
            let requests: Vec<Vec<u8>> = requests.collect::<Result<_>>()?;
            let load = Hammer::copying(&peer.host, &requests, 1);
            let (measured, cost) = watched(&peer, || load.run(Until::Answered(each)))?;
            add_requests(&mut cold, name, measured, cost);
        }
    }
    for name in [ONE, TWENTY] {
        let found = crate::report::Spread::of(cold.values(name, CPU_PER_REQUEST).iter().copied());
        if let Some(found) = found {
            cold.check(format!("CPU µs, {name}"), found, Bound::AtMost(5_000.0));
        }
    }
    Ok(vec![cold, warm(plan, &peer, &path)?])
}

fn warm(plan: &Plan, peer: &Peer, path: &str) -> Result<Row> {
    let mut row = Row::new(
        "manifest GET by tag, warm, derived",
        format!(
            "{CONNECTIONS} connections, a token with every request; an image of {LAYERS} layers, \
             and what logins get of it whose profiles add one or {LAYERS} layer images"
        ),
    );
    let mut turns = Vec::new();
    for (name, profile) in [
        (PLAIN, None),
        (DERIVED, Some("one0")),
        (DERIVED_OF_MANY, Some("twenty0")),
    ] {
        let token = peer.token_under(IMAGE, profile)?;
        turns.push((name, vec![http::get(&peer.host, path, token.as_deref())]));
    }
    for (name, requests) in plan.turns(&turns) {
        let load = Hammer::copying(&peer.host, requests, CONNECTIONS);
        load.run(Until::Passed(plan.turn / 10))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_requests(&mut row, name, measured, cost);
    }
    for name in [DERIVED, DERIVED_OF_MANY] {
        row.check_ratio(name, PLAIN, RATE, Bound::AtLeast(0.9));
        row.tell_ratio(name, PLAIN, CPU_PER_REQUEST);
    }
    Ok(row)
}

/// Profiles of which no two come to the same image.
fn profiles(folder: &Path, count: usize) -> Result<()> {
    let layers: Vec<String> = (0..LAYERS)
        .map(|number| format!("{LAYER_IMAGE}:{number}"))
        .collect();
    let mut text = "profiles:\n".to_owned();
    for number in 0..count {
        for (kind, layers) in [("one", layers.get(..1)), ("twenty", layers.get(..))] {
            let layers = layers.unwrap_or_default().join("', '");
            let _ = writeln!(
                text,
                "  - name: {kind}{number}\n    actions:\n      \
                 - {{event: post-manifest-get, name: manifest-add, args: {{layers: ['{layers}']}}}}\n      \
                 - {{event: post-manifest-get, name: config-set, args: {{labels: {{number: '{number}'}}}}}}"
            );
        }
    }
    write(&folder.join("profiles.yaml"), &text)
}

fn push(peer: &Peer) {
    let image: Vec<String> = (0..LAYERS)
        .map(|number| format!("image {number}"))
        .collect();
    push_image(peer, IMAGE, "latest", &image);
    for number in 0..LAYERS {
        let layer = format!("layer {number}");
        push_image(peer, LAYER_IMAGE, &number.to_string(), &[layer]);
    }
}

fn push_image(peer: &Peer, repository: &str, tag: &str, layers: &[String]) {
    let pusher = Pusher {
        host: &peer.host,
        repository,
        login: peer.login(),
    };
    let ids: Vec<String> = layers.iter().map(|l| digest_of(l.as_bytes())).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": ids.iter().map(|id| json!({"created_by": id})).collect::<Vec<Value>>(),
    });
    let config = config.to_string().into_bytes();
    pusher.blob(&config);
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| {
            pusher.blob(layer.as_bytes());
            descriptor(LAYER, layer.as_bytes())
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": descriptors,
    });
    let put = pusher.call("PUT", &format!("manifests/{tag}"));
    let put = put.header("Content-Type", MANIFEST);
    let _ = put.body(manifest.to_string()).send().expect(201);
}
