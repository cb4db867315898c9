//! Private keys as cosign encrypts them: a key derived from the password by scrypt opens a NaCl
//! secret box (XSalsa20 and Poly1305).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::Deserialize;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Most memory and work that a file may ask for; cosign asks for N = 2^16, r = 8, p = 1.
const MAX_LOG_N: u32 = 18;
const MAX_R: u32 = 8;
const MAX_P: u32 = 4;

#[derive(Deserialize)]
struct Written {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// An encrypted key.
pub(crate) struct Sealed {
    params: scrypt::Params,
    salt: Vec<u8>,
    nonce: [u8; NONCE_BYTES],
    content: Vec<u8>,
}

/// Reads the JSON in cosign's PEM block.
pub(crate) fn parse(json: &[u8]) -> Option<Sealed> {
    let written: Written = serde_json::from_slice(json).ok()?;
    let Params { n, r, p } = written.kdf.params;
    let bounded = n.is_power_of_two() && n.ilog2() <= MAX_LOG_N && r <= MAX_R && p <= MAX_P;
    let known = written.kdf.name == "scrypt" && written.cipher.name == "nacl/secretbox";
    if !bounded || !known {
        return None;
    }
    let log_n = u8::try_from(n.ilog2()).ok()?;
    Some(Sealed {
        params: scrypt::Params::new(log_n, r, p).ok()?,
        salt: STANDARD.decode(written.kdf.salt).ok()?,
        nonce: STANDARD
            .decode(written.cipher.nonce)
            .ok()?
            .try_into()
            .ok()?,
        content: STANDARD.decode(written.ciphertext).ok()?,
    })
}

impl Sealed {
    /// The key in it, with the right password.
    pub(crate) fn open(&self, password: &str) -> Option<Vec<u8>> {
        let mut key = [0; KEY_BYTES];
        scrypt::scrypt(password.as_bytes(), &self.salt, &self.params, &mut key).ok()?;
        let (tag, encrypted) = self.content.split_at_checked(TAG_BYTES)?;
        let mut cipher = XSalsa20::new(&key.into(), &self.nonce.into());
        // The first 32 bytes of the key stream authenticate, the rest encrypts.
        let mut mac_key = [0; KEY_BYTES];
        cipher.apply_keystream(&mut mac_key);
        let expected = Poly1305::new(&mac_key.into()).compute_unpadded(encrypted);
        if expected.as_slice() != tag {
            return None;
        }
        let mut content = encrypted.to_vec();
        cipher.apply_keystream(&mut content);
        Some(content)
    }
}
