//! Users: people who sign in, and the changes of them that are allowed.

use std::fmt;

use serde::{Deserialize, Serialize};
use twinhub_domain::Timestamp;
use uuid::Uuid;

use crate::name::{DisplayName, Email, UserName};
use crate::password::PasswordHash;
use crate::rights::Rights;
use crate::role::Role;
use crate::scope::Scope;
use crate::totp::Totp;

/// A user's id, which outlives changes of the name and is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// The devices that a user may claim, where nobody says otherwise.
pub const QUOTA: u32 = 50;

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub name: UserName,
    pub email: Option<Email>,
    pub display_name: DisplayName,
    pub role: Role,
    pub scope: Scope,
    /// The most devices that they may claim. Admins have no such limit.
    pub quota: u32,
    /// None: they sign in by an identity provider alone, or not yet.
    pub password: Option<PasswordHash>,
    pub totp: Option<Totp>,
    /// They cannot sign in, and their keys do not work.
    pub disabled: bool,
    pub created_at: Timestamp,
    pub source: UserSource,
}

/// The way by which a user came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserSource {
    /// The set-up link of the first start.
    Setup,
    /// The command line on the machine.
    CommandLine,
    /// Another admin.
    Admin,
    /// An invitation.
    Invitation,
    /// Their own registration.
    Registration,
    /// An identity provider.
    SingleSignOn,
    /// The environment: `DEMO_USER`.
    Environment,
}

/// A change of a user by an admin. Members that are none stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserChange {
    /// None in it: without one.
    pub email: Option<Option<Email>>,
    pub display_name: Option<DisplayName>,
    pub role: Option<Role>,
    pub scope: Option<Scope>,
    pub quota: Option<u32>,
    pub disabled: Option<bool>,
}

/// Reasons not to change or remove a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUserChange {
    #[error("this is the last admin: make another one first")]
    LastAdmin,
    #[error("an admin's scope is all devices")]
    AdminScope,
    #[error("a user is viewer, operator or admin")]
    DeviceRole,
}

impl UserId {
    /// Is `text` this id in its written form?
    #[must_use]
    pub fn is_text(&self, text: &str) -> bool {
        *self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl User {
    /// A user of a role in a scope, with nothing else.
    ///
    /// # Errors
    /// A user cannot have this role, or not in this scope.
    pub fn new(
        id: UserId,
        name: UserName,
        (role, scope): (Role, Scope),
        source: UserSource,
        now: Timestamp,
    ) -> Result<Self, BadUserChange> {
        check_rights(role, &scope)?;
        Ok(Self {
            id,
            name,
            email: None,
            display_name: DisplayName::default(),
            role,
            scope,
            quota: QUOTA,
            password: None,
            totp: None,
            disabled: false,
            created_at: now,
            source,
        })
    }

    /// The user's rights; none for one that is disabled.
    #[must_use]
    pub fn rights(&self) -> Option<Rights> {
        (!self.disabled).then(|| Rights::new(self.role, &self.scope))
    }

    /// The most devices that they may own; none: as many as they like.
    #[must_use]
    pub fn quota(&self) -> Option<u32> {
        (self.role != Role::Admin).then_some(self.quota)
    }

    /// Is it an admin who can act?
    #[must_use]
    pub fn is_acting_admin(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }

    /// May they claim one more device beside the `claimed` that they own?
    #[must_use]
    pub fn may_claim(&self, claimed: u64) -> bool {
        self.role == Role::Admin || claimed < u64::from(self.quota)
    }

    /// The user after a change. `others` are all other users.
    ///
    /// # Errors
    /// The change is not allowed.
    pub fn changed<'a>(
        &self,
        change: UserChange,
        others: impl IntoIterator<Item = &'a User>,
    ) -> Result<Self, BadUserChange> {
        let UserChange { email, display_name, role, scope, quota, disabled } = change;
        let after = Self {
            email: email.unwrap_or_else(|| self.email.clone()),
            display_name: display_name.unwrap_or_else(|| self.display_name.clone()),
            role: role.unwrap_or(self.role),
            scope: scope.unwrap_or_else(|| self.scope.clone()),
            quota: quota.unwrap_or(self.quota),
            disabled: disabled.unwrap_or(self.disabled),
            ..self.clone()
        };
        check_rights(after.role, &after.scope)?;
        if !after.is_acting_admin() {
            self.check_is_not_last_admin(others)?;
        }
        Ok(after)
    }

    /// Checks that the user can be removed. `others` are all other users.
    ///
    /// # Errors
    /// It is the last admin.
    pub fn check_removable<'a>(
        &self,
        others: impl IntoIterator<Item = &'a User>,
    ) -> Result<(), BadUserChange> {
        self.check_is_not_last_admin(others)
    }

