//! Data folders of other versions: an earlier one's is brought up to date with everything in it,
//! a later one's is left alone, and nobody changes the schema under a server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::path::Path;

use metahub_oci::Digest;
use metahub_store::{Locking, Mode, Options, Origin, ScrubOptions, Store, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use support::{blob_file, chunks, content, fast_folder, image, index, name, read, tag};

const CONFIG: &[u8] =
    br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
/// The upload that was in progress.
const UPLOAD: &str = "a913339b2519d6f8072ae8760a797328";

/// A data folder as the version with the schema 3 wrote it: its database as SQL, its files anew.
async fn of_schema_3() -> tempfile::TempDir {
    let folder = fast_folder();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("metahub.db"))
        .create_if_missing(true)
        // The tables come in the order of their names.
        .foreign_keys(false);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(include_str!("fixtures/schema-3.sql"))
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    for algorithm in ["sha256", "sha512"] {
        for first in 0..=u8::MAX {
            let fan_out = folder.path().join(format!("blobs/{algorithm}/{first:02x}"));
            std::fs::create_dir_all(fan_out).unwrap();
        }
    }
    for (seed, size) in [(1, 66_000), (2, 70_000)] {
        let bytes = content(seed, size);
        std::fs::write(blob_file(folder.path(), &Digest::sha256(&bytes)), &bytes).unwrap();
    }
    std::fs::create_dir(folder.path().join("staging")).unwrap();
    std::fs::write(folder.path().join("staging").join(UPLOAD), b"begun").unwrap();
    folder
}

