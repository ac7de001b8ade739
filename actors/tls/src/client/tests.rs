//! Tests of what certificates count for.

use std::fs;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use x509_parser::prelude::FromDer as _;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

/// An authority of its own.
struct TestAuthority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl TestAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate of the client `common`, which counts in these years.
    fn certificate(
        &self,
        common: &str,
        (from, until): (i32, i32),
        serial: u64,
    ) -> Vec<CertificateDer<'static>> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, common);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let own = KeyPair::generate().unwrap();
        vec![params.signed_by(&own, &self.issuer).unwrap().der().clone()]
    }

    /// The list in which it revokes the certificate with this number.
    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2049, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A file of authorities, which is read.
fn trust(text: &str) -> (tempfile::NamedTempFile, Arc<ClientTrust>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let trust = ClientTrust::read(Some(file.path().to_owned())).unwrap();
    (file, trust)
}

#[test]
fn names_count_where_an_authority_vouches_for_them() {
    let (ours, others) = (TestAuthority::new(), TestAuthority::new());
    let (_file, ours_alone) = trust(&ours.pem);
    let nobody = ClientTrust::read(None).unwrap();
    let check = |chain: &[CertificateDer<'_>],
                 trust: &Arc<ClientTrust>,
                 expected: Result<&[&str], Untrusted>| {
        let peer = PeerCertificate::of(chain, trust).unwrap();
        let names = peer.names(now()).map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(names, expected.map(<[_]>::to_vec));
        assert_eq!(names, peer.names(now()).map(|names| names.iter().map(String::as_str).collect()), "again");
        assert_eq!(peer.claimed_names(), ["pump-1"]);
    };
    let own = ours.certificate("pump-1", (2026, 2040), 1);
    check(&own, &ours_alone, Ok(&["pump-1"]));
    check(&own, &nobody, Err(Untrusted::UnknownIssuer));
    check(&others.certificate("pump-1", (2026, 2040), 1), &ours_alone, Err(Untrusted::UnknownIssuer));
    check(&ours.certificate("pump-1", (2020, 2026), 1), &ours_alone, Err(Untrusted::Expired));
    check(&ours.certificate("pump-1", (2039, 2040), 1), &ours_alone, Err(Untrusted::NotYetValid));
    assert!(PeerCertificate::of(&[], &ours_alone).is_none());
}

#[test]
fn a_file_may_say_which_certificates_are_revoked() {
    let ours = TestAuthority::new();
    let (kept, revoked) = (ours.certificate("a", (2026, 2040), 1), ours.certificate("b", (2026, 2040), 2));
    let (file, trust) = trust(&ours.pem);
    let [kept, revoked] = [kept, revoked].map(|chain| PeerCertificate::of(&chain, &trust).unwrap());
    assert!(kept.names(now()).is_ok() && revoked.names(now()).is_ok());
    assert!(!trust.reload().unwrap(), "it is the same");
    fs::write(file.path(), format!("{}{}", ours.pem, ours.revoke(2))).unwrap();
    assert!(trust.reload().unwrap());
    assert_eq!(revoked.names(now()), Err(Untrusted::Revoked));
    assert!(kept.names(now()).is_ok());
    fs::write(file.path(), TestAuthority::new().pem).unwrap();
    assert!(trust.reload().unwrap());
    assert_eq!(kept.names(now()), Err(Untrusted::UnknownIssuer), "nobody vouches for it any more");
    fs::write(file.path(), "nothing").unwrap();
    let error = trust.reload().unwrap_err().to_string();
    assert!(error.contains("there is no certificate in"), "{error}");
}

#[test]
fn a_certificate_ends_while_its_client_is_there() {
    let ours = TestAuthority::new();
    let (_file, trust) = trust(&ours.pem);
    let peer = PeerCertificate::of(&ours.certificate("a", (2026, 2030), 1), &trust).unwrap();
    assert!(peer.names(now()).is_ok());
    let end = peer.expires();
    assert!(!peer.has_expired(end.plus_millis(-1)) && peer.has_expired(end));
    assert_eq!(peer.names(end), Err(Untrusted::Expired));
}

#[test]
fn browsers_are_told_a_name_that_nobody_has() {
    let hints = AnyCertificate::of_browsers(&ClientTrust::default()).hints;
    let (rest, name) = x509_parser::x509::X509Name::from_der(hints[0].as_ref()).unwrap();
    assert_eq!((rest.len(), hints.len(), name.to_string()), (0, 1, "CN=twinhub devices".to_owned()));
    let (_file, trust) = trust(&TestAuthority::new().pem);
    let hints = AnyCertificate::of_browsers(&trust).hints;
    assert!(hints.len() == 1 && hints[0].as_ref() != NOBODY);
}

proptest! {
    /// A certificate of which some bytes are others is vouched for by nobody, unless it is the same.
    #[test]
    fn altered_certificates_count_for_nothing(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let ours = TestAuthority::new();
        let (_file, trust) = trust(&ours.pem);
        let own = ours.certificate("pump-1", (2026, 2040), 1);
        let mut bytes = own[0].to_vec();
        for (index, byte) in at {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        let is_same = bytes == own[0].to_vec();
        if let Some(peer) = PeerCertificate::of(&[CertificateDer::from(bytes)], &trust) {
            prop_assert_eq!(peer.names(now()).is_ok(), is_same);
        }
    }
}
