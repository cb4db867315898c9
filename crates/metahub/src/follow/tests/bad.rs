//! Unusable catalogs that another registry may offer.

use super::*;

type Change = Box<dyn Fn(&Site)>;

/// What is told of each, and what puts it there.
fn cases() -> Vec<(&'static str, Change)> {
    let changed = |change: fn(&mut Value)| -> Change { Box::new(move |s| s.put_changed(change)) };
    let text = |text: &'static str| -> Change {
        Box::new(move |site| site.put(&packed(&[("a.yaml", text)])))
    };
    vec![
        (
            "artifact type",
            changed(|m| m["artifactType"] = "x/y".into()),
        ),
        (
            "artifact type",
            changed(|m| {
                m.as_object_mut().unwrap().remove("artifactType");
            }),
        ),
        (
            "layers of type",
            changed(|m| m["layers"][0]["mediaType"] = MediaType::OCI_LAYER_GZIP.into()),
        ),
        (
            "no name for a file",
            changed(|m| m["layers"][0]["annotations"][TITLE] = "../../etc/x.yaml".into()),
        ),
        (
            "no annotation",
            changed(|m| m["layers"][0]["annotations"] = json!({})),
        ),
        (
            "at most",
            changed(|m| m["layers"][0]["size"] = 100_000_000.into()),
        ),
        (
            "match its digest",
            changed(|m| m["layers"][0]["size"] = 3.into()),
        ),
        (
            "not there",
            changed(|m| m["layers"][0]["digest"] = Digest::sha256(b"none").to_string().into()),
        ),
        (
            "match its digest",
            Box::new(|site| {
                let packed = of("arch:zen5");
                site.put(&packed);
                let at = format!("/v2/c/blobs/{}", Digest::sha256(&packed.blobs[1]));
                let other = profile("site/a", "arch:zen2");
                site.there.put_at(&at, "x/y", other.as_bytes());
            }),
        ),
        (
            "not UTF-8",
            Box::new(|site| {
                let bytes = b"profile: \xff\xfe";
                let at = format!("/v2/c/blobs/{}", Digest::sha256(bytes));
                site.there.put_at(&at, "x/y", bytes);
                let layer = json!({
                    "mediaType": DOCUMENT_TYPE, "digest": Digest::sha256(bytes), "size": bytes.len(),
                    "annotations": {TITLE: "a.yaml"},
                });
                site.put_changed(move |m| m["layers"][0] = layer);
            }),
        ),
        ("errors", text("profile: [")),
        ("errors", text("profile:\n  nme: x\n")),
        (
            "errors",
            text("profile:\n  name: site/b\n  extends: [site/none]\n"),
        ),
    ]
}

#[test]
fn nothing_bad_replaces_the_last_good_one() {
    for (expected, put) in cases() {
        let site = Site::new();
        site.put(&of("arch:zen3"));
        let mut running = site.start();
        running.look();
        put(&site);
        for _ in 0..2 {
            assert!(running.look().provides().contains("zen3"), "{expected}");
            let told = running.told();
            assert!(told.contains(expected), "{expected}: {told}");
        }
        // Nor where there is no good one yet.
        let empty = Site {
            data: tempfile::tempdir().unwrap(),
            ..site
        };
        let mut fresh = empty.start();
        assert_eq!(fresh.look().provides(), "", "{expected}");
        assert!(fresh.told().contains(expected), "{}", fresh.told());
        empty.put(&of("arch:zen5"));
        assert!(fresh.look().provides().contains("zen5"));
        assert_eq!(fresh.told(), "");
    }
}
