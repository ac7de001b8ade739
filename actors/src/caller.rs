//! Callers. The rights of a caller at the hub are a [`Grant`](crate::access::Grant).

use std::fmt;
use std::sync::Arc;

pub use twinhub_access::{Permission, Permissions};
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
    /// A caller of a dialect without a credential, by the dialect's name.
    Dialect(Arc<str>),
    /// A rule.
    Rule(RuleId),
    /// This program itself.
    Program,
}

impl Caller {
    /// The caller's name in a cause: `user:ann`, `key:ci`, `device:pump-1`, `dialect:x`; empty for callers without a name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous | Self::Program => String::new(),
            Self::Person(name) => format!("user:{name}"),
            Self::Key(name) => format!("key:{name}"),
            Self::Device(id) => format!("device:{id}"),
            Self::Dialect(name) => format!("dialect:{name}"),
            Self::Rule(id) => id.to_string(),
        }
    }

    /// The name in the audit, which also names the command line of the hub's own machine.
    #[must_use]
    pub fn audit_name(&self) -> String {
        match self {
            Self::Program => self.to_string(),
            _ => self.name(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_named_in_causes() {
        let device = DeviceId::parse("pump-1").unwrap();
        for (caller, by) in [
            (Caller::Anonymous, ""),
            (Caller::Program, ""),
            (Caller::Person("ann".into()), "user:ann"),
            (Caller::Key("ci".into()), "key:ci"),
            (Caller::Device(device), "device:pump-1"),
            (Caller::Dialect("x".into()), "dialect:x"),
            (Caller::Rule(RuleId::parse("cool").unwrap()), "cool"),
        ] {
            assert_eq!(caller.cause(Source::Rest), Cause::new(Source::Rest, by));
        }
    }
}
