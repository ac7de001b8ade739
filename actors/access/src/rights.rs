//! Rights: a role, and the devices for which it counts.

use crate::role::{Permission, Permissions, Role};
use crate::scope::{Place, Scope, Scopes};

/// The rights of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    pub role: Role,
    pub permissions: Permissions,
    pub scopes: Scopes,
}

impl Rights {
    /// The rights of a role in a scope.
    #[must_use]
    pub fn new(role: Role, scope: &Scope) -> Self {
        Self { role, permissions: role.permissions(), scopes: Scopes::from(scope) }
    }

    /// The same, and no more than `role` in `scope` has.
    #[must_use]
    pub fn narrowed_by(self, role: Role, scope: &Scope) -> Self {
        let permissions = self.permissions.narrowed_by(role.permissions());
        let role = if self.role.is_within(role) { self.role } else { role };
        Self { role, permissions, scopes: self.scopes.narrowed_by(scope) }
    }

    /// The permissions that count in the scopes: who does not reach all devices has none for the hub as a whole.
    #[must_use]
    pub fn permissions_in_scope(&self) -> Permissions {
        if self.scopes.are_all() {
            return self.permissions;
        }
        Permission::OF_WHOLE_HUB.into_iter().fold(self.permissions, Permissions::without)
    }

    /// May they see this device?
    #[must_use]
    pub fn reach(&self, place: &impl Place) -> bool {
        self.scopes.contain(place)
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::DeviceId;
    use twinhub_domain::fleet::GroupTree;

    use super::*;
    use crate::scope::InTree;

    #[test]
    fn rights_that_are_narrowed_have_what_both_have() {
        let (pump, tree) = (DeviceId::parse("pump").unwrap(), GroupTree::default());
        let fan = DeviceId::parse("fan").unwrap();
        let only = Scope::Devices([pump.clone()].into());
        for own in Role::ALL {
            for other in Role::ALL {
                let rights = Rights::new(own, &Scope::All).narrowed_by(other, &only);
                assert_eq!(rights.permissions, own.permissions().narrowed_by(other.permissions()));
                assert!(rights.role == own || rights.role == other);
                assert!(rights.permissions.are_within(rights.role.permissions()), "{own} {other}");
                let at = |device| InTree { device, owner: "", group: "", tree: &tree };
                assert!(rights.reach(&at(&pump)) && !rights.reach(&at(&fan)));
            }
        }
    }
}
