//! One page of a list, as clients read lists (`spec.md#content-discovery`).

/// One page of a list, in lexical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The items.
    pub items: Vec<String>,
    /// Whether more follow the last one.
    pub more: bool,
    /// The item after which the next page begins, if it is not the last one of this page.
    pub after: Option<String>,
}

impl ListPage {
    /// The first `limit` of `items` after `last`, which may come in any order.
    pub(crate) fn cut(mut items: Vec<String>, last: Option<&str>, limit: usize) -> Self {
        items.retain(|item| last.is_none_or(|last| item.as_str() > last));
        items.sort_unstable();
        items.dedup();
        let more = items.len() > limit;
        items.truncate(limit);
        Self {
            items,
            more,
            after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_after_the_last_item_seen_and_says_whether_more_follow() {
        let items = || ["b", "a", "d", "c", "a"].map(str::to_owned).to_vec();
        let first = ListPage::cut(items(), None, 2);
        assert_eq!(
            first,
            ListPage {
                items: vec!["a".into(), "b".into()],
                more: true,
                after: None,
            }
        );
        let second = ListPage::cut(items(), Some("b"), 2);
        assert_eq!(
            second,
            ListPage {
                items: vec!["c".into(), "d".into()],
                more: false,
                after: None,
            }
        );
        assert_eq!(
            ListPage::cut(items(), None, 0),
            ListPage {
                items: vec![],
                more: true,
                after: None,
            }
        );
    }
}
