//! The hub's own certificate authority, in a folder: `ca.pem` and `ca.key`, made once, and `hub.pem` and `hub.key`, the
//! certificate of the hub, which is made anew in time and whenever the hub has other names.
//!
//! People trust `ca.pem` once, on each device; so it lasts until 2049, and depends on no clock: that of a small computer
//! may begin in 1970.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use twinhub_domain::Timestamp;
use twinhub_domain::text::hex;

use super::certificate::{CertificateFacts, read_certificates, read_pair};
use super::{TlsError, files};

const DAY_MS: i64 = 86_400_000;
/// The life of the hub's certificate.
const LIFE_MS: i64 = 90 * DAY_MS;
/// From this age on another is made.
const RENEWED_AT_MS: i64 = 60 * DAY_MS;
/// A certificate counts from somewhat earlier than it is made: clocks of devices are behind.
const BEFORE_MS: i64 = DAY_MS;
/// Characters of a common name; X.509 has no more.
const LONGEST_COMMON_NAME: usize = 64;

/// The authority in a folder.
#[derive(Debug)]
pub struct OwnAuthority {
    folder: PathBuf,
    /// The certificate that people trust, as PEM.
    pem: Arc<str>,
    facts: CertificateFacts,
}

impl OwnAuthority {
    /// The authority in `folder`, which is made where there is none, for a machine of this name.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn open(folder: &Path, machine: &str) -> Result<Self, TlsError> {
        let unwritable = |source| TlsError::Unwritable { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        // A crash at the first start leaves the key alone. While it has vouched for no hub, nobody trusts it.
        let is_in_use = key.exists() && folder.join("hub.pem").exists();
        if !certificate.exists() && !is_in_use {
            make_authority(&certificate, &key, machine)?;
        }
        let (_, facts) = read_pair(&certificate, &key)?;
        let pem = String::from_utf8_lossy(&files::read(&certificate)?).into();
        Ok(Self { folder: folder.to_owned(), pem, facts })
    }

    /// The certificate to trust, as PEM.
    #[must_use]
    pub fn pem(&self) -> Arc<str> {
        Arc::clone(&self.pem)
    }

    /// The facts about the authority's own certificate.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The hub's certificate for these names: the one that is there, or another where it is due.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Arc<CertifiedKey>, CertificateFacts), TlsError> {
        let (certificate, key) = (self.folder.join("hub.pem"), self.folder.join("hub.key"));
        // A name that cannot stand in a certificate is left out, and the others are there.
        let fits = |name: &&String| CertificateParams::new(vec![(*name).clone()]).is_ok();
        let names: Vec<String> = names.iter().filter(fits).cloned().collect();
        // One that cannot be read is no loss.
        if let Ok((pair, facts)) = read_pair(&certificate, &key)
            && !is_due(&facts, &names, now)
            && self.has_signed(&certificate)
        {
            return Ok((pair, facts));
        }
        self.make_certificate(&certificate, &key, names, now)?;
        read_pair(&certificate, &key)
    }

    /// Did this authority vouch for it, and not another that was here before?
    fn has_signed(&self, certificate: &Path) -> bool {
        // The chain in the file ends with the authority of its day.
        read_certificates(certificate)
            .ok()
            .and_then(|chain| CertificateFacts::read(chain.get(1)?).ok())
            .is_some_and(|issuer| issuer.fingerprint == self.facts.fingerprint)
    }

    fn make_certificate(
        &self,
        certificate: &Path,
        key: &Path,
        names: Vec<String>,
        now: Timestamp,
    ) -> Result<(), TlsError> {
        let path = self.folder.join("ca.key");
        let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
        let issuer = Issuer::from_ca_cert_pem(&self.pem, KeyPair::from_pem(&text)?)?;
        let own = KeyPair::generate()?;
        let subject = named(names.first().map_or("twinhub", String::as_str));
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = subject;
        params.not_before = moment(now.plus_millis(-BEFORE_MS));
        params.not_after = moment(now.plus_millis(LIFE_MS));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&own, &issuer)?;
        files::write_private(key, &own.serialize_pem())?;
        files::write_private(certificate, &format!("{}{}", signed.pem(), self.pem))
    }
}

