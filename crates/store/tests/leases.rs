//! Two servers never write one data folder, also where the file system's locks do nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use metahub_store::{Locking, Mode, Options, Process, PutBlobError, Store, StoreError};
use rstest::rstest;
use support::{content, fast_folder, name, put, read};

/// Long enough that a lease is renewed in time on a busy machine.
const EXPIRY: Duration = Duration::from_secs(2);

/// A server on the machine `host`, on a file system without locks.
fn on(host: &str) -> Options {
    let process = Process {
        host: host.to_owned(),
        machine: host.to_owned(),
        boot: format!("boot of {host}"),
        ..Process::this()
    };
    Options {
        locking: Locking::NoOp,
        process: Some(process),
        lease_expiry: EXPIRY,
        ..Options::default()
    }
}

/// The lease that a server left which is no more: nobody renews it.
fn left_by(folder: &Path, process: &Process) {
    let process = serde_json::to_string(process).unwrap();
    let text = format!(r#"{{"token":"gone","owner":{process},"renewals":7}}"#);
    std::fs::write(folder.join("lease"), text).unwrap();
}

#[rstest]
#[case::of_the_same_machine("one", "one")]
#[case::of_two_machines("one", "two")]
#[tokio::test]
async fn a_second_server_does_not_start_where_locks_do_nothing(
    #[case] first: &str,
    #[case] second: &str,
) {
    let folder = fast_folder();
    let server = Store::open_with(folder.path(), Mode::Serve, on(first))
        .await
        .unwrap();
    for _ in 0..2 {
        let refused = Store::open_with(folder.path(), Mode::Serve, on(second)).await;
        assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    }
    put(&server, &name("a"), &content(1, 70_000)).await;
    server.close().await;
    // Given back: at once.
    let server = Store::open_with(folder.path(), Mode::Serve, on(second))
        .await
        .unwrap();
    put(&server, &name("a"), &content(2, 70_000)).await;
}

#[tokio::test]
async fn a_lease_that_a_crash_left_is_taken_over() {
    let this = Process::this();
    let dead = Process {
        pid: 1 << 30,
        ..this.clone()
    };
    let recycled = Process {
        started: this.started + 1,
        ..this.clone()
    };
    let elsewhere = Process {
        host: "elsewhere".to_owned(),
        machine: "elsewhere".to_owned(),
        boot: "another".to_owned(),
        ..this.clone()
    };
    let before = Process {
        boot: "before this start of the machine".to_owned(),
        ..this.clone()
    };
    for process in [dead, recycled, elsewhere, before] {
        for locking in [Locking::System, Locking::NoOp] {
            let folder = fast_folder();
            left_by(folder.path(), &process);
            let options = Options {
                locking,
                lease_expiry: Duration::from_millis(100),
                ..Options::default()
            };
            let store = Store::open_with(folder.path(), Mode::Serve, options)
                .await
                .unwrap();
            store.close().await;
        }
    }
    // What a crash left that is no lease.
    let folder = fast_folder();
    std::fs::write(folder.path().join("lease"), b"").unwrap();
    Store::open(folder.path(), Mode::Serve).await.unwrap();
}

#[tokio::test]
async fn a_server_that_slept_while_another_took_over_writes_nothing() {
    let folder = fast_folder();
    let repository = name("a");
    let slept = Store::open_with(folder.path(), Mode::Serve, on("one"))
        .await
        .unwrap();
    put(&slept, &repository, &content(1, 70_000)).await;
    // As if it had slept until its lease was anybody's: the other finds one that nobody renews.
    left_by(
        folder.path(),
        &Process {
            pid: 1 << 30,
            ..Process::this()
        },
    );
    let awake = Store::open_with(
        folder.path(),
        Mode::Serve,
        Options {
            locking: Locking::NoOp,
            lease_expiry: EXPIRY,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    let second = put(&awake, &repository, &content(2, 70_000)).await;
    // It notices before it commits, whatever it does.
    let bytes = content(3, 70_000);
    let digest = metahub_oci::Digest::sha256(&bytes);
    let pushed = slept.put_blob(&repository, &digest, bytes.into()).await;
    assert!(
        matches!(pushed, Err(PutBlobError::Store(StoreError::Superseded))),
        "{pushed:?}"
    );
    let began = slept.start_upload(&repository).await;
    assert!(matches!(began, Err(StoreError::Superseded)), "{began:?}");
    slept.superseded().await;
    slept.close().await;
    assert!(awake.blob(&repository, &digest).await.unwrap().is_none());
    assert!(read(&awake, &repository, &second).await.unwrap().is_some());
    // Its end does not give back what is another's.
    put(&awake, &repository, &content(4, 70_000)).await;
}

#[tokio::test]
async fn a_server_notices_that_another_claimed_the_database() {
    let folder = fast_folder();
    let slept = Store::open_with(folder.path(), Mode::Serve, on("one"))
        .await
        .unwrap();
    let lease = std::fs::read(folder.path().join("lease")).unwrap();
    left_by(
        folder.path(),
        &Process {
            pid: 1 << 30,
            ..Process::this()
        },
    );
    let options = Options {
        locking: Locking::NoOp,
        ..Options::default()
    };
    let awake = Store::open_with(folder.path(), Mode::Serve, options)
        .await
        .unwrap();
    // A file system that shows an old version of the file.
    std::fs::write(folder.path().join("lease"), lease).unwrap();
    let began = slept.start_upload(&name("a")).await;
    assert!(matches!(began, Err(StoreError::Superseded)), "{began:?}");
    awake.close().await;
}

#[tokio::test]
async fn a_server_whose_lease_was_removed_writes_nothing() {
    let folder = fast_folder();
    let store = Store::open_with(folder.path(), Mode::Serve, on("one"))
        .await
        .unwrap();
    std::fs::remove_file(folder.path().join("lease")).unwrap();
    let began = store.start_upload(&name("a")).await;
    assert!(matches!(began, Err(StoreError::Superseded)), "{began:?}");
}
