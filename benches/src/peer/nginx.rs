//! nginx serving files with sendfile: one worker, no log of requests, connections that last. A
//! second listener also keeps open files in memory (`open_file_cache`), a third speaks TLS 1.3.

use std::fmt::Write as _;
use std::path::Path;

use miette::{IntoDiagnostic as _, Result};

use super::{Kind, Peer, Place, daemon, free_port, listens, write};

pub(super) fn start(program: &Path, place: Place<'_>) -> Result<Peer> {
    let content = place.folder.join("files");
    std::fs::create_dir_all(&content).into_diagnostic()?;
    let host = format!("127.0.0.1:{}", free_port()?);
    let cached = format!("127.0.0.1:{}", free_port()?);
    let mut servers = format!(
        "server {{ listen {host}; }}\n\
         server {{ listen {cached}; open_file_cache max=10000 inactive=1h; \
         open_file_cache_valid 1h; }}\n"
    );
    let mut tls = None;
    if let Some(certificate) = place.certificate {
        let host = format!("127.0.0.1:{}", free_port()?);
        let _ = writeln!(
            servers,
            "server {{ listen {host} ssl; ssl_protocols TLSv1.3; ssl_certificate {}; \
             ssl_certificate_key {}; }}",
            certificate.file.display(),
            certificate.key.display()
        );
        tls = Some(host);
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path temporary;\n"))
        .collect();
    let config = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{temporary}access_log off;\nsendfile on;\ntcp_nopush on;\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         default_type application/vnd.oci.image.manifest.v1+json;\n\
         root {};\n{servers}}}\n",
        content.display()
    );
    let file = place.folder.join("nginx.conf");
    write(&file, &config)?;
    let mut daemon = daemon("nginx", place, program, |command| {
        command.arg("-p").arg(place.folder).arg("-c").arg(&file)
    });
    daemon.wait_ready("open port", || listens(&host));
    Ok(Peer {
        kind: Kind::Nginx,
        host,
        tls,
        tuned: Some(("open files cached", cached)),
        content,
        daemons: vec![daemon],
        login: None,
    })
}
