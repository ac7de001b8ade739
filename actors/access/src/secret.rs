//! Secrets that the hub makes: their form, and the part of them that is kept.
//!
//! ```text
//! twh_pat_ 4kQ7wZ1mXa 0cVb…43 characters… 1xQ9f2
//!     kind         id              secret checksum
//! ```
//! The id is looked up, the rest compared. The checksum tells a secret that was cut or mistyped from one that is wrong,
//! without a look into the store, and scanners of published code a secret from chance.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::digest::{Hash, hmac_sha256, is_same, sha256};

/// A kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// A person's key.
    Personal,
    /// A service account's key.
    Service,
    /// A device's token.
    Device,
    /// A key with which devices register themselves.
    Provisioning,
    /// The key of a rule's webhook.
    Webhook,
    /// The key of a bridge.
    Bridge,
    /// An invitation to make an account.
    Invitation,
    /// A link by which somebody looks on without an account.
    Share,
}

/// The public part of a secret: 10 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SecretId(Box<str>);

/// A secret in clear. It is shown once, to the person it was made for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: SecretKind,
    text: Box<str>,
}

/// The part of a secret that is kept. Nobody can make the secret of it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptSecret {
    pub kind: SecretKind,
    pub id: SecretId,
    pub hash: Hash,
    /// The last four characters, by which people tell their keys apart; they belong to the checksum.
    pub last_4: Box<str>,
}

/// Reasons for which a text is no secret of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    #[error("this is no key of a hub: those begin with twh_")]
    Foreign,
    #[error(
        "there is no such kind of key: those are twh_pat_, twh_svc_, twh_dev_, twh_dvp_, twh_whk_, twh_brg_, twh_inv_ and twh_shl_"
    )]
    Kind,
    #[error("this is not whole: a character is missing or mistyped")]
    NotWhole,
}

/// The random bytes of a new secret: 8 for the id, 32 for the rest.
pub const RANDOM_BYTES: usize = 40;
/// The hub's key for kinds of secrets in which it has no part: those are long and random, so a plain hash does.
pub(crate) const NO_HUB_KEY: &[u8; 32] = &[0; 32];
const ID: usize = 10;
/// 62^43 is more than 2^256.
const BODY: usize = 43;
/// 62^6 is more than 2^32.
const CHECKSUM: usize = 6;
const LAST: usize = 4;
const MARK: &str = "twh_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl SecretKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Personal,
        Self::Service,
        Self::Device,
        Self::Provisioning,
        Self::Webhook,
        Self::Bridge,
        Self::Invitation,
        Self::Share,
    ];

    /// The first characters of such a secret.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "twh_pat_",
            Self::Service => "twh_svc_",
            Self::Device => "twh_dev_",
            Self::Provisioning => "twh_dvp_",
            Self::Webhook => "twh_whk_",
            Self::Bridge => "twh_brg_",
            Self::Invitation => "twh_inv_",
            Self::Share => "twh_shl_",
        }
    }

    /// The three letters for it in the prefix: `pat`.
    #[must_use]
    pub fn code(self) -> &'static str {
        &self.prefix()[MARK.len()..MARK.len() + 3]
    }

    /// The kind with these three letters.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl Secret {
    /// Makes a secret of random bytes.
    #[must_use]
    pub fn new(kind: SecretKind, random: &[u8; RANDOM_BYTES]) -> Self {
        let (id, body) = random.split_at(RANDOM_BYTES - 32);
        let mut text = format!("{}{}{}", kind.prefix(), base62::<ID>(id), base62::<BODY>(body));
        let checksum = base62::<CHECKSUM>(&crc32(text.as_bytes()).to_be_bytes());
        text.push_str(&checksum);
        Self { kind, text: text.into() }
    }

    /// Takes a text as a secret.
    ///
    /// # Errors
    /// It is none, or is not whole.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        if !text.starts_with(MARK) {
            return Err(BadSecret::Foreign);
        }
        let kind = SecretKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()));
        let kind = kind.ok_or(BadSecret::Kind)?;
        let rest = &text[kind.prefix().len()..];
        if rest.len() != ID + BODY + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(BadSecret::NotWhole);
        }
        let (before, checksum) = text.split_at(text.len() - CHECKSUM);
        if base62::<CHECKSUM>(&crc32(before.as_bytes()).to_be_bytes()) != checksum {
            return Err(BadSecret::NotWhole);
        }
        Ok(Self { kind, text: text.into() })
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// The part to look it up by.
    #[must_use]
    pub fn id(&self) -> SecretId {
        let from = self.kind.prefix().len();
        SecretId(self.text[from..from + ID].into())
    }

    /// The text, for the person it was made for. It goes into no log and no store.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The part to keep. A device's is hashed under the hub's key, as are the tokens that people choose for devices:
    /// those could be guessed from a plain hash.
    #[must_use]
    pub fn kept(&self, hub_key: &[u8; 32]) -> KeptSecret {
        let hash = match self.kind {
            SecretKind::Device => hmac_sha256(hub_key, self.text.as_bytes()),
            _ => sha256(self.text.as_bytes()),
        };
        let last_4 = self.text[self.text.len() - LAST..].into();
        KeptSecret { kind: self.kind, id: self.id(), hash, last_4 }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}{}…)", self.kind.prefix(), self.id())
    }
}