/// Is another certificate due? One from the future, by a clock that was wrong, is replaced too.
fn is_due(facts: &CertificateFacts, names: &[String], now: Timestamp) -> bool {
    let age = now.millis() - facts.begins.plus_millis(BEFORE_MS).millis();
    let mut wanted: Vec<&String> = names.iter().collect();
    let mut there: Vec<&String> = facts.names.iter().collect();
    wanted.sort_unstable();
    there.sort_unstable();
    // The certificate has whole seconds.
    !(-1_000..RENEWED_AT_MS).contains(&age) || now >= facts.expires || wanted != there
}

fn make_authority(certificate: &Path, key: &Path, machine: &str) -> Result<(), TlsError> {
    let own = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // Several hubs stand side by side in a list of authorities.
    let mark = hex(own.public_key_raw().get(1..4).unwrap_or_default());
    params.distinguished_name = named(&format!("twinhub on {machine} ({mark})"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let signed = params.self_signed(&own)?;
    files::write_private(key, &own.serialize_pem())?;
    files::write_private(certificate, &signed.pem())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name.chars().take(LONGEST_COMMON_NAME).collect::<String>());
    distinguished
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.millis().div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_stays_until_it_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let authority = OwnAuthority::open(folder.path(), "hub").unwrap();
        let hosts = names(&["hub.local", "192.168.1.5", "::1"]);
        let at = |days: i64, hosts: &[String]| {
            authority.certificate(hosts, now().plus_millis(days * DAY_MS)).unwrap().1
        };
        let first = at(0, &hosts);
        assert_eq!(first.names, hosts);
        assert_eq!(first.expires, now().plus_millis(LIFE_MS));
        assert_eq!(at(59, &hosts), first);
        let second = at(60, &hosts);
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(second.expires, now().plus_millis(60 * DAY_MS + LIFE_MS));
        assert_ne!(at(0, &hosts).fingerprint, second.fingerprint, "it is from the future");
        let third = at(0, &hosts);
        let more = names(&["hub.local", "10.0.0.7"]);
        assert_ne!(at(0, &more).fingerprint, third.fingerprint);
        assert_eq!(at(0, &more).names, more);
    }

    #[test]
    fn an_authority_is_made_once_and_its_files_are_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        let first = OwnAuthority::open(&tls, "hub").unwrap();
        first.certificate(&names(&["hub"]), now()).unwrap();
        let again = OwnAuthority::open(&tls, "other").unwrap();
        assert_eq!(again.facts(), first.facts());
        for file in ["ca.key", "ca.pem", "hub.key", "hub.pem"] {
            let mode = std::fs::metadata(tls.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let kept = again.certificate(&names(&["hub"]), now()).unwrap().1;
        std::fs::remove_file(tls.join("ca.key")).unwrap();
        let Err(TlsError::Unreadable { path, .. }) = OwnAuthority::open(&tls, "hub") else {
            panic!("half an authority is none")
        };
        assert_eq!(path, tls.join("ca.key"));
        std::fs::remove_file(tls.join("ca.pem")).unwrap();
        let other = OwnAuthority::open(&tls, "hub").unwrap();
        assert_ne!(other.certificate(&names(&["hub"]), now()).unwrap().1.fingerprint, kept.fingerprint);
    }

    #[test]
    fn a_key_without_its_certificate_is_made_anew_while_nobody_can_trust_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = OwnAuthority::open(folder.path(), "hub").unwrap();
        std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
        let second = OwnAuthority::open(folder.path(), "hub").unwrap();
        assert_ne!(second.facts().fingerprint, first.facts().fingerprint);
        second.certificate(&names(&["hub"]), now()).unwrap();
        std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
        let Err(TlsError::Unreadable { path, .. }) = OwnAuthority::open(folder.path(), "hub") else {
            panic!("devices may trust it")
        };
        assert_eq!(path, folder.path().join("ca.pem"));
    }

    #[test]
    fn a_broken_certificate_is_made_anew_and_bad_names_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let authority = OwnAuthority::open(folder.path(), "höb").unwrap();
        std::fs::write(folder.path().join("hub.pem"), "no certificate").unwrap();
        let made = authority.certificate(&names(&["hub", "höb"]), now()).unwrap().1;
        assert_eq!(made.names, ["hub"]);
        let again = authority.certificate(&names(&["hub", "höb"]), now()).unwrap().1;
        assert_eq!(again.fingerprint, made.fingerprint, "and it stays");
    }
}
