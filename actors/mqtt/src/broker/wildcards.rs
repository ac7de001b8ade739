//! Filters with wildcards, bounded for each client and in all: the router matches every message with each of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Filters with wildcards of one client.
pub(super) const MOST_OF_ONE: usize = 100;
/// The least of all clients together: a small hub has room for a few gateways, too.
const LEAST: usize = 1_000;

/// Counts subscriptions with wildcards, and bounds them. Sessions of absent clients count as long as they last.
#[derive(Debug)]
pub(super) struct Wildcards {
    most: usize,
    state: Mutex<WildcardCounts>,
}

#[derive(Debug, Default)]
struct WildcardCounts {
    by_client: HashMap<Arc<str>, usize>,
    all: usize,
}

impl Wildcards {
    /// As many in all as there are clients at most, so that each may have one.
    pub(super) fn new(most_clients: usize) -> Self {
        Self { most: most_clients.max(LEAST), state: Mutex::default() }
    }

    /// The client is to have `count`. False where it may not: then it has as many as before.
    pub(super) fn set(&self, client: &Arc<str>, count: usize) -> bool {
        let mut state = self.lock();
        let before = state.by_client.get(client).copied().unwrap_or_default();
        let all = state.all - before + count;
        if count > before && (count > MOST_OF_ONE || all > self.most) {
            return false;
        }
        state.all = all;
        if count == 0 {
            state.by_client.remove(client);
        } else {
            state.by_client.insert(Arc::clone(client), count);
        }
        true
    }

    /// The client's session is over, or begins anew.
    pub(super) fn forget(&self, client: &str) {
        let mut state = self.lock();
        state.all -= state.by_client.remove(client).unwrap_or_default();
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().all
    }

    /// The clients that have some.
    pub(super) fn clients(&self) -> Vec<Arc<str>> {
        self.lock().by_client.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, WildcardCounts> {
        // Nothing panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does a filter have one?
pub(super) fn is_one(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_for_each_and_in_all() {
        let wildcards = Wildcards::new(0);
        let client = |number: usize| Arc::<str>::from(number.to_string());
        assert!(!wildcards.set(&client(0), MOST_OF_ONE + 1));
        for number in 0..LEAST / MOST_OF_ONE {
            assert!(wildcards.set(&client(number), MOST_OF_ONE));
        }
        assert!(!wildcards.set(&client(LEAST), 1), "there are enough in all");
        assert!(wildcards.set(&client(0), 10) && wildcards.set(&client(LEAST), 90));
        wildcards.forget("1");
        assert!(wildcards.set(&client(0), MOST_OF_ONE) && !wildcards.set(&client(0), MOST_OF_ONE + 1));
        assert!(wildcards.set(&client(0), 0) && !wildcards.clients().contains(&client(0)));
    }
}
