//! The weather service, as options name it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, Url};

/// OpenWeather's own address.
const OPENWEATHER: &str = "https://api.openweathermap.org";
/// The city where nobody names one.
const DEFAULT_CITY: &str = "London";

/// The address of the weather service: https, or http to this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WeatherUrl(pub Url);

/// The name of a city.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CityName(pub Box<str>);

impl Default for WeatherUrl {
    fn default() -> Self {
        // The text is ours, and is an address.
        Self(Url::parse(OPENWEATHER).expect("an address"))
    }
}

impl Default for CityName {
    fn default() -> Self {
        Self(DEFAULT_CITY.into())
    }
}

impl FromStr for WeatherUrl {
    type Err = String;

    /// The key goes with each request: it is not sent in the clear but to this machine.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_here => Ok(Self(url)),
            "http" => Err(format!("`{text}`: plain http is for this machine alone: use https")),
            _ => Err(format!("`{text}` is no address such as {OPENWEATHER}")),
        }
    }
}

impl FromStr for CityName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match !text.is_empty() && text.len() <= 100 && !text.contains(char::is_control) {
            true => Ok(Self(text.into())),
            false => Err("the name of a city has 1 to 100 bytes and no control characters".into()),
        }
    }
}

super::values::from_string!(WeatherUrl, CityName);

impl fmt::Display for WeatherUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Display for CityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_nowhere_in_the_clear() {
        let url = |text: &str| text.parse::<WeatherUrl>().map(|url| url.to_string());
        for fine in
            ["https://weather.example", "http://127.0.0.1:9", "http://[::1]:9/x", "http://localhost:9"]
        {
            assert_eq!(url(fine).as_deref(), Ok(fine));
        }
        for bad in ["http://weather.example", "http://127.0.0.1.example", "ftp://a", "weather", ""] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert_eq!(WeatherUrl::default().to_string(), OPENWEATHER);
    }

    #[test]
    fn a_city_has_a_name() {
        assert_eq!("  New York ".parse(), Ok(CityName("New York".into())));
        for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(bad.parse::<CityName>().is_err(), "{bad}");
        }
    }
}
