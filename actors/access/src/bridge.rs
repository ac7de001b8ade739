//! Bridges: programs that speak MQTT for no device of the hub (Zigbee2MQTT, Home Assistant, other brokers), each on its own
//! topics.

use serde::{Deserialize, Serialize};
use twinhub_domain::topic::{BadFilter, check_filter, matches};

/// The topics of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bridge {
    /// Topic filters: it may publish on all that they match.
    pub publish: Vec<Box<str>>,
    /// Topic filters: it may subscribe to these, and to any filter within one of them.
    pub subscribe: Vec<Box<str>>,
    /// It may do so too where else the hub alone speaks to devices.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hub_topics: bool,
    /// The hash of its secret by which an outside broker knows it.
    pub broker_hash: Box<str>,
}

/// Reasons for which there is no such bridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBridge {
    #[error("a bridge's name is 1 to 64 of A-Z a-z 0-9 . _ -")]
    Name,
    #[error("`{filter}`: {error}")]
    Filter { filter: Box<str>, error: BadFilter },
    #[error("a bridge has {} topic filters at most", Bridge::MOST_FILTERS)]
    TooMany,
}

/// A name has at most this many characters.
const LONGEST_NAME: usize = 64;

impl Bridge {
    /// The most filters of each direction.
    pub const MOST_FILTERS: usize = 100;

    /// Looks whether a bridge can have this name. It goes into the files of an outside broker.
    ///
    /// # Errors
    /// It cannot.
    pub fn check_name(name: &str) -> Result<(), BadBridge> {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_name = is_plain && (1..=LONGEST_NAME).contains(&name.len());
        if is_name { Ok(()) } else { Err(BadBridge::Name) }
    }

    /// The user name of the bridge called `name`. No device has such an id.
    #[must_use]
    pub fn user_name(name: &str) -> String {
        format!("bridge@{name}")
    }

    /// Looks whether these can be its topic filters.
    ///
    /// # Errors
    /// They are too many, or one is none.
    pub fn check_filters(filters: &[Box<str>]) -> Result<(), BadBridge> {
        if filters.len() > Self::MOST_FILTERS {
            return Err(BadBridge::TooMany);
        }
        for filter in filters {
            check_filter(filter).map_err(|error| BadBridge::Filter { filter: filter.clone(), error })?;
        }
        Ok(())
    }

    /// May it publish on this topic?
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        self.publish.iter().any(|filter| matches(filter, topic))
    }

    /// May it subscribe to all that this filter matches?
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.iter().any(|own| matches(own, filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["zigbee2mqtt", "home-assistant_2.0", &"a".repeat(64)] {
            assert_eq!(Bridge::check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a:b", "a b", "a/b", "ä", "a\nb", &"a".repeat(65)] {
            assert_eq!(Bridge::check_name(bad), Err(BadBridge::Name), "{bad}");
        }
        assert_eq!(Bridge::user_name("z"), "bridge@z");
    }

    #[test]
    fn topics_are_those_within_its_filters() {
        let bridge = Bridge {
            publish: vec!["zigbee2mqtt/#".into(), "homeassistant/+/config".into()],
            subscribe: vec!["zigbee2mqtt/+/set".into()],
            ..Bridge::default()
        };
        for (topic, expected) in [
            ("zigbee2mqtt", true),
            ("zigbee2mqtt/lamp/set", true),
            ("homeassistant/lamp/config", true),
            ("homeassistant/lamp/state", false),
            ("other", false),
        ] {
            assert_eq!(bridge.may_publish(topic), expected, "{topic}");
        }
        for (filter, expected) in [
            ("zigbee2mqtt/lamp/set", true),
            ("zigbee2mqtt/+/set", true),
            ("zigbee2mqtt/#", false),
            ("#", false),
            ("+/+/set", false),
        ] {
            assert_eq!(bridge.may_subscribe(filter), expected, "{filter}");
        }
        assert!(!Bridge::default().may_publish("a") && !Bridge::default().may_subscribe("a"));
    }

    #[test]
    fn filters_are_checked() {
        let check = |filters: &[&str]| {
            Bridge::check_filters(&filters.iter().map(|filter| (*filter).into()).collect::<Vec<_>>())
        };
        assert_eq!(check(&["a/#", "+/b"]), Ok(()));
        assert!(
            matches!(check(&["a", "a/#/b"]), Err(BadBridge::Filter { filter, .. }) if &*filter == "a/#/b")
        );
        assert_eq!(check(&["a"; Bridge::MOST_FILTERS + 1]), Err(BadBridge::TooMany));
    }
}
