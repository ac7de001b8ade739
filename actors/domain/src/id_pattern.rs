//! Patterns of device ids: `gw1-*`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::id::DeviceId;

/// A pattern of device ids: `*` stands for any characters, also none, `?` for one. It has 1 to 128 of the characters of
/// an id, and these two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct IdPattern(Box<str>);

/// The reason why a text is no pattern of ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdPattern {
    #[error("a pattern of ids must not be empty")]
    Empty,
    #[error("a pattern of ids has 128 characters at most, this one has {0}")]
    TooLong(usize),
    #[error("a pattern of ids is made of A-Z a-z 0-9 . _ : - * ? and this one has `{0}`")]
    Character(char),
}

const LONGEST: usize = 128;

impl IdPattern {
    /// Takes `text` as a pattern.
    ///
    /// # Errors
    /// The error: empty, longer than 128, or the first character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, BadIdPattern> {
        if text.is_empty() {
            return Err(BadIdPattern::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:-*?".contains(*c))) {
            return Err(BadIdPattern::Character(bad));
        }
        if text.len() > LONGEST {
            return Err(BadIdPattern::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The pattern that this id alone fits.
    #[must_use]
    pub fn exactly(id: &DeviceId) -> Self {
        Self(id.as_str().into())
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Has it a character that stands for itself? One without fits nearly every id.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.0.bytes().any(|byte| byte != b'*' && byte != b'?')
    }

    /// Does the id fit? Takes no more steps than both are long, multiplied.
    #[must_use]
    pub fn fits(&self, id: &DeviceId) -> bool {
        let (pattern, id) = (self.0.as_bytes(), id.as_str().as_bytes());
        let (mut at, mut place) = (0, 0);
        // The last `*` met, and the place from which it is to take one character more.
        let mut star: Option<(usize, usize)> = None;
        while place < id.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, place));
                    at += 1;
                }
                Some(byte) if *byte == b'?' || *byte == id[place] => (at, place) = (at + 1, place + 1),
                _ => {
                    let Some((last, taken)) = star else { return false };
                    star = Some((last, taken + 1));
                    (at, place) = (last + 1, taken + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IdPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, id: &str, expected: bool) {
        let (pattern, id) = (IdPattern::parse(pattern).unwrap(), DeviceId::parse(id).unwrap());
        assert_eq!(pattern.fits(&id), expected, "{pattern} {id}");
    }

    #[test]
    fn ids_fit() {
        for (pattern, id, expected) in [
            ("pump-1", "pump-1", true),
            ("pump-1", "pump-12", false),
            ("pump-1", "Pump-1", false),
            ("gw1-*", "gw1-a", true),
            ("gw1-*", "gw1-", true),
            ("gw1-*", "gw1", false),
            ("gw1-*", "xgw1-a", false),
            ("*", "x", true),
            ("?", "x", true),
            ("?", "xy", false),
            ("??", "x", false),
            ("*-1", "pump-1-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*?c", "ac", false),
            ("a**c", "ac", true),
        ] {
            check(pattern, id, expected);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(IdPattern::parse(""), Err(BadIdPattern::Empty));
        assert_eq!(IdPattern::parse(&"x".repeat(129)), Err(BadIdPattern::TooLong(129)));
        for bad in ["/", "[", "{", "+", "#", "ü", " "] {
            assert!(matches!(IdPattern::parse(&format!("a{bad}")), Err(BadIdPattern::Character(_))), "{bad}");
        }
        let says = |text| IdPattern::parse(text).unwrap().says_something();
        assert!(says("a*") && !says("*") && !says("?*?"));
    }
}
