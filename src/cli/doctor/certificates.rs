//! Certificates: the one that the hub shows, the authorities of devices, and those that are bound to devices.

use std::path::PathBuf;

use twinhub_domain::{DeviceId, Timestamp};
use twinhub_store::CertificateEnd;
use twinhub_tls::{CertificateFacts, CertificateState};

use super::finding::Finding;

const TLS: &str = "TLS certificate";
const AUTHORITIES: &str = "device authorities";
const DEVICES: &str = "device certificates";
/// Devices that are named.
const NAMED: usize = 5;

/// The certificates, as they were found.
#[derive(Clone, Debug)]
pub struct CertificateLook {
    pub now: Timestamp,
    /// None where the hub shows none, or has not made its own yet.
    pub served: Option<ServedCertificate>,
    /// The file of `tls-client-ca`, and the number of authorities in it or the reason why it cannot be used.
    pub authorities: Option<(PathBuf, Result<usize, String>)>,
    /// Certificates of devices that end soon, or have ended.
    pub ending: Vec<CertificateEnd>,
    /// Devices that came last by a certificate of an authority's that ends soon.
    pub issued: Vec<DeviceId>,
}

/// The certificate that the hub shows.
#[derive(Clone, Debug)]
pub struct ServedCertificate {
    pub path: PathBuf,
    /// The hub makes and renews it itself.
    pub is_own: bool,
    pub facts: Result<CertificateFacts, String>,
    /// The host of `public-url`, where that is https.
    pub public_host: Option<String>,
}

/// Checks them.
pub fn check(look: &CertificateLook) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(served) = &look.served {
        found.extend(check_served(served, look.now));
    }
    match &look.authorities {
        None => {}
        Some((path, Ok(count))) => {
            let authorities =
                if *count == 1 { "1 authority".to_owned() } else { format!("{count} authorities") };
            let detail = format!("{authorities} of {} vouch for devices", path.display());
            found.push(Finding::ok(AUTHORITIES, detail));
        }
        Some((_, Err(error))) => {
            let remedy = "put the authorities' certificates there as PEM, or leave tls-client-ca out";
            found.push(Finding::fail(AUTHORITIES, error.clone(), remedy));
        }
    }
    found.extend(check_devices(&look.ending, look.now));
    if !look.issued.is_empty() {
        let names: Vec<&DeviceId> = look.issued.iter().collect();
        let detail = format!("those that your authority issued to {} expire soon", named(&names));
        found.push(Finding::warn(DEVICES, detail, "have the authority issue new ones"));
    }
    found
}

fn check_served(served: &ServedCertificate, now: Timestamp) -> Vec<Finding> {
    let path = served.path.display();
    let facts = match &served.facts {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = "tls-cert and tls-key are to name a certificate as PEM and the private key that it was made for";
            return vec![Finding::fail(TLS, error.clone(), remedy)];
        }
    };
    let renew = match served.is_own {
        true => "the hub renews it by itself while it runs: start it, and look at its log",
        false => "have your authority renew it, and put it into the files: the hub takes it over by itself",
    };
    let mut found = Vec::new();
    match CertificateState::of(Some(facts.begins), facts.expires, now) {
        CertificateState::Expired => {
            let detail = format!("the one in {path} has expired on {}, and clients refuse it", facts.expires);
            found.push(Finding::fail(TLS, detail, renew));
        }
        CertificateState::Expiring => {
            let detail = format!("the one in {path} expires on {}", facts.expires);
            found.push(Finding::warn(TLS, detail, renew));
        }
        CertificateState::Valid if facts.begins > now => {
            let detail = format!("the one in {path} counts from {} on, which is to come", facts.begins);
            found.push(Finding::fail(
                TLS,
                detail,
                "set the clock of this machine, or of the one that made it",
            ));
        }
        CertificateState::Valid => {}
    }
    if let Some(host) = &served.public_host
        && !served.is_own
        && !facts.names.iter().any(|name| is_for(name, host))
    {
        let names = facts.names.join(", ");
        found.push(Finding::fail(
            TLS,
            format!("public-url says {host}, and the one in {path} is for {names}: clients refuse it there"),
            format!("have one made that names {host}, or correct public-url"),
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(TLS, format!("the one in {path} counts until {}", facts.expires)));
    }
    found
}

/// Is a certificate with this name one for the host? A star stands for one label.
fn is_for(name: &str, host: &str) -> bool {
    let is_alike = name.eq_ignore_ascii_case(host);
    let by_star = name.strip_prefix("*.").zip(host.split_once('.'));
    is_alike || by_star.is_some_and(|(domain, (_, rest))| domain.eq_ignore_ascii_case(rest))
}

