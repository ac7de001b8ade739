//! Signatures of requests: a sender that has no key of the hub shows by one that it has the secret of a rule.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use twinhub_actors::messages::automation::{BodySignature, RuleRefusal};

use super::turns::Turn;
use crate::http::problem::ApiError;

/// The signature of the body, as GitHub and others send it.
const HUB_SIGNATURE: &str = "X-Hub-Signature-256";
/// The signature of a time and the body, as the webhooks of this program have it.
const OWN_SIGNATURE: &str = "X-Twinhub-Signature";
const OWN_TIMESTAMP: &str = "X-Twinhub-Timestamp";
/// The sender's name for the request.
const DELIVERIES: [&str; 2] = ["X-GitHub-Delivery", "X-Twinhub-Delivery"];
const LONGEST_DELIVERY: usize = 128;

/// Marks a request that brings a signature and no credential: its handler lets it in, or not, once it has the body.
pub struct SignedRequest {
    /// A large body is read in its sender's turn.
    pub(super) _turn: Option<Turn>,
}

/// A request's signature, and the sender's name for the request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestSignature {
    pub signature: BodySignature,
    pub delivery: Option<Box<str>>,
}

/// Does the request bring a signature, right or wrong?
pub(super) fn is_brought(headers: &HeaderMap) -> bool {
    headers.contains_key(HUB_SIGNATURE) || headers.contains_key(OWN_SIGNATURE)
}

impl RequestSignature {
    /// The signature of a request that was let in for the sake of it; none for any other.
    ///
    /// # Errors
    /// It has no form of one.
    pub fn of(request: &HttpRequest) -> Result<Option<Self>, ApiError> {
        use actix_web::HttpMessage as _;
        if request.extensions().get::<SignedRequest>().is_none() {
            return Ok(None);
        }
        Self::read(request.headers()).map(Some)
    }

    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let wrong = |what| ApiError::Rule(RuleRefusal::Signature(what));
        let signature = match (one(headers, HUB_SIGNATURE)?, one(headers, OWN_SIGNATURE)?) {
            (Some(_), Some(_)) => {
                return Err(wrong("send `X-Hub-Signature-256` or `X-Twinhub-Signature`, not both"));
            }
            (None, Some(text)) => {
                let mac = mac(text).ok_or_else(|| {
                    wrong("`X-Twinhub-Signature` must be `sha256=` and 64 hexadecimal digits")
                })?;
                let at = one(headers, OWN_TIMESTAMP)?;
                // As it was signed: another way to write the number is another text.
                let at = at.and_then(|text| text.parse::<i64>().ok().filter(|at| at.to_string() == *text));
                let at = at.ok_or_else(|| {
                    wrong("`X-Twinhub-Timestamp` must be the Unix seconds that were signed")
                })?;
                BodySignature { mac, signed_at: Some(at) }
            }
            (text, None) => {
                let mac = text.and_then(mac).ok_or_else(|| {
                    wrong("`X-Hub-Signature-256` must be `sha256=` and 64 hexadecimal digits")
                })?;
                BodySignature { mac, signed_at: None }
            }
        };
        let mut deliveries = DELIVERIES.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
        let delivery = deliveries.find(|id| !id.is_empty() && id.len() <= LONGEST_DELIVERY).map(Into::into);
        Ok(Self { signature, delivery })
    }
}

/// The header of this name.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::RepeatedHeader(name));
    }
    Ok(first.map(|value| value.to_str().unwrap_or_default()))
}

fn mac(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256=")?.as_bytes();
    let mut mac = [0; 32];
    if digits.len() != 2 * mac.len() {
        return None;
    }
    for (byte, pair) in mac.iter_mut().zip(digits.chunks(2)) {
        let digit =
            |place: usize| char::from(pair[place]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<RequestSignature, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestSignature::read(&headers).map_err(|error| error.to_string())
    }

    #[test]
    fn signatures_have_two_forms() {
        let text = format!("sha256={}", "0aB1".repeat(16));
        let mac: [u8; 32] = std::array::from_fn(|place| if place % 2 == 0 { 0x0a } else { 0xb1 });
        let plain = RequestSignature { signature: BodySignature { mac, signed_at: None }, delivery: None };
        assert_eq!(read(&[(HUB_SIGNATURE, &text)]), Ok(plain));
        let timed = read(&[(OWN_SIGNATURE, &text), (OWN_TIMESTAMP, "17"), ("X-Twinhub-Delivery", "d-1")]);
        let signature = BodySignature { mac, signed_at: Some(17) };
        assert_eq!(timed, Ok(RequestSignature { signature, delivery: Some("d-1".into()) }));
        let long = "x".repeat(LONGEST_DELIVERY + 1);
        let unnamed = read(&[(HUB_SIGNATURE, &text), ("X-GitHub-Delivery", &long)]).unwrap();
        assert_eq!(unnamed.delivery, None);

        let says = |given: &[(&str, &str)], expected: &str| {
            let told = read(given).unwrap_err();
            assert!(told.contains(expected), "{given:?}: {told}");
        };
        for wrong in
            ["", "sha1=00", &text[7..], &text[..70], &format!("{text}0"), &text.replace('B', "g"), "sha256=ä"]
        {
            says(&[(HUB_SIGNATURE, wrong)], "64 hexadecimal digits");
            says(&[(OWN_SIGNATURE, wrong), (OWN_TIMESTAMP, "17")], "64 hexadecimal digits");
        }
        for wrong in ["", "017", "+17", "1.7", "now", "99999999999999999999"] {
            says(&[(OWN_SIGNATURE, &text), (OWN_TIMESTAMP, wrong)], "Unix seconds");
        }
        says(&[(OWN_SIGNATURE, &text)], "Unix seconds");
        says(&[(OWN_SIGNATURE, &text), (HUB_SIGNATURE, &text)], "not both");
        says(&[(HUB_SIGNATURE, &text), (HUB_SIGNATURE, &text)], "several");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "(sha256=)?\\PC{0,80}", timestamp in "\\PC{0,25}") {
            for name in [HUB_SIGNATURE, OWN_SIGNATURE] {
                let _ = read(&[(name, &text), (OWN_TIMESTAMP, &timestamp)]);
            }
        }
    }
}
