//! Convergence: which desired properties the device has not come to, since when, and why.

use serde::{Deserialize, Serialize};

use super::Properties;
use super::delta::{Comparison, Missing};
use super::path::{heads, inside};
use crate::clock::Timestamp;
use crate::json::{Json, Object};

/// The notes on the desired properties that the device has not reported: in the order of their names, each once. One
/// that it has reported has no note.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unmet(Vec<Note>);

/// The device's progress with what is desired of it. Boxed: most twins have come to all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredSync(pub(super) Option<Box<Unmet>>);

/// A desired property that the device has not reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub name: Box<str>,
    /// Since when it is so.
    pub since: Timestamp,
    /// When the device was last sent the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When the device said that it cannot, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(Timestamp, Box<str>)>,
}

/// The device's progress with a desired property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// The value is to be sent when the device is there.
    Pending,
    /// The value was sent.
    Sent,
    /// The device reports the value.
    Applied,
    /// The device says that it cannot.
    Failed,
    /// The value was sent long ago, and the device neither reports it nor says why.
    Stale,
}

/// A device that was sent a value and has not come to it for this long will hardly do so by itself.
pub const STALE_AFTER_MS: i64 = 10 * 60_000;

impl Unmet {
    /// The notes.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.0
    }

    /// The note on the property called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Note> {
        // Not one after the other: it is asked of each property whenever one changes.
        self.0.binary_search_by(|note| (*note.name).cmp(name)).ok().map(|index| &self.0[index])
    }

    /// Since when the device has not come to all that is desired.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.0.iter().map(|note| note.since).min()
    }

    /// The notes after a change: those still unmet stay, new ones begin now, `anew` ones begin again.
    fn after(
        &self,
        desired: &Properties,
        reported: Comparison<'_>,
        anew: Option<&Object>,
        now: Timestamp,
    ) -> Self {
        let unmet = desired.iter().filter(|wanted| reported.missing(wanted) != Missing::Nothing);
        let is_anew = |name: &str| anew.is_some_and(|patch| patch.get(name).is_some());
        let notes = unmet.map(|wanted| match self.get(&wanted.name) {
            Some(note) if !is_anew(&wanted.name) => note.clone(),
            _ => Note { name: (*wanted.name).into(), since: now, sent_at: None, failed: None },
        });
        Self(notes.collect())
    }

    /// Nothing is dated after `now`.
    fn no_later_than(&mut self, now: Timestamp) {
        for note in &mut self.0 {
            note.since = note.since.min(now);
            note.sent_at = note.sent_at.map(|at| at.min(now));
            if let Some((at, _)) = &mut note.failed {
                *at = (*at).min(now);
            }
        }
    }

    fn mark_sent(&mut self, sent_at: Option<Timestamp>) {
        for note in &mut self.0 {
            note.sent_at = sent_at;
        }
    }

    fn mark_failed(&mut self, reasons: &Object, now: Timestamp) {
        for note in &mut self.0 {
            if let Some(reason) = reason_for(reasons, &note.name) {
                let reason = reason.as_str().map_or_else(|| reason.to_string().into(), Into::into);
                note.failed = Some((now, reason));
            }
        }
    }
}

/// The reason at the property's place, or at one within it, whichever way it is written.
fn reason_for<'a>(reasons: &'a Object, name: &str) -> Option<&'a Json> {
    let at_place = heads(name).find_map(|(head, rest)| {
        let found = reasons.get(head)?;
        rest.map_or(Some(found), |rest| inside(found, rest))
    });
    let within = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    at_place.or_else(|| reasons.iter().find(|(path, _)| within(path)).map(|(_, reason)| reason))
}

impl Note {
    /// The device's progress.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SyncState {
        match (self.sent_at, &self.failed) {
            (_, Some(_)) => SyncState::Failed,
            (None, None) => SyncState::Pending,
            (Some(sent), None) if sent.plus_millis(STALE_AFTER_MS) <= now => SyncState::Stale,
            (Some(_), None) => SyncState::Sent,
        }
    }
}

impl SyncState {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Stale => "stale",
        }
    }
}

impl DesiredSync {
    /// The notes on the desired properties that the device has not reported.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        self.0.as_deref().map_or(&[], Unmet::notes)
    }

    /// The note on the desired property called `name`; none where the device has come to it.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&Note> {
        self.0.as_deref()?.get(name)
    }

    /// Since when the device has not come to all that is desired; none where it has.
    #[must_use]
    pub fn drifting_since(&self) -> Option<Timestamp> {
        self.0.as_deref()?.since()
    }

    /// The device was sent something that it has not come to yet.
    pub(super) fn was_sent(&self) -> bool {
        self.notes().iter().any(|note| note.sent_at.is_some())
    }

    /// The device was not sent all that it has not come to.
    pub(super) fn is_owed(&self) -> bool {
        self.notes().iter().any(|note| note.sent_at.is_none())
    }

    /// Follows a change of either side. `anew` is the patch of what was just desired.
    pub(super) fn follow(
        &mut self,
        desired: &Properties,
        reported: Comparison<'_>,
        anew: Option<&Object>,
        now: Timestamp,
    ) {
        if desired.is_empty() {
            self.0 = None;
            return;
        }
        let before = self.0.take().unwrap_or_default();
        let after = before.after(desired, reported, anew, now);
        self.0 = (!after.0.is_empty()).then(|| Box::new(after));
    }

    /// Drops the notes on what has converged.
    pub(super) fn settle(&mut self, desired: &Properties, reported: Comparison<'_>) {
        let Some(mut unmet) = self.0.take() else { return };
        unmet.0.retain(|note| {
            desired.get(&note.name).is_some_and(|wanted| reported.missing(wanted) != Missing::Nothing)
        });
        self.0 = (!unmet.0.is_empty()).then_some(unmet);
    }

    /// The device was sent all that it has not come to.
    pub(super) fn mark_sent(&mut self, now: Timestamp) {
        if let Some(unmet) = &mut self.0 {
            unmet.mark_sent(Some(now));
        }
    }

    /// It was not sent after all.
    pub(super) fn mark_unsent(&mut self) {
        if let Some(unmet) = &mut self.0 {
            unmet.mark_sent(None);
        }
    }

    /// The device cannot come to these, and why, by property.
    pub(super) fn mark_failed(&mut self, reasons: &Object, now: Timestamp) {
        if let Some(unmet) = &mut self.0 {
            unmet.mark_failed(reasons, now);
        }
    }

    /// Nothing is dated after `now`.
    pub(super) fn no_later_than(&mut self, now: Timestamp) {
        if let Some(unmet) = &mut self.0 {
            unmet.no_later_than(now);
        }
    }
}
