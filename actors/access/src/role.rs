//! Roles, and the permissions of each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A role of a caller. Its scope says for which devices it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Steers and manages.
    Operator,
    /// May do everything.
    Admin,
    /// A device, which speaks for itself.
    Device,
}

/// A permission. Each route and each message to an actor takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Ask whether the hub is there.
    Public,
    /// See how the hub is in detail.
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
    /// See and change one's own account: password, sessions, keys, second factor.
    Account,
    /// See and change other people's accounts and keys, and see the audit.
    Users,
}

/// The roles with each permission.
const TABLE: [(Permission, &[Role]); 13] = {
    use Permission::{
        Account, Administer, Automate, Export, Firmware, Manage, Monitor, Operate, Public, Read, Report,
        Trigger, Users,
    };
    use Role::{Admin, Device, Operator, Viewer};
    [
        (Public, &[Device, Viewer, Operator, Admin]),
        (Monitor, &[Viewer, Operator, Admin]),
        (Read, &[Device, Viewer, Operator, Admin]),
        (Report, &[Device, Operator, Admin]),
        (Operate, &[Operator, Admin]),
        (Manage, &[Operator, Admin]),
        (Automate, &[Operator, Admin]),
        (Firmware, &[Admin]),
        (Export, &[Viewer, Operator, Admin]),
        (Trigger, &[Operator, Admin]),
        (Administer, &[Admin]),
        (Account, &[Viewer, Operator, Admin]),
        (Users, &[Admin]),
    ]
};

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Device];
    /// The roles of people and of service accounts.
    pub const OF_PEOPLE: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role's permissions.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        let own = TABLE.into_iter().filter(|(_, roles)| roles.contains(&self));
        own.map(|(permission, _)| permission).collect()
    }

    /// Is every permission of it one of `other` too?
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.permissions().are_within(other.permissions())
    }

    /// The word for it: `viewer`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Device => "device",
        }
    }

    /// The role of people with this word.
    ///
    /// # Errors
    /// There is no such role, or people cannot have it.
    pub fn parse(word: &str) -> Result<Self, BadRole> {
        Self::OF_PEOPLE.into_iter().find(|role| role.as_str() == word).ok_or(BadRole)
    }
}

/// The error for a word that is no role of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, operator or admin")]
pub struct BadRole;

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 13] = [
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
        Self::Account,
        Self::Users,
    ];

    /// Those that are for the hub as a whole, and for no device: a scope that leaves devices out takes them away.
    pub const OF_WHOLE_HUB: [Self; 4] = [Self::Monitor, Self::Firmware, Self::Administer, Self::Users];

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
            Self::Account => "account",
            Self::Users => "users",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// The permissions in both sets.
    #[must_use]
    pub fn narrowed_by(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Is each of them in `other` too?
    #[must_use]
    pub fn are_within(self, other: Self) -> bool {
        self.narrowed_by(other) == self
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
            assert!(set.are_within(Permissions::all()) && !Permissions::all().are_within(set));
            assert_eq!(set.narrowed_by(Permissions::all().without(given)), Permissions::default());
        }
    }

    /// The table once more, as people read it: a cell that changes must be changed in both.
    #[test]
    fn each_role_has_its_permissions() {
        let table = "
            permission  device viewer operator admin
            public      yes    yes    yes      yes
            monitor     -      yes    yes      yes
            read        yes    yes    yes      yes
            report      yes    -      yes      yes
            operate     -      -      yes      yes
            manage      -      -      yes      yes
            automate    -      -      yes      yes
            firmware    -      -      -        yes
            export      -      yes    yes      yes
            trigger     -      -      yes      yes
            administer  -      -      -        yes
            account     -      yes    yes      yes
            users       -      -      -        yes";
        let mut lines = table.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let mut cells = 0;
        for line in lines {
            let permission = Permission::ALL.into_iter().find(|one| one.as_str() == line[0]).unwrap();
            for (word, cell) in head[1..].iter().zip(&line[1..]) {
                let role = Role::ALL.into_iter().find(|role| role.as_str() == *word).unwrap();
                assert_eq!(role.permissions().contain(permission), *cell == "yes", "{role} {permission}");
                cells += 1;
            }
        }
        assert_eq!(cells, Permission::ALL.len() * Role::ALL.len());
        assert_eq!(Role::Admin.permissions(), Permissions::all());
    }

    #[test]
    fn roles_contain_each_other() {
        for (within, of) in [("viewer", "operator"), ("operator", "admin"), ("viewer", "viewer")] {
            let (within, of) = (Role::parse(within).unwrap(), Role::parse(of).unwrap());
            assert!(within.is_within(of) && (within == of || !of.is_within(within)));
        }
        assert!(!Role::Device.is_within(Role::Viewer) && Role::Device.is_within(Role::Operator));
        for wrong in ["device", "Admin", "", "root"] {
            assert_eq!(Role::parse(wrong), Err(BadRole), "{wrong}");
        }
    }
}