async fn sql(folder: &Path, statement: &'static str) {
    let url = format!("sqlite://{}", folder.join("metahub.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn version(folder: &Path) -> i64 {
    let url = format!("sqlite://{}", folder.join("metahub.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    version
}

#[tokio::test]
async fn an_upgrade_keeps_every_manifest_tag_blob_upload_and_account() {
    let folder = of_schema_3().await;
    assert_eq!(version(folder.path()).await, 3);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let (app, mirror) = (name("team/app"), name("docker.io/library/debian"));
    let pushed = image(CONFIG, &[&content(1, 66_000)]);
    let kept = image(CONFIG, &[&content(2, 70_000)]);
    let both = index(&[&pushed]);
    for (repository, document) in [(&app, &pushed), (&app, &both), (&mirror, &kept)] {
        let found = store.manifest(repository, document.digest()).await.unwrap();
        assert_eq!(found.unwrap().bytes, *document.bytes());
    }
    for (repository, label, document, origin) in [
        (&app, "1", &pushed, Origin::Pushed),
        (&app, "latest", &pushed, Origin::Pushed),
        (&app, "multi", &both, Origin::Pushed),
        (&mirror, "12", &kept, Origin::Upstream),
    ] {
        let found = store.tag(repository, &tag(label)).await.unwrap().unwrap();
        assert_eq!((&found.digest, found.origin), (document.digest(), origin));
    }
    for (repository, bytes) in [
        (&app, CONFIG.to_vec()),
        (&app, content(1, 66_000)),
        (&mirror, content(2, 70_000)),
    ] {
        let found = read(&store, repository, &Digest::sha256(&bytes))
            .await
            .unwrap();
        assert_eq!(found.unwrap(), bytes);
    }
    // What it was derived from is a list.
    let derived = name("team/derived");
    let found = store.manifest(&derived, pushed.digest()).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.origin, Origin::Derived);
    let source = format!("docker.io/library/debian@{}", kept.digest());
    let tagged = "docker.io/library/debian:12".to_owned();
    assert_eq!(found.sources, [source, tagged.clone()]);
    let found = store.manifest(&mirror, kept.digest()).await.unwrap();
    assert_eq!(found.unwrap().sources, [tagged]);
    // Only the mirror counts as an upstream's.
    let cached = store.cached_bytes().await.unwrap();
    let size = CONFIG.len() + 70_000 + kept.bytes().len();
    assert_eq!(cached, [("docker.io".to_owned(), size as u64)].into());
    assert_eq!(cached, store.recounted_bytes().await.unwrap());
    // The names that hold pushed manifests are local, and those of an upstream are not.
    assert!(store.was_pushed(&app).await.unwrap());
    assert!(!store.was_pushed(&mirror).await.unwrap());
    let names = store.local_names(None, 10).await.unwrap().items;
    let names: Vec<_> = names.iter().map(|n| (&n.name, &n.account)).collect();
    assert_eq!(names, [(&app, &None)]);
    let accounts = store.accounts().await.unwrap();
    let accounts: Vec<_> = accounts
        .iter()
        .map(|a| {
            (
                a.name.as_str(),
                a.role.as_str(),
                a.password_hash.expose().as_str(),
            )
        })
        .collect();
    assert_eq!(
        accounts,
        [
            ("alice", "admin", "$argon2id$hash-of-alice"),
            ("bob", "pusher", "$argon2id$hash-of-bob"),
        ]
    );
    // The key that signs tokens is the one that was made then.
    let secret = hex::encode_upper(store.secret("tokens").await.unwrap().expose());
    assert!(include_str!("fixtures/schema-3.sql").contains(&secret));
    let id = UPLOAD.parse().unwrap();
    let upload = store.upload(&app, &id).await.unwrap().unwrap();
    assert_eq!(upload.size(), 5);
    upload
        .append(Some(5), chunks(b" and ended", 10))
        .await
        .unwrap();
    upload
        .finish(&Digest::sha256(b"begun and ended"))
        .await
        .unwrap();
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    store.close().await;
}

#[tokio::test]
async fn an_earlier_versions_folder_whose_blobs_are_not_mounted_is_not_opened() {
    let folder = of_schema_3().await;
    std::fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    let refused = Store::open(folder.path(), Mode::Serve).await;
    assert!(
        matches!(refused, Err(StoreError::ContentAbsent { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_command_does_not_change_the_schema_under_a_server() {
    let folder = of_schema_3().await;
    // What an earlier version's server holds.
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = Store::open(folder.path(), Mode::Beside).await;
    assert!(
        matches!(refused, Err(StoreError::OlderServer(_))),
        "{refused:?}"
    );
    assert_eq!(version(folder.path()).await, 3, "it is as it was");
    drop(lock);
    // Without a server, a command may.
    let store = Store::open(folder.path(), Mode::Beside).await.unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    store.close().await;
    assert!(version(folder.path()).await > 3);
}

#[tokio::test]
async fn a_command_works_beside_a_server_of_its_own_version_and_as_the_first() {
    let folder = fast_folder();
    let first = Store::open(folder.path(), Mode::Beside).await.unwrap();
    first.close().await;
    let server = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let beside = Store::open(folder.path(), Mode::Beside).await.unwrap();
    assert!(beside.accounts().await.unwrap().is_empty());
    beside.close().await;
    server.close().await;
    // A lease keeps a command from changing the schema as well, where locks do nothing.
    let folder = of_schema_3().await;
    std::fs::write(folder.path().join("lease"), b"a server's").unwrap();
    let refused = Store::open(folder.path(), Mode::Beside).await;
    assert!(
        matches!(refused, Err(StoreError::OlderServer(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_later_versions_folder_is_left_alone() {
    let folder = of_schema_3().await;
    Store::open(folder.path(), Mode::Serve)
        .await
        .unwrap()
        .close()
        .await;
    sql(
        folder.path(),
        "INSERT INTO _sqlx_migrations
         SELECT 9999, description, installed_on, success, checksum, execution_time
         FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let options = || Options {
        locking: Locking::NoOp,
        ..Options::default()
    };
    for mode in [Mode::Serve, Mode::Beside] {
        let error = Store::open_with(folder.path(), mode, options())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Newer(9999)), "{error:?}");
    }
}
