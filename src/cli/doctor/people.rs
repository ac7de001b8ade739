//! People: who can sign in, and how well that is guarded.

use super::finding::Finding;

const USERS: &str = "users";

/// The users, as they were found.
#[derive(Clone, Debug, Default)]
pub struct PeopleFacts {
    pub users: Vec<PersonFacts>,
    /// Other machines can reach where the page and the API are served.
    pub is_reachable: bool,
    /// Callers without a sign-in may do everything.
    pub is_open: bool,
    /// Anybody who reaches the hub may make an account.
    pub is_registration_open: bool,
    /// The dialects whose callers need no credential, with their rights: `002=viewer`.
    pub dialect_access: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, Default)]
pub struct PersonFacts {
    pub name: String,
    pub is_admin: bool,
    pub has_second_factor: bool,
    pub is_disabled: bool,
    /// The password is one that everybody tries first.
    pub has_default_password: bool,
}

/// Checks them.
pub fn check(facts: &PeopleFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let acting: Vec<&PersonFacts> = facts.users.iter().filter(|user| !user.is_disabled).collect();
    let admins: Vec<&&PersonFacts> = acting.iter().filter(|user| user.is_admin).collect();
    match (facts.users.is_empty(), facts.is_reachable, facts.is_open) {
        (_, true, true) => found.push(Finding::fail(
            USERS,
            "--open-to-network lets anybody do everything who reaches the hub",
            "leave it out, and make a user: twinhub user add NAME --role admin",
        )),
        (true, true, false) => found.push(Finding::fail(
            USERS,
            "there is no user, and without one the hub serves other machines nothing but the page of --lan to make it",
            "twinhub user add NAME --role admin",
        )),
        (true, false, _) => found.push(Finding::warn(
            USERS,
            "there is no user: every program and person on this machine may do everything",
            "twinhub user add NAME --role admin",
        )),
        (false, false, true) => found.push(Finding::warn(
            USERS,
            "--open lets every program and person on this machine do everything, although there are users",
            "leave it out",
        )),
        (false, _, false) => {}
    }
    if facts.is_reachable && facts.is_registration_open {
        found.push(Finding::warn(
            USERS,
            "whoever reaches the hub can make an account, and can learn which names are taken",
            "registration = \"closed\"",
        ));
    }
    for access in &facts.dialect_access {
        let whoever =
            if facts.is_reachable { "whoever reaches the hub" } else { "whoever asks from this machine" };
        found.push(Finding::warn(
            USERS,
            format!("{whoever} may use the routes of a dialect without a credential: {access}"),
            "leave it out of dialect-access where the clients of that system can bring a key",
        ));
    }
    if !facts.users.is_empty() && admins.is_empty() {
        found.push(Finding::fail(
            USERS,
            "there is no admin who can sign in",
            "twinhub user role NAME admin, or twinhub user add NAME --role admin",
        ));
    }
    for user in acting.iter().filter(|user| user.has_default_password) {
        let name = &user.name;
        found.push(Finding::fail(
            USERS,
            format!("{name} has a password that everybody tries first"),
            format!("twinhub user passwd {name}"),
        ));
    }
    if facts.is_reachable && !facts.is_open {
        for user in admins.iter().filter(|user| !user.has_second_factor) {
            let name = &user.name;
            found.push(Finding::warn(
                USERS,
                format!("the admin {name} has no second factor, and other machines can reach the hub"),
                format!("{name} turns it on: POST /api/auth/totp"),
            ));
        }
    }
    if found.is_empty() {
        let count =
            |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
        let users = format!("{}, {}", count(facts.users.len(), "user"), count(admins.len(), "admin"));
        found.push(Finding::ok(USERS, users));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::testing::bad;

    fn admin(name: &str) -> PersonFacts {
        PersonFacts { name: name.into(), is_admin: true, has_second_factor: true, ..PersonFacts::default() }
    }

    fn expect(facts: &PeopleFacts, expected: &[&str]) {
        let found = bad(&check(facts));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_hub_without_users_is_judged_by_where_it_is_reached() {
        expect(&PeopleFacts::default(), &["warn  users: there is no user: every program"]);
        let reachable = PeopleFacts { is_reachable: true, ..PeopleFacts::default() };
        expect(&reachable, &["fail  users: there is no user, and without one"]);
        let open = PeopleFacts { is_open: true, ..reachable };
        expect(&open, &["fail  users: --open-to-network lets anybody"]);
        let here = PeopleFacts { users: vec![admin("ann")], is_open: true, ..PeopleFacts::default() };
        expect(&here, &["warn  users: --open lets every program"]);
    }

    #[test]
    fn weak_users_are_found() {
        let of = |users: Vec<PersonFacts>, is_reachable| PeopleFacts {
            users,
            is_reachable,
            ..PeopleFacts::default()
        };
        expect(&of(vec![admin("ann")], true), &[]);
        let plain = PersonFacts { has_second_factor: false, ..admin("ann") };
        expect(&of(vec![plain.clone()], false), &[]);
        expect(&of(vec![plain.clone()], true), &["warn  users: the admin ann has no second factor"]);
        let gone = PersonFacts { is_disabled: true, ..plain };
        let viewer = PersonFacts { name: "bob".into(), ..PersonFacts::default() };
        expect(&of(vec![gone, viewer], true), &["fail  users: there is no admin who can sign in"]);
        let open = PeopleFacts { is_registration_open: true, ..of(vec![admin("ann")], true) };
        expect(&open, &["warn  users: whoever reaches the hub can make an account"]);
        let dialect =
            PeopleFacts { dialect_access: vec!["002=viewer".into()], ..of(vec![admin("ann")], true) };
        expect(&dialect, &["warn  users: whoever reaches the hub may use the routes of a dialect"]);
        let weak = PersonFacts { has_default_password: true, ..admin("admin") };
        expect(&of(vec![weak], false), &["fail  users: admin has a password that everybody tries first"]);
    }
}
