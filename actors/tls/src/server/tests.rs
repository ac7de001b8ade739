//! Tests of taking certificates over.

use std::fs;

use twinhub_testkit::ManualClock;

use super::*;

const DAY_MS: i64 = 86_400_000;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

/// The files of a certificate that is made at `at` for `localhost`, by an authority in a folder of its own.
fn made(folder: &Path, at: Timestamp) -> (PathBuf, PathBuf) {
    let authority = OwnAuthority::open(folder, "test").unwrap();
    authority.certificate(&["localhost".to_owned()], at).unwrap();
    (folder.join("hub.pem"), folder.join("hub.key"))
}

#[test]
fn a_bad_file_keeps_the_certificate_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (made(&dir.path().join("a"), now()), made(&dir.path().join("b"), now()));
    let old = made(&dir.path().join("c"), now().plus_millis(-200 * DAY_MS));
    let (certificate, key) = (dir.path().join("tls.pem"), dir.path().join("tls.key"));
    let put = |(from_certificate, from_key): &(PathBuf, PathBuf)| {
        fs::copy(from_certificate, &certificate).unwrap();
        fs::copy(from_key, &key).unwrap();
    };
    put(&first);
    let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
    let settings = TlsSettings { source, client_authorities: None };
    let tls = ServerTls::start(settings, ManualClock::at(now())).unwrap();
    let check = |expected: &TlsState, problem: Option<&str>| {
        tls.reload();
        let state = tls.state();
        assert_eq!(state.fingerprint, expected.fingerprint);
        let has_problem = match (&state.problem, problem) {
            (Some(said), Some(expected)) => said.contains(expected),
            (None, None) => true,
            _ => false,
        };
        assert!(has_problem, "{:?} for {problem:?}", state.problem);
    };
    let before = tls.state();
    assert_eq!(
        (before.is_own, &before.authority, before.expires),
        (false, &None, now().plus_millis(90 * DAY_MS))
    );
    check(&before, None);

    fs::copy(&second.0, &certificate).unwrap();
    check(&before, Some("tls.key is not that of the certificate in"));
    fs::write(&certificate, "").unwrap();
    check(&before, Some("there is no certificate in"));
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    check(&before, Some("makes no sense"));
    fs::remove_file(&certificate).unwrap();
    check(&before, Some("cannot read"));
    put(&old);
    check(&before, Some("has expired"));
    put(&first);
    fs::write(&key, "no key").unwrap();
    check(&before, Some("there is no private key in"));

    put(&second);
    tls.reload();
    let after = tls.state();
    assert_ne!(after.fingerprint, before.fingerprint);
    assert_eq!(after.problem, None);
}

#[test]
fn an_own_certificate_is_renewed_by_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(now());
    let names: HostNames = Arc::new(|| vec!["localhost".to_owned()]);
    let source = CertificateSource::Own { folder: dir.path().to_owned(), machine: "hub".into(), names };
    let settings = TlsSettings { source, client_authorities: None };
    let tls = ServerTls::start(settings, Arc::clone(&clock) as _).unwrap();
    let first = tls.state();
    clock.advance(59 * DAY_MS);
    tls.reload();
    assert_eq!(tls.state(), first);
    clock.advance(DAY_MS);
    tls.reload();
    let second = tls.state();
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.authority, first.authority, "people trust it once");
    assert_eq!(second.expires, now().plus_millis(150 * DAY_MS));
}

#[test]
fn a_change_is_taken_when_it_has_come_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = made(&dir.path().join("a"), now());
    let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
    let settings = TlsSettings { source, client_authorities: None };
    let tls = ServerTls::start(settings, ManualClock::at(now())).unwrap();
    let mut watched = Watched::new(&tls);
    assert!(!watched.is_due(&tls));
    fs::write(&certificate, "half").unwrap();
    assert!(!watched.is_due(&tls), "it has just been written");
    fs::write(&key, "of it").unwrap();
    assert!(!watched.is_due(&tls), "so has the key");
    assert!(watched.is_due(&tls));
    assert!(!watched.is_due(&tls), "once");
    fs::remove_file(&key).unwrap();
    assert!(!watched.is_due(&tls) && watched.is_due(&tls));
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.pem");
    let source = CertificateSource::Files { certificate: path.clone(), key: path.clone() };
    let settings = TlsSettings { source, client_authorities: None };
    let error = ServerTls::start(settings, ManualClock::at(now())).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot read {}: ", path.display())), "{error}");
}
