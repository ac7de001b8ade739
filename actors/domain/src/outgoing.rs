//! Messages that go out to devices.

use std::fmt;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::command::CommandId;
use crate::id::DeviceId;

/// A message for a device, as it lies in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Given once; a later one is larger.
    pub id: u64,
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    /// After this it must not go out any more: the twin no longer wants it said.
    pub until: Option<Timestamp>,
    /// A topic and payload of the device's dialect. None: no twin asks what becomes of it.
    pub purpose: Option<Box<Purpose>>,
}

/// The reason why a twin has a message sent: with it a command is called back, and the twin hears that nobody listened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    pub device: DeviceId,
    pub kind: PurposeKind,
}

/// The kinds of messages whose fate a twin asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurposeKind {
    Desired,
    Firmware,
    Command(CommandAttempt),
}

/// An attempt at a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandAttempt {
    pub command: CommandId,
    /// From 1.
    pub attempt: u8,
}

impl Outgoing {
    /// The attempt at a command that it carries.
    #[must_use]
    pub fn attempt(&self) -> Option<CommandAttempt> {
        match self.purpose.as_deref()?.kind {
            PurposeKind::Command(attempt) => Some(attempt),
            PurposeKind::Desired | PurposeKind::Firmware => None,
        }
    }
}

impl Purpose {
    /// Reads the text that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let device = DeviceId::parse(words.next()?).ok()?;
        let kind = match words.next()? {
            "desired" => PurposeKind::Desired,
            "firmware" => PurposeKind::Firmware,
            "command" => {
                let command = CommandId::parse(words.next()?)?;
                PurposeKind::Command(CommandAttempt { command, attempt: words.next()?.parse().ok()? })
            }
            _ => return None,
        };
        words.next().is_none().then_some(Self { device, kind })
    }
}

/// `pump-1 desired`, `pump-1 firmware`, `pump-1 command 01890a5d-ac96-774b-bcce-b302099a8057 2`: ids have no spaces.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, kind } = self;
        match kind {
            PurposeKind::Desired => write!(f, "{device} desired"),
            PurposeKind::Firmware => write!(f, "{device} firmware"),
            PurposeKind::Command(CommandAttempt { command, attempt }) => {
                write!(f, "{device} command {command} {attempt}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_read_as_it_was_written() {
        let attempt = CommandAttempt { command: CommandId(uuid::Uuid::from_u128(7)), attempt: 2 };
        for kind in [PurposeKind::Desired, PurposeKind::Firmware, PurposeKind::Command(attempt)] {
            let purpose = Purpose { device: DeviceId::parse("a:b.c_1-x").unwrap(), kind };
            assert_eq!(Purpose::parse(&purpose.to_string()), Some(purpose));
        }
        for text in [
            "",
            "pump-1",
            "pump-1 x",
            "pump-1 command",
            "pump-1 command 7 1",
            "pump-1 desired 1",
            "? desired",
        ] {
            assert_eq!(Purpose::parse(text), None, "{text}");
        }
    }
}
