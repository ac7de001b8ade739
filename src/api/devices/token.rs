//! Tokens of devices: made here, shown once, kept as a hash (see [`Tokens`]).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twinhub_actors::access::{Grant, Tokens};
use twinhub_actors::messages::archive::FindToken;
use twinhub_domain::DeviceId;
use twinhub_domain::text::hex;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, two) = (make().unwrap(), make().unwrap());
        assert_eq!(one.len(), BYTES * 2);
        assert_ne!(one, two);
    }
}
