//! The characters of user names at a MetaHub: `[account "/"] selector { "+" selector }`.

/// The registry's own bound on a user name, in bytes.
pub(crate) const MOST_USER_BYTES: usize = 512;

/// Whether `text` is a user name by its characters, with something on both sides of each `+`.
#[must_use]
pub(crate) fn is_login(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+=#-".contains(c);
    !text.is_empty()
        && text.len() <= MOST_USER_BYTES
        && text.chars().all(allowed)
        && text.split('+').all(|selector| !selector.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_has_something_on_both_sides_of_each_plus() {
        for text in ["zen4", "alice/zen4+cuda=12.4", "aws/cli#1.5", "a"] {
            assert!(is_login(text), "{text}");
        }
        let long = "a".repeat(MOST_USER_BYTES + 1);
        for text in [
            "", "+", "a+", "+a", "a++b", "a b", "a:b", "a@b", "$a", &long,
        ] {
            assert!(!is_login(text), "{text}");
        }
    }
}
