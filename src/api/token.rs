//! Tokens of devices: made here, shown once, kept as a hash.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use twinhub_actors::Hub;
use twinhub_actors::domain::DeviceId;
use twinhub_actors::messages::archive::FindToken;

use crate::error::ApiError;

/// Bytes of chance in a token: 192 bits cannot be guessed.
const BYTES: usize = 24;

/// A token has at least this many characters when a person chose it.
pub const SHORTEST: usize = 8;
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
pub struct Giving(Mutex<HashSet<String>>);

/// A token that is being given, until this is dropped.
#[derive(Debug)]
pub struct Given<'a> {
    giving: &'a Giving,
    hash: String,
}

impl Giving {
    /// Begins to give `device` the token with this hash.
    ///
    /// # Errors
    /// Another device has it, or is being given it.
    pub async fn begin(&self, hub: &Hub, hash: &str, device: &DeviceId) -> Result<Given<'_>, ApiError> {
        if !self.hashes().insert(hash.to_owned()) {
            return Err(ApiError::TokenTaken);
        }
        let given = Given { giving: self, hash: hash.to_owned() };
        match hub.archive.send(FindToken(hash.to_owned())).await?? {
            Some(holder) if holder != *device => Err(ApiError::TokenTaken),
            _ => Ok(given),
        }
    }

    fn hashes(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.giving.hashes().remove(&self.hash);
    }
}

/// What is kept of a token: SHA-256 as hexadecimal digits. It is long and random, so nothing slower is
/// needed against guessing.
#[must_use]
pub fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    text
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

    /// The one-block message of FIPS 180-2, appendix B.1.
    #[test]
    fn hashes_as_the_standard_says() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