    fn check_is_not_last_admin<'a>(
        &self,
        others: impl IntoIterator<Item = &'a User>,
    ) -> Result<(), BadUserChange> {
        let has_other = || others.into_iter().any(|other| other.id != self.id && other.is_acting_admin());
        if self.is_acting_admin() && !has_other() { Err(BadUserChange::LastAdmin) } else { Ok(()) }
    }
}

fn check_rights(role: Role, scope: &Scope) -> Result<(), BadUserChange> {
    match role {
        Role::Device => Err(BadUserChange::DeviceRole),
        Role::Admin if *scope != Scope::All => Err(BadUserChange::AdminScope),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A user whose scope is all devices.
    pub(crate) fn user(number: u128, name: &str, role: Role) -> User {
        let (id, name) = (UserId(Uuid::from_u128(number)), UserName::parse(name).unwrap());
        User::new(id, name, (role, Scope::All), UserSource::Admin, Timestamp::default()).unwrap()
    }

    #[test]
    fn the_last_admin_stays_one() {
        let (ann, bob, eve) =
            (user(1, "ann", Role::Admin), user(2, "bob", Role::Operator), user(3, "eve", Role::Admin));
        let away = User { disabled: true, ..eve.clone() };
        let lesser = [
            UserChange { role: Some(Role::Operator), ..UserChange::default() },
            UserChange { role: Some(Role::Viewer), scope: Some(Scope::Nothing), ..UserChange::default() },
            UserChange { disabled: Some(true), ..UserChange::default() },
        ];
        for change in lesser {
            // Whether she herself is among the others or not.
            assert_eq!(ann.changed(change.clone(), [&bob, &away]), Err(BadUserChange::LastAdmin));
            assert_eq!(ann.changed(change.clone(), [&ann, &bob]), Err(BadUserChange::LastAdmin));
            assert!(ann.changed(change.clone(), [&bob, &eve]).is_ok());
            assert!(bob.changed(change, [&ann]).is_ok(), "he is none");
        }
        assert_eq!(ann.check_removable([&bob, &away]), Err(BadUserChange::LastAdmin));
        assert_eq!(ann.check_removable([&eve]), Ok(()));
        assert_eq!(away.check_removable([&bob]), Ok(()));
        let renamed =
            UserChange { display_name: Some(DisplayName::parse("Ann").unwrap()), ..UserChange::default() };
        assert_eq!(ann.changed(renamed, []).unwrap().display_name.as_str(), "Ann");
    }

    #[test]
    fn changes_change_what_they_name() {
        let bob =
            User { email: Some(Email::parse("b@example.com").unwrap()), ..user(2, "bob", Role::Viewer) };
        assert_eq!(bob.changed(UserChange::default(), []), Ok(bob.clone()));
        let own = Scope::Own(bob.id);
        let change = UserChange {
            email: Some(None),
            display_name: None,
            role: Some(Role::Operator),
            scope: Some(own.clone()),
            quota: Some(3),
            disabled: Some(true),
        };
        let expected =
            User { email: None, role: Role::Operator, scope: own, quota: 3, disabled: true, ..bob.clone() };
        assert_eq!(bob.changed(change, []), Ok(expected));
        for (role, scope, expected) in [
            (Role::Device, None, BadUserChange::DeviceRole),
            (Role::Admin, Some(Scope::Nothing), BadUserChange::AdminScope),
        ] {
            let change = UserChange { role: Some(role), scope, ..UserChange::default() };
            assert_eq!(bob.changed(change, []), Err(expected));
        }
    }

    #[test]
    fn rights_and_quota_are_those_of_the_role() {
        let bob = User { quota: 2, ..user(2, "bob", Role::Operator) };
        assert_eq!(bob.rights(), Some(Rights::new(Role::Operator, &Scope::All)));
        assert_eq!(User { disabled: true, ..bob.clone() }.rights(), None);
        assert!(bob.may_claim(1) && !bob.may_claim(2));
        assert!(user(1, "ann", Role::Admin).may_claim(1_000));
    }

    #[test]
    fn a_user_is_read_as_it_was_written() {
        let mut ann = user(1, "ann", Role::Admin);
        ann.email = Some(Email::parse("ann@example.com").unwrap());
        let text = serde_json::to_string(&ann).unwrap();
        assert_eq!(serde_json::from_str::<User>(&text).unwrap(), ann);
        assert!(ann.id.is_text(&ann.id.to_string()) && !ann.id.is_text(""));
    }
}
