//! A second factor from its first code to its last.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;
use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person, told};

/// An app's code (RFC 6238), so many steps of 30 s from now.
fn code(secret: &str, steps: i64) -> String {
    let digits = secret.bytes().map(|digit| match digit {
        b'A'..=b'Z' => digit - b'A',
        _ => digit - b'2' + 26,
    });
    let bits: Vec<u8> = digits.flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1)).collect();
    let secret: Vec<u8> =
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    let step = SystemClock.now().millis() / 30_000 + steps;
    let mut mac = Hmac::<Sha1>::new_from_slice(&secret).unwrap();
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0xf);
    let number = u32::from_be_bytes(hash[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

async fn login(hub: &HubProcess, code: Option<&str>) -> reqwest::Response {
    let mut body = json!({ "name": "ann", "password": PASSWORD });
    if let Some(code) = code {
        body["code"] = code.into();
    }
    hub.post("/api/auth/login", &body).await
}

#[tokio::test]
async fn a_second_factor_is_asked_for_from_its_first_code_to_its_end() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let send = async |method, body: Value| ann.send(&hub, method, "/api/auth/totp", &body).await;
    let none = send(Method::DELETE, json!({ "password": PASSWORD })).await;
    assert_eq!(told(none).await, (409, "no_totp".into()));
    let wrong = send(Method::POST, json!({ "password": "wrong horses jump" })).await;
    assert_eq!(told(wrong).await, (403, "wrong_password".into()), "a session alone begins none");
    let without = send(Method::POST, json!({})).await;
    assert_eq!(told(without).await, (422, "missing_field".into()));
    let begun = send(Method::POST, json!({ "password": PASSWORD })).await;
    assert_eq!(begun.status(), 201);
    let begun: Value = begun.json().await.unwrap();
    let secret = begun["secret"].as_str().unwrap();
    assert!(begun["address"].as_str().unwrap().contains(secret));
    let wrong = send(Method::PUT, json!({ "code": "abc" })).await;
    assert_eq!(told(wrong).await, (401, "wrong_code".into()));
    assert_eq!(login(&hub, None).await.status(), 200, "it does not count yet");

    let on = send(Method::PUT, json!({ "code": code(secret, 0) })).await;
    assert_eq!(on.status(), 200);
    let codes: Value = on.json().await.unwrap();
    assert_eq!(codes["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(told(login(&hub, None).await).await, (401, "code_needed".into()));
    // The step after the one that turned it on: a phone's clock may be a bit ahead.
    let signed_in = login(&hub, Some(&code(secret, 1))).await;
    assert_eq!(signed_in.status(), 200);
    assert_eq!(signed_in.json::<Value>().await.unwrap()["user"]["has_totp"], true);
    let again = login(&hub, Some(&code(secret, 1))).await;
    assert_eq!(told(again).await, (401, "wrong_code".into()), "a code counts once");
    let recovered: Value = login(&hub, codes["recovery_codes"][0].as_str()).await.json().await.unwrap();
    assert_eq!(recovered["recovery_codes_left"], 9);

    let wrong = send(Method::DELETE, json!({ "password": "wrong horses jump" })).await;
    assert_eq!(told(wrong).await, (403, "wrong_password".into()));
    assert_eq!(send(Method::DELETE, json!({ "password": PASSWORD })).await.status(), 204);
    assert_eq!(login(&hub, None).await.status(), 200);
}
