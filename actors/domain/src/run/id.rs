//! The names of rules and of their runs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fingerprint::Fingerprint;
use crate::{DeviceId, DeviceNumber, Timestamp};

/// The prefix of the names of templates' rules.
const OF_TEMPLATE: &str = "template:";
/// A template's id has 64 characters, and the whole name 128.
const LONGEST_OF_TEMPLATE: usize = 54;

/// A rule's name, unique over all files and the API: 1 to 128 of `A-Z a-z 0-9 . _ : -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(Arc<str>);

/// A run's name. It follows from the rule, the trigger, the device and the event that fired it, so that the same run
/// made again after a crash is known to be the same: its commands carry the name as idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RuleId {
    /// Takes `text` as a rule's name: made as a device's id is.
    ///
    /// # Errors
    /// A sentence on the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        match DeviceId::parse(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(error) => Err(error.to_string().replace("a device id", "a rule's name")),
        }
    }

    /// The name of a template's rule: `template:pump:hot`.
    ///
    /// # Errors
    /// A sentence on the error in the rule's name there.
    pub fn of_template(template: &str, name: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > LONGEST_OF_TEMPLATE || !name.chars().all(allowed) {
            return Err(format!(
                "a rule of a template is called by 1 to {LONGEST_OF_TEMPLATE} of A-Z a-z 0-9 . _ -"
            ));
        }
        Self::parse(&format!("{OF_TEMPLATE}{template}:{name}"))
    }

    /// The template whose rule this is. No other rule has such a name.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        let (template, _) = self.0.strip_prefix(OF_TEMPLATE)?.split_once(':')?;
        Some(template)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RunId {
    /// The run of `rule` that `what` (a place in the sequence, or a moment in ms) fired through its trigger `index` for
    /// `device` at `at`.
    #[must_use]
    pub fn of(rule: &RuleId, index: u16, device: DeviceNumber, what: i64, at: Timestamp) -> Self {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .field(rule.as_str().as_bytes())
            .field(&index.to_le_bytes())
            .field(&device.0.to_le_bytes())
            .field(&what.to_le_bytes());
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
        bytes[8..].copy_from_slice(&fingerprint.value().to_be_bytes());
        // Between the time and the print, so that the two bits that a UUID keeps for itself cost little.
        bytes[6..8].copy_from_slice(&fingerprint.field(b"more").value().to_be_bytes()[..2]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl Borrow<str> for RuleId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
