//! Accounts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use metahub_store::{Mode, Redacted, Store};

#[tokio::test]
async fn accounts_are_shared_with_a_process_beside() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let beside = Store::open(folder.path(), Mode::Beside).await.unwrap();
    let hash = || Redacted::new("hash".to_owned());
    assert!(beside.add_account("alice", "pusher", hash()).await.unwrap());
    assert!(!beside.add_account("alice", "admin", hash()).await.unwrap());
    let alice = serving.account("alice").await.unwrap().unwrap();
    assert_eq!(alice.role, "pusher");
    assert!(!format!("{alice:?}").contains("hash\""));
    assert!(
        serving
            .set_password("alice", Redacted::new("new".into()))
            .await
            .unwrap()
    );
    assert!(serving.set_role("alice", "admin").await.unwrap());
    let alice = beside.account("alice").await.unwrap().unwrap();
    assert_eq!(alice.password_hash.expose(), "new");
    assert_eq!(beside.accounts().await.unwrap(), [alice]);
    assert_eq!(
        serving.secret("token").await.unwrap(),
        beside.secret("token").await.unwrap()
    );
    assert!(serving.remove_account("alice").await.unwrap());
    assert!(!serving.remove_account("alice").await.unwrap());
    let second = Store::open(folder.path(), Mode::Serve).await;
    assert!(
        second
            .unwrap_err()
            .to_string()
            .contains("in use by another")
    );
}
