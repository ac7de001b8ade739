//! The hub's own key: it seals secrets, so that a copy of the database reveals none, and hashes tokens.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use twinhub_domain::text::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// The first characters of a sealed text. No JSON document begins so. Behind them stands the id of its key.
const MARK: &str = "sealed2:";
/// The same of a version that knew one key alone, and did not name it.
const MARK_WITHOUT_ID: &str = "sealed1:";
/// The first characters of a stored token. Behind them stands the id of its key.
const TOKEN: &str = "hmac2:";
/// The same of a version that knew one key alone.
const TOKEN_WITHOUT_ID: &str = "hmac1:";

/// The hub's keys, the newest first. The newest seals; what an older one has sealed opens too, so that a key can be
/// replaced.
#[derive(Clone)]
pub struct Seal {
    newest: HubKey,
    older: Vec<HubKey>,
}

/// The name of a key: 8 hexadecimal digits. It reveals nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubKeyId(u32);

/// Keys derived from one key of the hub. One for each use, so that none reveals another.
#[derive(Clone)]
struct HubKey {
    id: HubKeyId,
    cipher: XChaCha20Poly1305,
    tokens: [u8; KEY_BYTES],
    jwt: [u8; KEY_BYTES],
    check: i64,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl fmt::Display for HubKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for HubKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The reason why a sealed text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    #[error("it is sealed, and not with this key")]
    OtherKey,
    #[error("it is sealed, and there is no key to open it with")]
    NoKey,
    #[error("the system gives no random numbers")]
    NoChance,
}

/// A device's token, compared with the stored form of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMatch {
    /// It is another.
    Other,
    /// It is the same, and is stored under an older key or under none: store [`Seal::token`] in its place.
    Outdated,
    /// It is the same, stored under the newest key.
    Current,
}

/// The key that a stored token or claim code is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenKey {
    /// None: a version wrote it that had no key.
    Plain,
    /// A version wrote it that knew one key alone: it may be any of today's.
    Unnamed,
    Named(HubKeyId),
}

/// The keys that tokens and claim codes are stored under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenKeys {
    pub keys: BTreeSet<TokenKey>,
    /// The number of devices with one that is under a key of the hub.
    pub devices: u64,
}

impl TokenKeys {
    /// Adds a device by the stored forms of what it shows, and of what whoever claims it shows. An empty one is none.
    pub(crate) fn add<'a>(&mut self, stored: impl IntoIterator<Item = &'a str>) {
        let stored = stored.into_iter().filter(|stored| !stored.is_empty());
        let keys: BTreeSet<_> = stored.map(key_of_token).collect();
        self.devices += u64::from(keys.iter().any(|key| *key != TokenKey::Plain));
        self.keys.extend(keys);
    }
}

impl HubKey {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let check = keyed(key, b"twinhub check v1");
        let mut first = [0; 8];
        first.copy_from_slice(&check[..8]);
        let mut id = [0; 4];
        id.copy_from_slice(&keyed(key, b"twinhub key id v1")[..4]);
        Self {
            id: HubKeyId(u32::from_be_bytes(id)),
            cipher: XChaCha20Poly1305::new(&keyed(key, b"twinhub seal v1").into()),
            tokens: keyed(key, b"twinhub device tokens v1"),
            jwt: keyed(key, b"twinhub json web tokens v1"),
            check: i64::from_be_bytes(first),
        }
    }

    fn open(&self, sealed: &str) -> Result<String, BadSeal> {
        let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| BadSeal::OtherKey)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(BadSeal::OtherKey)?;
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| BadSeal::OtherKey)?;
        String::from_utf8(opened).map_err(|_| BadSeal::OtherKey)
    }

    fn token(&self, token: &str) -> String {
        format!("{TOKEN}{}:{}", self.id, hex(&keyed(&self.tokens, token.as_bytes())))
    }

    /// As a version wrote it that knew one key alone.
    fn token_without_id(&self, token: &str) -> String {
        format!("{TOKEN_WITHOUT_ID}{}", hex(&keyed(&self.tokens, token.as_bytes())))
    }
}

