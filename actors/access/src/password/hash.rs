//! The kept form of passwords: argon2id in the PHC text form, and bcrypt where another system has made it.
//!
//! Each check takes 19 MiB and tens of milliseconds of a processor, on purpose: callers run few at once, off the threads
//! that serve.

use std::fmt;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Password;

/// Memory in KiB, passes and lanes: the first recommendation of OWASP for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most of a stored hash: whoever can write one must not be able to have the hub compute for an hour.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;
const MOST_BCRYPT_COST: u32 = 14;
/// Bcrypt looks at 72 bytes with the closing NUL, and drops the rest without a word.
const MOST_BCRYPT_BYTES: usize = 71;
const LONGEST: usize = 256;

/// The bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// A hash that no password has, of the same cost as every other.
const UNKNOWN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A kept password. Its text has nothing but the hash, and is not for showing all the same.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PasswordHash(Box<str>);

/// Reasons to refuse a stored hash, or not to make one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    #[error("a kept password is an argon2id or bcrypt hash, this one is neither")]
    Form,
    #[error("this hash costs more than the hub computes")]
    TooDear,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

impl PasswordHash {
    /// Hashes a new password with 16 random bytes.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(password: &Password, random: [u8; SALT_BYTES]) -> Result<Self, BadHash> {
        let failed = |error: password_hash::Error| BadHash::Hash(error.to_string());
        let salt = SaltString::encode_b64(&random).map_err(failed)?;
        let hash = hasher()?.hash_password(password.as_str().as_bytes(), &salt).map_err(failed)?;
        Ok(Self(hash.to_string().into()))
    }

    /// Takes a stored hash: argon2id in the PHC form, or bcrypt (`$2a$`, `$2b$`, `$2y$`).
    ///
    /// # Errors
    /// It is neither, or costs too much.
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        if text.len() > LONGEST {
            return Err(BadHash::Form);
        }
        match bcrypt_cost(text) {
            Some(cost) if cost > MOST_BCRYPT_COST => return Err(BadHash::TooDear),
            Some(_) => {}
            None => {
                let params = argon2_params(text).ok_or(BadHash::Form)?;
                let (memory, passes, lanes) = params;
                if memory > MOST_MEMORY_KIB || passes > MOST_PASSES || lanes > MOST_LANES {
                    return Err(BadHash::TooDear);
                }
            }
        }
        Ok(Self(text.into()))
    }

    /// Is it the hash of this password?
    #[must_use]
    pub fn is_of(&self, password: &Password) -> bool {
        let typed = password.as_str();
        if bcrypt_cost(&self.0).is_some() {
            // One that is too long, or has a NUL in it, was never hashed whole.
            let is_whole = typed.len() <= MOST_BCRYPT_BYTES && !typed.contains('\0');
            return is_whole && bcrypt::verify(typed, &self.0).unwrap_or(false);
        }
        let Ok(hash) = password_hash::PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(typed.as_bytes(), &hash).is_ok()
    }

    /// Is it of another kind or cost than new ones? Then it is to be replaced when the password is typed next.
    #[must_use]
    pub fn needs_rehash(&self) -> bool {
        argon2_params(&self.0) != Some((MEMORY_KIB, PASSES, LANES))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Spends the time that the check of a password takes, for users that there are not: so the time of an answer does not
/// tell who there is.
pub fn spend_time(password: &Password) {
    std::hint::black_box(PasswordHash(UNKNOWN.into()).is_of(password));
}

fn hasher() -> Result<Argon2<'static>, BadHash> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(|error| BadHash::Hash(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Memory, passes and lanes of a whole argon2id hash of version 19.
fn argon2_params(text: &str) -> Option<(u32, u32, u32)> {
    let hash = password_hash::PasswordHash::new(text).ok()?;
    let is_whole = hash.salt.is_some() && hash.hash.is_some_and(|hash| hash.len() >= 16);
    let is_known = hash.algorithm.as_str() == "argon2id" && hash.version == Some(Version::V0x13.into());
    let params = Params::try_from(&hash).ok().filter(|_| is_whole && is_known)?;
    Some((params.m_cost(), params.t_cost(), params.p_cost()))
}

/// The cost of a whole bcrypt hash.
fn bcrypt_cost(text: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].into_iter().find_map(|mark| text.strip_prefix(mark))?;
    let (cost, rest) = rest.split_once('$')?;
    let is_whole = cost.len() == 2 && rest.len() == 53;
    let is_base64 = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    cost.parse().ok().filter(|cost| is_whole && is_base64 && *cost >= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `secret`, as libxcrypt makes it.
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    /// Of `password`, from the tests of argon2's authors: with more memory than ours.
    const ARGON2: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn typed(text: &str) -> Password {
        Password::typed(text).unwrap()
    }

    #[test]
    fn a_password_is_known_again() {
        let hash = PasswordHash::new(&typed("bu\u{308}ro am fluss"), [7; SALT_BYTES]).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(hash.is_of(&typed("büro am fluss")) && !hash.is_of(&typed("büro am fluß")));
        assert!(!hash.needs_rehash());
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<PasswordHash>(&text).unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash");
        let salted = PasswordHash::new(&typed("büro am fluss"), [8; SALT_BYTES]).unwrap();
        assert_ne!(salted, hash);
    }

    #[test]
    fn hashes_of_others_are_verified_and_replaced() {
        for (text, password) in
            [(BCRYPT, "secret"), (&*BCRYPT.replace("$2b$", "$2y$"), "secret"), (ARGON2, "password")]
        {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.is_of(&typed(password)) && !hash.is_of(&typed("other")), "{text}");
            assert!(hash.needs_rehash());
        }
        let long = "x".repeat(MOST_BCRYPT_BYTES);
        let hash = PasswordHash(bcrypt::hash_with_salt(&long, 4, [1; 16]).unwrap().to_string().into());
        assert!(hash.is_of(&typed(&long)));
        let cut = PasswordHash(
            bcrypt::hash_with_salt(format!("{long}xyz"), 4, [1; 16]).unwrap().to_string().into(),
        );
        assert!(!cut.is_of(&typed(&format!("{long}xyz"))) && !cut.is_of(&typed(&format!("{long}xother"))));
        let nul = PasswordHash(bcrypt::hash_with_salt("a", 4, [1; 16]).unwrap().to_string().into());
        assert!(nul.is_of(&typed("a")) && !nul.is_of(&typed("a\0")) && !nul.is_of(&typed("a\0a")));
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_refused() {
        use BadHash::{Form, TooDear};
        let argon2 = |from: &str, to: &str| ARGON2.replace(from, to);
        for (text, expected) in [
            (String::new(), Form),
            ("secret".to_owned(), Form),
            ("$1$abc$def".to_owned(), Form),
            (argon2("argon2id", "argon2i"), Form),
            (argon2("v=19", "v=16"), Form),
            (argon2("$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", ""), Form),
            (argon2("$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$CTFhFdXPJO1aFQ"), Form),
            (argon2("m=65536", "m=4194304"), TooDear),
            (argon2("t=2", "t=1000"), TooDear),
            (argon2("p=1", "p=100"), TooDear),
            (BCRYPT.replace("$04$", "$31$"), TooDear),
            (BCRYPT.replace("$04$", "$03$"), Form),
            (BCRYPT[..50].to_owned(), Form),
            (BCRYPT.replace("rW", "r'"), Form),
            ("x".repeat(100_000), Form),
        ] {
            assert_eq!(PasswordHash::parse(&text), Err(expected), "{text}");
        }
    }

    /// Counted in work, for time is not to be relied on: the hash for nobody costs what a new one does.
    #[test]
    fn the_hash_for_unknown_users_costs_as_much_as_a_new_one() {
        let unknown = PasswordHash::parse(UNKNOWN).unwrap();
        assert!(!unknown.needs_rehash());
        assert!(["", "password", "twinhub"].into_iter().all(|guess| !unknown.is_of(&typed(guess))));
        spend_time(&typed("password"));
    }
}
