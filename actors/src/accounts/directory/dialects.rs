//! The accounts of dialects: rights of callers who come by a dialect's routes without any credential.

use std::sync::Arc;

use twinhub_access::{Permission, Rights, Role, Scope};

/// The account by which callers of one dialect act who have no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectAccount {
    /// The name in causes, limits and the audit, behind `dialect:`.
    pub name: Arc<str>,
    pub rights: Rights,
}

impl DialectAccount {
    /// The account of a dialect. It is nobody's, so it has no account to see or change.
    #[must_use]
    pub fn new(name: &str, role: Role, scope: &Scope) -> Self {
        let rights = Rights::new(role, scope);
        let permissions = rights.permissions.without(Permission::Account).without(Permission::Users);
        Self { name: name.into(), rights: Rights { permissions, ..rights } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_dialect_is_nobodys() {
        for role in Role::OF_PEOPLE {
            let DialectAccount { name, rights } = DialectAccount::new("x", role, &Scope::All);
            assert_eq!((&*name, rights.role), ("x", role));
            for permission in Permission::ALL {
                let has = role.permissions().contain(permission)
                    && !matches!(permission, Permission::Account | Permission::Users);
                assert_eq!(rights.permissions.contain(permission), has, "{role} {permission}");
            }
        }
    }
}