impl Seal {
    /// With one key alone.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self::of_keys(key, &[])
    }

    /// With the `newest` key, and `older` ones that open what they have sealed.
    #[must_use]
    pub fn of_keys(newest: &[u8; KEY_BYTES], older: &[[u8; KEY_BYTES]]) -> Self {
        Self { newest: HubKey::new(newest), older: older.iter().map(HubKey::new).collect() }
    }

    /// A number by which a database recognises the newest key. It reveals nothing of the key.
    #[must_use]
    pub fn check(&self) -> i64 {
        self.newest.check
    }

    /// Is one of the keys the one with this number?
    #[must_use]
    pub fn knows(&self, check: i64) -> bool {
        self.keys().any(|key| key.check == check)
    }

    /// The ids of the keys, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = HubKeyId> {
        self.keys().map(|key| key.id)
    }

    /// Seals a text with the newest key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, text: &str) -> Result<String, BadSeal> {
        // Random, and so long that none comes twice.
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| BadSeal::NoChance)?;
        let sealed = self.newest.cipher.encrypt(&XNonce::from(nonce), text.as_bytes());
        let sealed = sealed.map_err(|_| BadSeal::NoChance)?; // never: it is not that long
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(format!("{}{}", self.newest_mark(), STANDARD_NO_PAD.encode(bytes)))
    }

    /// Seals a few bytes for `purpose` with the newest key: 40 bytes more, which look like chance. What is sealed for one
    /// purpose opens for no other.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal_bytes(&self, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>, BadSeal> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| BadSeal::NoChance)?;
        let payload = Payload { msg: bytes, aad: purpose.as_bytes() };
        let sealed = self.newest.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| BadSeal::NoChance)?; // never: it is not that long
        Ok([&nonce[..], &sealed].concat())
    }

    /// The bytes that one of the keys has sealed for `purpose`; none where none has.
    #[must_use]
    pub fn open_bytes(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = || Payload { msg: sealed, aad: purpose.as_bytes() };
        self.keys().find_map(|key| key.cipher.decrypt(&XNonce::from(*nonce), payload()).ok())
    }

    /// The first characters of all that the newest key seals.
    #[must_use]
    pub fn newest_mark(&self) -> String {
        format!("{MARK}{}:", self.newest.id)
    }

    /// The stored form of a device's token: worth nothing without the key.
    #[must_use]
    pub fn token(&self, token: &str) -> String {
        self.newest.token(token)
    }

    /// The forms in which a token may be stored, [`Seal::token`] first: under each of the keys, and as earlier versions
    /// wrote them.
    #[must_use]
    pub fn token_forms(&self, token: &str) -> Vec<String> {
        let forms = self.keys().flat_map(|key| [key.token(token), key.token_without_id(token)]);
        forms.chain([plain_token(token)]).collect()
    }

    /// Is it the token of which `stored` is kept? Takes as long for one that is nearly right as for any other.
    #[must_use]
    pub fn match_token(&self, stored: &str, token: &str) -> TokenMatch {
        let is = |form: String| bool::from(stored.as_bytes().ct_eq(form.as_bytes()));
        if let Some(named) = stored.strip_prefix(TOKEN) {
            let key = self.keys().find(|key| named.split(':').next() == Some(&key.id.to_string()));
            return match key {
                Some(key) if !is(key.token(token)) => TokenMatch::Other,
                Some(key) if key.id == self.newest.id => TokenMatch::Current,
                Some(_) => TokenMatch::Outdated,
                None => TokenMatch::Other,
            };
        }
        let is_same = if stored.starts_with(TOKEN_WITHOUT_ID) {
            self.keys().any(|key| is(key.token_without_id(token)))
        } else {
            is(plain_token(token))
        };
        if is_same { TokenMatch::Outdated } else { TokenMatch::Other }
    }

    /// The keys of JSON web tokens with their names, the newest first.
    pub fn jwt_keys(&self) -> impl Iterator<Item = (HubKeyId, [u8; KEY_BYTES])> {
        self.keys().map(|key| (key.id, key.jwt))
    }

    fn keys(&self) -> impl Iterator<Item = &HubKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// The key that a stored token is under.
#[must_use]
pub fn key_of_token(stored: &str) -> TokenKey {
    let named = |rest: &str| u32::from_str_radix(rest.split(':').next()?, 16).ok().map(HubKeyId);
    match stored.strip_prefix(TOKEN).and_then(named) {
        Some(id) => TokenKey::Named(id),
        None if stored.starts_with(TOKEN_WITHOUT_ID) => TokenKey::Unnamed,
        None => TokenKey::Plain,
    }
}

/// A stored token as a version wrote it that had no key.
#[must_use]
pub fn plain_token(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// The text that was sealed; one that was not, from before there was a key, is as it is.
///
/// # Errors
/// The text was sealed with another key, was changed since, or there is no key.
pub fn open<'a>(seal: Option<&Seal>, text: &'a str) -> Result<Cow<'a, str>, BadSeal> {
    if !is_sealed(text) {
        return Ok(Cow::Borrowed(text));
    }
    let seal = seal.ok_or(BadSeal::NoKey)?;
    let opened = match text.strip_prefix(MARK) {
        Some(named) => {
            let (id, sealed) = named.split_once(':').ok_or(BadSeal::OtherKey)?;
            let key = seal.keys().find(|key| key.id.to_string() == id);
            key.ok_or(BadSeal::OtherKey)?.open(sealed)
        }
        None => {
            let sealed = text.strip_prefix(MARK_WITHOUT_ID).unwrap_or(text);
            seal.keys().find_map(|key| key.open(sealed).ok()).ok_or(BadSeal::OtherKey)
        }
    };
    opened.map(Cow::Owned)
}

