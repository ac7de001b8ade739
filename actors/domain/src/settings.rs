//! The settings of each device.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::duration::{BadDuration, GivenDuration, duration_text, within};
use super::id_pattern::IdPattern;
use super::json::{Json, Object};
use super::words::TruthWords;

/// Settings of one device; none means the usual.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceSettings {
    /// After how long a silence the device counts as offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Commands with the device at once: 1 unless set, 100 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u8>,
    /// The words for false and true that all properties of the device have, where limits name no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Json>,
    /// The zone of the times that the device sends without one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "zone_name")]
    pub timezone: Option<Tz>,
    /// The devices for which it speaks, where it is a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Box<Gateway>>,
}

/// A device that speaks for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The ids of those devices.
    pub ids: Box<[IdPattern]>,
}

/// A zone by its name.
mod zone_name {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
        zone.map(Tz::name).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tz>, D::Error> {
        // A name that this program does not know any more is no reason not to load the twin.
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|name| name.parse().ok()))
    }
}

/// The time for which a device may be silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heartbeat {
    /// As earlier versions stored it.
    Millis(i64),
    /// For ever: only its own word or its last will makes it offline.
    Never,
    Given(GivenDuration),
}

impl Heartbeat {
    /// In ms; none for ever.
    #[must_use]
    pub fn ms(&self) -> Option<i64> {
        match self {
            Self::Millis(ms) => Some(*ms),
            Self::Never => None,
            Self::Given(given) => Some(given.ms()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Millis(ms) => duration_text(*ms),
            Self::Never => "never".into(),
            Self::Given(given) => given.text().into(),
        }
    }
}

/// The most patterns of ids of a gateway.
const MOST_PATTERNS: usize = 100;
const MOST_IN_FLIGHT: u8 = 100;
/// A heartbeat below this would call devices offline for a hiccup of the network.
const SHORTEST_HEARTBEAT_MS: i64 = 1_000;

impl DeviceSettings {
    /// The names of the settings.
    pub const NAMES: [&str; 5] = ["gateway", "heartbeat", "in_flight", "timezone", "words"];

    /// The settings after `patch`: `{"heartbeat": "90s" | 90 | "never", "in_flight": 2, "words": ["OFF", "ON"], "timezone":
    /// "Europe/Madrid", "gateway": {"ids": ["gw1-*"]}}`; null is the usual.
    ///
    /// # Errors
    /// The wrong setting, and its error.
    pub fn patched(&self, patch: &Object) -> Result<Self, (String, String)> {
        let mut settings = self.clone();
        for (name, value) in patch.iter() {
            let wrong = |detail: &str| (format!("settings.{name}"), detail.to_owned());
            match (name, value) {
                ("heartbeat", Json::Null) => settings.heartbeat = None,
                ("heartbeat", value) => {
                    let expected =
                        "expected a duration of a second or more such as 90s or 5m, seconds, or `never`";
                    let heartbeat =
                        heartbeat(value).map_err(|error| wrong(&format!("{expected}: {error}")))?;
                    settings.heartbeat = Some(heartbeat);
                }
                ("in_flight", Json::Null) => settings.in_flight = None,
                ("in_flight", value) => {
                    let count = match value {
                        Json::Number(number) => number.as_str().parse::<u8>().ok(),
                        _ => None,
                    };
                    let count = count.filter(|count| (1..=MOST_IN_FLIGHT).contains(count));
                    settings.in_flight =
                        Some(count.ok_or_else(|| wrong("expected a whole number from 1 to 100"))?);
                }
                ("timezone", Json::Null) => settings.timezone = None,
                ("timezone", value) => {
                    let zone = value.as_str().and_then(|name| name.parse().ok());
                    settings.timezone =
                        Some(zone.ok_or_else(|| wrong("expected UTC or a time zone such as Europe/Madrid"))?);
                }
                ("gateway", Json::Null) => settings.gateway = None,
                ("gateway", value) => {
                    let gateway = gateway(value).map_err(|detail| wrong(&detail))?;
                    settings.gateway = Some(Box::new(gateway));
                }
                ("words", Json::Null) => settings.words = None,
                ("words", words) => {
                    TruthWords::check(words).map_err(wrong)?;
                    settings.words = Some(words.clone());
                }
                _ => {
                    return Err(wrong(
                        "there is no such setting: `gateway`, `heartbeat`, `in_flight`, `timezone` and `words` are",
                    ));
                }
            }
        }
        Ok(settings)
    }

    /// These over `base`: each that is not set here is as it is there.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.clone().or_else(|| base.heartbeat.clone()),
            in_flight: self.in_flight.or(base.in_flight),
            timezone: self.timezone.or(base.timezone),
            words: self.words.clone().or_else(|| base.words.clone()),
            gateway: self.gateway.clone().or_else(|| base.gateway.clone()),
        }
    }

    /// As the document shows them.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let mut object = Object::default();
        if let Some(gateway) = &self.gateway {
            let ids = Json::Array(gateway.ids.iter().map(|pattern| pattern.as_str().into()).collect());
            object.insert("gateway", Json::Object([("ids", ids)].into_iter().collect()));
        }
        if let Some(heartbeat) = &self.heartbeat {
            object.insert("heartbeat", heartbeat.text().into());
        }
        if let Some(count) = self.in_flight {
            object.insert("in_flight", i64::from(count).into());
        }
        if let Some(zone) = self.timezone {
            object.insert("timezone", zone.name().into());
        }
        if let Some(words) = &self.words {
            object.insert("words", words.clone());
        }
        object
    }
}

