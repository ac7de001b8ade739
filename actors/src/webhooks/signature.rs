//! The signature of a webhook, by which its receiver knows that it is ours, whole and fresh.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use twinhub_domain::text::hex;

/// `sha256=` and the hex HMAC-SHA256 with `key` of `{timestamp}.{body}`, `timestamp` in Unix seconds as the header
/// has it. None for a key that HMAC does not take; there is none.
pub(super) fn signature(key: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(format!("sha256={}", hex(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As by `printf '%s.%s' 1767268800 '{"t":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn signs_as_others_verify() {
        let signed = signature("secret", 1_767_268_800, br#"{"t":1}"#).unwrap();
        assert_eq!(signed, "sha256=80e4a284719bd4c127398b8bba185aa7bc2be45e5cb61cca4d03166154db0b28");
        assert_ne!(signature("secret", 1_767_268_801, br#"{"t":1}"#).unwrap(), signed);
        assert_ne!(signature("Secret", 1_767_268_800, br#"{"t":1}"#).unwrap(), signed);
        assert_ne!(signature("secret", 1_767_268_800, br#"{"t":2}"#).unwrap(), signed);
    }
}
