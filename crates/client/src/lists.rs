//! Lists of a registry: the tags of a repository, and the referrers of a manifest.

use metahub_oci::{Descriptor, Tag};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct TagList {
    // Registries answer null for a repository without tags.
    tags: Option<Vec<String>>,
}

/// The tags on a page of `tags/list`; texts that are no tags are left out. `None` where the page
/// is no such list.
#[must_use]
pub fn tags(page: &[u8]) -> Option<Vec<Tag>> {
    let list: TagList = serde_json::from_slice(page).ok()?;
    let listed = list.tags.unwrap_or_default();
    Some(listed.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The descriptors on a page of `referrers/DIGEST`, or of the index that the referrers tag names;
/// those that are ill-formed are left out. `None` where the page is no such list.
#[must_use]
pub fn referrers(page: &[u8]) -> Option<Vec<Descriptor>> {
    let value: Value = serde_json::from_slice(page).ok()?;
    let list = value.get("manifests")?.as_array()?;
    Some(
        list.iter()
            .filter_map(|item| Descriptor::from_json(item).ok())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tag_is_left_out_and_what_is_no_list_is_none() {
        for (page, expected) in [
            (r#"{"name":"a","tags":["b","1.0"]}"#, Some(vec!["b", "1.0"])),
            (r#"{"tags":null}"#, Some(vec![])),
            (r#"{"name":"a"}"#, Some(vec![])),
            (r#"{"tags":["../x","ok",""]}"#, Some(vec!["ok"])),
            (r#"{"tags":[1]}"#, None),
            (r#"{"tags":"b"}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            let found = tags(page.as_bytes());
            let texts: Option<Vec<&str>> = found
                .as_ref()
                .map(|tags| tags.iter().map(Tag::as_str).collect());
            assert_eq!(texts, expected, "{page}");
        }
    }

    #[test]
    fn an_ill_formed_referrer_is_left_out() {
        let digest = metahub_oci::Digest::sha256(b"x");
        let good = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1}}"#
        );
        let count = |list: &str| {
            referrers(format!(r#"{{"manifests":{list}}}"#).as_bytes()).map(|found| found.len())
        };
        assert_eq!(count("[]"), Some(0));
        assert_eq!(count(&format!("[{good}]")), Some(1));
        assert_eq!(
            count(&format!(r#"[{good},{{"digest":"x"}},null,7]"#)),
            Some(1)
        );
        for no_list in ["null", "{}", "7"] {
            assert_eq!(count(no_list), None, "{no_list}");
        }
        assert_eq!(referrers(b"{}"), None);
        assert_eq!(referrers(b"<html>"), None);
    }
}
