//! The certificates that clients show. Any certificate is taken in the handshake, in which its holder proves to have the
//! key; what it counts for is decided after it. So a device may have one that it signed itself, which is known by its
//! fingerprint, and the authorities that vouch for others can change without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tracing::info;
use twinhub_domain::Timestamp;

use super::certificate::{CertificateFacts, read_certificates};
use super::names::names;
use super::{TlsError, files, provider};

/// A verdict on a certificate is found again after this time, in ms: those that vouch for it end too.
const AGAIN_AFTER_MS: i64 = 600_000;
/// The DER of the name `CN=twinhub devices`, which no authority has. It is named to clients of HTTPS, so that browsers
/// do not ask their users for certificates that would not do.
const NOBODY: &[u8] = b"\x30\x1a\x31\x18\x30\x16\x06\x03\x55\x04\x03\x0c\x0ftwinhub devices";

/// The authorities that vouch for clients' names, as their file has them now.
#[derive(Debug, Default)]
pub struct ClientTrust {
    file: Option<PathBuf>,
    authorities: ArcSwapOption<ClientAuthorities>,
    /// Counts up as the authorities change.
    version: AtomicU64,
}

/// The authorities in a file, and the certificates of theirs that they have revoked.
pub struct ClientAuthorities {
    verifier: Arc<dyn ClientCertVerifier>,
    subjects: Vec<DistinguishedName>,
    /// SHA-256 of the file.
    digest: [u8; 32],
}

/// The certificate of a client, which has proved to have its key.
pub struct PeerCertificate {
    /// SHA-256 of the whole certificate.
    fingerprint: [u8; 32],
    expires: Timestamp,
    /// Its names, whoever vouches for them.
    names: Vec<String>,
    chain: Vec<CertificateDer<'static>>,
    trust: Arc<ClientTrust>,
    verdict: Mutex<Option<Verdict>>,
}

/// A verdict of the authorities on a certificate.
struct Verdict {
    /// Of the authorities.
    version: u64,
    at: Timestamp,
    says: Result<(), Untrusted>,
}

/// The reason why the names of a certificate do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate does not count yet")]
    NotYetValid,
    #[error("the certificate is revoked by its authority")]
    Revoked,
    #[error("no authority that the hub trusts vouches for the certificate")]
    UnknownIssuer,
    #[error("the certificate is not one for clients")]
    Purpose,
    #[error("the certificate is not as it should be")]
    Malformed,
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthorities").finish_non_exhaustive()
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ClientTrust {
    /// The authorities in `file`; where there is none, none vouches for anybody.
    ///
    /// # Errors
    /// Names the file, and why none can be had of it.
    pub fn read(file: Option<PathBuf>) -> Result<Arc<Self>, TlsError> {
        let authorities = file.as_deref().map(ClientAuthorities::read).transpose()?;
        let authorities = ArcSwapOption::from_pointee(authorities);
        Ok(Arc::new(Self { file, authorities, version: AtomicU64::default() }))
    }

    /// Reads the file again. True where there are other authorities in it now.
    ///
    /// # Errors
    /// As of [`ClientTrust::read`]; those that were there go on.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(file) = &self.file else { return Ok(false) };
        let fresh = ClientAuthorities::read(file)?;
        if self.authorities.load().as_ref().is_some_and(|before| before.digest == fresh.digest) {
            return Ok(false);
        }
        info!(authorities = fresh.subjects.len(), "authorities of clients' certificates taken over");
        self.authorities.store(Some(Arc::new(fresh)));
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// The file with the authorities.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The names of the authorities, for clients that choose by them.
    fn subjects(&self) -> Vec<DistinguishedName> {
        self.authorities.load().as_ref().map(|authorities| authorities.subjects.clone()).unwrap_or_default()
    }

    /// Do they vouch for this certificate, with those that were shown with it?
    fn judge(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Untrusted> {
        match &*self.authorities.load() {
            Some(authorities) => authorities.vouch_for(chain, now),
            None => Err(Untrusted::UnknownIssuer),
        }
    }
}

impl ClientAuthorities {
    /// Reads the authorities in a file, and the lists of revoked certificates beside them.
    ///
    /// # Errors
    /// Names the file, and why none can be had of it.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let malformed = |reason: String| TlsError::Malformed { path: path.to_owned(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(path)? {
            roots.add(certificate).map_err(|error| malformed(error.to_string()))?;
        }
        let bytes = files::read(path)?;
        let revoked: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let subjects = roots.subjects();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(revoked.map_err(|error| malformed(error.to_string()))?)
            // An authority without a list has revoked none.
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| malformed(error.to_string()))?;
        Ok(Self { verifier, subjects, digest: Sha256::digest(&bytes).into() })
    }

    /// The number of authorities.
    #[must_use]
    pub fn count(&self) -> usize {
        self.subjects.len()
    }

    fn vouch_for(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Untrusted> {
        let Some((own, others)) = chain.split_first() else { return Err(Untrusted::Malformed) };
        let since = Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
        let verified = self.verifier.verify_client_cert(own, others, UnixTime::since_unix_epoch(since));
        verified.map(drop).map_err(|error| match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Untrusted::Expired,
            Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => Untrusted::NotYetValid,
            Error::InvalidCertificate(CertificateError::Revoked) => Untrusted::Revoked,
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                Untrusted::UnknownIssuer
            }
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) => Untrusted::Purpose,
            _ => Untrusted::Malformed,
        })
    }
}

