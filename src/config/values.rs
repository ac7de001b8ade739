//! The values of options: each is read from one text, wherever that stands.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use twinhub_actors::webhook_destinations::AllowedDestination;
use twinhub_domain::duration::{EXAMPLES, duration_ms};
use twinhub_domain::reading::ClockWindow;
use twinhub_mqtt::link::BrokerAddress;

/// A duration: `500ms`, `15m`, `7d`, `1h 30m`, `PT1H30M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DurationValue(pub Duration);

/// A duration that is longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PositiveDuration(pub Duration);

/// A duration after which something happens, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DurationOrNever {
    Never,
    After(Duration),
}

/// A number of bytes: `1048576`, `512KiB`, `1MiB`, `2MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteSize(pub usize);

/// Where others find this server: `https://hub.example.com`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(pub String);

/// A host's name, in lower case and without a port: `hub.example.com`, or with all under it `*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName {
    name: String,
    /// It stands for all names under it, and not for itself.
    under: bool,
}

/// An origin whose pages may use the API: `http://localhost:5173`, `*` for any, or `null` for pages that have none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebOrigin(pub String);

/// The hosts that webhooks may go to, with the text that was given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookPlace {
    pub allowed: AllowedDestination,
    text: String,
}

/// The broker that the devices speak to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Mqtt {
    /// The one in this program.
    #[default]
    Embedded,
    /// One that runs elsewhere.
    Broker(BrokerAddress),
}

/// The treatment of MQTT clients without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DevicesOption {
    /// Anybody may speak for any device; a password that is given must be right
    Open,
    /// Clients without a password speak for registered devices that have none
    Known,
    /// Every client needs a password
    Strict,
}

impl DevicesOption {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Known => "known",
            Self::Strict => "strict",
        }
    }
}

/// The treatment of devices that are not registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum UnknownDevicesOption {
    /// It registers itself, unclaimed
    #[default]
    Accept,
    /// Its messages are refused and counted
    Reject,
}

/// The origin of the certificate for TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TlsOption {
    /// HTTP and MQTT in the clear
    #[default]
    Off,
    /// The hub makes a certificate, and an authority of its own that vouches for it
    Auto,
    /// The files `tls-cert` and `tls-key`
    Files,
}

/// The people who may make an account of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationOption {
    /// Admins make accounts
    #[default]
    Closed,
    /// A person with an admin's invitation makes one
    Invite,
    /// Anybody who reaches the hub makes one, and is an operator
    Open,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Auto,
    Text,
    Json,
}

/// A number of things of which there must be one at least.
///
/// # Errors
/// It is none, or 0.
pub fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number from 1 on"))
}

impl DurationOrNever {
    /// The time; none for never.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(time) => Some(time),
        }
    }
}

/// The window of times that are believed: the lead of a device's clock, and the age of readings at registration.
#[must_use]
pub fn window(ahead: Option<DurationOrNever>, behind: Option<DurationOrNever>) -> ClockWindow {
    let millis = |limit: Option<DurationOrNever>, usual: i64| match limit {
        None => usual,
        Some(DurationOrNever::Never) => i64::MAX,
        Some(DurationOrNever::After(time)) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
    };
    let usual = ClockWindow::default();
    ClockWindow { ahead_ms: millis(ahead, usual.ahead_ms), behind_ms: millis(behind, usual.behind_ms) }
}

impl FromStr for DurationValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms =
            duration_ms(text).map_err(|error| format!("expected a duration such as {EXAMPLES}: {error}"))?;
        Ok(Self(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))) // never less than nothing
    }
}

impl FromStr for PositiveDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            DurationValue(Duration::ZERO) => {
                Err(format!("`{text}` is no time at all: write one such as {EXAMPLES}"))
            }
            DurationValue(time) => Ok(Self(time)),
        }
    }
}

impl FromStr for DurationOrNever {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(|DurationValue(time)| Self::After(time)),
        }
    }
}

/// Units, the longer of two that end alike first.
const UNITS: [(&str, usize); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (digits, unit) = found.unwrap_or((text, 1));
        let size = digits.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
        size.map(Self).ok_or_else(|| format!("`{text}` is no size such as 1MiB or 512KiB"))
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text).ok();
        let fits = url.filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        match fits {
            Some(_) => Ok(Self(text.trim_end_matches('/').to_owned())),
            None => Err(format!("`{text}` is no address such as https://hub.example.com")),
        }
    }
}

impl HostName {
    /// The name; none where it stands for those under it.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.under).then_some(self.name.trim_matches(['[', ']']))
    }

    /// Does it stand for `host`, which is in lower case?
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        if !self.under {
            return host == self.name;
        }
        let before = host.strip_suffix(&self.name).and_then(|rest| rest.strip_suffix('.'));
        before.is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no host such as hub.example.com or *.example.com, without a port");
        let (rest, under) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        // As a browser writes it: in lower case, and what is not ASCII as `xn--…`.
        match url::Host::parse(rest.strip_suffix('.').unwrap_or(rest)) {
            Ok(url::Host::Domain(name)) if !name.contains('*') && !name.split('.').any(str::is_empty) => {
                Ok(Self { name, under })
            }
            Ok(url::Host::Ipv4(address)) if !under => Ok(Self { name: address.to_string(), under }),
            Ok(url::Host::Ipv6(address)) if !under => Ok(Self { name: format!("[{address}]"), under }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.under { "*." } else { "" }, self.name)
    }
}

