//! Hashes and keyed hashes, and their comparison in constant time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The bytes of a SHA-256.
pub type Hash = [u8; 32];

pub fn sha256(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

/// The HMAC-SHA-256 of `text` under `key`.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> Hash {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        // A key of any length is one: never. No secret hashes to this.
        Err(_) => sha256(&[]),
    }
}

/// Equality in a time that does not depend on where the two differ.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use twinhub_domain::text::hex;

    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
        // RFC 4231, case 2.
        let jefe = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")), jefe);
        assert!(is_same(b"abc", b"abc") && !is_same(b"abc", b"abd") && !is_same(b"abc", b"ab"));
    }
}
