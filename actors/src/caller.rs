//! Callers and permissions. The rights of a caller at the hub are a [`Grant`](crate::access::Grant).

use std::fmt;
use std::sync::Arc;

use twinhub_domain::cause::Source;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Cause, DeviceId};

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A caller of a hub without authentication.
    Anonymous,
    /// A person, by their user name.
    Person(Arc<str>),
    /// A program with a key, by the key's name.
    Key(Arc<str>),
    /// A device.
    Device(DeviceId),
    /// A rule.
    Rule(RuleId),
    /// This program itself.
    Program,
}

impl Caller {
    /// The caller's name in a cause: `user:ann`, `key:ci`, `device:pump-1`; empty for callers without a name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous | Self::Program => String::new(),
            Self::Person(name) => format!("user:{name}"),
            Self::Key(name) => format!("key:{name}"),
            Self::Device(id) => format!("device:{id}"),
            Self::Rule(id) => id.to_string(),
        }
    }

    /// The cause of their actions by way of `source`.
    #[must_use]
    pub fn cause(&self, source: Source) -> Cause {
        Cause::new(source, &self.name())
    }
}

impl fmt::Display for Caller {
    /// For the log: as in causes, and words for callers without a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Program => f.write_str("program"),
            Self::Rule(id) => write!(f, "rule:{id}"),
            _ => f.write_str(&self.name()),
        }
    }
}

/// A permission. Each route and each message to an actor takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Ask whether the hub is there.
    Public,
    /// See how the hub is in detail, and the description of the API.
    Monitor,
    /// See devices, their data, events, commands, alarms, groups, templates, jobs, and rules with their runs.
    Read,
    /// Speak for a device: readings, answers to commands, polls, the firmware that it fetches.
    Report,
    /// Steer devices: commands, desired state, mode, schedule; alarms; have rules run, or not.
    Operate,
    /// Change the set of devices, and their properties: register, claim, change, remove; groups, jobs, imports.
    Manage,
    /// Make and change rules and templates.
    Automate,
    /// Take in firmware images and remove them.
    Firmware,
    /// Take data out in bulk, and have the past computed again.
    Export,
    /// Tell rules something from outside.
    Trigger,
    /// See data of the hub and no device: messages that were refused, the answers to webhooks.
    Administer,
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Public,
        Self::Monitor,
        Self::Read,
        Self::Report,
        Self::Operate,
        Self::Manage,
        Self::Automate,
        Self::Firmware,
        Self::Export,
        Self::Trigger,
        Self::Administer,
    ];

    /// The word for it: `read`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Monitor => "monitor",
            Self::Read => "read",
            Self::Report => "report",
            Self::Operate => "operate",
            Self::Manage => "manage",
            Self::Automate => "automate",
            Self::Firmware => "firmware",
            Self::Export => "export",
            Self::Trigger => "trigger",
            Self::Administer => "administer",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u16);

impl Permissions {
    /// All permissions.
    #[must_use]
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// The same without `permission`.
    #[must_use]
    pub fn without(self, permission: Permission) -> Self {
        Self(self.0 & !Self::bit(permission))
    }

    /// Is `permission` one of them?
    #[must_use]
    pub fn contain(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    fn bit(permission: Permission) -> u16 {
        1 << permission as u16
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<T: IntoIterator<Item = Permission>>(permissions: T) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | Self::bit(permission)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_was_put_into_it() {
        for given in Permission::ALL {
            let set: Permissions = [given].into_iter().collect();
            for asked in Permission::ALL {
                assert_eq!(set.contain(asked), asked == given, "{given} {asked}");
                assert!(Permissions::all().contain(asked));
                assert_eq!(Permissions::all().without(given).contain(asked), asked != given);
            }
        }
    }

    #[test]
    fn callers_are_named_in_causes() {
        let device = DeviceId::parse("pump-1").unwrap();
        for (caller, by) in [
            (Caller::Anonymous, ""),
            (Caller::Program, ""),
            (Caller::Person("ann".into()), "user:ann"),
            (Caller::Key("ci".into()), "key:ci"),
            (Caller::Device(device), "device:pump-1"),
            (Caller::Rule(RuleId::parse("cool").unwrap()), "cool"),
        ] {
            assert_eq!(caller.cause(Source::Rest), Cause::new(Source::Rest, by));
        }
    }
}
