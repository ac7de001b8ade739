//! The certificates that clients show. Any certificate is taken in the handshake, in which its holder proves to have the
//! key; what it counts for is decided after it. So a device may have one that it signed itself, which is known by its
//! fingerprint, and the authorities that vouch for others can change without a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use twinhub_domain::Timestamp;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::certificate::read_certificates;
use super::{TlsError, provider};

/// Names of a certificate that are read.
const MOST_NAMES: usize = 32;
/// Bytes of a name; ids of devices are shorter.
const LONGEST_NAME: usize = 256;

/// The certificate of a client, which has proved to have its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// Its common name and its DNS names, where an authority that the hub trusts vouches for them; else there are none.
    pub names: Vec<String>,
}

/// The authorities that vouch for clients' names.
pub struct ClientAuthorities {
    verifier: Arc<dyn ClientCertVerifier>,
    subjects: Vec<DistinguishedName>,
}

impl std::fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuthorities").finish_non_exhaustive()
    }
}

impl ClientAuthorities {
    /// Reads the authorities in a file.
    ///
    /// # Errors
    /// Names the file, and why none can be had of it.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let malformed = |reason: String| TlsError::Malformed { path: path.to_owned(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(path)? {
            roots.add(certificate).map_err(|error| malformed(error.to_string()))?;
        }
        let subjects = roots.subjects();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| malformed(error.to_string()))?;
        Ok(Self { verifier, subjects })
    }

    /// Do they vouch for this certificate, with those that were shown with it?
    fn vouch_for(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, others)) = chain.split_first() else { return false };
        let since = Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
        self.verifier.verify_client_cert(own, others, UnixTime::since_unix_epoch(since)).is_ok()
    }
}

impl PeerCertificate {
    /// The certificate that a client has shown first in `chain`; none where it has shown none.
    #[must_use]
    pub fn judge(
        chain: &[CertificateDer<'_>],
        authorities: Option<&ClientAuthorities>,
        now: Timestamp,
    ) -> Option<Self> {
        let own = chain.first()?;
        let is_known = authorities.is_some_and(|authorities| authorities.vouch_for(chain, now));
        let names = if is_known { names(own) } else { Vec::new() };
        Some(Self { fingerprint: Sha256::digest(own).into(), names })
    }
}

/// The common name of a certificate and its DNS names, each once; those that no device could have are left out.
pub(crate) fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let others = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
    let others = others.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(others) {
        let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        if fits && names.len() < MOST_NAMES && !names.iter().any(|before| before == name) {
            names.push(name.to_owned());
        }
    }
    names
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

    /// For clients that choose by the authorities that they are told.
    pub(super) fn of_browsers(authorities: &ClientAuthorities) -> Self {
        Self { provider: provider(), hints: authorities.subjects.clone() }
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
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    /// A certificate of a client of these names, and the file of the authority that signed it.
    fn certificate(
        common: &str,
        others: &[&str],
        until: i32,
    ) -> (CertificateDer<'static>, tempfile::NamedTempFile) {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ca.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(ca, key);
        let others: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(others).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, common);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let own = KeyPair::generate().unwrap();
        (params.signed_by(&own, &issuer).unwrap().der().clone(), file)
    }

    #[test]
    fn names_count_where_an_authority_vouches_for_them() {
        let (own, file) = certificate("pump-1", &["pump-1", "pump-2"], 2040);
        let authorities = ClientAuthorities::read(file.path()).unwrap();
        let judge =
            |chain: &[CertificateDer<'_>], authorities| PeerCertificate::judge(chain, authorities, now());
        let chain = [own];
        let known = judge(&chain, Some(&authorities)).unwrap();
        assert_eq!(known.names, ["pump-1", "pump-2"]);
        let fingerprint = known.fingerprint;
        let nameless = PeerCertificate { fingerprint, names: Vec::new() };
        assert_eq!(judge(&chain, None), Some(nameless.clone()));
        let (_, other) = certificate("other", &[], 2040);
        let others = ClientAuthorities::read(other.path()).unwrap();
        assert_eq!(judge(&chain, Some(&others)), Some(nameless));
        let (old, file) = certificate("pump-1", &[], 2020);
        let authorities = ClientAuthorities::read(file.path()).unwrap();
        assert!(judge(&[old], Some(&authorities)).unwrap().names.is_empty(), "it has expired");
        assert_eq!(judge(&[], Some(&authorities)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_names_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            names(&bytes);
        }

        /// A certificate of which some bytes are others has no name that could not be a device's.
        #[test]
        fn altered_certificates_are_read_or_not(
            common in "[a-z]{1,20}",
            at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let (own, _file) = certificate(&common, &["a.example"], 2040);
            let mut bytes = own.to_vec();
            for (index, byte) in at {
                let place = index.index(bytes.len());
                bytes[place] = byte;
            }
            for name in names(&bytes) {
                prop_assert!(!name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control));
            }
            let _ = PeerCertificate::judge(&[CertificateDer::from(bytes)], None, now());
        }

        #[test]
        fn common_names_come_as_they_are(common in "[a-zA-Z0-9._:-]{1,60}") {
            let (own, _file) = certificate(&common, &[], 2040);
            prop_assert_eq!(names(&own), vec![common]);
        }

        /// A name with a NUL in it is no shorter name.
        #[test]
        fn control_characters_make_no_name(before in "[a-z]{1,9}", control in "[\u{0}-\u{1f}]", after in "[a-z]{0,9}") {
            let (own, _file) = certificate(&format!("{before}{control}{after}"), &[], 2040);
            prop_assert_eq!(names(&own), Vec::<String>::new());
        }
    }
}
