//! The hub's own key: it seals secrets, so that a copy of the database reveals none, and hashes tokens.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// The first characters of a sealed text. No JSON document begins so.
const MARK: &str = "sealed1:";

/// Keys derived from the hub's key. One for each use, so that none reveals another.
#[derive(Clone)]
pub struct Seal {
    cipher: XChaCha20Poly1305,
    tokens: [u8; KEY_BYTES],
    check: i64,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// The reason why a sealed text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    #[error("it is sealed, and not with this key")]
    OtherKey,
    #[error("it is sealed, and there is no key to open it with")]
    NoKey,
    #[error("the system gives no random numbers")]
    NoChance,
}

impl Seal {
    /// Derives the keys from `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let check = keyed(key, b"twinhub check v1");
        let mut first = [0; 8];
        first.copy_from_slice(&check[..8]);
        Self {
            cipher: XChaCha20Poly1305::new(&keyed(key, b"twinhub seal v1").into()),
            tokens: keyed(key, b"twinhub device tokens v1"),
            check: i64::from_be_bytes(first),
        }
    }

    /// A number by which a database recognises the key that it was sealed with. It reveals nothing of the key.
    #[must_use]
    pub fn check(&self) -> i64 {
        self.check
    }

    /// Seals a text.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, text: &str) -> Result<String, BadSeal> {
        // Random, and so long that none comes twice.
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| BadSeal::NoChance)?;
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), text.as_bytes());
        let sealed = sealed.map_err(|_| BadSeal::NoChance)?; // never: it is not that long
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(format!("{MARK}{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// The stored form of a device's token: bytes that are worth nothing without the key.
    #[must_use]
    pub fn token(&self, token: &str) -> [u8; KEY_BYTES] {
        keyed(&self.tokens, token.as_bytes())
    }

    /// A key of its own for a purpose, the same after each start. No token begins as its input does.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> [u8; KEY_BYTES] {
        keyed(&self.tokens, format!("\0key for {purpose}").as_bytes())
    }
}

/// The text that was sealed; one that was not, from before there was a key, is as it is.
///
/// # Errors
/// The text was sealed with another key, was changed since, or there is no key.
pub fn open<'a>(seal: Option<&Seal>, text: &'a str) -> Result<Cow<'a, str>, BadSeal> {
    let Some(sealed) = text.strip_prefix(MARK) else { return Ok(Cow::Borrowed(text)) };
    let seal = seal.ok_or(BadSeal::NoKey)?;
    let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| BadSeal::OtherKey)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(BadSeal::OtherKey)?;
    let opened = seal.cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| BadSeal::OtherKey)?;
    String::from_utf8(opened).map(Cow::Owned).map_err(|_| BadSeal::OtherKey)
}

/// Is it sealed?
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(MARK)
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; KEY_BYTES] {
    // A key of any length is one: there is no error to be had.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; KEY_BYTES],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_own_key_alone() {
        let (ours, other) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let sealed = ours.seal(r#"{"secret": "s3cret"}"#).unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("s3cret"), "{sealed}");
        assert_eq!(open(Some(&ours), &sealed).unwrap(), r#"{"secret": "s3cret"}"#);
        assert_eq!(open(Some(&other), &sealed), Err(BadSeal::OtherKey));
        assert_eq!(open(None, &sealed), Err(BadSeal::NoKey));
        let changed = format!("{}A", &sealed[..sealed.len() - 1]);
        assert!(changed == sealed || open(Some(&ours), &changed) == Err(BadSeal::OtherKey));
        assert_eq!(open(Some(&ours), "{}").unwrap(), "{}");
        assert_ne!(ours.seal("a").unwrap(), ours.seal("a").unwrap(), "equal texts do not look equal");
        assert_ne!(ours.check(), other.check());
        assert_ne!(ours.token("t"), other.token("t"));
    }
}
