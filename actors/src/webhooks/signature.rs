//! The signature of a webhook, by which its receiver knows that it is ours, whole and fresh.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::messages::automation::BodySignature;
use twinhub_domain::text::hex;

/// `sha256=` and the hex HMAC-SHA256 with `key` of `{timestamp}.{body}`, `timestamp` in Unix seconds as the header
/// has it. None for a key that HMAC does not take; there is none.
pub(super) fn signature(key: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let mac = mac(key, Some(timestamp), body)?;
    Some(format!("sha256={}", hex(&mac.finalize().into_bytes())))
}

/// Is it the signature of `body` with `key`? Takes the same time for every wrong one.
pub(crate) fn is_signed(signature: &BodySignature, key: &str, body: &[u8]) -> bool {
    mac(key, signature.signed_at, body).is_some_and(|mac| mac.verify_slice(&signature.mac).is_ok())
}

fn mac(key: &str, timestamp: Option<i64>, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    if let Some(timestamp) = timestamp {
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
    }
    mac.update(body);
    Some(mac)
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

    /// The example of GitHub's documentation.
    #[test]
    fn checks_what_others_sign() {
        let (key, body) = ("It's a Secret to Everybody", b"Hello, World!");
        let mac = [
            0x75, 0x71, 0x07, 0xea, 0x0e, 0xb2, 0x50, 0x9f, 0xc2, 0x11, 0x22, 0x1c, 0xce, 0x98, 0x4b, 0x8a,
            0x37, 0x57, 0x0b, 0x6d, 0x75, 0x86, 0xc2, 0x2c, 0x46, 0xf4, 0x37, 0x9c, 0x8b, 0x04, 0x3e, 0x17,
        ];
        let signature = BodySignature { mac, signed_at: None };
        assert!(is_signed(&signature, key, body));
        assert!(!is_signed(&signature, "It's a secret to Everybody", body));
        assert!(!is_signed(&signature, key, b"Hello, World."));
        assert!(!is_signed(&BodySignature { signed_at: Some(0), ..signature }, key, body));
    }
}
