use metahub_catalog::Loaded;
use metahub_catalog::artifact::{CatalogFile, DOCUMENT_TYPE, PackedCatalog, TITLE};
use metahub_hardware::Microarchitectures;
use metahub_oci::MediaType;
use metahub_signature::{BUNDLE_TYPE, PrivateKey, Referrer};
use metahub_testkit::runtime;
use metahub_testkit::scripted::{INDEX_TYPE, Scripted};
use metahub_upstream::RetryPolicy;
use serde_json::{Value, json};

use std::path::PathBuf;
use std::sync::Arc;

use metahub_oci::Digest;
use metahub_upstream::UpstreamConfig;

use super::follower::Follower;
use super::*;
use crate::config::CatalogEntry;
use crate::config::Config;
use crate::sources::{Sources, Text};

mod bad;

const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoQjVOTU+QU9YvWSt
Z1NAEzrHKkLnbHpz83phJiICK9+hRANCAASHv/wML+YY3Le3t0BRQpHwM3bYwytg
2qyoCffNkZILyeGT04l2mZ7TuNjQA2lWa5JM2gseHxI6NOEns7tfPt6P
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEh7/8DC/mGNy3t7dAUUKR8DN22MMr
YNqsqAn3zZGSC8nhk9OJdpme07jY0ANpVmuSTNoLHh8SOjThJ7O7Xz7ejw==
-----END PUBLIC KEY-----
";

/// The registry that is followed, and the folder of who follows it.
struct Site {
    there: Scripted,
    data: tempfile::TempDir,
    key: Option<PathBuf>,
}

/// Who follows, for as long as a process would live.
struct Running {
    sources: Sources,
    follower: Follower,
}

fn profile(name: &str, feature: &str) -> String {
    format!("profile:\n  name: {name}\n  features: [{feature}]\n")
}

fn packed(files: &[(&str, &str)]) -> PackedCatalog {
    let file = |(title, text): &(&str, &str)| CatalogFile {
        title: (*title).to_owned(),
        bytes: (*text).to_owned().into(),
    };
    PackedCatalog::of(files.iter().map(file).collect()).unwrap()
}

fn of(feature: &str) -> PackedCatalog {
    packed(&[("gpu/a.yaml", &profile("site/a", feature))])
}

impl Site {
    fn new() -> Self {
        Self {
            there: Scripted::start(),
            data: tempfile::tempdir().unwrap(),
            key: None,
        }
    }

    fn with_key() -> Self {
        let mut site = Self::new();
        let file = site.data.path().join("key.pub");
        std::fs::write(&file, PUBLIC).unwrap();
        site.key = Some(file);
        site
    }

    fn put(&self, packed: &PackedCatalog) {
        for blob in &packed.blobs {
            let path = format!("/v2/c/blobs/{}", Digest::sha256(blob));
            self.there.put_at(&path, "application/octet-stream", blob);
        }
        self.put_manifest(packed.manifest.bytes());
    }

    fn put_manifest(&self, manifest: &[u8]) {
        for reference in ["prod", Digest::sha256(manifest).as_str()] {
            let path = format!("/v2/c/manifests/{reference}");
            self.there.put_at(&path, MediaType::OCI_MANIFEST, manifest);
        }
    }

    /// Puts the manifest of a catalog after a change to it.
    fn put_changed(&self, change: impl FnOnce(&mut Value)) {
        let packed = of("arch:zen4");
        self.put(&packed);
        let mut manifest: Value = serde_json::from_slice(packed.manifest.bytes()).unwrap();
        change(&mut manifest);
        self.put_manifest(manifest.to_string().as_bytes());
    }

    /// Signs a catalog, as a referrer.
    fn sign(&self, packed: &PackedCatalog) {
        let key = PrivateKey::from_pem(KEY, None).unwrap();
        let signed = Referrer::sign(&key, &packed.manifest.descriptor()).unwrap();
        self.put_referrer(packed.manifest.digest(), &signed);
    }

    fn put_referrer(&self, subject: &Digest, signed: &Referrer) {
        let digest = Digest::sha256(&signed.manifest);
        let at = format!("/v2/c/manifests/{digest}");
        let manifest_type = MediaType::OCI_MANIFEST;
        self.there.put_at(&at, manifest_type, &signed.manifest);
        let at = format!("/v2/c/blobs/{}", Digest::sha256(&signed.bundle));
        self.there.put_at(&at, BUNDLE_TYPE, &signed.bundle);
        let list = json!({
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [{
                "mediaType": manifest_type,
                "artifactType": BUNDLE_TYPE,
                "digest": digest,
                "size": signed.manifest.len(),
            }],
        });
        let at = format!("/v2/c/referrers/{subject}");
        self.there
            .put_at(&at, INDEX_TYPE, list.to_string().as_bytes());
    }

