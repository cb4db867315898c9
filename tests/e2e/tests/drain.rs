//! How a server ends: a pull in progress is finished, new clients are refused at once, and nobody
//! waits for ever.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use rstest::rstest;
use rustix::process::Signal;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const SIZE: usize = 64 * 1024 * 1024;

/// A pull by curl(1) that has begun, and takes its time.
struct Pull {
    curl: Child,
    folder: TempDir,
}

impl Pull {
    /// `speed` in bytes per second, as curl writes it.
    fn begin(metahub: &MetaHub, version: &str, speed: &str) -> Self {
        let blob = content();
        Pusher {
            host: metahub.host(),
            repository: "site/app",
            login: None,
        }
        .blob(&blob);
        let folder = tempfile::tempdir().unwrap();
        let url = format!(
            "http://{}/v2/site/app/blobs/{}",
            metahub.host(),
            digest_of(&blob)
        );
        let curl = Command::new("curl")
            .args(["--silent", "--fail", "-u", "zen3:any", version])
            .args(["--noproxy", "*", "--limit-rate", speed, "--output"])
            .arg(folder.path().join("blob"))
            .arg(url)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pull = Self { curl, folder };
        let begun = wait_until(LIMIT, || {
            pull.file().metadata().is_ok_and(|file| file.len() > 0)
        });
        assert!(begun, "{}", metahub.log());
        pull
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("blob")
    }

    fn succeeds(mut self) -> bool {
        let ended = self.curl.wait().unwrap().success();
        ended && std::fs::read(self.file()).unwrap() == content()
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 4096) as u8).collect()
}

fn start(config: &str) -> Option<MetaHub> {
    let config = format!("anonymous: write\noffline: true\nupstreams: []\n{config}");
    require::tools(&["setpriv", "curl"]).then(|| MetaHub::start(&config, &[]))
}

fn takes_connections(metahub: &MetaHub) -> bool {
    std::net::TcpStream::connect(metahub.host()).is_ok()
}

fn ends(metahub: &mut MetaHub) -> bool {
    wait_until(LIMIT, || !metahub.is_running())
}

#[rstest]
#[case("--http1.1")]
#[case("--http2-prior-knowledge")]
fn a_pull_in_progress_is_finished_and_new_clients_are_refused(#[case] version: &str) {
    let Some(mut metahub) = start("") else { return };
    let pull = Pull::begin(&metahub, version, "24M");
    metahub.signal(Signal::TERM);
    assert!(wait_until(LIMIT, || !takes_connections(&metahub)));
    assert!(metahub.is_running(), "it waits for the pull");
    assert!(pull.succeeds(), "{}", metahub.log());
    assert!(ends(&mut metahub));
    assert!(metahub.terminate().unwrap().success(), "{}", metahub.log());
    assert!(metahub.log().contains("running requests may end"));
}

#[test]
fn a_pull_that_takes_too_long_is_cut_off() {
    let Some(mut metahub) = start("limits: {drain_timeout: 1s}") else {
        return;
    };
    let pull = Pull::begin(&metahub, "--http1.1", "1M");
    metahub.signal(Signal::TERM);
    assert!(ends(&mut metahub));
    assert!(metahub.terminate().unwrap().success(), "{}", metahub.log());
    assert!(metahub.log().contains("were cut off"), "{}", metahub.log());
    assert!(!pull.succeeds(), "curl notices");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(mut metahub) = start("") else { return };
    let pull = Pull::begin(&metahub, "--http1.1", "1M");
    metahub.signal(Signal::TERM);
    assert!(wait_until(LIMIT, || !takes_connections(&metahub)));
    let again = Instant::now();
    metahub.signal(Signal::INT);
    assert!(ends(&mut metahub));
    assert!(again.elapsed() < Duration::from_secs(10));
    assert_eq!(metahub.terminate().unwrap().code(), Some(1));
    assert!(!pull.succeeds(), "curl notices");
    let again = metahub.restart();
    again.get("/healthz").send().expect(200);
}
