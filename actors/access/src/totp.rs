//! Second factors: one-time passwords by time (RFC 6238: SHA-1, 6 digits, 30 seconds, as every authenticator app makes
//! them), and recovery codes for people who have lost the app.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha1::Sha1;
use twinhub_domain::Timestamp;

use crate::digest::{Hash, is_same, sha256};

/// The bytes of a secret: as many as SHA-1 has.
pub const SECRET_BYTES: usize = 20;
/// The recovery codes of a user, and the random bytes of each.
pub const CODES: usize = 10;
pub const CODE_BYTES: usize = 8;

const STEP_MS: i64 = 30_000;
/// Clocks of phones differ, and people type slowly: the steps before and after count too.
const SKEW: u64 = 1;
const DIGITS: usize = 6;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters of a recovery code, without the dashes: 60 bits.
const CODE_CHARS: usize = 12;

/// The secret that the hub and an app share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

/// A user's second factor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totp {
    secret: TotpSecret,
    /// The step of the last code that was taken: it is taken once.
    last_step: u64,
    /// The hashes of the recovery codes that are left.
    recovery: Vec<Hash>,
}

/// A recovery code in clear, `ABCD-EFGH-2345`.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(String);

/// The factor that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedCode {
    Code,
    /// A recovery code; so many are left.
    Recovery {
        left: usize,
    },
}

impl TotpSecret {
    /// A secret of random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// The address that an app reads from a QR code. It has the secret in it, and is shown once.
    #[must_use]
    pub fn reveal_address(&self, hub: &str, user: &str) -> String {
        let (hub, user) = (escaped(hub), escaped(user));
        format!("otpauth://totp/{hub}:{user}?secret={}&issuer={hub}", base32(&self.0))
    }

    /// The first code from the app turns the factor on: so nobody is locked out by an app that was not set up. The codes
    /// are shown once.
    #[must_use]
    pub fn confirmed(
        self,
        code: &str,
        random: &[[u8; CODE_BYTES]; CODES],
        now: Timestamp,
    ) -> Option<(Totp, Vec<RecoveryCode>)> {
        let last_step = self.step_of(code, now)?;
        let codes: Vec<RecoveryCode> = random.iter().map(RecoveryCode::new).collect();
        let recovery = codes.iter().map(RecoveryCode::hash).collect();
        Some((Totp { secret: self, last_step, recovery }, codes))
    }

    /// The step of which this is the code, if it is of one near `now`.
    fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let step = u64::try_from(now.millis().div_euclid(STEP_MS)).ok()?;
        let near = step.saturating_sub(SKEW)..=step.saturating_add(SKEW);
        // Each is compared, whichever fits.
        near.filter(|step| is_same(self.code(*step).as_bytes(), digits.as_bytes())).max()
    }

    /// The code of a step (RFC 4226, 5.3).
    fn code(&self, step: u64) -> String {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.0) else {
            return String::new(); // never: a key of any length is one. Nobody's code is empty
        };
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let offset = usize::from(hash[hash.len() - 1] & 0xf);
        let four = [hash[offset] & 0x7f, hash[offset + 1], hash[offset + 2], hash[offset + 3]];
        format!("{:0DIGITS$}", u32::from_be_bytes(four) % 1_000_000)
    }
}

impl Totp {
    /// Takes a code of the app, or a recovery code; each is taken once. None: it is wrong. After one was taken the factor
    /// must be stored before the user is let in.
    #[must_use]
    pub fn accept(&mut self, typed: &str, now: Timestamp) -> Option<AcceptedCode> {
        if let Some(step) = self.secret.step_of(typed, now) {
            // A code that was seen, or an older one: somebody may have looked over a shoulder.
            if step <= self.last_step {
                return None;
            }
            self.last_step = step;
            return Some(AcceptedCode::Code);
        }
        let hash = RecoveryCode::read(typed)?.hash();
        let place = self.recovery.iter().position(|kept| is_same(kept, &hash))?;
        self.recovery.remove(place);
        Some(AcceptedCode::Recovery { left: self.recovery.len() })
    }

    /// The number of recovery codes that are left.
    #[must_use]
    pub fn codes_left(&self) -> usize {
        self.recovery.len()
    }

    /// New recovery codes in the place of those that are left.
    #[must_use]
    pub fn renew_codes(&mut self, random: &[[u8; CODE_BYTES]; CODES]) -> Vec<RecoveryCode> {
        let codes: Vec<RecoveryCode> = random.iter().map(RecoveryCode::new).collect();
        self.recovery = codes.iter().map(RecoveryCode::hash).collect();
        codes
    }
}

impl RecoveryCode {
    fn new(random: &[u8; CODE_BYTES]) -> Self {
        Self(base32(random).chars().take(CODE_CHARS).collect())
    }

    /// However it is typed: with the dashes or without, and whatever the case.
    fn read(text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(|c| !(c.is_whitespace() || *c == '-')).collect();
        let plain = plain.to_ascii_uppercase();
        let is_code = plain.len() == CODE_CHARS && plain.bytes().all(|byte| BASE32.contains(&byte));
        is_code.then_some(Self(plain))
    }

    /// The text, for the user it was made for.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}-{}-{}", &self.0[..4], &self.0[4..8], &self.0[8..])
    }

    fn hash(&self) -> Hash {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Totp({} recovery codes)", self.recovery.len())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode")
    }
}

impl Serialize for TotpSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base32(&self.0))
    }
}

impl<'de> Deserialize<'de> for TotpSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_base32(&text).map(Self).ok_or_else(|| de::Error::custom("expected 32 characters of base 32"))
    }
}

