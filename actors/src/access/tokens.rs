//! Tokens of devices as they are kept, and their comparison with what a client says.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use twinhub_domain::Twin;
use twinhub_domain::text::hex;
use twinhub_store::seal::Seal;

/// The hashes of tokens: HMAC-SHA-256 under the hub's own key, so that a copy of the database alone is worth nothing
/// for guessing, not even tokens that people chose.
#[derive(Clone, Default)]
pub struct Tokens(Option<Arc<Seal>>);

/// The prefix of a token's hash under the key. A hash without it is a plain SHA-256, of an earlier version; it is in
/// many places (twins, events, the journal), so it is not put under the key.
const KEYED: &str = "hmac1:";

/// The hashes of the tokens of a device that count now.
#[must_use]
pub fn token_hashes(twin: &Twin) -> Vec<Box<str>> {
    let hash = twin.profile.text("token_hash");
    if hash.is_empty() { Vec::new() } else { vec![hash.into()] }
}

impl Tokens {
    /// Known by this key.
    #[must_use]
    pub fn new(seal: Arc<Seal>) -> Self {
        Self(Some(seal))
    }

    /// The hash of a token.
    #[must_use]
    pub fn hash(&self, token: &str) -> String {
        match &self.0 {
            Some(seal) => format!("{KEYED}{}", hex(&seal.token(token))),
            None => plain_hash(token),
        }
    }

    /// Is it the token of which `stored` is kept? Those of an earlier version are taken too, and stay as they are.
    #[must_use]
    pub fn is_its_own(&self, stored: &str, token: &str) -> bool {
        let expected = if stored.starts_with(KEYED) { self.hash(token) } else { plain_hash(token) };
        bool::from(stored.as_bytes().ct_eq(expected.as_bytes()))
    }

    /// Is it one of the tokens whose hashes [`token_hashes`] gave?
    #[must_use]
    pub fn is_among(&self, hashes: &[Box<str>], token: &str) -> bool {
        hashes.iter().any(|stored| self.is_its_own(stored, token))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// The hash that earlier versions kept of a token.
#[must_use]
pub fn plain_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one-block message of FIPS 180-2, appendix B.1.
    #[test]
    fn hashes_as_the_standard_says() {
        assert_eq!(plain_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn tokens_are_known_by_the_key_and_those_of_before_too() {
        let (ours, other) = ([1, 2].map(|byte| Tokens::new(Arc::new(Seal::new(&[byte; 32])))), "another");
        let [ours, elsewhere] = ours;
        let stored = ours.hash("correct horse battery");
        assert!(stored.starts_with("hmac1:") && stored.len() == 70, "{stored}");
        assert!(ours.is_its_own(&stored, "correct horse battery"));
        assert!(!ours.is_its_own(&stored, other));
        assert!(!elsewhere.is_its_own(&stored, "correct horse battery"), "without the key it says nothing");
        let before = plain_hash("correct horse battery");
        assert!(ours.is_its_own(&before, "correct horse battery"));
        assert!(!ours.is_its_own(&before, other));
        assert!(!ours.is_its_own("", other));
        let both = [stored.into(), before.into()];
        assert!(
            ours.is_among(&both, "correct horse battery")
                && elsewhere.is_among(&both, "correct horse battery")
        );
        assert!(!ours.is_among(&both, other) && !ours.is_among(&[], ""));
    }
}