fn check_devices(ending: &[CertificateEnd], now: Timestamp) -> Vec<Finding> {
    let (over, soon): (Vec<_>, Vec<_>) = ending.iter().partition(|end| end.at <= now);
    let named = |ends: &[&CertificateEnd]| named(&ends.iter().map(|end| &end.device).collect::<Vec<_>>());
    let remedy = "bind new ones: PUT /api/devices/{id}/certificate";
    let mut found = Vec::new();
    if !over.is_empty() {
        let detail = format!("those of {} have expired: these devices are not let in by them", named(&over));
        found.push(Finding::warn(DEVICES, detail, remedy));
    }
    if !soon.is_empty() {
        found.push(Finding::warn(DEVICES, format!("those of {} expire soon", named(&soon)), remedy));
    }
    found
}

/// The first of the devices, and how many more there are.
fn named(devices: &[&DeviceId]) -> String {
    let mut names: Vec<String> = devices.iter().take(NAMED).map(ToString::to_string).collect();
    if devices.len() > NAMED {
        names.push(format!("{} more", devices.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use twinhub_domain::DeviceNumber;

    use super::*;
    use crate::cli::doctor::testing::bad;

    const DAY_MS: i64 = 86_400_000;

    fn day(days: i64) -> Timestamp {
        Timestamp::from_millis(days * DAY_MS)
    }

    fn served(begins: i64, expires: i64, host: Option<&str>) -> ServedCertificate {
        let names = ["hub.example".to_owned(), "*.lab.example".to_owned()].to_vec();
        let facts =
            CertificateFacts { fingerprint: [0; 32], begins: day(begins), expires: day(expires), names };
        ServedCertificate {
            path: "/c.pem".into(),
            is_own: false,
            facts: Ok(facts),
            public_host: host.map(Into::into),
        }
    }

    fn expect(served: ServedCertificate, expected: &[&str]) {
        let look = CertificateLook {
            now: day(0),
            served: Some(served),
            authorities: None,
            ending: Vec::new(),
            issued: Vec::new(),
        };
        let found = bad(&check(&look));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected) && found.contains("  → "), "{found}");
        }
    }

    #[test]
    fn a_certificate_that_clients_refuse_is_found() {
        expect(served(-60, 30, None), &[]);
        expect(served(-60, 3, None), &["warn  TLS certificate: the one in /c.pem expires on 1970-01-04"]);
        expect(
            served(-60, -1, None),
            &["fail  TLS certificate: the one in /c.pem has expired on 1969-12-31"],
        );
        expect(served(2, 90, None), &["fail  TLS certificate: the one in /c.pem counts from 1970-01-03"]);
        for host in ["hub.example", "HUB.example", "a.lab.example"] {
            expect(served(-60, 30, Some(host)), &[]);
        }
        for host in ["other.example", "lab.example", "a.b.lab.example"] {
            let expected =
                format!("fail  TLS certificate: public-url says {host}, and the one in /c.pem is for hub");
            expect(served(-60, 30, Some(host)), &[&expected]);
        }
        let own = ServedCertificate { is_own: true, ..served(-60, 30, Some("other.example")) };
        expect(own, &[]); // it names that with its next certificate
        let broken = ServedCertificate { facts: Err("the key is another's".into()), ..served(0, 1, None) };
        expect(broken, &["fail  TLS certificate: the key is another's"]);
    }

    #[test]
    fn authorities_and_devices_are_looked_at() {
        let end = |device: &str, days| CertificateEnd {
            device: DeviceId::parse(device).unwrap(),
            number: DeviceNumber(1),
            at: day(days),
        };
        let look = CertificateLook {
            now: day(0),
            served: None,
            authorities: Some(("/a.pem".into(), Err("there is no certificate in /a.pem".into()))),
            ending: vec![end("pump", -1), end("fan", 3)],
            issued: vec![DeviceId::parse("valve").unwrap()],
        };
        let found = bad(&check(&look));
        assert!(
            found[0].starts_with("fail  device authorities: there is no certificate in /a.pem"),
            "{found:?}"
        );
        assert!(found[1].starts_with("warn  device certificates: those of pump have expired"), "{found:?}");
        assert!(found[2].starts_with("warn  device certificates: those of fan expire soon"), "{found:?}");
        assert!(
            found[3].starts_with("warn  device certificates: those that your authority issued to valve"),
            "{found:?}"
        );
        let many: Vec<_> = (0..7).map(|number| end(&format!("d{number}"), 1)).collect();
        let well = CertificateLook {
            authorities: Some(("/a.pem".into(), Ok(1))),
            ending: many,
            issued: Vec::new(),
            ..look
        };
        let found = bad(&check(&well));
        assert!(found.len() == 1 && found[0].contains("d0, d1, d2, d3, d4, 2 more expire soon"), "{found:?}");
    }
}
