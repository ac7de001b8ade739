//! A group commit: what becomes durable at once, and its place in the sequences.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinhub_domain::{DeviceNumber, Outgoing, Recorded, Timestamp, Twin};

use crate::{AutomationChanges, CommandRecord, FleetChanges};

/// One group commit: all of it becomes durable, or nothing.
///
/// Its places are relative until [`crate::Store::commit`] gives it its own: the first event has the `seq` 1, the first
/// outgoing message the id 1, and a twin before any event the `seq` 0. After the commit they are those in the store.
#[derive(Clone, Debug)]
pub struct Batch {
    pub at: Timestamp,
    /// In the order of their `seq`, without a gap. May be empty.
    pub events: Arc<[Arc<Recorded>]>,
    /// Rows to write now: twins of which more than readings changed, as they are after the event `seq`.
    pub twins: Vec<(u64, Twin)>,
    /// Devices to remove with everything they have but the runs of rules for them, and the `seq` of the event of their
    /// removal.
    pub removed: Vec<(u64, DeviceNumber)>,
    /// Commands that changed, each once, as they are after the batch.
    pub commands: Vec<CommandRecord>,
    pub outgoing: Vec<Outgoing>,
    pub automation: AutomationChanges,
    pub fleet: FleetChanges,
    /// Outgoing messages that were delivered and can be forgotten, by the ids that the store gave them.
    pub sent: Vec<u64>,
    /// The store's own.
    pub attempt: CommitAttempt,
}

/// The mark that a store puts on a batch at its first try, so that it knows a batch of which an answer got lost.
#[derive(Clone, Copy, Debug)]
pub struct CommitAttempt {
    /// The place that the `seq`s and ids in the batch stand for now.
    place: BatchPlace,
    number: Option<u64>,
}

impl Default for CommitAttempt {
    fn default() -> Self {
        Self { place: BatchPlace::RELATIVE, number: None }
    }
}

/// The place of a batch in the store's sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// The `seq` of its first event; of the next one, where it has none.
    pub first_seq: u64,
    /// The id of its first outgoing message; of the next one, where it has none.
    pub first_outgoing: u64,
}

impl BatchPlace {
    /// A place before the store gave one.
    pub const RELATIVE: Self = Self { first_seq: 1, first_outgoing: 1 };

    /// The `seq` in this place of what has `relative` in a batch without a place.
    #[must_use]
    pub fn seq(&self, relative: u64) -> u64 {
        shifted(relative, Self::RELATIVE.first_seq, self.first_seq)
    }
}

impl Batch {
    /// A batch of nothing.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self {
            at,
            events: Arc::new([]),
            twins: Vec::new(),
            removed: Vec::new(),
            commands: Vec::new(),
            outgoing: Vec::new(),
            automation: AutomationChanges::default(),
            fleet: FleetChanges::default(),
            sent: Vec::new(),
            attempt: CommitAttempt::default(),
        }
    }

    /// The place that the last try gave it.
    pub(crate) fn place(&self) -> BatchPlace {
        self.attempt.place
    }

    /// Moves everything in it to `place`. Events that somebody else holds are copied, others are not.
    pub(crate) fn put(&mut self, place: BatchPlace) {
        let mut from = std::mem::replace(&mut self.attempt.place, place);
        if let Some(first) = self.events.first() {
            from.first_seq = first.seq;
        }
        if let Some(first) = self.outgoing.first() {
            from.first_outgoing = first.id;
        }
        if from.first_seq != place.first_seq {
            let moved = |seq| shifted(seq, from.first_seq, place.first_seq);
            for event in Arc::make_mut(&mut self.events) {
                let seq = moved(event.seq);
                match Arc::get_mut(event) {
                    Some(event) => event.put(seq),
                    None => *event = Arc::new(Recorded::new(seq, event.event.clone())),
                }
            }
            self.twins.iter_mut().for_each(|(seq, _)| *seq = moved(*seq));
            self.removed.iter_mut().for_each(|(seq, _)| *seq = moved(*seq));
        }
        if from.first_outgoing != place.first_outgoing {
            for message in &mut self.outgoing {
                message.id = shifted(message.id, from.first_outgoing, place.first_outgoing);
            }
        }
    }
}

/// The places that a store gives, and the batches that have one and are not committed. Who asks for a place is the one
/// who writes.
#[derive(Debug)]
pub(crate) struct CommitPlaces(Mutex<PlaceState>);

