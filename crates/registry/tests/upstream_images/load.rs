//! Many logins at once on a large index: each gets what fits it or is told to come again, never
//! that nothing fits; the memory for documents is never exceeded; others are served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metahub_limits::DocumentBudget;
use metahub_oci::{ErrorCode, MediaType};
use metahub_registry::{CacheSettings, Free, RegistryError, Settings};
use metahub_store::Store;
use metahub_upstream::Timeouts;
use serde_json::{Value, json};

use crate::fake::{Fake, Referrers, World, index, leads_to};

const ENTRIES: usize = 3_000;
const LOGINS: usize = 64;
const BUDGET: u64 = 64 * 1024 * 1024;

fn settings(cache: CacheSettings) -> Settings {
    Settings {
        tag_lifetime: Duration::from_hours(1),
        cache,
        documents: DocumentBudget::new(BUDGET),
        ..Settings::default()
    }
}

async fn upstream() -> (Fake, Vec<Value>) {
    let fake = Fake::start(Referrers::Status(404)).await;
    let mut entries = Vec::with_capacity(ENTRIES);
    for at in 0..ENTRIES {
        let target = ["x86_64_v2", "x86_64_v3", "zen3", "x86_64_v4"][at % 4];
        let labels = json!({"io.archspec.cpu.target": target});
        let mut entry = fake.image(&at.to_string(), &labels, &[]);
        entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
        entries.push(entry);
    }
    fake.document(&index(&entries), &["many"]);
    fake.image("small", &json!(null), &["small"]);
    (fake, entries)
}

/// What a login gets, if not told to come again.
async fn pull(world: &World, login: &str) -> Option<Vec<String>> {
    match world.pull("lab/app:many", login).await {
        Ok(served) => Some(leads_to(&served)),
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::Unavailable, "{login}: {error}");
            assert!(error.retry_after().is_some(), "{login}: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_logins_on_a_large_index_get_what_fits_or_are_told_to_come_again() {
    let (fake, entries) = upstream().await;
    let store = Store::temporary().await.unwrap();
    let cache = CacheSettings {
        keep_free: Free::Percent(0),
        ..CacheSettings::default()
    };
    let timeouts = Timeouts::default();
    let world = Arc::new(fake.registry_with(store, settings(cache), timeouts, ""));
    let targets = [
        "haswell",
        "zen2",
        "zen3",
        "zen4",
        "icelake",
        "x86_64_v2",
        "x86_64_v3",
    ];
    let done = Arc::new(AtomicBool::new(false));
    // Somebody who asks for a small image, one time after the other.
    let bystander = tokio::spawn({
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        async move {
            let mut answered = 0;
            while !done.load(Ordering::SeqCst) {
                world.pull("lab/app:small", "zen3").await.unwrap();
                answered += 1;
                tokio::task::yield_now().await;
            }
            answered
        }
    });
    let shed = Arc::new(AtomicUsize::new(0));
    let entries = Arc::new(entries);
    let logins = (0..LOGINS).map(|at| {
        let (world, shed, entries) = (Arc::clone(&world), Arc::clone(&shed), Arc::clone(&entries));
        let login = format!("{}+cuda=12.{at}", targets[at % targets.len()]);
        tokio::spawn(async move {
            let Some(got) = pull(&world, &login).await else {
                shed.fetch_add(1, Ordering::SeqCst);
                return;
            };
            let at = entries
                .iter()
                .position(|entry| entry["digest"] == got[0].as_str());
            let label = at.unwrap() % 4;
            let runs = match label {
                0 => true,
                1 => !login.starts_with("x86_64_v2"),
                2 => login.starts_with("zen3") || login.starts_with("zen4"),
                _ => login.starts_with("zen4") || login.starts_with("icelake"),
            };
            assert!(
                runs && got.len() == 1,
                "{login} gets an image of kind {label}"
            );
        })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let answered = bystander.await.unwrap();
    assert!(
        answered > LOGINS,
        "{answered} small requests were answered meanwhile"
    );
    let documents = world.registry.documents();
    assert_eq!(documents.used(), 0);
    let peak = documents.peak();
    assert!(
        (1..=documents.size()).contains(&peak),
        "{peak} of {}",
        documents.size()
    );
    // Those who come again get theirs.
    assert!(shed.load(Ordering::SeqCst) < LOGINS);
    assert!(pull(&world, "zen4+cuda=12.1").await.is_some());
}

/// A configuration for which there is no room now says nothing of its image, neither then nor
/// later.
#[tokio::test]
async fn an_image_whose_configuration_finds_no_room_is_not_judged_by_that() {
    let fake = Fake::start(Referrers::Status(404)).await;
    let labels = json!({"io.archspec.cpu.target": "x86_64_v3"});
    let mut entry = fake.image("one", &labels, &["one"]);
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    fake.document(&index(&[entry.clone()]), &["index"]);
    let store = Store::temporary().await.unwrap();
    let full = |percent| {
        settings(CacheSettings {
            keep_free: Free::Percent(percent),
            patience: Duration::ZERO,
            ..CacheSettings::default()
        })
    };
    let timeouts = Timeouts::default();
    let world = fake.registry_with(store.clone(), full(100), timeouts.clone(), "");
    for image in ["lab/app:index", "lab/app:one"] {
        let error = world.pull(image, "haswell").await.unwrap_err();
        assert!(matches!(error.root(), RegistryError::NoRoom(_)), "{error}");
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert!(error.retry_after().is_some());
    }
    let world = fake.registry_with(store, full(0), timeouts, "");
    let served = world.pull("lab/app:index", "haswell").await.unwrap();
    assert_eq!(leads_to(&served), [entry["digest"].as_str().unwrap()]);
    assert!(MediaType::OCI_MANIFEST == served.media_type.as_str() || served.media_type.is_index());
}
