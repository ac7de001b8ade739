//! The first `keep` of all items, without sorting all.

use std::cmp::Ordering;

use twinhub_domain::{DeviceId, DeviceNumber};
use twinhub_rules::SortKey;

/// Fewer than this are not worth being chosen from.
const LEAST: usize = 1_024;

/// A twin that was found, as far as it is needed to say where it comes.
#[derive(Clone, Debug)]
pub struct RankedTwin {
    pub key: SortKey,
    pub number: DeviceNumber,
    /// Left out where it is not needed: it lies elsewhere in memory.
    pub id: Option<DeviceId>,
    pub descending: bool,
}

/// The first `keep` of the items added, and the number of all.
#[derive(Debug)]
pub struct TopMatches {
    keep: usize,
    /// Twice as many as are kept at most, the first of all among them.
    items: Vec<RankedTwin>,
    total: u64,
}

impl TopMatches {
    pub fn new(keep: usize) -> Self {
        Self { keep, items: Vec::new(), total: 0 }
    }

    /// The number of items added.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn add(&mut self, item: RankedTwin) {
        self.total += 1;
        self.items.push(item);
        if self.items.len() >= self.keep.saturating_mul(2).max(LEAST) {
            self.choose();
        }
    }

    /// Takes the items of another.
    pub fn absorb(&mut self, other: Self) {
        self.total += other.total;
        self.items.extend(other.items);
        self.choose();
    }

    /// The first, in their order.
    pub fn sorted(mut self) -> Vec<RankedTwin> {
        self.choose();
        self.items.sort_unstable();
        self.items
    }

    /// Lets go of all but the first. Costs as much as looking at each once or twice.
    fn choose(&mut self) {
        if self.items.len() > self.keep {
            self.items.select_nth_unstable(self.keep);
            self.items.truncate(self.keep);
        }
    }
}

/// By the sort key, then by number: both in one direction, as lists do it.
impl Ord for RankedTwin {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_number = self.number.cmp(&other.number);
        let by_number = if self.descending { by_number.reverse() } else { by_number };
        self.key.compare(&other.key, self.descending).then(by_number)
    }
}

impl PartialOrd for RankedTwin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RankedTwin {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RankedTwin {}
