//! `Link` headers (RFC 8288), which join the pages of a list (distribution specification,
//! "Listing Tags" and "Listing Referrers").

use http::HeaderMap;
use http::header::LINK;

/// The target of `Link: <TARGET>; rel="next"`, as written: it may be relative, and it may lead to
/// another host. `None` where there is no next page, or the header is ill-formed.
#[must_use]
pub fn next_page(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(LINK).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(next_of)
}

/// The next page among the links of one header.
fn next_of(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, parameters) = after.split_once('>')?;
        let (own, others) = parameters.split_at(end_of_link(parameters));
        if parts(own, ';').iter().any(|part| is_next(part)) {
            return Some(target);
        }
        rest = others;
    }
    None
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel")
        && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

/// Where the parameters of a link end: at a comma outside of quotes.
fn end_of_link(parameters: &str) -> usize {
    parts(parameters, ',')
        .first()
        .map_or(0, |first| first.len())
}

/// `text` cut at every `at` outside of quotes.
fn parts(text: &str, at: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|letter| {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        letter == at && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn next(links: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append(LINK, HeaderValue::from_bytes(link.as_bytes()).unwrap());
        }
        next_page(&headers).map(str::to_owned)
    }

    #[test]
    fn the_next_page_is_found_however_it_is_written() {
        let target = "/v2/a/tags/list?last=b&n=2";
        for link in [
            r#"<TARGET>; rel="next""#,
            r#"<TARGET>;rel=next"#,
            r#"</x>; rel="first", <TARGET>; rel="next""#,
            r#"<TARGET>; title="x"; REL="prev next""#,
            r#"<TARGET>; title="a, <b>; rel=prev"; rel=next"#,
            r#"</x>; title="\", <y>; rel=next", <TARGET>; rel=next"#,
        ] {
            let link = link.replace("TARGET", target);
            assert_eq!(next(&[&link]).as_deref(), Some(target), "{link}");
        }
        let two = next(&[r#"</x>; rel="prev""#, &format!("<{target}>; rel=next")]);
        assert_eq!(two.as_deref(), Some(target));
    }

    #[test]
    fn what_names_no_next_page_ends_the_list() {
        for link in [
            "",
            "</x>",
            r#"</x>; rel="prev""#,
            "</x; rel=next",
            "rel=next",
            r#"</x>; title="rel=next""#,
            r#"</x>; relation=next"#,
            "<<<<",
            ">;rel=next",
            "</\u{e9}>; rel=next",
        ] {
            assert_eq!(next(&[link]), None, "{link}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "[<>;,=\"\\\\a-z ]{0,100}") {
            let _ = next(&[&text]);
        }
    }
}
