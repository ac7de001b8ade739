//! JSON web tokens (RFC 7519), for programs that sign in as seed systems let them. One algorithm, HS256: a token that
//! names another is refused, so none can choose how it is checked.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use twinhub_domain::Timestamp;

use crate::digest::{hmac_sha256, is_same};
use crate::session::SessionId;

const ALGORITHM: &str = "HS256";
/// Longer tokens are not looked at.
const LONGEST: usize = 4_096;
/// An HMAC's key is as long as its hash, at least.
const LEAST_SECRET: usize = 32;

/// The longest life of a token, in ms: a day.
pub const LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// A key that tokens are signed with.
#[derive(Clone)]
pub struct JwtKey {
    id: Box<str>,
    secret: Box<[u8]>,
    /// Other programs sign with it too.
    is_shared: bool,
}

/// The keys of a hub, and the name under which tokens are made for it.
#[derive(Clone, Debug)]
pub struct JwtKeys {
    audience: Box<str>,
    /// The first one signs.
    keys: Vec<JwtKey>,
}

/// The claims of a token that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user's name.
    pub subject: Box<str>,
    pub expires_at: Timestamp,
    /// The session, which must be alive. None only in tokens that other programs made with a shared key.
    pub session: Option<SessionId>,
}

/// Reasons to refuse a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwt {
    #[error("this is no JSON web token")]
    Form,
    #[error("a token is signed with HS256, this one is not")]
    Algorithm,
    #[error("this token is signed with another key")]
    Signature,
    #[error("this token is for another hub")]
    Audience,
    #[error("this token has expired")]
    Expired,
    #[error("this token is not valid yet")]
    Early,
    #[error("this token names no session")]
    NoSession,
}

/// The error for a secret that can be guessed from one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret for tokens has at least {LEAST_SECRET} bytes")]
pub struct ShortSecret;

#[derive(Serialize, Deserialize)]
struct JwtHeader {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<JwtAudience>,
    #[serde(serialize_with = "whole")]
    exp: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "maybe_whole")]
    iat: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum JwtAudience {
    One(String),
    Any(Vec<String>),
}

impl JwtKey {
    /// The hub's own key.
    #[must_use]
    pub fn own(id: &str, secret: [u8; 32]) -> Self {
        Self { id: id.into(), secret: secret.into(), is_shared: false }
    }

    /// A key that other programs have as well, as the operator has set it.
    ///
    /// # Errors
    /// It is too short.
    pub fn shared(id: &str, secret: &[u8]) -> Result<Self, ShortSecret> {
        match secret.len() < LEAST_SECRET {
            true => Err(ShortSecret),
            false => Ok(Self { is_shared: true, ..Self::shared_on_loopback(id, secret) }),
        }
    }

    /// The same of any length, for a hub that other machines cannot reach.
    #[must_use]
    pub fn shared_on_loopback(id: &str, secret: &[u8]) -> Self {
        Self { id: id.into(), secret: secret.into(), is_shared: true }
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKey({})", self.id)
    }
}

impl JwtKeys {
    /// The keys of the hub called `audience`: `signs` makes new tokens, those of `others` are still good.
    #[must_use]
    pub fn new(audience: &str, signs: JwtKey, others: impl IntoIterator<Item = JwtKey>) -> Self {
        Self { audience: audience.into(), keys: [signs].into_iter().chain(others).collect() }
    }

    /// Makes a token for a user and a session of theirs, from `now` until `ends_at`. With a shared key other programs check
    /// it, many of which refuse an audience that is not theirs.
    #[must_use]
    pub fn sign(&self, subject: &str, session: SessionId, now: Timestamp, ends_at: Timestamp) -> String {
        // There is a first: `new` puts it there.
        let key = &self.keys[0];
        let header = JwtHeader {
            alg: ALGORITHM.into(),
            typ: Some("JWT".into()),
            kid: (!key.is_shared).then(|| key.id.to_string()),
            crit: None,
        };
        let payload = Payload {
            sub: subject.into(),
            aud: (!key.is_shared).then(|| JwtAudience::One(self.audience.to_string())),
            exp: seconds(ends_at).floor(),
            nbf: None,
            iat: Some(seconds(now).floor()),
            sid: Some(session),
        };
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let signature = hmac_sha256(&key.secret, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Checks a token. Its session, where it has one, is for the caller to look up.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, BadJwt> {
        if token.len() > LONGEST {
            return Err(BadJwt::Form);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadJwt::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(BadJwt::Form)?;
        let header: JwtHeader = decode(header)?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return Err(BadJwt::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadJwt::Form)?;
        let mut fitting = self.keys.iter().filter(|key| match &header.kid {
            Some(id) => **id == *key.id,
            // Other programs do not name their key.
            None => key.is_shared,
        });
        let is_signed = |key: &&JwtKey| is_same(&hmac_sha256(&key.secret, signed.as_bytes()), &signature);
        let key = fitting.find(is_signed).ok_or(BadJwt::Signature)?;
        self.claims(decode(payload)?, key, now)
    }

    fn claims(&self, payload: Payload, key: &JwtKey, now: Timestamp) -> Result<Claims, BadJwt> {
        let Payload { sub, aud, exp, nbf, sid, .. } = payload;
        let is_ours = match aud {
            Some(JwtAudience::One(audience)) => *audience == *self.audience,
            Some(JwtAudience::Any(audiences)) => {
                audiences.iter().any(|audience| **audience == *self.audience)
            }
            None => key.is_shared,
        };
        if !is_ours {
            return Err(BadJwt::Audience);
        }
        let now = seconds(now);
        if now >= exp {
            return Err(BadJwt::Expired);
        }
        if !nbf.is_none_or(|from| from <= now) {
            return Err(BadJwt::Early);
        }
        if sid.is_none() && !key.is_shared {
            return Err(BadJwt::NoSession);
        }
        Ok(Claims { subject: sub.into(), expires_at: moment(exp), session: sid })
    }
}

/// A whole number of seconds as `1767268800`, not `1767268800.0`: some readers take integers alone.
fn whole<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(moment(*seconds).millis() / 1_000)
}

fn maybe_whole<S: Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) => whole(seconds, serializer),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the times that there are, in ms, are less than 2^53")]
fn seconds(time: Timestamp) -> f64 {
    time.millis() as f64 / 1_000.0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time that is too large becomes the last one that there is"
)]
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0) as i64)
}

