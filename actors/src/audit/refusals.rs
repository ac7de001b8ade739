//! Refusals on their way to the audit. The first of a kind is written at the next look; those that follow within a minute
//! are gathered to one entry, with their number as `tries`.

use std::collections::HashMap;
use std::net::IpAddr;

use twinhub_access::{Action, AuditEntry, AuditOutcome};
use twinhub_domain::{Json, Timestamp};

/// Kinds that are kept apart; of refusals beyond it the number alone is written.
const MOST_KINDS: usize = 1_000;
/// The time for which refusals of a kind are gathered after its first.
const GATHERED_MS: u64 = 60_000;

/// The refusals that are not written yet, and the kinds of those that were just now.
#[derive(Debug, Default)]
pub struct Refusals {
    kinds: HashMap<Kind, Gathered>,
    left_out: Option<(Timestamp, i64)>,
}

/// Refusals that are told together: by the same caller, from the same address, of the same thing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    who: Box<str>,
    address: Option<IpAddr>,
    action: Action,
    target: Box<str>,
}

#[derive(Debug)]
struct Gathered {
    last: AuditEntry,
    tries: i64,
    /// The time of the last entry of this kind.
    written_at: Option<Timestamp>,
}

impl Refusals {
    /// True when there is nothing to be written now or later.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.left_out.is_none()
    }

    /// Notes a refusal.
    pub fn note(&mut self, entry: AuditEntry) {
        let kind = Kind {
            who: entry.who.clone(),
            address: entry.address,
            action: entry.action,
            target: entry.target.clone(),
        };
        if let Some(gathered) = self.kinds.get_mut(&kind) {
            gathered.tries = gathered.tries.saturating_add(1);
            gathered.last = entry;
            return;
        }
        if self.kinds.len() >= MOST_KINDS {
            let tries = self.left_out.map_or(0, |(_, tries)| tries);
            self.left_out = Some((entry.at, tries.saturating_add(1)));
            return;
        }
        self.kinds.insert(kind, Gathered { last: entry, tries: 1, written_at: None });
    }

    /// Takes out the entries whose time has come.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<AuditEntry> {
        let is_due = |gathered: &Gathered| {
            gathered.written_at.is_none_or(|at| now.millis().abs_diff(at.millis()) >= GATHERED_MS)
        };
        let mut entries = Vec::new();
        self.kinds.retain(|_, gathered| {
            if !is_due(gathered) {
                return true;
            }
            let entry = gathered.take();
            // A kind that was silent for a minute begins anew.
            let goes_on = entry.is_some();
            entries.extend(entry);
            gathered.written_at = Some(now);
            goes_on
        });
        entries.extend(self.take_left_out());
        entries
    }

    /// Takes all out, whether their time has come or not.
    pub fn take_all(&mut self) -> Vec<AuditEntry> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for gathered in self.kinds.values_mut().filter(|gathered| gathered.tries > 0) {
            let at = gathered.last.at;
            entries.extend(gathered.take());
            gathered.written_at.get_or_insert(at);
        }
        entries.sort_by_key(|entry| entry.at);
        entries.extend(self.take_left_out());
        entries
    }

    fn take_left_out(&mut self) -> Option<AuditEntry> {
        let (at, tries) = self.left_out.take()?;
        let detail = [("reason", Json::from("left_out")), ("tries", Json::from(tries))];
        let entry = AuditEntry::new(at, "", Action::AccessRefused).with_outcome(AuditOutcome::Refused);
        Some(entry.with_detail(detail.into_iter().collect()))
    }
}

impl Gathered {
    /// The entry of those that have come since the last one; none where none has.
    fn take(&mut self) -> Option<AuditEntry> {
        let tries = std::mem::take(&mut self.tries);
        let mut entry = (tries > 0).then(|| self.last.clone())?;
        if tries > 1 {
            entry.detail.insert("tries", Json::from(tries));
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, who: &str) -> AuditEntry {
        AuditEntry::new(Timestamp::from_millis(at), who, Action::AccessRefused)
            .with_outcome(AuditOutcome::Refused)
    }

    fn tries(entries: &[AuditEntry]) -> Vec<(String, f64)> {
        let tries = |entry: &AuditEntry| entry.detail.get("tries").and_then(Json::as_f64).unwrap_or(1.0);
        entries.iter().map(|entry| (entry.who.to_string(), tries(entry))).collect()
    }

    #[test]
    fn a_flood_is_an_entry_at_once_and_one_a_minute() {
        let (mut refusals, at) = (Refusals::default(), Timestamp::from_millis);
        refusals.note(entry(0, "user:ann"));
        assert_eq!(tries(&refusals.take_due(at(100))), [("user:ann".to_owned(), 1.0)]);
        for n in 0..1_000 {
            refusals.note(entry(200 + n, "user:ann"));
            assert!(refusals.take_due(at(200 + n)).is_empty());
        }
        refusals.note(entry(1_300, "user:bob"));
        assert_eq!(tries(&refusals.take_due(at(1_400))), [("user:bob".to_owned(), 1.0)]);
        assert_eq!(tries(&refusals.take_due(at(60_100))), [("user:ann".to_owned(), 1_000.0)]);
        refusals.note(entry(60_200, "user:ann"));
        assert!(refusals.take_due(at(60_300)).is_empty(), "it goes on");
        assert_eq!(tries(&refusals.take_due(at(120_200))), [("user:ann".to_owned(), 1.0)]);
        assert!(refusals.take_due(at(200_000)).is_empty() && refusals.is_empty(), "all is forgotten");
        refusals.note(entry(200_100, "user:ann"));
        assert_eq!(tries(&refusals.take_due(at(200_200))), [("user:ann".to_owned(), 1.0)], "at once again");
    }

    #[test]
    fn whoever_reads_the_audit_has_all_of_it() {
        let mut refusals = Refusals::default();
        refusals.note(entry(1, "user:ann"));
        refusals.note(entry(2, "user:bob"));
        refusals.note(entry(3, "user:ann"));
        let all = [("user:bob".to_owned(), 1.0), ("user:ann".to_owned(), 2.0)];
        assert_eq!(tries(&refusals.take_all()), all);
        assert!(refusals.take_all().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        for n in 0..3 * MOST_KINDS {
            refusals.note(entry(5, &format!("user:{n}")));
        }
        let entries = refusals.take_all();
        assert_eq!(entries.len(), MOST_KINDS + 1);
        assert_eq!(tries(&entries[MOST_KINDS..])[0].1, 2_000.0);
    }
}