impl PeerCertificate {
    /// The certificate that a client has shown first in `chain`, before these authorities. None where it has shown none,
    /// or one that makes no sense.
    #[must_use]
    pub fn of(chain: &[CertificateDer<'_>], trust: &Arc<ClientTrust>) -> Option<Self> {
        let own = chain.first()?;
        let facts = CertificateFacts::read(own).ok()?;
        Some(Self {
            fingerprint: facts.fingerprint,
            expires: facts.expires,
            names: names(own),
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            trust: Arc::clone(trust),
            verdict: Mutex::default(),
        })
    }

    /// SHA-256 of the whole certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The names that it has, whoever vouches for them: for the log alone.
    #[must_use]
    pub fn claimed_names(&self) -> &[String] {
        &self.names
    }

    /// Its end.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Has it ended?
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// Its names, where an authority that the hub trusts vouches for them now.
    ///
    /// # Errors
    /// None does.
    pub fn names(&self, now: Timestamp) -> Result<&[String], Untrusted> {
        if self.has_expired(now) {
            return Err(Untrusted::Expired);
        }
        let version = self.trust.version.load(Ordering::Acquire);
        // Nothing panics while holding the lock.
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |verdict: &Verdict| now.millis().saturating_sub(verdict.at.millis());
        let says = match &*verdict {
            Some(known) if known.version == version && (0..AGAIN_AFTER_MS).contains(&age(known)) => {
                known.says
            }
            _ => {
                let says = self.trust.judge(&self.chain, now);
                *verdict = Some(Verdict { version, at: now, says });
                says
            }
        };
        says.map(|()| &*self.names)
    }
}

/// Asks clients for a certificate, takes any, and takes clients without one too.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    /// The authorities that are named to clients: browsers then ask their users only where one of their certificates
    /// would do.
    hints: Vec<DistinguishedName>,
}

impl AnyCertificate {
    /// For clients that show what they have.
    pub(super) fn of_devices() -> Self {
        Self { provider: provider(), hints: Vec::new() }
    }

    /// For clients among which are browsers, which choose by the authorities that they are told.
    pub(super) fn of_browsers(trust: &ClientTrust) -> Self {
        let mut hints = trust.subjects();
        if hints.is_empty() {
            hints.push(DistinguishedName::from(NOBODY.to_vec()));
        }
        Self { provider: provider(), hints }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion()) // it is judged after the handshake
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