fn encode(part: &impl Serialize) -> String {
    // Texts and numbers alone, so there is no error to be had.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, BadJwt> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| BadJwt::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| BadJwt::Form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    const NOON: i64 = 1_767_268_800_000;
    const SHARED: &[u8] = b"a secret of another program, long enough";

    fn now() -> Timestamp {
        Timestamp::from_millis(NOON)
    }

    fn session() -> SessionId {
        SessionId(Uuid::from_u128(7))
    }

    fn keys() -> JwtKeys {
        let shared = JwtKey::shared("shared", SHARED).unwrap();
        JwtKeys::new("hub-1", JwtKey::own("new", [1; 32]), [JwtKey::own("old", [2; 32]), shared])
    }

    /// A token of any header and payload, signed with `secret`.
    fn made(header: &Value, payload: &Value, secret: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac_sha256(secret, signed.as_bytes())))
    }

    fn check(header: Value, payload: Value, secret: &[u8], expected: Result<(), BadJwt>) {
        let token = made(&header, &payload, secret);
        assert_eq!(keys().verify(&token, now()).map(|_| ()), expected, "{header} {payload}");
    }

    #[test]
    fn a_token_is_good_for_a_day() {
        let token = keys().sign("ann", session(), now(), now().plus_millis(LIFE_MS));
        let expected = Claims {
            subject: "ann".into(),
            expires_at: now().plus_millis(LIFE_MS),
            session: Some(session()),
        };
        assert_eq!(keys().verify(&token, now()), Ok(expected));
        assert!(keys().verify(&token, now().plus_millis(LIFE_MS - 1)).is_ok());
        assert_eq!(keys().verify(&token, now().plus_millis(LIFE_MS)), Err(BadJwt::Expired));
        let renewed = JwtKeys::new("hub-1", JwtKey::own("newer", [3; 32]), [JwtKey::own("new", [1; 32])]);
        assert!(renewed.verify(&token, now()).is_ok(), "the key before is still good");
        let without = JwtKeys::new("hub-1", JwtKey::own("newer", [3; 32]), []);
        assert_eq!(without.verify(&token, now()), Err(BadJwt::Signature));
        let same_name = JwtKeys::new("hub-1", JwtKey::own("new", [3; 32]), []);
        assert_eq!(same_name.verify(&token, now()), Err(BadJwt::Signature));
        let other_hub = JwtKeys::new("hub-2", JwtKey::own("new", [1; 32]), []);
        assert_eq!(other_hub.verify(&token, now()), Err(BadJwt::Audience));
        assert!(!format!("{:?}", keys()).contains("1, 1"), "no key is shown");
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_checked() {
        let payload = json!({"sub": "ann", "aud": "hub-1", "exp": NOON / 1_000 + 60, "sid": session()});
        let ours = [1; 32];
        check(json!({"alg": "HS256", "kid": "new"}), payload.clone(), &ours, Ok(()));
        for algorithm in ["none", "None", "HS384", "RS256", "hs256", ""] {
            check(json!({"alg": algorithm, "kid": "new"}), payload.clone(), &ours, Err(BadJwt::Algorithm));
        }
        check(json!({"kid": "new"}), payload.clone(), &ours, Err(BadJwt::Form));
        check(
            json!({"alg": "HS256", "crit": ["x"], "kid": "new"}),
            payload.clone(),
            &ours,
            Err(BadJwt::Algorithm),
        );
        check(json!({"alg": "HS256", "kid": "old"}), payload.clone(), &ours, Err(BadJwt::Signature));
        check(json!({"alg": "HS256", "kid": "none"}), payload.clone(), &ours, Err(BadJwt::Signature));
        check(json!({"alg": "HS256"}), payload.clone(), &ours, Err(BadJwt::Signature));
        check(json!({"alg": "HS256", "kid": "new"}), payload.clone(), b"", Err(BadJwt::Signature));
        let unsigned = format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&payload));
        assert_eq!(keys().verify(&unsigned, now()), Err(BadJwt::Algorithm));
        let unsigned = format!("{}.{}.", encode(&json!({"alg": "HS256", "kid": "new"})), encode(&payload));
        assert_eq!(keys().verify(&unsigned, now()), Err(BadJwt::Signature));
    }

    #[test]
    fn claims_are_checked() {
        let (header, ours, later) = (json!({"alg": "HS256", "kid": "new"}), [1; 32], NOON / 1_000 + 60);
        for (payload, expected) in [
            (json!({"sub": "a", "aud": ["x", "hub-1"], "exp": later, "sid": session()}), Ok(())),
            (json!({"sub": "a", "aud": "x", "exp": later, "sid": session()}), Err(BadJwt::Audience)),
            (json!({"sub": "a", "exp": later, "sid": session()}), Err(BadJwt::Audience)),
            (json!({"sub": "a", "aud": "hub-1", "exp": later}), Err(BadJwt::NoSession)),
            (
                json!({"sub": "a", "aud": "hub-1", "exp": NOON / 1_000, "sid": session()}),
                Err(BadJwt::Expired),
            ),
            (json!({"sub": "a", "aud": "hub-1", "exp": -1e300, "sid": session()}), Err(BadJwt::Expired)),
            (
                json!({"sub": "a", "aud": "hub-1", "exp": later, "nbf": later, "sid": session()}),
                Err(BadJwt::Early),
            ),
            (json!({"sub": "a", "aud": "hub-1", "sid": session()}), Err(BadJwt::Form)),
            (json!({"sub": "a", "aud": "hub-1", "exp": "never", "sid": session()}), Err(BadJwt::Form)),
            (json!({"aud": "hub-1", "exp": later, "sid": session()}), Err(BadJwt::Form)),
            (json!({"sub": "a", "aud": "hub-1", "exp": later, "sid": "7"}), Err(BadJwt::Form)),
        ] {
            check(header.clone(), payload, &ours, expected);
        }
    }

    /// As the programs of other systems make and read them.
    #[test]
    fn a_token_under_a_shared_key_says_no_more_than_others_know() {
        let shared = JwtKey::shared("shared", SHARED).unwrap();
        let keys = JwtKeys::new("hub-1", shared, [JwtKey::own("own", [1; 32])]);
        let token = keys.sign("ann", session(), now(), now().plus_millis(LIFE_MS));
        let part = |at| decode::<Value>(token.split('.').nth(at).unwrap()).unwrap();
        assert_eq!(part(0), json!({"alg": "HS256", "typ": "JWT"}));
        let expected =
            json!({"sub": "ann", "exp": NOON / 1_000 + 86_400, "iat": NOON / 1_000, "sid": session()});
        assert_eq!(part(1), expected);
        assert_eq!(keys.verify(&token, now()).unwrap().session, Some(session()));
        let payload = json!({"sub": "ann", "exp": NOON / 1_000 + 60});
        let foreign = made(&json!({"alg": "HS256"}), &payload, SHARED);
        assert_eq!(keys.verify(&foreign, now()).unwrap().session, None);
    }

    #[test]
    fn other_programs_need_no_session_under_a_shared_key() {
        let payload = json!({"sub": "ann", "exp": 1_767_268_800.5});
        check(json!({"alg": "HS256", "typ": "JWT"}), payload.clone(), SHARED, Ok(()));
        check(json!({"alg": "HS256", "kid": "shared"}), payload.clone(), SHARED, Ok(()));
        check(json!({"alg": "HS256", "kid": "new"}), payload.clone(), SHARED, Err(BadJwt::Signature));
        check(json!({"alg": "HS256"}), payload, b"another", Err(BadJwt::Signature));
        let for_another = json!({"sub": "ann", "aud": "x", "exp": NOON / 1_000 + 60});
        check(json!({"alg": "HS256"}), for_another, SHARED, Err(BadJwt::Audience));
        assert_eq!(JwtKey::shared("x", &[1; 31]).unwrap_err(), ShortSecret);
        assert_eq!(ShortSecret.to_string(), "a secret for tokens has at least 32 bytes");
    }

    /// The example of RFC 7515, A.1: a token that others have signed.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = hmac_sha256(&URL_SAFE_NO_PAD.decode(key).unwrap(), signed.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_is_refused(at in 0_usize..250, byte in 0_u8..128) {
            let token = keys().sign("ann", session(), now(), now().plus_millis(LIFE_MS));
            let mut changed = token.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(keys().verify(&changed, now()).is_ok(), changed == token);
        }

        #[test]
        fn no_text_breaks_the_parser(text in "([A-Za-z0-9_-]{0,20}\\.){0,3}\\PC{0,20}") {
            prop_assert!(keys().verify(&text, now()).is_err());
        }
    }
}
