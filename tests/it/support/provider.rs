//! An identity provider, with keys of its own: OpenID Connect as far as a hub asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use super::receiver::{answer_with, read};

pub const CLIENT: &str = "hub";
pub const SECRET: &str = "a secret of the hub at the provider";

/// A fault in the token that the provider gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Twist {
    Nothing,
    Nonce,
    Audience,
    Issuer,
    Expired,
    /// `alg: none`, without a signature.
    Unsigned,
    /// Signed with the secret that the hub has as well.
    BySecret,
    /// Signed with a key that the provider does not name.
    ForeignKey,
    /// Some claim was changed after it was signed.
    Changed,
    /// There is none.
    Missing,
}

/// The provider. It ends with this.
pub struct IdentityProvider {
    state: Arc<Mutex<ProviderState>>,
    serving: JoinHandle<()>,
}

struct ProviderState {
    issuer: String,
    keys: ProviderKeys,
    /// The person who is signed in there: their claims.
    person: Value,
    /// Claims that a question brings, and the token does not.
    asked: Value,
    twist: Twist,
    codes: HashMap<String, Granted>,
    given: usize,
}

struct Granted {
    challenge: String,
    nonce: String,
    redirect: String,
}

enum ProviderKeys {
    Rsa { key: RsaKeyPair, modulus: Vec<u8>, exponent: Vec<u8>, id: String },
    Ec { key: EcdsaKeyPair, id: String },
}

impl ProviderKeys {
    fn ec(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec { key: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(), id: id.into() }
    }

    fn rsa(id: &str) -> Self {
        let made = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
        let key = RsaKeyPair::from_der(made.to_pkcs1_der().unwrap().as_bytes()).unwrap();
        let (modulus, exponent) = (made.n().to_bytes_be(), made.e().to_bytes_be());
        Self::Rsa { key, modulus, exponent, id: id.into() }
    }

    fn algorithm(&self) -> &'static str {
        if matches!(self, Self::Rsa { .. }) { "RS256" } else { "ES256" }
    }

    fn id(&self) -> &str {
        match self {
            Self::Rsa { id, .. } | Self::Ec { id, .. } => id,
        }
    }

    fn public(&self) -> Value {
        match self {
            Self::Rsa { modulus, exponent, id, .. } => json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
                "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
            }),
            Self::Ec { key, id } => {
                let point = key.public_key().as_ref();
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
                    "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
                })
            }
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa { key, .. } => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
            Self::Ec { key, .. } => key.sign(&random, text).unwrap().as_ref().to_vec(),
        }
    }
}

impl IdentityProvider {
    /// One that signs with an elliptic curve.
    pub async fn start() -> Self {
        Self::with(ProviderKeys::ec("ec-1")).await
    }

    /// One that signs with RSA.
    pub async fn start_rsa() -> Self {
        Self::with(ProviderKeys::rsa("rsa-1")).await
    }

