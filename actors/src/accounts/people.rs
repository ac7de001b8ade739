//! The users as they were last committed.

use std::collections::{BTreeMap, HashMap};

use twinhub_access::name::login_key;
use twinhub_access::user::ExternalSubject;
use twinhub_access::{Email, Role, User, UserId, UserName};

use crate::messages::accounts::{AccountRefusal, UserPage, UserView};

/// The users, by id, by name and by e-mail address.
#[derive(Debug, Default)]
pub struct People {
    users: HashMap<UserId, User>,
    /// By name, as names are compared: the order of lists.
    names: BTreeMap<String, UserId>,
    emails: HashMap<String, UserId>,
    /// By the person at the identity provider.
    external: HashMap<ExternalSubject, UserId>,
}

impl People {
    /// Puts a user in the place of the one of this id.
    pub fn put(&mut self, user: User) {
        self.remove(user.id);
        self.names.insert(user.name.key(), user.id);
        if let Some(email) = &user.email {
            self.emails.insert(email.key(), user.id);
        }
        if let Some(external) = &user.external {
            self.external.insert(external.clone(), user.id);
        }
        self.users.insert(user.id, user);
    }

    pub fn remove(&mut self, id: UserId) -> Option<User> {
        let user = self.users.remove(&id)?;
        self.names.remove(&user.name.key());
        if let Some(email) = &user.email {
            self.emails.remove(&email.key());
        }
        if let Some(external) = &user.external {
            self.external.remove(external);
        }
        Some(user)
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub fn get(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, id: UserId) -> Result<&User, AccountRefusal> {
        self.get(id).ok_or(AccountRefusal::UnknownUser)
    }

    /// The user who signs in as `login`, by name or by e-mail address.
    pub fn sign_in_as(&self, login: &str) -> Option<&User> {
        let key = login_key(login);
        self.names.get(&key).or_else(|| self.emails.get(&key)).and_then(|id| self.users.get(id))
    }

    /// The user who signs in as this person at the identity provider.
    pub fn known_as(&self, external: &ExternalSubject) -> Option<&User> {
        self.external.get(external).and_then(|id| self.users.get(id))
    }

    /// All users but one.
    pub fn others(&self, id: UserId) -> impl Iterator<Item = &User> {
        self.users.values().filter(move |user| user.id != id)
    }

    /// Is it an admin who can act, and nobody else is?
    pub fn is_last_admin(&self, user: &User) -> bool {
        user.check_removable(self.others(user.id)).is_err()
    }

    /// Goes on where no other user has this name or e-mail address.
    ///
    /// # Errors
    /// One has.
    pub fn check_free(
        &self,
        id: UserId,
        name: &UserName,
        email: Option<&Email>,
    ) -> Result<(), AccountRefusal> {
        if self.names.get(&name.key()).is_some_and(|other| *other != id) {
            return Err(AccountRefusal::NameTaken(name.clone()));
        }
        let has_email = email.and_then(|email| self.emails.get(&email.key()));
        if has_email.is_some_and(|other| *other != id) {
            return Err(AccountRefusal::EmailTaken);
        }
        Ok(())
    }

    /// A page of users, by name.
    pub fn page(&self, offset: usize, limit: usize) -> UserPage {
        let users = self.names.values().filter_map(|id| self.users.get(id));
        let users = users.skip(offset).take(limit).map(UserView::of).collect();
        UserPage { users, total: self.users.len() }
    }
}

/// The first user of a hub must be one who can let others in.
///
/// # Errors
/// There is no user yet, and this one is no admin.
pub fn check_first(people: &People, role: Role) -> Result<(), AccountRefusal> {
    match people.is_empty() && role != Role::Admin {
        true => Err(AccountRefusal::FirstAdmin),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use twinhub_access::user::{UserChange, UserSource};
    use twinhub_access::{Role, Scope};
    use twinhub_domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn user(id: u128, name: &str, email: Option<&str>, role: Role) -> User {
        let (id, name) = (UserId(Uuid::from_u128(id)), UserName::parse(name).unwrap());
        let user = User::new(id, name, (role, Scope::All), UserSource::Admin, Timestamp::default()).unwrap();
        User { email: email.map(|email| Email::parse(email).unwrap()), ..user }
    }

    #[test]
    fn users_are_found_by_what_they_have_now() {
        let mut people = People::default();
        let ann = user(1, "Ann", Some("ann@example.com"), Role::Admin);
        people.put(ann.clone());
        people.put(user(2, "bob", None, Role::Viewer));
        for (login, expected) in [
            ("ann", Some(1)),
            (" ANN ", Some(1)),
            ("Ann@Example.com", Some(1)),
            ("bob", Some(2)),
            ("eve", None),
        ] {
            let found = people.sign_in_as(login).map(|user| user.id.0.as_u128());
            assert_eq!(found, expected, "{login}");
        }
        let change = UserChange { email: Some(None), ..UserChange::default() };
        people.put(ann.changed(change, people.others(ann.id)).unwrap());
        assert!(people.sign_in_as("ann@example.com").is_none());
        let names: Vec<_> = people.page(0, 9).users.into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["Ann", "bob"].map(|name| UserName::parse(name).unwrap()));
        assert_eq!((people.page(1, 1).users.len(), people.page(5, 1).total), (1, 2));
        assert!(people.remove(ann.id).is_some() && people.sign_in_as("ann").is_none());
    }

    #[test]
    fn names_and_addresses_are_one_persons() {
        let mut people = People::default();
        let ann = user(1, "Ann", Some("ann@example.com"), Role::Admin);
        people.put(ann.clone());
        let (name, email) = (UserName::parse("aNN").unwrap(), Email::parse("ANN@example.com").unwrap());
        let other = UserId(Uuid::from_u128(2));
        assert_eq!(people.check_free(other, &name, None), Err(AccountRefusal::NameTaken(name.clone())));
        let free = UserName::parse("bob").unwrap();
        assert_eq!(people.check_free(other, &free, Some(&email)), Err(AccountRefusal::EmailTaken));
        assert_eq!(people.check_free(other, &free, None), Ok(()));
        assert_eq!(people.check_free(ann.id, &name, Some(&email)), Ok(()), "their own");
        assert!(people.is_last_admin(&ann));
        people.put(user(3, "eve", None, Role::Admin));
        assert!(!people.is_last_admin(&ann));
    }
}