/// Is it sealed?
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(MARK) || text.starts_with(MARK_WITHOUT_ID)
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; KEY_BYTES] {
    // A key of any length is one: there is no error to be had.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; KEY_BYTES],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_own_key_alone() {
        let (ours, other) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let sealed = ours.seal(r#"{"secret": "s3cret"}"#).unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("s3cret"), "{sealed}");
        assert_eq!(open(Some(&ours), &sealed).unwrap(), r#"{"secret": "s3cret"}"#);
        assert_eq!(open(Some(&other), &sealed), Err(BadSeal::OtherKey));
        assert_eq!(open(None, &sealed), Err(BadSeal::NoKey));
        let changed = format!("{}A", &sealed[..sealed.len() - 1]);
        assert!(changed == sealed || open(Some(&ours), &changed) == Err(BadSeal::OtherKey));
        assert_eq!(open(Some(&ours), "{}").unwrap(), "{}");
        assert_ne!(ours.seal("a").unwrap(), ours.seal("a").unwrap(), "equal texts do not look equal");
        assert_ne!(ours.check(), other.check());
        assert_ne!(ours.token("t"), other.token("t"));
        assert_ne!(ours.ids().next(), other.ids().next());
    }

    #[test]
    fn bytes_open_for_their_purpose_alone() {
        let (ours, other) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let sealed = ours.seal_bytes("a", &[7; 8]).unwrap();
        assert_eq!(sealed.len(), 48);
        assert_ne!(sealed, ours.seal_bytes("a", &[7; 8]).unwrap(), "equal bytes do not look equal");
        assert_eq!(ours.open_bytes("a", &sealed).unwrap(), [7; 8]);
        assert_eq!(Seal::of_keys(&[2; 32], &[[1; 32]]).open_bytes("a", &sealed).unwrap(), [7; 8]);
        assert_eq!(ours.open_bytes("b", &sealed), None);
        assert_eq!(other.open_bytes("a", &sealed), None);
        assert_eq!(ours.open_bytes("a", &sealed[..20]), None);
    }

    #[test]
    fn what_an_older_key_has_sealed_opens_too() {
        let (old, new) = (Seal::new(&[1; 32]), Seal::of_keys(&[2; 32], &[[3; 32], [1; 32]]));
        let sealed = old.seal("text").unwrap();
        assert_eq!(open(Some(&new), &sealed).unwrap(), "text");
        assert!(!sealed.starts_with(&new.newest_mark()));
        let again = new.seal("text").unwrap();
        assert!(again.starts_with(&new.newest_mark()));
        assert_eq!(open(Some(&old), &again), Err(BadSeal::OtherKey), "the old key alone is worth nothing");
        assert!(new.knows(old.check()) && !old.knows(new.check()));
        // As a version wrote it that did not name its key.
        let before = format!("sealed1:{}", sealed.rsplit(':').next().unwrap());
        for seal in [&old, &new] {
            assert!(is_sealed(&before));
            assert_eq!(open(Some(seal), &before).unwrap(), "text");
        }
        assert_eq!(open(Some(&Seal::new(&[2; 32])), &before), Err(BadSeal::OtherKey));
        for cut in ["sealed2:", "sealed2:12345678", "sealed2:12345678:AAAA", "sealed1:", "sealed1:AAAA"] {
            assert_eq!(open(Some(&new), cut), Err(BadSeal::OtherKey), "{cut}");
        }
    }

    /// The one-block message of FIPS 180-2, appendix B.1.
    #[test]
    fn hashes_as_the_standard_says() {
        assert_eq!(plain_token("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn tokens_are_known_under_each_key_and_as_versions_before_wrote_them() {
        const HORSE: &str = "correct horse battery";
        let (old, new) = (Seal::new(&[1; 32]), Seal::of_keys(&[2; 32], &[[1; 32]]));
        let stored = [
            (new.token(HORSE), TokenMatch::Current),
            (old.token(HORSE), TokenMatch::Outdated),
            (old.newest.token_without_id(HORSE), TokenMatch::Outdated),
            (plain_token(HORSE), TokenMatch::Outdated),
            (Seal::new(&[3; 32]).token(HORSE), TokenMatch::Other),
            (Seal::new(&[3; 32]).newest.token_without_id(HORSE), TokenMatch::Other),
            (String::new(), TokenMatch::Other),
            ("hmac2:".into(), TokenMatch::Other),
        ];
        let forms = new.token_forms(HORSE);
        assert_eq!(forms.first(), Some(&new.token(HORSE)));
        for (stored, expected) in &stored {
            assert_eq!(new.match_token(stored, HORSE), *expected, "{stored}");
            assert_eq!(new.match_token(stored, "another"), TokenMatch::Other, "{stored}");
            assert_eq!(forms.contains(stored), *expected != TokenMatch::Other, "{stored}");
        }
        assert_eq!(Some(key_of_token(&old.token(HORSE))), old.ids().next().map(TokenKey::Named));
        assert_eq!(key_of_token(&old.newest.token_without_id(HORSE)), TokenKey::Unnamed);
        assert_eq!(key_of_token(&plain_token(HORSE)), TokenKey::Plain);
        assert_eq!(old.match_token(&new.token(HORSE), HORSE), TokenMatch::Other);
    }
}
