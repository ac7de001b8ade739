//! Tokens of devices as they are kept, and their comparison with what a client says.

use std::fmt;
use std::sync::Arc;

use twinhub_domain::twin::TokenChange;
use twinhub_domain::{Json, Object, Timestamp, Twin};
use twinhub_mqtt::mosquitto::{self, SALT_BYTES};
use twinhub_store::seal::{Seal, TokenMatch, plain_token};

/// The hashes of tokens: HMAC-SHA-256 under the hub's own key, so that a copy of the database alone is worth nothing
/// for guessing, not even tokens that people chose. Those under an older key of the hub, and the plain SHA-256 of an
/// earlier version, are known too: the next sign-in with the token replaces them (see [`crate::token_renewal`]).
#[derive(Clone, Default)]
pub struct Tokens {
    seal: Option<Arc<Seal>>,
    /// An outside broker is to know the tokens, too.
    for_broker: bool,
}

/// The hashes of the tokens of a device that count now.
#[must_use]
pub fn token_hashes(twin: &Twin) -> Vec<Box<str>> {
    twin.profile.token_hashes().map(Into::into).collect()
}

impl Tokens {
    /// Known by this key.
    #[must_use]
    pub fn new(seal: Arc<Seal>) -> Self {
        Self { seal: Some(seal), for_broker: false }
    }

    /// The same, with a further hash of each token that is given, by which Mosquitto knows the device.
    #[must_use]
    pub fn for_broker(self, for_broker: bool) -> Self {
        Self { for_broker, ..self }
    }

    /// Puts all that is kept of a new token into a device's patch.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn put(&self, token: &str, patch: &mut Object) -> Result<(), getrandom::Error> {
        patch.insert("token_hash", self.hash(token).into());
        let mut salt = [0; SALT_BYTES];
        // Only now is the token there in clear. Where no broker is to know it, the hash of the one before goes.
        let broker_hash = if self.for_broker {
            getrandom::fill(&mut salt)?;
            mosquitto::password_hash(token, salt)
        } else {
            String::new()
        };
        patch.insert("broker_hash", broker_hash.into());
        Ok(())
    }

    /// The change by which a device gets this token. The one before counts until `old_until`, if so; an outside broker
    /// knows the new one alone.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn change(&self, token: &str, old_until: Option<Timestamp>) -> Result<TokenChange, getrandom::Error> {
        let mut patch = Object::default();
        self.put(token, &mut patch)?;
        let text = |field| patch.get(field).and_then(Json::as_str).unwrap_or_default().into();
        Ok(TokenChange::Make { hash: text("token_hash"), broker_hash: text("broker_hash"), old_until })
    }

    /// The hash of a token.
    #[must_use]
    pub fn hash(&self, token: &str) -> String {
        self.seal.as_ref().map_or_else(|| plain_token(token), |seal| seal.token(token))
    }

    /// The hashes by which a token may be known, [`Tokens::hash`] first.
    #[must_use]
    pub fn forms(&self, token: &str) -> Vec<String> {
        self.seal.as_ref().map_or_else(|| vec![plain_token(token)], |seal| seal.token_forms(token))
    }

    /// Is it the token of which `stored` is kept? Those of an earlier version are taken too.
    #[must_use]
    pub fn is_its_own(&self, stored: &str, token: &str) -> bool {
        self.compare(stored, token) != TokenMatch::Other
    }

    /// Compares a token with a stored hash, which may be outdated: then it is to be replaced by [`Tokens::hash`].
    #[must_use]
    pub fn compare(&self, stored: &str, token: &str) -> TokenMatch {
        match &self.seal {
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

    #[test]
    fn a_broker_knows_new_tokens_where_it_is_to() {
        let tokens = Tokens::new(Arc::new(Seal::new(&[1; 32])));
        let mut patch = Object::default();
        tokens.clone().for_broker(true).put("correct horse battery", &mut patch).unwrap();
        let text =
            |patch: &Object, field| patch.get(field).and_then(|value| value.as_str()).unwrap().to_owned();
        assert!(text(&patch, "broker_hash").starts_with("$7$101$"));
        let first = text(&patch, "broker_hash");
        tokens.clone().for_broker(true).put("correct horse battery", &mut patch).unwrap();
        assert_ne!(text(&patch, "broker_hash"), first, "another salt");
        tokens.put("correct horse battery", &mut patch).unwrap();
        assert_eq!(text(&patch, "broker_hash"), "", "that of the token before does not stay");
        assert_eq!(text(&patch, "token_hash"), tokens.hash("correct horse battery"));
    }
}
