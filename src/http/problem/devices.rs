//! Refusals about the secrets of devices.

use actix_web::http::StatusCode;

/// The reason why a request about a device's secrets was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceProblem {
    /// The other device is not named: that would help a caller that tries tokens.
    #[error("the `auth_token` belongs to another device")]
    TokenTaken,
    #[error("the certificate is bound to another device")]
    CertificateTaken,
    #[error(
        "there is another device with this id, which needs its own token, or the pairing window has been closed"
    )]
    NotForPairing,
    #[error("too many wrong claim codes were said for this device: try again in {} minutes", minutes(*wait_ms))]
    ClaimTries { wait_ms: u64 },
}

impl DeviceProblem {
    pub(super) fn status_and_code(self) -> (StatusCode, &'static str) {
        match self {
            Self::TokenTaken => (StatusCode::CONFLICT, "auth_token_taken"),
            Self::CertificateTaken => (StatusCode::CONFLICT, "certificate_taken"),
            Self::NotForPairing => (StatusCode::FORBIDDEN, "not_for_pairing"),
            Self::ClaimTries { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_tries"),
        }
    }

    pub(super) fn field(self) -> &'static str {
        match self {
            Self::TokenTaken => "auth_token",
            Self::CertificateTaken => "fingerprint",
            Self::NotForPairing => "device_id",
            Self::ClaimTries { .. } => "claim_code",
        }
    }

    /// The seconds after which it may go otherwise.
    pub(super) fn retry_after(self) -> Option<u64> {
        match self {
            Self::TokenTaken | Self::CertificateTaken | Self::NotForPairing => None,
            Self::ClaimTries { wait_ms } => Some(wait_ms.div_ceil(1_000)),
        }
    }
}

fn minutes(ms: u64) -> u64 {
    ms.div_ceil(60_000)
}
