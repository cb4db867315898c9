//! A running server takes up what changes in its files: documents of the catalog.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::require;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);
const PROFILE: &str = "profile:\n  name: site/NAME\n  features: [arch:zen3]\n";

fn start(config: &str, catalog: &[(&str, &str)]) -> Option<MetaHub> {
    require::tools(&["setpriv"]).then(|| {
        let config = format!("offline: true\nupstreams: []\n{config}");
        MetaHub::start(&config, catalog)
    })
}

fn profile(name: &str) -> String {
    PROFILE.replace("NAME", name)
}

/// The status that a login under a profile is answered with.
fn login(metahub: &MetaHub, profile: &str) -> u16 {
    let login = Some((profile, "any"));
    metahub.get("/v2/").login(login).send().status
}

fn write(metahub: &MetaHub, file: &str, text: &str) {
    std::fs::write(metahub.catalog().join(file), text).unwrap();
}

#[track_caller]
fn wait_for_log(metahub: &MetaHub, words: &[&str]) {
    let said = wait_until(SOON, || {
        let log = metahub.log();
        log.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    });
    assert!(said, "no line says {words:?}:\n{}", metahub.log());
}

#[test]
fn documents_take_effect_when_they_change_and_broken_ones_do_not() {
    let Some(metahub) = start("reload_interval: 100ms", &[("a.yaml", &profile("first"))]) else {
        return;
    };
    assert_eq!(login(&metahub, "site/first"), 200);
    assert_eq!(login(&metahub, "site/second"), 401);

    write(&metahub, "b.yaml", &profile("second"));
    assert!(wait_until(SOON, || login(&metahub, "site/second") == 200));
    wait_for_log(&metahub, &["reloaded", "profile site/second:latest"]);

    let broken = "profile:\n  name: site/third\n  feature: [arch:zen3]\n";
    write(&metahub, "b.yaml", broken);
    wait_for_log(&metahub, &["ERROR", "b.yaml:3:3: error:"]);
    wait_for_log(&metahub, &["ERROR", "keeping the previous one"]);
    assert_eq!(login(&metahub, "site/second"), 200);
    assert_eq!(login(&metahub, "site/third"), 401);

    write(&metahub, "b.yaml", &profile("third"));
    assert!(wait_until(SOON, || login(&metahub, "site/third") == 200));
    assert_eq!(login(&metahub, "site/second"), 401);
    assert_eq!(login(&metahub, "site/first"), 200);
}

#[test]
fn sighup_reads_the_documents_at_once_and_does_not_end_the_server() {
    let Some(mut metahub) = start("reload_interval: 0s", &[("a.yaml", &profile("first"))]) else {
        return;
    };
    write(&metahub, "b.yaml", &profile("second"));
    metahub.signal(Signal::HUP);
    assert!(wait_until(SOON, || login(&metahub, "site/second") == 200));
    metahub.signal(Signal::HUP);
    wait_for_log(&metahub, &["nothing in it changed"]);
    assert!(metahub.is_running());
}
