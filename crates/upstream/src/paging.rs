//! Lists that an upstream serves page by page, joined by `Link` headers (RFC 8288), as the
//! distribution specification has it for tags and referrers.

use http::HeaderMap;
use http::header::LINK;
use url::Url;

use crate::ask::{Ask, Whole};
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Pages followed at most, and bytes of one page: a list that never ends must end here.
const MAX_PAGES: usize = 1000;
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

impl Upstream {
    /// Passes all pages of a list to `each`, which says whether to go on. False: the list is
    /// not there (404).
    pub(crate) async fn pages(
        &self,
        mut ask: Ask,
        mut each: impl FnMut(Whole) -> Result<bool, Problem> + Send,
    ) -> Result<bool, UpstreamError> {
        for number in 0..MAX_PAGES {
            let Some(page) = self.ask_whole(&ask, "a page", MAX_PAGE_BYTES).await? else {
                return Ok(number > 0);
            };
            let next = next_page(&page.headers, &ask.url);
            let go_on = each(page).map_err(|problem| self.error(problem))?;
            match next {
                Some(next) if go_on && next != ask.url => {
                    if !self.shared.connections.is_home(&next) {
                        let why = "names a next page on another host, which is not asked";
                        return Err(self.error(Problem::Refused(why.to_owned())));
                    }
                    ask.url = next;
                }
                _ => return Ok(true),
            }
        }
        let why = format!("a list of more than {MAX_PAGES} pages");
        Err(self.error(Problem::BadAnswer(why)))
    }
}

/// The target of `Link: <URL>; rel="next"`.
fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    headers.get_all(LINK).iter().find_map(|value| {
        let mut rest = value.to_str().ok()?;
        while let Some((_, after)) = rest.split_once('<') {
            let (target, parameters) = after.split_once('>')?;
            let (own, others) = match parameters.find(",") {
                Some(comma) => parameters.split_at(comma),
                None => (parameters, ""),
            };
            let is_next = own.split(';').any(|parameter| {
                let Some((name, value)) = parameter.split_once('=') else {
                    return false;
                };
                let mut relations = value.trim().trim_matches('"').split_whitespace();
                name.trim().eq_ignore_ascii_case("rel")
                    && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
            });
            if is_next {
                return from.join(target).ok();
            }
            rest = others;
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn next(link: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_str(link).unwrap());
        let from = Url::parse("https://x.org/v2/a/tags/list?n=2").unwrap();
        next_page(&headers, &from).map(|url| url.to_string())
    }

    #[test]
    fn the_next_page_is_found() {
        let expected = Some("https://x.org/v2/a/tags/list?last=b&n=2".to_owned());
        for link in [
            r#"</v2/a/tags/list?last=b&n=2>; rel="next""#,
            r#"<https://x.org/v2/a/tags/list?last=b&n=2>;rel=next"#,
            r#"</x>; rel="first", </v2/a/tags/list?last=b&n=2>; rel="next""#,
            r#"</v2/a/tags/list?last=b&n=2>; title="x"; REL="prev next""#,
        ] {
            assert_eq!(next(link), expected, "{link}");
        }
        for link in [
            "",
            "</x>",
            r#"</x>; rel="prev""#,
            "</x; rel=next",
            "rel=next",
        ] {
            assert_eq!(next(link), None, "{link}");
        }
    }
}
