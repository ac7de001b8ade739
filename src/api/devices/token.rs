//! Tokens of devices: made here, shown once, kept as a hash.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::FindToken;
use twinhub_domain::DeviceId;
use twinhub_domain::text::hex;
use twinhub_store::seal::{Seal, TokenMatch, plain_token};

use crate::http::problem::ApiError;

/// Bytes of chance in a token: 192 bits cannot be guessed.
const BYTES: usize = 24;

/// A token has at least this many characters when a person chose it.
pub const SHORTEST: usize = 16;
/// And at most this many.
pub const LONGEST: usize = 256;

/// A new token: 48 hexadecimal digits.
///
/// # Errors
/// The system gives no random numbers.
pub fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// The tokens that are being given just now: two devices must not be given the same one at the same moment, while the
/// store knows of neither.
#[derive(Debug, Default)]
pub struct PendingTokens(Mutex<HashSet<String>>);

/// A token that is being given, until this is dropped.
#[derive(Debug)]
pub struct PendingToken<'a> {
    pending: &'a PendingTokens,
    hash: String,
}

impl PendingTokens {
    /// Begins to give `device` this token.
    ///
    /// # Errors
    /// Another device has it, or is being given it.
    pub async fn begin(
        &self,
        hub: &Grant,
        tokens: &Tokens,
        token: &str,
        device: &DeviceId,
    ) -> Result<PendingToken<'_>, ApiError> {
        let hash = tokens.hash(token);
        if !self.hashes().insert(hash.clone()) {
            return Err(ApiError::TokenTaken);
        }
        let given = PendingToken { pending: self, hash: hash.clone() };
        for stored in tokens.forms(token) {
            match hub.ask(FindToken(stored)).await?? {
                Some(holder) if holder != *device => return Err(ApiError::TokenTaken),
                _ => {}
            }
        }
        Ok(given)
    }

    fn hashes(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingToken<'_> {
    fn drop(&mut self) {
        self.pending.hashes().remove(&self.hash);
    }
}

/// The hashes of tokens: HMAC-SHA-256 under the hub's own key, so that a copy of the database alone is worth nothing
/// for guessing, not even tokens that people chose. Those under an older key of the hub, and the plain SHA-256 of an
/// earlier version, are known too: they are in many places (twins, events, the journal), so they stay as they are until
/// the token is seen again.
#[derive(Clone, Default)]
pub struct Tokens(Option<Arc<Seal>>);

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
        match &self.0 {
            Some(seal) => seal.match_token(stored, token) != TokenMatch::Other,
            None => stored == plain_token(token),
        }
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
    fn tokens_are_long_and_differ() {
        let (one, two) = (make().unwrap(), make().unwrap());
        assert_eq!(one.len(), BYTES * 2);
        assert_ne!(one, two);
    }

    #[test]
    fn tokens_are_known_by_the_key_and_those_of_before_too() {
        let (ours, other) = ([1, 2].map(|byte| Tokens::new(Arc::new(Seal::new(&[byte; 32])))), "another");
        let [ours, elsewhere] = ours;
        let stored = ours.hash("correct horse battery");
        assert!(stored.starts_with("hmac2:") && stored.len() == 79, "{stored}");
        assert!(ours.is_its_own(&stored, "correct horse battery"));
        assert!(!ours.is_its_own(&stored, other));
        assert!(!elsewhere.is_its_own(&stored, "correct horse battery"), "without the key it says nothing");
        assert!(ours.is_its_own(&plain_token("correct horse battery"), "correct horse battery"));
        assert!(!ours.is_its_own(&plain_token("correct horse battery"), other));
        assert!(!ours.is_its_own("", other));
    }
}
