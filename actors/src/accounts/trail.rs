//! Entries of the audit: how they are made, and those of refused sign-ins, which are written together. So whoever guesses
//! passwords does not have the hub write to its disk for each.

use std::collections::HashMap;
use std::net::IpAddr;

use twinhub_access::{Action, AuditEntry, AuditOutcome, User};
use twinhub_domain::{Json, Object, Timestamp};

use crate::messages::accounts::Asker;

/// Entries that wait; of more than these the number is written.
const MOST: usize = 1_000;

/// Refused sign-ins that are not written yet.
#[derive(Debug, Default)]
pub struct RefusedSignIns {
    entries: Vec<AuditEntry>,
    /// The tries that the limits let not through, by address, and the last of them.
    limited: HashMap<IpAddr, (Timestamp, i64)>,
    left_out: i64,
    last: Timestamp,
}

/// The cause of a refusal, as the audit says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Credentials,
    Code,
    SetUpToken,
    /// An identity provider knows them, and none of their groups may sign in.
    NoRights,
}

impl RefusedSignIns {
    /// Notes a refused try. `user` is the user who was named, where there is one: a name that nobody has may well be a
    /// password in the wrong field, and stands nowhere.
    pub fn note(&mut self, now: Timestamp, address: IpAddr, user: Option<&User>, reason: Reason) {
        self.last = now;
        if self.entries.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let word = match reason {
            Reason::Credentials => "credentials",
            Reason::Code => "code",
            Reason::SetUpToken => "set_up_token",
            Reason::NoRights => "no_rights",
        };
        let action = if reason == Reason::SetUpToken { Action::HubSetUp } else { Action::SignedIn };
        let target = user.map(target_of).unwrap_or_default();
        let detail = [("reason", Json::from(word))].into_iter().collect();
        self.entries.push(refused(now, action, detail).with_address(address).with_target(&target));
    }

    /// Notes a try that was not looked at.
    pub fn note_limited(&mut self, now: Timestamp, address: IpAddr) {
        self.last = now;
        if self.limited.len() >= MOST && !self.limited.contains_key(&address) {
            self.left_out += 1;
            return;
        }
        let (last, tries) = self.limited.entry(address).or_default();
        (*last, *tries) = (now, tries.saturating_add(1));
    }

    /// Takes out the entries that are to be written.
    pub fn take(&mut self) -> Vec<AuditEntry> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.extend(self.limited.drain().map(|(address, (last, tries))| {
            let detail = [("reason", Json::from("limited")), ("tries", Json::from(tries))];
            refused(last, Action::SignedIn, detail.into_iter().collect()).with_address(address)
        }));
        if self.left_out > 0 {
            let tries = std::mem::take(&mut self.left_out);
            let detail = [("reason", Json::from("left_out")), ("tries", Json::from(tries))];
            entries.push(refused(self.last, Action::SignedIn, detail.into_iter().collect()));
        }
        entries
    }

    /// Puts entries back that could not be written.
    pub fn put_back(&mut self, entries: Vec<AuditEntry>) {
        let room = MOST.saturating_sub(self.entries.len());
        for (place, entry) in entries.into_iter().enumerate() {
            if place < room {
                self.entries.push(entry);
            } else {
                self.left_out = self.left_out.saturating_add(tries_of(&entry));
            }
        }
    }
}

/// The number of tries that an entry stands for.
#[expect(clippy::cast_possible_truncation, reason = "it was an i64 before")]
fn tries_of(entry: &AuditEntry) -> i64 {
    entry.detail.get("tries").and_then(Json::as_f64).map_or(1, |tries| tries as i64)
}

/// The name of a user in the audit.
pub fn target_of(user: &User) -> String {
    format!("user:{}", user.name)
}

/// An entry of what `by` did to `target`.
pub fn entry(by: &Asker, now: Timestamp, action: Action, target: &str) -> AuditEntry {
    let entry = AuditEntry::new(now, &by.name, action).with_target(target);
    match by.address {
        Some(address) => entry.with_address(address),
        None => entry,
    }
}

/// An entry of what a user did who was not signed in before.
pub fn own_entry(user: &User, now: Timestamp, action: Action, address: IpAddr) -> AuditEntry {
    let name = target_of(user);
    AuditEntry::new(now, &name, action).with_target(&name).with_address(address)
}

fn refused(now: Timestamp, action: Action, detail: Object) -> AuditEntry {
    AuditEntry::new(now, "", action).with_outcome(AuditOutcome::Refused).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn a_flood_is_a_few_entries() {
        let (now, mut refused) = (Timestamp::from_millis(1_000), RefusedSignIns::default());
        refused.note(now, address(1), None, Reason::Credentials);
        for _ in 0..10_000 {
            refused.note_limited(now, address(1));
        }
        let entries = refused.take();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].detail.get("tries"), Some(&Json::from(10_000)));
        assert!(
            entries.iter().all(|entry| entry.outcome == AuditOutcome::Refused && entry.target.is_empty())
        );
        assert!(refused.take().is_empty());
    }

    #[test]
    fn memory_is_bounded_while_the_store_fails() {
        let (now, mut refused) = (Timestamp::from_millis(1_000), RefusedSignIns::default());
        for _ in 0..3 {
            let entries = refused.take();
            for _ in 0..MOST {
                refused.note(now, address(1), None, Reason::Code);
            }
            refused.put_back(entries);
        }
        let entries = refused.take();
        assert_eq!(entries.len(), MOST + 1);
        let left_out = entries[MOST].detail.get("tries").and_then(Json::as_f64);
        assert_eq!(left_out, Some(2_000.0), "all but a thousand of three thousand");
    }
}
