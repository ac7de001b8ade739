//! Tokens of devices: made here, shown once, kept as a hash (see [`Tokens`]).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twinhub_access::secret::RANDOM_BYTES;
use twinhub_access::{Secret, SecretKind};
use twinhub_actors::access::{Grant, Tokens};
use twinhub_actors::messages::archive::{FindCertificate, FindToken};
use twinhub_domain::DeviceId;

use crate::http::problem::{ApiError, DeviceProblem};

/// A token has at least this many characters when a person chose it.
pub const SHORTEST: usize = 16;
/// And at most this many.
pub const LONGEST: usize = 256;

/// A claim code has at least this many characters: whoever guesses is slowed down.
pub const SHORTEST_CODE: usize = 6;

/// A new token: `twh_dev_` and 59 letters and digits.
///
/// # Errors
/// The system gives no random numbers.
pub fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(SecretKind::Device, &bytes).reveal().to_owned())
}

/// The tokens and certificates that are being given just now: two devices must not be given the same one at the same moment,
/// while the store knows of neither.
#[derive(Debug, Default)]
pub struct PendingCredentials(Mutex<HashSet<String>>);

/// A token or certificate that is being given, until this is dropped.
#[derive(Debug)]
pub struct PendingCredential<'a> {
    pending: &'a PendingCredentials,
    /// The hash of the token, or the fingerprint of the certificate.
    stored: String,
}

impl PendingCredentials {
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
    ) -> Result<PendingCredential<'_>, ApiError> {
        let given = self.hold(tokens.hash(token)).ok_or(DeviceProblem::TokenTaken)?;
        for stored in tokens.forms(token) {
            match hub.ask(FindToken(stored)).await?? {
                Some(holder) if holder != *device => return Err(DeviceProblem::TokenTaken.into()),
                _ => {}
            }
        }
        Ok(given)
    }

    /// Begins to bind the certificate with this fingerprint to `device`.
    ///
    /// # Errors
    /// It is bound to another device, or is being bound.
    pub async fn begin_binding(
        &self,
        hub: &Grant,
        fingerprint: &str,
        device: &DeviceId,
    ) -> Result<PendingCredential<'_>, ApiError> {
        let given = self.hold(fingerprint.to_owned()).ok_or(DeviceProblem::CertificateTaken)?;
        match hub.ask(FindCertificate(fingerprint.to_owned())).await?? {
            Some(holder) if holder != *device => Err(DeviceProblem::CertificateTaken.into()),
            _ => Ok(given),
        }
    }

    /// Holds a credential by its stored form; none where it is held.
    fn hold(&self, stored: String) -> Option<PendingCredential<'_>> {
        let is_free = self.held().insert(stored.clone());
        is_free.then(|| PendingCredential { pending: self, stored })
    }

    fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingCredential<'_> {
    fn drop(&mut self) {
        self.pending.held().remove(&self.stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, two) = (make().unwrap(), make().unwrap());
        assert!(one.len() == 67 && one.starts_with("twh_dev_"), "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn a_credential_is_held_by_one_until_that_is_over() {
        let pending = PendingCredentials::default();
        let first = pending.hold("sha256:ab".into());
        assert!(first.is_some() && pending.hold("sha256:ab".into()).is_none());
        assert!(pending.hold("sha256:cd".into()).is_some());
        drop(first);
        assert!(pending.hold("sha256:ab".into()).is_some());
    }
}
