//! Makes a registry's own words fit for an error or a log line.

/// What a page says without its markup: what a reader of the message can use. A `<` that begins no
/// tag stays.
fn without_markup(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        words.push_str(before);
        let begins_tag = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
        if after.starts_with(begins_tag) {
            words.push(' ');
            rest = after.split_once('>').map_or("", |(_, rest)| rest);
        } else {
            words.push('<');
            rest = after;
        }
    }
    words.push_str(rest);
    words
}

/// `text` on one line: no markup, no control characters, single blanks, at most `limit`
/// characters.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let text = without_markup(text);
    let mut cleaned = String::new();
    let mut count = 0;
    for word in text.split(|c: char| c.is_whitespace() || is_unprintable(c)) {
        if word.is_empty() {
            continue;
        }
        if count > 0 {
            if count + 1 >= limit {
                cleaned.push('…');
                return cleaned;
            }
            cleaned.push(' ');
            count += 1;
        }
        for letter in word.chars() {
            if count >= limit {
                cleaned.push('…');
                return cleaned;
            }
            cleaned.push(letter);
            count += 1;
        }
    }
    cleaned
}

/// Control characters, and those that turn the direction of text around.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_lose_markup_line_breaks_and_what_turns_text_around() {
        for (text, expected) in [
            ("no\r\nX: \u{1b}[31mred", "no X: [31mred"),
            ("<html><body>Sign in</body>", "Sign in"),
            ("2 < 3 <b", "2 < 3"),
            ("a\u{202e}b\u{feff}", "a b"),
            ("", ""),
            (" \t ", ""),
        ] {
            assert_eq!(printable(text, 20), expected, "{text:?}");
        }
        assert_eq!(printable("0123456789abc", 10), "0123456789…");
    }

    proptest! {
        #[test]
        fn printable_text_is_short_and_printable(text in any::<String>(), limit in 1usize..50) {
            let shown = printable(&text, limit);
            prop_assert!(shown.chars().count() <= limit + 1);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