    async fn with(keys: ProviderKeys) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = ProviderState {
            issuer: format!("http://{address}"),
            keys,
            person: json!({}),
            asked: json!({}),
            twist: Twist::Nothing,
            codes: HashMap::new(),
            given: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                let authorization = request.header("authorization").unwrap_or_default().to_owned();
                let (status, more, body) =
                    shared.lock().unwrap().answer(request.line(), &request.body, &authorization);
                answer_with(&mut stream, status, &more, &body).await;
            }
        });
        Self { state, serving }
    }

    pub fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    /// Somebody signs in there.
    pub fn is_signed_in(&self, subject: &str, name: &str, groups: &[&str]) {
        self.has(json!({ "sub": subject, "preferred_username": name, "groups": groups }));
    }

    /// The same with these claims.
    pub fn has(&self, person: Value) {
        self.state().person = person;
    }

    /// Claims that are told to who asks for them.
    pub fn tells(&self, asked: Value) {
        self.state().asked = asked;
    }

    pub fn twist(&self, twist: Twist) {
        self.state().twist = twist;
    }

    /// Signs with another key from now on.
    pub fn rotate(&self) {
        self.state().keys = ProviderKeys::ec("ec-2");
    }

    /// It is gone.
    pub fn stop(&self) {
        self.serving.abort();
    }

    fn state(&self) -> MutexGuard<'_, ProviderState> {
        self.state.lock().unwrap()
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ProviderState {
    /// The status, a header and the body for a request.
    fn answer(&mut self, line: &str, body: &str, authorization: &str) -> (u16, String, String) {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let json = |value: Value| (200, "content-type: application/json".to_owned(), value.to_string());
        match (method, path) {
            ("GET", "/.well-known/openid-configuration") => json(self.document()),
            ("GET", "/jwks") => json(json!({ "keys": [self.keys.public()] })),
            ("GET", "/authorize") => (303, format!("location: {}", self.authorize(query)), String::new()),
            ("POST", "/token") => match self.token(body, authorization) {
                Some(answer) => json(answer),
                None => {
                    (400, "content-type: application/json".into(), r#"{"error": "invalid_grant"}"#.into())
                }
            },
            ("GET", "/userinfo") => {
                assert!(authorization.starts_with("Bearer access-"), "{authorization}");
                let mut answer = self.asked.clone();
                answer["sub"] = self.person["sub"].clone();
                json(answer)
            }
            _ => (404, "x-none: 1".into(), String::new()),
        }
    }

    fn document(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.keys.algorithm(), "HS256", "none"],
        })
    }

    /// Where the browser of the person who is signed in goes.
    fn authorize(&mut self, query: &str) -> String {
        let asked: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!((&*asked["client_id"], &*asked["code_challenge_method"]), (CLIENT, "S256"));
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"), "{asked:?}");
        let redirect = asked["redirect_uri"].clone();
        if self.person == json!({}) {
            return format!("{redirect}?error=access_denied&state={}", asked["state"]);
        }
        self.given += 1;
        let code = format!("code-{}", self.given);
        let (challenge, nonce) = (asked["code_challenge"].clone(), asked["nonce"].clone());
        self.codes.insert(code.clone(), Granted { challenge, nonce, redirect: redirect.clone() });
        format!("{redirect}?code={code}&state={}&session_state=x", asked["state"])
    }

    /// The tokens for a code, which counts once.
    fn token(&mut self, body: &str, authorization: &str) -> Option<Value> {
        let asked: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let credentials = STANDARD.decode(authorization.strip_prefix("Basic ")?).unwrap();
        let credentials = String::from_utf8(credentials).unwrap();
        let (client, secret) = credentials.split_once(':').unwrap();
        let decoded = |text: &str| {
            form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned()
        };
        if (decoded(client).as_str(), decoded(secret).as_str()) != (CLIENT, SECRET) {
            return None;
        }
        let granted = self.codes.remove(&asked["code"])?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(asked["code_verifier"].as_bytes()));
        if granted.challenge != challenge || granted.redirect != asked["redirect_uri"] {
            return None;
        }
        let mut answer = json!({ "access_token": format!("access-{}", self.given), "token_type": "Bearer" });
        if self.twist != Twist::Missing {
            answer["id_token"] = self.id_token(&granted.nonce).into();
        }
        Some(answer)
    }

    fn id_token(&self, nonce: &str) -> String {
        let now = SystemClock.now().millis() / 1_000;
        let mut claims = self.person.clone();
        claims["iss"] = self.issuer.clone().into();
        claims["aud"] = CLIENT.into();
        claims["nonce"] = nonce.into();
        claims["iat"] = now.into();
        claims["exp"] = (now + 300).into();
        let mut header = json!({ "alg": self.keys.algorithm(), "kid": self.keys.id(), "typ": "JWT" });
        match self.twist {
            Twist::Nonce => claims["nonce"] = "of-another-sign-in".into(),
            Twist::Audience => claims["aud"] = "another-client".into(),
            Twist::Issuer => claims["iss"] = "https://id.example".into(),
            Twist::Expired => claims["exp"] = (now - 3_600).into(),
            Twist::Unsigned => header["alg"] = "none".into(),
            Twist::BySecret => header = json!({ "alg": "HS256" }),
            _ => {}
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = match self.twist {
            Twist::Unsigned => Vec::new(),
            Twist::BySecret => {
                let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            Twist::ForeignKey => ProviderKeys::ec("ec-1").sign(signed.as_bytes()),
            _ => self.keys.sign(signed.as_bytes()),
        };
        let signature = URL_SAFE_NO_PAD.encode(signature);
        if self.twist == Twist::Changed {
            claims["groups"] = json!(["chiefs"]);
            return format!("{}.{}.{signature}", part(&header), part(&claims));
        }
        format!("{signed}.{signature}")
    }
}