#[derive(Debug)]
struct PlaceState {
    first: u64,
    next: u64,
    /// Numbers below `next` that are not committed. One that is never tried again stays.
    open: HashSet<u64>,
    next_outgoing: u64,
}

impl Default for CommitPlaces {
    fn default() -> Self {
        Self::after(0)
    }
}

impl CommitPlaces {
    /// Ids of outgoing messages go on after `outgoing`.
    pub fn after(outgoing: u64) -> Self {
        // By chance: a batch that had its number from another store is not taken for one of this one's.
        let first = RandomState::new().hash_one(outgoing);
        let open = HashSet::new();
        Self(Mutex::new(PlaceState { first, next: first, open, next_outgoing: outgoing + 1 }))
    }

    /// Was it committed here before?
    pub fn is_committed(&self, batch: &Batch) -> bool {
        let state = self.state();
        state.own(batch).is_some_and(|attempt| !state.open.contains(&attempt))
    }

    /// Gives a batch its place behind `last_seq`. Its outgoing messages keep theirs when it comes again: where it has no
    /// events, they may be there already. No other ever gets the same.
    pub fn place(&self, batch: &mut Batch, last_seq: u64) {
        let mut state = self.state();
        let mut first_outgoing = batch.place().first_outgoing;
        if state.own(batch).is_none() {
            let attempt = state.next;
            batch.attempt.number = Some(attempt);
            state.open.insert(attempt);
            state.next = state.next.wrapping_add(1);
            first_outgoing = state.next_outgoing;
        }
        state.next_outgoing = state.next_outgoing.max(first_outgoing + batch.outgoing.len() as u64);
        drop(state);
        batch.put(BatchPlace { first_seq: last_seq + 1, first_outgoing });
    }

    /// The largest id of an outgoing message that was given.
    pub fn last_outgoing(&self) -> u64 {
        self.state().next_outgoing - 1
    }

    pub fn note_committed(&self, batch: &Batch) {
        if let Some(attempt) = batch.attempt.number {
            self.state().open.remove(&attempt);
        }
    }

    fn state(&self) -> MutexGuard<'_, PlaceState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here panics half way
    }
}

impl PlaceState {
    /// The number that the batch has from this store.
    fn own(&self, batch: &Batch) -> Option<u64> {
        let given = self.next.wrapping_sub(self.first);
        batch.attempt.number.filter(|attempt| attempt.wrapping_sub(self.first) < given)
    }
}

/// A number that counts from `from`, counted from `to`.
fn shifted(number: u64, from: u64, to: u64) -> u64 {
    number.wrapping_add(to).wrapping_sub(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::support::TestFleet;

    #[test]
    fn a_batch_is_moved_whole_and_back() {
        let mut world = TestFleet::new();
        world.register("a", r#"{"name": "Pump"}"#);
        world.tell("b", r#"{"t": 1}"#);
        world.remove("b");
        world.send("x");
        let mut batch = world.batch();
        let first = batch.clone();
        let held = Arc::clone(&batch.events[0]);
        let place = BatchPlace { first_seq: 40, first_outgoing: 7 };
        batch.put(place);
        let seqs: Vec<u64> = batch.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (40..40 + first.events.len() as u64).collect::<Vec<_>>());
        assert_eq!(batch.twins[0].0, first.twins[0].0 + 39);
        assert_eq!(batch.removed[0].0, first.removed[0].0 + 39);
        assert_eq!(batch.outgoing[0].id, 7);
        assert_eq!(held.seq, 1, "what somebody else holds stays as it is");
        batch.put(BatchPlace::RELATIVE);
        let events = |batch: &Batch| -> Vec<_> {
            batch.events.iter().map(|recorded| (recorded.seq, recorded.event.clone())).collect()
        };
        assert_eq!(events(&batch), events(&first));
        assert_eq!(batch.outgoing, first.outgoing);
        assert_eq!((place.seq(0), place.seq(1)), (39, 40));
    }

    /// Else each commit would copy its events.
    #[test]
    fn events_that_nobody_else_holds_are_not_copied() {
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        let mut batch = world.batch();
        let before: Vec<*const Recorded> = batch.events.iter().map(Arc::as_ptr).collect();
        batch.put(BatchPlace { first_seq: 9, first_outgoing: 1 });
        let after: Vec<*const Recorded> = batch.events.iter().map(Arc::as_ptr).collect();
        assert_eq!(before, after);
    }
}
