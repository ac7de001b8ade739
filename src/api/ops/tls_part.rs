//! The TLS certificate as a part of the hub's health.

use serde::Serialize;
use twinhub_domain::Timestamp;
use twinhub_tls::{CertificateState, TlsState};
use utoipa::ToSchema;

use crate::api::schema::words;

/// The TLS certificate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TlsPart {
    /// `ok`; `expiring`: it expires within two weeks, or with less than a third of a short life left; `expired`; or `broken`:
    /// what is in its files now could not be taken over.
    #[schema(value_type = words::TlsStatus)]
    status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Certificates that are bound to devices and end within two weeks, or have ended: an alarm of each device says so.
    device_certificates_ending: u64,
    /// SHA-256 of the certificate.
    #[schema(example = "5F:0C:…")]
    fingerprint: String,
    /// The same of the hub's own authority, which `/ca.pem` has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authority_fingerprint: Option<String>,
    /// The reason why what is in its files now could not be taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<String>,
}

impl TlsPart {
    pub(super) fn of(state: TlsState, device_certificates_ending: u64, now: Timestamp) -> Self {
        let TlsState { is_own: _, begins, expires, fingerprint, authority, problem } = state;
        let status = match &problem {
            Some(_) => "broken",
            None => CertificateState::of(Some(begins), expires, now).as_str(),
        };
        Self {
            status,
            expires_at: expires,
            device_certificates_ending,
            fingerprint,
            authority_fingerprint: authority,
            problem,
        }
    }

    pub(super) fn status(&self) -> &'static str {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let check = |days: i64, problem: Option<&str>, expected: &str| {
            let state = TlsState {
                is_own: false,
                begins: Timestamp::from_millis(-90 * 86_400_000),
                expires: Timestamp::from_millis(days * 86_400_000),
                fingerprint: String::new(),
                authority: None,
                problem: problem.map(Into::into),
            };
            assert_eq!(TlsPart::of(state, 0, Timestamp::from_millis(0)).status, expected, "{days}");
        };
        check(14, None, "ok");
        check(13, None, "expiring");
        check(-1, None, "expired");
        check(90, Some("no file"), "broken");
    }
}