    /// A process that follows, and has not asked yet.
    fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// The same at a site with documents of its own.
    fn start_with(&self, own: &[PathBuf]) -> Running {
        let host = self.there.host();
        let mut config = Config {
            data: self.data.path().to_owned(),
            ..Config::default()
        };
        let text = format!("oci://{host}/c:prod");
        let Ok(CatalogEntry::Followed(mut followed)) = text.parse::<CatalogEntry>() else {
            panic!("a followed catalog");
        };
        followed.key.clone_from(&self.key);
        config.catalog = vec![CatalogEntry::Followed(followed)];
        config.upstreams.upstreams = vec![UpstreamConfig {
            plain_http: true,
            retry: RetryPolicy {
                attempts: 1,
                ..RetryPolicy::default()
            },
            ..UpstreamConfig::new(host.parse().unwrap())
        }];
        let sources = Sources::new(Microarchitectures::builtin(), own, self.data.path());
        let mut follower = prepare(&config, &sources).unwrap().pop().unwrap();
        follower.may_write = true;
        Running { sources, follower }
    }
}

impl Running {
    fn look(&mut self) -> &mut Self {
        runtime().block_on(self.follower.look(false));
        self
    }

    fn loaded(&self) -> Loaded {
        self.sources.load()
    }

    /// What the profile of the catalog provides; nothing if there is none.
    fn provides(&self) -> String {
        let login = self.loaded().catalog.interpret("site/a", &|_| false);
        login.map_or_else(|_| String::new(), |l| format!("{:?}", l.profile.provided()))
    }

    fn told(&self) -> String {
        self.follower.told.clone().unwrap_or_default()
    }
}

#[test]
fn a_catalog_is_followed_and_asked_for_by_one_head_while_it_is_the_same() {
    let site = Site::new();
    site.put(&of("arch:zen3"));
    let mut running = site.start();
    assert_eq!(running.provides(), "");
    assert!(running.look().provides().contains("zen3"));
    let _ = site.there.asked();
    running.look();
    let again = site.there.asked();
    assert_eq!(again, ["HEAD /v2/c/manifests/prod"]);
    site.put(&of("arch:zen4"));
    assert!(running.look().provides().contains("zen4"));
    assert_eq!(running.told(), "");
}

#[test]
fn while_the_other_registry_is_away_the_last_one_stays_and_survives_a_restart() {
    let site = Site::new();
    site.put(&of("arch:zen3"));
    site.start().look();
    site.there.fail(500, None);
    let mut running = site.start();
    assert!(running.provides().contains("zen3"), "before it asks");
    assert!(running.look().provides().contains("zen3"));
    assert!(running.told().contains("500"), "{}", running.told());
    let shown = running.follower.shown.clone();
    let status = Status::read(site.data.path(), &shown);
    assert_eq!(status.files, 1);
    assert!(status.problem.unwrap().contains("500"));
    site.there.mend();
    assert_eq!(running.look().told(), "");
    assert_eq!(Status::read(site.data.path(), &shown).problem, None);
}

#[test]
fn a_tag_that_vanished_takes_nothing_away() {
    let site = Site::new();
    site.put(&of("arch:zen3"));
    let mut running = site.start();
    running.look();
    site.there.remove_at("/v2/c/manifests/prod");
    assert!(running.look().provides().contains("zen3"));
    assert!(running.told().contains("not there"), "{}", running.told());
}

#[test]
fn what_was_refused_for_the_sites_own_documents_is_used_when_they_are_right() {
    let site = Site::new();
    site.put(&packed(&[(
        "a.yaml",
        "profile:\n  name: site/a\n  extends: [site/base]\n",
    )]));
    let mut running = site.start();
    assert_eq!(running.look().provides(), "");
    let _ = site.there.asked();
    running.sources.add(Arc::new(vec![Text {
        name: "base".to_owned(),
        text: profile("site/base", "arch:zen3"),
    }]));
    runtime().block_on(running.follower.look(true));
    assert!(running.provides().contains("zen3"), "{}", running.told());
    let again = site.there.asked();
    assert_eq!(
        again,
        ["HEAD /v2/c/manifests/prod"],
        "nothing is fetched again"
    );
}

#[test]
fn what_can_never_be_used_is_fetched_once_and_told_whatever_happens_in_between() {
    let site = Site::new();
    site.put(&of("arch:zen3"));
    let mut running = site.start();
    running.look();
    site.put_changed(|m| m["artifactType"] = "x/y".into());
    let problem = running.look().told();
    assert!(problem.contains("artifact type"), "{problem}");
    site.there.fail(500, None);
    assert!(running.look().told().contains("500"));
    site.there.mend();
    let _ = site.there.asked();
    assert_eq!(running.look().told(), problem);
    assert_eq!(site.there.asked(), ["HEAD /v2/c/manifests/prod"]);
}

