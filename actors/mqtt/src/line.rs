//! A queue of entries that are settled in any order, on any thread, and leave in the order in which they came: MQTT
//! wants acknowledgements in the order of the messages (\[MQTT-4.6.0-2]).

use std::collections::VecDeque;

/// A place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The outcome of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The message is stored: it may be acknowledged.
    Stored,
    /// The message must come again: it is never acknowledged.
    Lost,
}

/// A queue of acknowledgements that leave in the order of their arrival.
#[derive(Debug)]
pub(super) struct Line<T> {
    places: VecDeque<(Option<Fate>, T)>,
    /// The ticket of the first place.
    first: u64,
    unsettled: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), first: 0, unsettled: 0 }
    }
}

impl<T> Line<T> {
    /// Takes the last place.
    pub(super) fn join(&mut self, item: T) -> Ticket {
        self.places.push_back((None, item));
        self.unsettled += 1;
        Ticket(self.first + self.places.len() as u64 - 1)
    }

    /// Takes the last place with an entry that needs no settling.
    pub(super) fn join_settled(&mut self, item: T) {
        self.places.push_back((Some(Fate::Stored), item));
    }

    /// Settles a place; only the first call counts. True when that place is the first.
    pub(super) fn settle(&mut self, ticket: Ticket, fate: Fate) -> bool {
        let Some(offset) = ticket.0.checked_sub(self.first) else { return false };
        let place = usize::try_from(offset).ok().and_then(|index| self.places.get_mut(index));
        let Some((settled @ None, _)) = place else { return false };
        *settled = Some(fate);
        self.unsettled -= 1;
        offset == 0
    }

    /// The last place.
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.places.back_mut().map(|(_, item)| item)
    }

    /// The first place, where it is settled.
    pub(super) fn first_settled(&self) -> Option<(Fate, &T)> {
        self.places.front().and_then(|(fate, item)| fate.map(|fate| (fate, item)))
    }

    /// Lets the first go.
    pub(super) fn leave(&mut self) {
        if let Some((fate, _)) = self.places.pop_front() {
            self.first += 1;
            self.unsettled -= usize::from(fate.is_none());
        }
    }

    /// Sends all away. Their tickets are worth nothing from now on.
    pub(super) fn clear(&mut self) {
        self.first += self.places.len() as u64;
        self.places.clear();
        self.unsettled = 0;
    }

    /// The number of places that are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(line: &mut Line<char>) -> String {
        let mut left = String::new();
        while let Some((_, item)) = line.first_settled() {
            left.push(*item);
            line.leave();
        }
        left
    }

    #[test]
    fn they_leave_in_the_order_they_came() {
        let mut line = Line::default();
        let (a, b, c) = (line.join('a'), line.join('b'), line.join('c'));
        assert!(!line.settle(c, Fate::Stored));
        assert!(!line.settle(b, Fate::Lost));
        assert_eq!((leaving(&mut line).as_str(), line.unsettled()), ("", 1));
        assert!(line.settle(a, Fate::Stored));
        assert!(!line.settle(a, Fate::Lost), "settled once");
        line.join_settled('d');
        let e = line.join('e');
        assert_eq!((leaving(&mut line).as_str(), line.unsettled()), ("abcd", 1));
        assert!(!line.settle(a, Fate::Stored), "gone");
        assert!(line.settle(e, Fate::Stored));
        assert_eq!(leaving(&mut line), "e");
    }

    #[test]
    fn a_cleared_line_knows_no_old_ticket() {
        let mut line = Line::default();
        let old = line.join('a');
        line.clear();
        let new = line.join('b');
        assert!(!line.settle(old, Fate::Stored));
        assert_eq!(leaving(&mut line), "");
        assert!(line.settle(new, Fate::Stored));
        assert_eq!((leaving(&mut line).as_str(), line.unsettled()), ("b", 0));
    }
}
