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

/// The state of a certificate at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateState {
    Valid,
    /// It was to be replaced by now.
    Expiring,
    /// It does not count any more.
    Expired,
}

/// A certificate with no longer to live than that was to be replaced before; one whose whole life is short, with a third
/// of it.
const REPLACED_BEFORE_MS: i64 = 14 * 86_400_000;

impl CertificateState {
    /// The state at `now` of a certificate that ends at `expires`.
    #[must_use]
    pub fn of(begins: Option<Timestamp>, expires: Timestamp, now: Timestamp) -> Self {
        let until = |from: Timestamp| expires.millis().saturating_sub(from.millis());
        let replaced_before =
            begins.map_or(REPLACED_BEFORE_MS, |begins| REPLACED_BEFORE_MS.min(until(begins) / 3));
        match until(now) {
            ..=0 => Self::Expired,
            left if left < replaced_before => Self::Expiring,
            _ => Self::Valid,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "ok",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
        }
    }
}

/// A fingerprint as tools show it: `AB:CD:…`.
#[must_use]
pub fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    let pairs: Vec<String> = fingerprint.iter().map(|byte| hex(&[*byte]).to_uppercase()).collect();
    pairs.join(":")
}

/// The facts about a client's certificate that is given as PEM; others behind it are its authorities'.
///
/// # Errors
/// There is none, it makes no sense, or its private key stands beside it.
pub fn read_client_certificate(pem: &[u8]) -> Result<CertificateFacts, String> {
    if PrivateKeyDer::from_pem_slice(pem).is_ok() {
        return Err(
            "its private key stands beside it: that is the device's alone, and may be known by now".into()
        );
    }
    let first = CertificateDer::pem_slice_iter(pem).next();
    let none = || "there is no certificate in it: it must be PEM, `-----BEGIN CERTIFICATE-----`".to_owned();
    let der = first.ok_or_else(none)?.map_err(|error| error.to_string())?;
    CertificateFacts::read(&der)
}

/// The facts about the certificate in a file, whose key is in another.
///
/// # Errors
/// Names the file that cannot be used.
pub fn certificate_file(certificate: &Path, key: &Path) -> Result<CertificateFacts, TlsError> {
    read_pair(certificate, key).map(|(_, facts)| facts)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_to_be_replaced_before_it_ends() {
        let day = |days: i64| Timestamp::from_millis(days * 86_400_000);
        let check = |begins: Option<i64>, ends: i64, expected: CertificateState| {
            let state = CertificateState::of(begins.map(day), day(ends), day(0));
            assert_eq!(state, expected, "{begins:?} {ends}");
        };
        for begins in [None, Some(-60)] {
            check(begins, 14, CertificateState::Valid);
            check(begins, 13, CertificateState::Expiring);
            check(begins, 0, CertificateState::Expired);
            check(begins, -1, CertificateState::Expired);
        }
        // Of six days, as some authorities give it.
        check(Some(-3), 3, CertificateState::Valid);
        check(Some(-5), 1, CertificateState::Expiring);
    }

    #[test]
    fn a_client_certificate_comes_without_its_key() {
        let pair = rcgen::generate_simple_self_signed(vec!["pump-1".into()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let facts = read_client_certificate(certificate.as_bytes()).unwrap();
        assert_eq!(facts.fingerprint, <[u8; 32]>::from(Sha256::digest(pair.cert.der())));
        let wrong = |pem: &str, expected: &str| {
            let error = read_client_certificate(pem.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        wrong(&format!("{certificate}{key}"), "its private key stands beside it");
        wrong(&key, "its private key stands beside it");
        wrong("", "there is no certificate in it");
        assert!(
            read_client_certificate(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                .is_err()
        );
    }
}