/// Base 32 without padding (RFC 4648).
fn base32(bytes: &[u8]) -> String {
    let bits = bytes.len() * 8;
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digits = (0..bits).step_by(5).map(|at| (at..at + 5).fold(0, |digit, at| digit << 1 | bit(at)));
    digits.map(|digit| char::from(BASE32[usize::from(digit)])).collect()
}

/// The bytes of a secret; its 160 bits are 32 digits.
fn from_base32(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let values: Option<Vec<u8>> = text
        .bytes()
        .map(|digit| BASE32.iter().position(|of| *of == digit).and_then(|at| u8::try_from(at).ok()))
        .collect();
    let values = values.filter(|values| values.len() * 5 == SECRET_BYTES * 8)?;
    let bit = |at: usize| values[at / 5] >> (4 - at % 5) & 1;
    let mut bytes = [0; SECRET_BYTES];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = (place * 8..place * 8 + 8).fold(0, |byte, at| byte << 1 | bit(at));
    }
    Some(bytes)
}

/// The text in an address: all but letters and digits as percent codes.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RFC: TotpSecret = TotpSecret(*b"12345678901234567890");
    const RANDOM: [[u8; CODE_BYTES]; CODES] = [
        [0; CODE_BYTES],
        [1; CODE_BYTES],
        [2; CODE_BYTES],
        [3; CODE_BYTES],
        [4; CODE_BYTES],
        [5; CODE_BYTES],
        [6; CODE_BYTES],
        [7; CODE_BYTES],
        [8; CODE_BYTES],
        [9; CODE_BYTES],
    ];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// Appendix B of RFC 6238, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(RFC.code(seconds / 30), code);
            let now = at(i64::try_from(seconds).unwrap());
            assert_eq!(RFC.step_of(code, now), Some(seconds / 30));
        }
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            RFC.reveal_address("twin hub", "ann"),
            "otpauth://totp/twin%20hub:ann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=twin%20hub"
        );
    }

    #[test]
    fn a_code_is_taken_once_and_near_its_time() {
        const T: i64 = 1_111_111_110; // a step begins
        let code = RFC.code(T.unsigned_abs() / 30);
        for (seconds, expected) in [(-31, false), (-30, true), (0, true), (29, true), (59, true), (60, false)]
        {
            assert_eq!(RFC.step_of(&code, at(T + seconds)).is_some(), expected, "{seconds}");
        }
        let before = RFC.code(T.unsigned_abs() / 30 - 2);
        let (mut totp, _) = RFC.confirmed(&before, &RANDOM, at(T - 60)).unwrap();
        assert_eq!(totp.accept(&before, at(T - 60)), None, "it was the one that turned it on");
        assert_eq!(totp.accept(&format!("{} {}", &code[..3], &code[3..]), at(T)), Some(AcceptedCode::Code));
        assert_eq!(totp.accept(&code, at(T)), None);
        assert_eq!(totp.accept(&RFC.code(T.unsigned_abs() / 30 - 1), at(T)), None, "an older one");
        assert_eq!(totp.accept(&RFC.code(T.unsigned_abs() / 30 + 1), at(T)), Some(AcceptedCode::Code));
        for wrong in ["", "12345", "1234567", "abcdef", "０８１８０４"] {
            assert_eq!(totp.accept(wrong, at(T + 90)), None, "{wrong}");
        }
        assert!(RFC.confirmed("000000", &RANDOM, at(T)).is_none());
    }

    #[test]
    fn recovery_codes_work_once_each() {
        let now = at(1_111_111_109);
        let (mut totp, codes) = RFC.confirmed("081804", &RANDOM, now).unwrap();
        assert_eq!((codes.len(), totp.codes_left()), (CODES, CODES));
        let first = codes[0].reveal();
        assert_eq!(first.len(), 14);
        assert_eq!(totp.accept(&first, now), Some(AcceptedCode::Recovery { left: 9 }));
        assert_eq!(totp.accept(&first, now), None);
        let typed = codes[1].reveal().to_lowercase().replace('-', " ");
        assert_eq!(totp.accept(&typed, now), Some(AcceptedCode::Recovery { left: 8 }));
        let new = totp.renew_codes(&[[77; CODE_BYTES]; CODES]);
        assert_eq!(totp.accept(&codes[2].reveal(), now), None);
        assert_eq!(totp.accept(&new[0].reveal(), now), Some(AcceptedCode::Recovery { left: 9 }));
    }

    #[test]
    fn no_secret_is_shown_and_all_is_read_as_it_was_written() {
        let (totp, codes) = RFC.confirmed("081804", &RANDOM, at(1_111_111_109)).unwrap();
        assert_eq!(
            format!("{RFC:?} {totp:?} {:?}", codes[0]),
            "TotpSecret Totp(10 recovery codes) RecoveryCode"
        );
        let text = serde_json::to_string(&totp).unwrap();
        assert!(!text.contains(&codes[0].0));
        assert_eq!(serde_json::from_str::<Totp>(&text).unwrap(), totp);
    }

    proptest! {
        #[test]
        fn base_32_goes_both_ways(bytes: [u8; SECRET_BYTES]) {
            prop_assert_eq!(from_base32(&base32(&bytes)), Some(bytes));
        }

        /// No step is taken twice, whenever its code is typed.
        #[test]
        fn steps_only_grow(times in prop::collection::vec(0_i64..600, 1..30)) {
            let (mut totp, _) = RFC.confirmed(&RFC.code(0), &RANDOM, at(0)).unwrap();
            let mut last = 0;
            for seconds in times {
                let step = seconds.unsigned_abs() / 30;
                let taken = totp.accept(&RFC.code(step), at(seconds)).is_some();
                prop_assert_eq!(taken, step > last);
                last = last.max(step);
            }
        }
    }
}
