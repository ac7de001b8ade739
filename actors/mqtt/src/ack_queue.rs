//! The acknowledgement queue: entries are settled in any order, on any thread, and leave in order of arrival, as MQTT
//! wants acknowledgements in the order of the messages (\[MQTT-4.6.0-2]).

use std::collections::VecDeque;

/// The number of an entry in the queue, from the first one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AckTicket(u64);

/// The outcome of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckOutcome {
    /// The message is stored: it may be acknowledged.
    Stored,
    /// The message must come again: it is never acknowledged.
    Lost,
}

/// A queue of acknowledgements that leave in the order of their arrival.
#[derive(Debug)]
pub(super) struct AckQueue<T> {
    places: VecDeque<(Option<AckOutcome>, T)>,
    /// The ticket of the first entry.
    first: u64,
    unsettled: usize,
}

impl<T> Default for AckQueue<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), first: 0, unsettled: 0 }
    }
}

impl<T> AckQueue<T> {
    /// Appends an entry.
    pub(super) fn push(&mut self, item: T) -> AckTicket {
        self.places.push_back((None, item));
        self.unsettled += 1;
        AckTicket(self.first + self.places.len() as u64 - 1)
    }

    /// Appends an entry that needs no settling.
    pub(super) fn push_settled(&mut self, item: T) {
        self.places.push_back((Some(AckOutcome::Stored), item));
    }

    /// Settles an entry; only the first call counts. True when it is the first in the queue.
    pub(super) fn settle(&mut self, ticket: AckTicket, outcome: AckOutcome) -> bool {
        let Some(offset) = ticket.0.checked_sub(self.first) else { return false };
        let place = usize::try_from(offset).ok().and_then(|index| self.places.get_mut(index));
        let Some((settled @ None, _)) = place else { return false };
        *settled = Some(outcome);
        self.unsettled -= 1;
        offset == 0
    }

    /// The last entry.
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.places.back_mut().map(|(_, item)| item)
    }

    /// The first entry, where it is settled.
    pub(super) fn first_settled(&self) -> Option<(AckOutcome, &T)> {
        self.places.front().and_then(|(outcome, item)| outcome.map(|outcome| (outcome, item)))
    }

    /// Removes the first entry.
    pub(super) fn pop(&mut self) {
        if let Some((outcome, _)) = self.places.pop_front() {
            self.first += 1;
            self.unsettled -= usize::from(outcome.is_none());
        }
    }

    /// Removes all entries. Their tickets are void from now on.
    pub(super) fn clear(&mut self) {
        self.first += self.places.len() as u64;
        self.places.clear();
        self.unsettled = 0;
    }

    /// The number of unsettled entries.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(queue: &mut AckQueue<char>) -> String {
        let mut left = String::new();
        while let Some((_, item)) = queue.first_settled() {
            left.push(*item);
            queue.pop();
        }
        left
    }

    #[test]
    fn entries_leave_in_order_of_arrival() {
        let mut queue = AckQueue::default();
        let (a, b, c) = (queue.push('a'), queue.push('b'), queue.push('c'));
        assert!(!queue.settle(c, AckOutcome::Stored));
        assert!(!queue.settle(b, AckOutcome::Lost));
        assert_eq!((popped(&mut queue).as_str(), queue.unsettled()), ("", 1));
        assert!(queue.settle(a, AckOutcome::Stored));
        assert!(!queue.settle(a, AckOutcome::Lost), "settled once");
        queue.push_settled('d');
        let e = queue.push('e');
        assert_eq!((popped(&mut queue).as_str(), queue.unsettled()), ("abcd", 1));
        assert!(!queue.settle(a, AckOutcome::Stored), "gone");
        assert!(queue.settle(e, AckOutcome::Stored));
        assert_eq!(popped(&mut queue), "e");
    }

    #[test]
    fn tickets_of_a_cleared_queue_are_void() {
        let mut queue = AckQueue::default();
        let old = queue.push('a');
        queue.clear();
        let new = queue.push('b');
        assert!(!queue.settle(old, AckOutcome::Stored));
        assert_eq!(popped(&mut queue), "");
        assert!(queue.settle(new, AckOutcome::Stored));
        assert_eq!((popped(&mut queue).as_str(), queue.unsettled()), ("b", 0));
    }
}
