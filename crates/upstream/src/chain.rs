//! Errors of HTTP and TLS libraries in one line.

/// An error with its causes, the most telling last.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !texts.iter().any(|text| text.contains(&more)) {
            texts.push(more);
        }
        cause = inner.source();
    }
    // General texts of HTTP libraries are left out, unless there is nothing else.
    let says_more = |text: &&String| {
        let empty = [
            "error sending request",
            "client error",
            "request or response body error",
        ];
        !empty.iter().any(|words| text.starts_with(words))
    };
    let telling: Vec<&str> = texts.iter().filter(says_more).map(String::as_str).collect();
    let text = if telling.is_empty() {
        texts.join(": ")
    } else {
        telling.join(": ")
    };
    metahub_client::printable(&text, 300)
}