impl KeptSecret {
    /// Is it kept of this secret? Takes as long for one that is nearly right as for any other.
    #[must_use]
    pub fn is_of(&self, secret: &Secret, hub_key: &[u8; 32]) -> bool {
        let other = secret.kept(hub_key);
        self.kind == other.kind && self.id == other.id && is_same(&self.hash, &other.hash)
    }
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptSecret({}{}…{})", self.kind.prefix(), self.id, self.last_4)
    }
}

impl SecretId {
    /// Takes a text as the id of a secret; none where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == ID && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no key's id")))
    }
}

/// The last `N` digits of a number, its most significant byte first, in base 62.
fn base62<const N: usize>(number: &[u8]) -> String {
    let mut number = number.to_vec();
    let mut digits = [0; N];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let part = rest << 8 | u32::from(*byte);
            // The rest is less than 62, so the quotient is one byte.
            let [.., quotient] = (part / 62).to_be_bytes();
            *byte = quotient;
            rest = part % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The checksum of zip and PNG (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HUB_KEY: [u8; 32] = [9; 32];

    #[test]
    fn a_secret_has_its_form() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of the standard");
        assert_eq!(base62::<6>(&[0xff; 4]), "4gfFC3");
        for kind in SecretKind::ALL {
            let secret = Secret::new(kind, &[0xff; RANDOM_BYTES]);
            let text = secret.reveal();
            assert!(text.starts_with(kind.prefix()) && text.len() == 8 + 10 + 43 + 6, "{text}");
            assert_eq!(Secret::parse(text).as_ref(), Ok(&secret));
            assert_eq!(SecretKind::of_code(&text[4..7]), Some(kind));
            assert_eq!(SecretId::parse(secret.id().as_str()), Some(secret.id()));
        }
    }

    #[test]
    fn a_text_that_is_none_is_told_from_one_that_is_cut() {
        let whole = Secret::new(SecretKind::Personal, &[7; RANDOM_BYTES]);
        let whole = whole.reveal();
        for (text, expected) in [
            ("", BadSecret::Foreign),
            ("ghp_abc", BadSecret::Foreign),
            (&whole.to_uppercase(), BadSecret::Foreign),
            ("twh_xyz_abc", BadSecret::Kind),
            ("twh_pat", BadSecret::Kind),
            ("twh_pat_", BadSecret::NotWhole),
            (&whole[..whole.len() - 1], BadSecret::NotWhole),
            (&format!("{whole}0"), BadSecret::NotWhole),
            (&format!("{whole} "), BadSecret::NotWhole),
            (&whole.replace("pat", "svc"), BadSecret::NotWhole),
            (&format!("{}ü", &whole[..whole.len() - 2]), BadSecret::NotWhole),
        ] {
            assert_eq!(Secret::parse(text), Err(expected), "{text}");
        }
        assert_eq!(BadSecret::NotWhole.to_string(), "this is not whole: a character is missing or mistyped");
    }

    #[test]
    fn no_secret_is_shown() {
        let secret = Secret::new(SecretKind::Device, &[7; RANDOM_BYTES]);
        let body = &secret.reveal()[18..61];
        let shown = format!("{secret:?} {:?}", secret.kept(&HUB_KEY));
        assert!(shown.contains(secret.id().as_str()) && shown.contains("twh_dev_"), "{shown}");
        assert!((0..body.len() - 3).all(|at| !shown.contains(&body[at..at + 4])), "{shown}");
    }

    #[test]
    fn devices_secrets_are_worth_nothing_without_the_hubs_key() {
        for kind in SecretKind::ALL {
            let secret = Secret::new(kind, &[7; RANDOM_BYTES]);
            let kept = secret.kept(&HUB_KEY);
            assert!(kept.is_of(&secret, &HUB_KEY));
            assert_eq!(kept.is_of(&secret, &[8; 32]), kind != SecretKind::Device);
            assert_eq!(kept.hash == sha256(secret.reveal().as_bytes()), kind != SecretKind::Device);
            assert!(secret.reveal().ends_with(&*kept.last_4));
        }
    }

    proptest! {
        #[test]
        fn secrets_differ_as_their_random_bytes_do(one: [u8; RANDOM_BYTES], other: [u8; RANDOM_BYTES]) {
            let (one, other) = (Secret::new(SecretKind::Service, &one), Secret::new(SecretKind::Service, &other));
            prop_assert_eq!(Secret::parse(one.reveal()), Ok(one.clone()));
            prop_assert_eq!(one.kept(&HUB_KEY).is_of(&other, &HUB_KEY), one == other);
        }

        /// One wrong character, or two swapped, are always found: the checksum is of 32 bits.
        #[test]
        fn a_slip_is_found(random: [u8; RANDOM_BYTES], at in 8_usize..67, digit in 0_usize..62) {
            let secret = Secret::new(SecretKind::Webhook, &random);
            let mut text = secret.reveal().as_bytes().to_vec();
            let before = text[at];
            text[at] = DIGITS[digit];
            let slip = String::from_utf8(text.clone()).unwrap();
            prop_assert_eq!(Secret::parse(&slip).is_ok(), before == DIGITS[digit]);
            text[at] = before;
            text.swap(at, 8 + digit % 59);
            let swapped = String::from_utf8(text).unwrap();
            prop_assert_eq!(Secret::parse(&swapped).is_ok(), swapped == secret.reveal());
        }

        #[test]
        fn no_text_breaks_the_parser(text in "(twh_(pat|dev|x)?_?)?\\PC{0,80}") {
            prop_assert!(Secret::parse(&text).is_err());
        }
    }
}
