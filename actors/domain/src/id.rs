//! Names of devices: the id in their topics, and the small number for them in the store.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A device's own id, the one in its topics: 1 to 128 of `A-Z a-z 0-9 . _ : -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeviceId(Arc<str>);

/// The hub's own small number for a device, given once and never given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceNumber(pub i64);

/// The reason why a text is no device id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceId {
    #[error("a device id must not be empty")]
    Empty,
    #[error("a device id has 128 characters at most, this one has {0}")]
    TooLong(usize),
    #[error("a device id is made of A-Z a-z 0-9 . _ : - and this one has `{0}`")]
    Character(char),
}

const LONGEST: usize = 128;

impl DeviceId {
    /// Takes `text` as a device id.
    ///
    /// # Errors
    /// The error: empty, longer than 128, or the first character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, BadDeviceId> {
        if text.is_empty() {
            return Err(BadDeviceId::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:-".contains(*c))) {
            return Err(BadDeviceId::Character(bad));
        }
        if text.len() > LONGEST {
            return Err(BadDeviceId::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The id of no device, in events that belong to none: no text can be read as it.
    #[must_use]
    pub fn none() -> Self {
        static NONE: OnceLock<DeviceId> = OnceLock::new();
        NONE.get_or_init(|| Self("".into())).clone()
    }

    /// Is it the id of no device?
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        assert!(DeviceId::parse("pump-1.A_b:9").is_ok());
        assert!(DeviceId::parse(&"x".repeat(128)).is_ok());
        assert_eq!(DeviceId::parse(""), Err(BadDeviceId::Empty));
        assert_eq!(DeviceId::parse(&"x".repeat(129)), Err(BadDeviceId::TooLong(129)));
        assert_eq!(DeviceId::parse("a/b"), Err(BadDeviceId::Character('/')));
        assert_eq!(DeviceId::parse("pümp"), Err(BadDeviceId::Character('ü')));
    }
}
