//! Tokens of devices as they are kept, and their comparison with what a client says.

use std::fmt;
use std::sync::Arc;

use twinhub_domain::Twin;
use twinhub_store::seal::{Seal, TokenMatch, plain_token};

/// The hashes of tokens: HMAC-SHA-256 under the hub's own key, so that a copy of the database alone is worth nothing
/// for guessing, not even tokens that people chose. Those under an older key of the hub, and the plain SHA-256 of an
/// earlier version, are known too: they are in many places (twins, events, the journal), so they stay as they are until
/// the token is seen again.
#[derive(Clone, Default)]
pub struct Tokens(Option<Arc<Seal>>);

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
        self.0.as_ref().map_or_else(|| plain_token(token), |seal| seal.token(token))
    }

    /// The hashes by which a token may be known, [`Tokens::hash`] first.
    #[must_use]
    pub fn forms(&self, token: &str) -> Vec<String> {
        self.0.as_ref().map_or_else(|| vec![plain_token(token)], |seal| seal.token_forms(token))
    }

    /// Is it the token of which `stored` is kept? Those of an earlier version are taken too.
    #[must_use]
    pub fn is_its_own(&self, stored: &str, token: &str) -> bool {
        self.compare(stored, token) != TokenMatch::Other
    }

    /// Compares a token with a stored hash, which may be outdated: then it is to be replaced by [`Tokens::hash`].
    #[must_use]
    pub fn compare(&self, stored: &str, token: &str) -> TokenMatch {
        match &self.0 {
            Some(seal) => seal.match_token(stored, token),
            None if stored == plain_token(token) => TokenMatch::Current,
            None => TokenMatch::Other,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_the_key_and_those_of_before_too() {
        let (ours, other) = ([1, 2].map(|byte| Tokens::new(Arc::new(Seal::new(&[byte; 32])))), "another");
        let [ours, elsewhere] = ours;
        let stored = ours.hash("correct horse battery");
        assert!(stored.starts_with("hmac2:") && stored.len() == 79, "{stored}");
        assert!(ours.is_its_own(&stored, "correct horse battery"));
        assert!(!ours.is_its_own(&stored, other));
        assert!(!elsewhere.is_its_own(&stored, "correct horse battery"), "without the key it says nothing");
        let before = plain_token("correct horse battery");
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
