//! Secrets in messages to the accounts, none of which a log shows.

use std::fmt;

use sha2::{Digest as _, Sha256};
use twinhub_domain::text::hex;

/// The secret of a second factor, for the caller's app.
#[derive(Clone)]
pub struct TotpBegun {
    /// The address for the QR code: `otpauth://totp/…`.
    pub address: String,
}

/// The secret in the link of the first start: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SetUpToken(Box<str>);

/// The bytes of the secret in that link.
pub const SET_UP_BYTES: usize = 32;

/// A code of a second factor as it was typed.
#[derive(Clone)]
pub struct TypedCode(pub Box<str>);

impl SetUpToken {
    /// A token of random bytes.
    #[must_use]
    pub fn new(random: [u8; SET_UP_BYTES]) -> Self {
        Self(hex(&random).into())
    }

    /// A token as somebody gives it. Any text is one: most are wrong.
    #[must_use]
    pub fn given(text: &str) -> Self {
        Self(text.into())
    }

    /// The text for the link.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash of it.
    #[must_use]
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl TotpBegun {
    /// The secret in base 32, for typing it in.
    #[must_use]
    pub fn secret(&self) -> &str {
        let from = self.address.split_once("secret=").map_or("", |(_, from)| from);
        from.split('&').next().unwrap_or_default()
    }
}

impl fmt::Debug for SetUpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetUpToken")
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode")
    }
}

impl fmt::Debug for TotpBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpBegun")
    }
}
