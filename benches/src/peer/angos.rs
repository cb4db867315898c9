//! Angos, where somebody has installed it: its defaults on files, nobody asked for a login.

use std::path::Path;

use miette::Result;

use super::{Kind, Peer, Place, daemon, free_port, listens, write};

/// The first parts of the names of what is pushed, which it wants to know.
const REPOSITORIES: [&str; 2] = ["bench", "zb"];

pub(super) fn start(program: &Path, place: Place<'_>) -> Result<Peer> {
    let content = place.folder.join("data");
    let port = free_port()?;
    let host = format!("127.0.0.1:{port}");
    let mut config = format!(
        "[server]\nbind_address = \"127.0.0.1\"\nport = {port}\n\n[blob_store.fs]\nroot_dir = {:?}\n\n\
         [global.access_policy]\ndefault = \"allow\"\n",
        content.display().to_string()
    );
    for repository in REPOSITORIES {
        config.push_str(&format!("\n[repository.{repository:?}]\n"));
    }
    let file = place.folder.join("angos.toml");
    write(&file, &config)?;
    let mut daemon = daemon("angos", place, program, |command| {
        command
            .arg("-c")
            .arg(&file)
            .arg("server")
            .env("RUST_LOG", "error")
    });
    daemon.wait_ready("open port", || listens(&host));
    Ok(Peer {
        kind: Kind::Angos,
        host,
        tls: None,
        tuned: None,
        content,
        daemons: vec![daemon],
        login: None,
    })
}
