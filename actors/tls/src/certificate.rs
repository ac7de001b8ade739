//! A certificate with its key, read from PEM, and the facts that people are told of it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};
use twinhub_domain::Timestamp;
use twinhub_domain::text::hex;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{TlsError, files, provider};

/// The facts about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    pub begins: Timestamp,
    pub expires: Timestamp,
    /// The host names and addresses that it is for, in the order in which it has them.
    pub names: Vec<String>,
}

impl CertificateFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is no X.509.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
        let validity = certificate.validity();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
        Ok(Self {
            fingerprint: Sha256::digest(der).into(),
            begins: at(validity.not_before.timestamp()),
            expires: at(validity.not_after.timestamp()),
            names: names.filter_map(host_name).collect(),
        })
    }
}

fn host_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

/// A fingerprint as tools show it: `AB:CD:…`.
#[must_use]
pub fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    let pairs: Vec<String> = fingerprint.iter().map(|byte| hex(&[*byte]).to_uppercase()).collect();
    pairs.join(":")
}

/// The certificates in a file, the first one first.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = files::read(path)?;
    let malformed = |reason: String| TlsError::Malformed { path: path.to_owned(), reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let read = read.map_err(|error| malformed(error.to_string()))?;
    if read.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(read)
}

/// Reads a certificate, with those that vouch for it, and its key.
pub(super) fn read_pair(
    certificate: &Path,
    key: &Path,
) -> Result<(Arc<CertifiedKey>, CertificateFacts), TlsError> {
    let chain = read_certificates(certificate)?;
    let malformed = |reason: String| TlsError::Malformed { path: certificate.to_owned(), reason };
    let facts = CertificateFacts::read(&chain[0]).map_err(malformed)?; // there is one at least
    let bytes = files::read(key)?;
    let no_key = || TlsError::NoKey { path: key.to_owned() };
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| no_key())?;
    let pair = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        Error::InvalidCertificate(reason) => malformed(format!("{reason:?}")),
        _ => no_key(),
    })?;
    Ok((Arc::new(pair), facts))
}
