//! Requests to the weather service (OpenWeather's `data/2.5/weather`): bounded in time and size, and never sent on to
//! another place, for the key is in them.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use twinhub_domain::Json;
use url::Url;

use super::WeatherReport;

/// The time that one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer at most. The usual ones have some 500.
const LARGEST: usize = 64 * 1024;

/// The status by which the service says that it knows no such city.
const NO_CITY: u16 = 404;
/// The statuses by which it takes no more requests with the key: the key is none of its own, or was used too often.
const KEY_REFUSED: [u16; 3] = [401, 403, 429];

/// The reason why the service told of no weather. None of them shows the address, which has the key in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum WeatherFault {
    /// It knows no such city.
    #[error("there is no such city")]
    UnknownCity,
    #[error("it answers {0}")]
    Status(StatusCode),
    /// It takes no more requests with this key.
    #[error("it refuses the key with {status}")]
    Key {
        status: StatusCode,
        /// The time for which it asks not to be asked, in ms.
        retry_after: Option<u64>,
    },
    #[error("{0}")]
    Request(reqwest::Error),
    #[error("its answer has more than {LARGEST} bytes")]
    TooLarge,
    #[error("its answer has no `{0}`")]
    Form(&'static str),
}

impl From<reqwest::Error> for WeatherFault {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

/// Asks the service at `base` for the weather of a city.
///
/// # Errors
/// None comes, or it makes no sense.
pub(super) async fn ask(base: &Url, key: &str, city: &str) -> Result<WeatherReport, WeatherFault> {
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(PATIENCE).build()?;
    let mut url = base.clone();
    url.set_path(&format!("{}/data/2.5/weather", base.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("q", city).append_pair("appid", key).append_pair("units", "metric");
    let mut answer = client.get(url).send().await?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.as_u16() == NO_CITY => return Err(WeatherFault::UnknownCity),
        status if KEY_REFUSED.contains(&status.as_u16()) => {
            return Err(WeatherFault::Key { status, retry_after: retry_after(answer.headers()) });
        }
        status => return Err(WeatherFault::Status(status)),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(WeatherFault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    read(&bytes)
}

/// The seconds of `Retry-After` as ms; a date there is none.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000))
}

/// `{"main": {"temp": 18.2, "humidity": 72, "pressure": 1015}, "weather": [{"description": "scattered clouds"}]}`
fn read(bytes: &[u8]) -> Result<WeatherReport, WeatherFault> {
    let answer = Json::parse(bytes).unwrap_or_default();
    let main = answer.as_object().and_then(|answer| answer.get("main")).and_then(Json::as_object);
    let number = |name: &'static str| {
        main.and_then(|main| main.get(name)).and_then(Json::as_f64).ok_or(WeatherFault::Form(name))
    };
    let first = answer.as_object().and_then(|answer| match answer.get("weather") {
        Some(Json::Array(all)) => all.first().and_then(Json::as_object),
        _ => None,
    });
    let description = first.and_then(|first| first.get("description")).and_then(Json::as_str);
    Ok(WeatherReport {
        temperature: number("temp")?,
        humidity: number("humidity")?,
        pressure: number("pressure")?,
        description: description.unwrap_or_default().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let check = |text: &str, expected: &str| {
            let found = match read(text.as_bytes()) {
                Ok(report) => format!("{report:?}"),
                Err(fault) => fault.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check(
            r#"{"main": {"temp": 18.2, "humidity": 72, "pressure": 1015}, "weather": [{"description": "mist"}]}"#,
            r#"WeatherReport { temperature: 18.2, humidity: 72.0, pressure: 1015.0, description: "mist" }"#,
        );
        check(
            r#"{"main": {"temp": 1, "humidity": 2, "pressure": 3}}"#,
            r#"WeatherReport { temperature: 1.0, humidity: 2.0, pressure: 3.0, description: "" }"#,
        );
        check(r#"{"main": {"temp": "warm"}}"#, "its answer has no `temp`");
        check(r#"{"main": {"temp": 1}}"#, "its answer has no `humidity`");
        check("[]", "its answer has no `temp`");
        check("<html>", "its answer has no `temp`");
    }
}