fn heartbeat(value: &Json) -> Result<Heartbeat, BadDuration> {
    if value.as_str() == Some("never") {
        return Ok(Heartbeat::Never);
    }
    let given = GivenDuration::of(value)?;
    within(given.ms(), SHORTEST_HEARTBEAT_MS..=i64::MAX)?;
    Ok(Heartbeat::Given(given))
}

/// `{"ids": ["gw1-*", "lamp"]}`
fn gateway(value: &Json) -> Result<Gateway, String> {
    let expected = "expected the ids of the devices that it speaks for, as {\"ids\": [\"gw1-*\"]}";
    let Json::Object(gateway) = value else { return Err(expected.into()) };
    let (Some(Json::Array(ids)), 1) = (gateway.get("ids"), gateway.len()) else {
        return Err(expected.into());
    };
    if ids.is_empty() || ids.len() > MOST_PATTERNS {
        return Err(format!("`ids` has 1 to {MOST_PATTERNS} patterns, and this one has {}", ids.len()));
    }
    let pattern = |value: &Json| {
        let text = value.as_str().ok_or_else(|| expected.to_owned())?;
        let pattern = IdPattern::parse(text).map_err(|error| error.to_string())?;
        // Nobody means all devices of a hub, of which some are others' perhaps.
        pattern
            .says_something()
            .then_some(pattern)
            .ok_or_else(|| format!("`{text}` fits any id: write what the ids have in common, as in gw1-*"))
    };
    Ok(Gateway { ids: ids.iter().map(pattern).collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::object;

    fn check(patch: &str, expected: &str) {
        let had = DeviceSettings {
            heartbeat: Some(Heartbeat::Never),
            in_flight: Some(3),
            ..DeviceSettings::default()
        };
        let told = match had.patched(&object(patch.as_bytes()).unwrap()) {
            Ok(settings) => Json::from(settings.to_object()).to_string(),
            Err((field, _)) => field,
        };
        assert_eq!(told, expected, "{patch}");
    }

    #[test]
    fn a_heartbeat_of_earlier_versions_is_read() {
        let settings: DeviceSettings = serde_json::from_str(r#"{"heartbeat": {"millis": 300000}}"#).unwrap();
        assert_eq!(settings.heartbeat.as_ref().and_then(Heartbeat::ms), Some(300_000));
        assert_eq!(Json::from(settings.to_object()).to_string(), r#"{"heartbeat":"5m"}"#);
    }

    #[test]
    fn takes_patches_and_names_what_is_wrong() {
        check("{}", r#"{"heartbeat":"never","in_flight":3}"#);
        check(r#"{"heartbeat":"5m"}"#, r#"{"heartbeat":"5m","in_flight":3}"#);
        check(r#"{"heartbeat":"90s","in_flight":null}"#, r#"{"heartbeat":"90s"}"#);
        check(r#"{"heartbeat":"PT1H","in_flight":null}"#, r#"{"heartbeat":"PT1H"}"#);
        check(r#"{"heartbeat":90,"in_flight":null}"#, r#"{"heartbeat":"1m 30s"}"#);
        check(r#"{"heartbeat":1.5,"in_flight":null}"#, r#"{"heartbeat":"1s 500ms"}"#);
        check(r#"{"heartbeat":"1500ms"}"#, r#"{"heartbeat":"1500ms","in_flight":3}"#);
        check(r#"{"heartbeat":null,"in_flight":100}"#, r#"{"in_flight":100}"#);
        for wrong in [r#""soon""#, "0", "-5", "true", r#""500ms""#] {
            check(&format!(r#"{{"heartbeat":{wrong}}}"#), "settings.heartbeat");
        }
        for wrong in ["0", "101", "1.5", r#""2""#] {
            check(&format!(r#"{{"in_flight":{wrong}}}"#), "settings.in_flight");
        }
        check(
            r#"{"timezone":"Europe/Madrid","in_flight":null}"#,
            r#"{"heartbeat":"never","timezone":"Europe/Madrid"}"#,
        );
        check(r#"{"timezone":"Mars"}"#, "settings.timezone");
        check(r#"{"timezone":1}"#, "settings.timezone");
        check(r#"{"colour":1}"#, "settings.colour");
        check(r#"{"words":["OFF","ON"]}"#, r#"{"heartbeat":"never","in_flight":3,"words":["OFF","ON"]}"#);
        check(r#"{"words":["ON","on"]}"#, "settings.words");
        check(
            r#"{"gateway":{"ids":["gw1-*","lamp"]},"in_flight":null}"#,
            r#"{"gateway":{"ids":["gw1-*","lamp"]},"heartbeat":"never"}"#,
        );
        check(r#"{"gateway":null,"in_flight":null}"#, r#"{"heartbeat":"never"}"#);
        for wrong in
            ["[]", r#"["a"]"#, r#"{"ids":[]}"#, r#"{"ids":["*"]}"#, r#"{"ids":["a/b"]}"#, r#"{"ids":[1]}"#]
        {
            check(&format!(r#"{{"gateway":{wrong}}}"#), "settings.gateway");
        }
        check(r#"{"gateway":{"ids":["a"],"id":1}}"#, "settings.gateway");
    }
}
