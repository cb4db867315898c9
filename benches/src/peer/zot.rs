//! zot, where somebody has installed it: its defaults on files, nobody asked for a login. Once more
//! with `commit`, where it syncs what it stores before it answers, as MetaHub does.

use std::path::Path;

use miette::Result;
use serde_json::json;

use super::{Kind, Peer, Place, daemon, free_port, listens, write};

/// Starts it; [`Kind::ZotSynced`] with `commit`.
pub(super) fn start(kind: Kind, program: &Path, place: Place<'_>) -> Result<Peer> {
    serve(kind, program, place, &json!({}))
}

/// Starts it so that it fetches on demand what it does not have.
pub(super) fn start_proxy(program: &Path, place: Place<'_>, upstream: &str) -> Result<Peer> {
    let upstream = json!({
        "urls": [format!("http://{upstream}")],
        "onDemand": true,
        "tlsVerify": false,
        "content": [{ "prefix": "**" }],
    });
    let extensions = json!({ "sync": { "enable": true, "registries": [upstream] } });
    serve(Kind::Zot, program, place, &extensions)
}

fn serve(
    kind: Kind,
    program: &Path,
    place: Place<'_>,
    extensions: &serde_json::Value,
) -> Result<Peer> {
    let content = place.folder.join("data");
    let port = free_port()?;
    let host = format!("127.0.0.1:{port}");
    let config = json!({
        "distSpecVersion": "1.1.1",
        "storage": { "rootDirectory": content, "commit": kind == Kind::ZotSynced },
        "http": { "address": "127.0.0.1", "port": port.to_string() },
        "log": { "level": "error" },
        "extensions": extensions,
    });
    let file = place.folder.join("zot.json");
    write(&file, &config.to_string())?;
    let mut daemon = daemon("zot", place, program, |command| {
        command.arg("serve").arg(&file)
    });
    daemon.wait_ready("open port", || listens(&host));
    Ok(Peer {
        kind,
        host,
        tls: None,
        tuned: None,
        content,
        daemons: vec![daemon],
        login: None,
    })
}