impl FromStr for WebhookPlace {
    type Err = <AllowedDestination as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { allowed: text.parse()?, text: text.to_owned() })
    }
}

impl fmt::Display for WebhookPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if matches!(text, "*" | "null") {
            return Ok(Self(text.to_owned()));
        }
        let url = url::Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
        });
        // As a browser sends it: without a slash at its end, nor the scheme's own port.
        url.map(|url| Self(url.origin().ascii_serialization()))
            .ok_or_else(|| format!("`{text}` is no origin such as http://localhost:5173"))
    }
}

impl FromStr for Mqtt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            url => BrokerAddress::parse(url)
                .map(Self::Broker)
                .map_err(|error| format!("neither `embedded` nor a broker's address: {error}")),
        }
    }
}

/// Has values be read from a configuration file as they are from a flag.
macro_rules! from_string {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

pub(super) use from_string;

from_string!(
    DurationValue,
    PositiveDuration,
    DurationOrNever,
    ByteSize,
    PublicUrl,
    HostName,
    WebOrigin,
    WebhookPlace,
    Mqtt
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!("15m".parse(), Ok(DurationValue(Duration::from_secs(900))));
        assert_eq!("7d".parse(), Ok(DurationValue(Duration::from_secs(7 * 86_400))));
        assert_eq!("never".parse(), Ok(DurationOrNever::Never));
        assert_eq!("1h 30m".parse(), Ok(DurationOrNever::After(Duration::from_secs(5_400))));
        for text in ["1h 30m", "1h30m", "90min", "90 minutes", "1.5h", "PT1H30M"] {
            assert_eq!(text.parse(), Ok(DurationValue(Duration::from_secs(5_400))), "{text}");
        }
        assert_eq!("0".parse(), Ok(DurationValue(Duration::ZERO)));
        assert_eq!("1ms".parse(), Ok(PositiveDuration(Duration::from_millis(1))));
        for text in ["0", "0s", "0h 0m"] {
            let error = text.parse::<PositiveDuration>().unwrap_err();
            assert!(
                error.starts_with(&format!("`{text}` is no time at all: write one such as 90s")),
                "{error}"
            );
        }
        let error = "5".parse::<DurationValue>().unwrap_err();
        assert!(
            error.starts_with("expected a duration such as 90s, 1h 30m or PT1H30M: `5` has no unit"),
            "{error}"
        );
    }

    #[test]
    fn sizes() {
        assert_eq!("1MiB".parse(), Ok(ByteSize(1 << 20)));
        assert_eq!("2 MB".parse(), Ok(ByteSize(2_000_000)));
        assert_eq!("512".parse(), Ok(ByteSize(512)));
        assert_eq!("7B".parse(), Ok(ByteSize(7)));
        assert!("much".parse::<ByteSize>().is_err());
        assert!("99999999999999999999GiB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!("https://h/x/".parse(), Ok(PublicUrl("https://h/x".into())));
        assert_eq!("http://10.0.0.1:8080".parse(), Ok(PublicUrl("http://10.0.0.1:8080".into())));
        for bad in ["", "h", "mqtt://h", "http://", "https://h/?a=1"] {
            assert!(bad.parse::<PublicUrl>().unwrap_err().contains("is no address such as"), "{bad}");
        }
    }

    #[test]
    fn hosts_by_name() {
        let fits = |text: &str, host: &str| text.parse::<HostName>().unwrap().fits(host);
        assert!(fits("Hub.Example.com.", "hub.example.com") && !fits("hub.example.com", "a.hub.example.com"));
        assert!(fits("*.example.com", "a.b.example.com") && !fits("*.example.com", "example.com"));
        assert!(!fits("*.example.com", "evilexample.com") && !fits("*.example.com", ".example.com"));
        assert!(fits("bücher.example", "xn--bcher-kva.example"));
        for bad in
            ["", "*", "*.", "a b", "hub:8080", "http://hub", "hub/x", "a@b", "a..b", "*.*.a", "*.10.0.0.1"]
        {
            assert!(bad.parse::<HostName>().unwrap_err().contains("is no host such as"), "{bad}");
        }
    }

    #[test]
    fn origins_as_browsers_send_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse(), Ok(WebOrigin(expected.into())), "{text}");
        };
        check("http://localhost:5173/", "http://localhost:5173");
        check("HTTPS://App.example.com:443", "https://app.example.com");
        check("*", "*");
        check("null", "null");
        for bad in ["", "localhost:5173", "ftp://a", "http://a/b", "http://u@a", "http://a/?b", "file:///a"] {
            assert!(bad.parse::<WebOrigin>().unwrap_err().contains("is no origin such as"), "{bad}");
        }
    }

    #[test]
    fn brokers() {
        assert_eq!("embedded".parse(), Ok(Mqtt::Embedded));
        let Ok(Mqtt::Broker(address)) = "mqtt://ann:secret@h:1".parse() else { panic!("an address") };
        assert_eq!((&*address.host, address.port), ("h", 1));
        for bad in ["", "h:1883", "http://h", "mqtt://", "mqtt://:1883"] {
            assert!(bad.parse::<Mqtt>().unwrap_err().starts_with("neither `embedded` nor"), "{bad}");
        }
    }
}
