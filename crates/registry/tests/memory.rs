//! What a document takes in memory while it is parsed and chosen from, by an allocator that
//! counts: what the document budget multiplies its bytes by.

#![allow(
    unsafe_code,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "an allocator is unsafe, and tests assert by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use metahub_catalog::Catalog;
use metahub_limits::PARSED_FACTOR;
use metahub_oci::{Digest, Document, MediaType};
use metahub_resolve::{Policy, narrow_candidates, to_read};
use serde_json::{Value, json};

const MIB: f64 = 1_048_576.0;

/// The system's allocator, which remembers how many bytes were in use at most.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::SeqCst) + bytes;
    MOST.fetch_max(now, Ordering::SeqCst);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large ones are moved by their pages, without two of them.
        NOW.fetch_sub(layout.size(), Ordering::SeqCst);
        took(size);
        // SAFETY: as the caller vouches.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many times the bytes of `text` are in use at most during `work` on it, the text included.
fn factor(text: &[u8], work: impl FnOnce(&[u8])) -> f64 {
    let before = NOW.load(Ordering::SeqCst);
    MOST.store(before, Ordering::SeqCst);
    work(text);
    let most = MOST.load(Ordering::SeqCst) - before + text.len();
    most as f64 / text.len() as f64
}

fn entry(at: usize, more: &Value) -> Value {
    let mut entry = json!({
        "mediaType": MediaType::OCI_MANIFEST, "digest": Digest::sha256(&at.to_le_bytes()),
        "size": 1234, "platform": {"os": "linux", "architecture": "amd64"},
    });
    if let Some(map) = entry.as_object_mut().filter(|_| !more.is_null()) {
        map.insert("annotations".to_owned(), more.clone());
    }
    entry
}

fn index(entries: usize, more: &Value) -> Vec<u8> {
    let entries: Vec<_> = (0..entries).map(|at| entry(at, more)).collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
    serde_json::to_vec(&index).unwrap()
}

/// An index with `part` again and again where nobody looks.
fn hostile(part: &str, bytes: usize) -> Vec<u8> {
    let parts = vec![part; bytes / (part.len() + 1)].join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[],"x":[{parts}]}}"#,
        MediaType::OCI_INDEX
    )
    .into_bytes()
}

#[test]
fn what_a_document_takes_in_memory_is_what_the_budget_counts() {
    let catalog = Catalog::from_documents::<&str, &str>(&[]).catalog;
    let profile = catalog.interpret("haswell", &|_| false).unwrap().profile;
    let choose = |text: &[u8]| {
        let document = Document::parse(text.to_vec().into(), None).unwrap();
        let Document::Index(index) = &document else {
            return;
        };
        let list = index.manifests().to_vec();
        let candidates = index.with_manifests(list.clone());
        let _ = to_read(&candidates, &profile, Policy::default());
        let _ = narrow_candidates(index, &candidates, &profile, Policy::default());
        drop(list);
    };
    let annotated = json!({"org.opencontainers.image.ref.name": "a", "x.y": "zen3"});
    for (what, text) in [
        ("plain", index(13_000, &Value::Null)),
        ("annotated", index(8_000, &annotated)),
        ("small", index(300, &annotated)),
    ] {
        let times = factor(&text, choose);
        eprintln!("{what}: {times:.1} times {} bytes", text.len());
        let counted = PARSED_FACTOR as f64;
        assert!(
            (counted / 2.0..=counted).contains(&times),
            "{what}: {times:.1}"
        );
    }
    // What is made to take much is refused before it takes more than a large index.
    let largest = factor(&index(13_000, &Value::Null), choose) * 4.0 * MIB;
    for part in ["0", "[]", r#"{"":0}"#, r#"{"":{}}"#, r#""""#] {
        let values = part.matches(['{', '[', '0']).count().max(1);
        let text = hostile(part, 399_000 / values * (part.len() + 1));
        assert!(Document::parse(text.clone().into(), None).is_ok(), "{part}");
        let bytes = factor(&text, choose) * text.len() as f64;
        eprintln!("{part}: {:.0} MiB of {} bytes", bytes / MIB, text.len());
        assert!(bytes < 2.0 * largest, "{part}: {:.0} MiB", bytes / MIB);
        let more = hostile(part, 500_000 / values * (part.len() + 1));
        assert!(Document::parse(more.into(), None).is_err(), "{part}");
    }
}
