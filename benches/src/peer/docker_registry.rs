//! Debian's `docker-registry` (distribution): files, descriptors cached in memory, nobody asked
//! for a login. TLS comes from a second process on the same files, because its listener is
//! either plain or not.

use std::path::Path;

use metahub_e2e::daemon::Daemon;
use miette::Result;

use super::{Kind, Peer, Place, daemon, write};

pub(super) fn start(program: &Path, place: Place<'_>) -> Result<Peer> {
    let content = place.folder.join("data");
    let (plain, host) = serve(program, place, &content, "plain.yml", "")?;
    let mut daemons = vec![plain];
    let mut tls = None;
    if let Some(certificate) = place.certificate {
        let settings = format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            certificate.file.display(),
            certificate.key.display()
        );
        let (second, host) = serve(program, place, &content, "tls.yml", &settings)?;
        daemons.push(second);
        tls = Some(host);
    }
    Ok(Peer {
        kind: Kind::DockerRegistry,
        host,
        tls,
        tuned: None,
        content,
        daemons,
        login: None,
    })
}

/// Starts it as a pull-through cache, which takes no pushes.
pub(super) fn start_proxy(program: &Path, place: Place<'_>, upstream: &str) -> Result<Peer> {
    let content = place.folder.join("data");
    let settings = format!("proxy:\n  remoteurl: http://{upstream}\n");
    let (daemon, host) = serve(program, place, &content, "proxy.yml", &settings)?;
    Ok(Peer {
        kind: Kind::DockerRegistry,
        host,
        tls: None,
        tuned: None,
        content,
        daemons: vec![daemon],
        login: None,
    })
}

fn serve(
    program: &Path,
    place: Place<'_>,
    content: &Path,
    name: &str,
    settings: &str,
) -> Result<(Daemon, String)> {
    let file = place.folder.join(name);
    let config = format!(
        "version: 0.1\n\
         log:\n  level: info\n  formatter: text\n  accesslog:\n    disabled: true\n\
         storage:\n  filesystem:\n    rootdirectory: {}\n    maxthreads: 100\n\
         \x20 cache:\n    blobdescriptor: inmemory\n  delete:\n    enabled: true\n\
         http:\n  addr: 127.0.0.1:0\n{settings}",
        content.display()
    );
    write(&file, &config)?;
    let mut daemon = daemon("docker-registry", place, program, |command| {
        command.arg("serve").arg(&file)
    });
    let host = daemon.wait_for_line("listening address", |line| {
        let rest = line.split_once("listening on ")?.1;
        Some(rest.split(['"', ',', ' ']).next()?.to_owned())
    });
    Ok((daemon, host))
}
