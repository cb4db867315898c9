//! Parses the `Authorization` header, within bounds. Nothing here knows whether the credentials are
//! right.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::token::MAX_TOKEN_BYTES;
use crate::{AuthError, Password, password};

/// Longest user name, in bytes: room for an account and a dozen selectors.
const MAX_USER_BYTES: usize = 1024;
/// Longest header value that is decoded: user name, colon and password in base64.
const MAX_BASIC_BYTES: usize = (MAX_USER_BYTES + 1 + password::MAX_BYTES).div_ceil(3) * 4;

/// Clients differ on padding, and it adds no safety.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: no header, or a Basic one with neither name nor password, which some clients
    /// send for an empty entry of their configuration.
    Anonymous,
    /// A user name and a password (RFC 7617).
    Basic {
        /// The user name as sent: an account, a profile, or both.
        user: Box<str>,
        /// The password as sent.
        password: Password,
    },
    /// A token of ours (RFC 6750).
    Bearer(Token),
}

/// A token as sent; prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The token itself, to verify it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Credentials {
    /// Reads the value of an `Authorization` header, or its absence.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] for another scheme, wrong base64, text that is not UTF-8, a
    /// missing colon, a control character in the user name, or more bytes than are read.
    pub fn parse(header: Option<&[u8]>) -> Result<Self, AuthError> {
        let Some(header) = header else {
            return Ok(Self::Anonymous);
        };
        let text = std::str::from_utf8(header)
            .map_err(|_| AuthError::Malformed("the Authorization header is not UTF-8"))?;
        let (scheme, value) = text.trim().split_once(' ').ok_or(AuthError::Malformed(
            "expected 'Authorization: Basic …' or 'Bearer …'",
        ))?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            Self::basic_header(value)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Self::bearer(value)
        } else {
            Err(AuthError::Malformed("expected the scheme Basic or Bearer"))
        }
    }

    /// A user name and a password from elsewhere than a header, such as the form of a token
    /// request.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] if one is too long or the name holds a control character.
    pub fn basic(user: &str, password: &str) -> Result<Self, AuthError> {
        if user.is_empty() && password.is_empty() {
            return Ok(Self::Anonymous);
        }
        if user.len() > MAX_USER_BYTES {
            return Err(AuthError::Malformed("a user name has at most 1024 bytes"));
        }
        if password.len() > password::MAX_BYTES {
            return Err(AuthError::Malformed("a password has at most 4096 bytes"));
        }
        if user.chars().any(char::is_control) {
            return Err(AuthError::Malformed(
                "a user name holds no control characters",
            ));
        }
        Ok(Self::Basic {
            user: user.into(),
            password: Password::new(password),
        })
    }

    fn basic_header(value: &str) -> Result<Self, AuthError> {
        if value.len() > MAX_BASIC_BYTES {
            return Err(AuthError::Malformed(
                "the user name and password are too long",
            ));
        }
        let bytes = BASE64
            .decode(value)
            .map_err(|_| AuthError::Malformed("Basic credentials are not base64"))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| AuthError::Malformed("Basic credentials are not UTF-8"))?;
        let (user, password) = text.split_once(':').ok_or(AuthError::Malformed(
            "Basic credentials are USER:PASSWORD, in base64",
        ))?;
        Self::basic(user, password)
    }

    fn bearer(value: &str) -> Result<Self, AuthError> {
        if value.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Malformed("a token has at most 16384 bytes"));
        }
        Ok(Self::Bearer(Token(value.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic {
            user: user.into(),
            password: Password::new(password),
        }
    }

    fn header(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[rstest]
    #[case("alice:secret", "alice", "secret")]
    #[case("alice/zen3:a:b:c", "alice/zen3", "a:b:c")]
    #[case("zen3+cuda=12.4:", "zen3+cuda=12.4", "")]
    #[case(":x", "", "x")]
    #[case("ä:ö", "ä", "ö")]
    fn basic_credentials_split_at_the_first_colon(
        #[case] text: &str,
        #[case] user: &str,
        #[case] password: &str,
    ) {
        let parsed = Credentials::parse(Some(header(text).as_bytes()));
        assert_eq!(parsed.unwrap(), basic(user, password));
    }

    #[test]
    fn schemes_match_in_any_case_and_padding_may_lack() {
        for text in ["basic YTpiYw==", "BASIC YTpiYw", "Basic  YTpiYw== "] {
            assert_eq!(
                Credentials::parse(Some(text.as_bytes())).unwrap(),
                basic("a", "bc")
            );
        }
        assert!(matches!(
            Credentials::parse(Some(b"bearer abc.def.ghi")).unwrap(),
            Credentials::Bearer(token) if token.expose() == "abc.def.ghi"
        ));
    }

    #[test]
    fn no_header_and_empty_credentials_are_anonymous() {
        assert_eq!(Credentials::parse(None).unwrap(), Credentials::Anonymous);
        assert_eq!(
            Credentials::parse(Some(b"Basic Og==")).unwrap(),
            Credentials::Anonymous
        );
    }

    #[rstest]
    #[case(b"".to_vec())]
    #[case(b"Basic".to_vec())]
    #[case(b"Negotiate abc".to_vec())]
    #[case(b"Basic !!!!".to_vec())]
    #[case(b"Basic YQ==".to_vec())]
    #[case(b"Basic \xff".to_vec())]
    #[case(header("a\nb:c").into_bytes())]
    #[case(format!("Basic {}", BASE64.encode([0xff, b':', b'x'])).into_bytes())]
    #[case(header(&format!("{}:x", "a".repeat(1025))).into_bytes())]
    #[case(header(&format!("a:{}", "x".repeat(4097))).into_bytes())]
    #[case(format!("Basic {}", "A".repeat(1_000_000)).into_bytes())]
    #[case(format!("Bearer {}", "A".repeat(16_385)).into_bytes())]
    fn what_is_not_a_header_of_ours_is_malformed(#[case] header: Vec<u8>) {
        assert!(matches!(
            Credentials::parse(Some(&header)),
            Err(AuthError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn no_header_panics_or_prints_a_secret(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Credentials::parse(Some(&bytes));
        }

        #[test]
        fn what_was_encoded_is_read_back(user in "[a-z/+=#.]{1,40}", password in "[^:]{0,40}") {
            let parsed = Credentials::parse(Some(header(&format!("{user}:{password}")).as_bytes()));
            let parsed = parsed.unwrap();
            prop_assert_eq!(&parsed, &basic(&user, &password));
            let printed = format!("{parsed:?}");
            prop_assert!(password.len() < 8 || !printed.contains(&password));
        }
    }
}