#[test]
fn a_stored_copy_that_no_longer_goes_with_the_sites_documents_does_not_stop_the_start() {
    let site = Site::new();
    let own = site.data.path().join("own.yaml");
    std::fs::write(&own, profile("site/base", "arch:zen3")).unwrap();
    let builds_on = "profile:\n  name: site/a\n  extends: [site/base]\n";
    site.put(&packed(&[("a.yaml", builds_on)]));
    let own = [own];
    assert!(site.start_with(&own).look().provides().contains("zen3"));
    assert!(site.start_with(&own).provides().contains("zen3"), "stored");
    std::fs::write(&own[0], profile("site/other", "arch:zen3")).unwrap();
    let mut running = site.start_with(&own);
    assert!(!running.loaded().has_errors());
    assert!(running.look().told().contains("site/base"));
    std::fs::write(&own[0], profile("site/base", "arch:zen4")).unwrap();
    runtime().block_on(running.follower.look(true));
    assert!(running.provides().contains("zen4"), "{}", running.told());
}

#[test]
fn the_sites_documents_may_build_on_a_catalog_that_was_never_read() {
    let site = Site::new();
    let own = site.data.path().join("own.yaml");
    let builds_on = "profile:\n  name: site/a\n  extends: [site/base]\n";
    std::fs::write(&own, builds_on).unwrap();
    site.put(&packed(&[("b.yaml", &profile("site/base", "arch:zen3"))]));
    let mut running = site.start_with(&[own]);
    assert!(running.loaded().has_errors());
    running.follower.may_write = false;
    runtime().block_on(first_look(std::slice::from_mut(&mut running.follower)));
    assert!(running.provides().contains("zen3"), "{}", running.told());
    assert!(!site.data.path().join("followed").exists());
}

#[test]
fn with_a_key_only_what_it_signed_is_used() {
    let site = Site::with_key();
    let (first, second) = (of("arch:zen3"), of("arch:zen4"));
    site.put(&first);
    let mut running = site.start();
    assert_eq!(running.look().provides(), "");
    assert!(
        running.told().contains("no signature"),
        "{}",
        running.told()
    );
    // Signed after it was pushed, as with cosign.
    site.sign(&first);
    assert!(running.look().provides().contains("zen3"));
    assert_eq!(running.told(), "");
    site.put(&second);
    assert!(running.look().provides().contains("zen3"));

    // A signature of another catalog, or by another key.
    let key = PrivateKey::from_pem(KEY, None).unwrap();
    let other = Referrer::sign(&key, &first.manifest.descriptor()).unwrap();
    site.put_referrer(second.manifest.digest(), &other);
    assert!(running.look().provides().contains("zen3"));
    assert!(
        running.told().contains("something else"),
        "{}",
        running.told()
    );
    let stranger = include_str!("../../../signature/tests/keys/plain.pem");
    let stranger = PrivateKey::from_pem(stranger, None).unwrap();
    let forged = Referrer::sign(&stranger, &second.manifest.descriptor()).unwrap();
    site.put_referrer(second.manifest.digest(), &forged);
    assert!(running.look().provides().contains("zen3"));
    assert!(
        running.told().contains("the key did not"),
        "{}",
        running.told()
    );
    site.sign(&second);
    assert!(running.look().provides().contains("zen4"));
}

#[test]
fn a_stored_copy_that_the_key_did_not_sign_is_not_used() {
    let mut site = Site::new();
    site.put(&of("arch:zen3"));
    site.start().look();
    let file = site.data.path().join("key.pub");
    std::fs::write(&file, PUBLIC).unwrap();
    site.key = Some(file);
    site.there.fail(500, None);
    let mut running = site.start();
    assert_eq!(running.look().provides(), "");
}

#[test]
fn a_damaged_copy_is_not_used_and_fetched_again() {
    let site = Site::new();
    site.put(&of("arch:zen3"));
    let mut running = site.start();
    running.look();
    let folder = site.data.path().join("followed");
    let copy = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let copy = copy
        .into_iter()
        .find(|p| p.extension().unwrap() == "json")
        .unwrap();
    let text = std::fs::read_to_string(&copy).unwrap();
    std::fs::write(&copy, text.replace("zen3", "zen4")).unwrap();
    let mut running = site.start();
    assert_eq!(running.provides(), "");
    assert!(running.look().provides().contains("zen3"));
}
