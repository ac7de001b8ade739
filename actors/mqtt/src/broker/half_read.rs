//! Bytes of packets that have not come whole: bounded over all connections, as each client may send all of a large
//! packet but its last byte, and wait.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in all.
const MOST: usize = 64 << 20;
/// The total up to which connections that are not admitted yet may add bytes: clients have the rest.
const MOST_OF_STRANGERS: usize = 16 << 20;

/// Counts the bytes of half-read packets over all connections, and bounds them.
#[derive(Debug, Default)]
pub(super) struct HalfRead(AtomicUsize);

impl HalfRead {
    /// A connection holds `now` bytes after `before`. False where that is too much: then it holds as many as before.
    pub(super) fn change(&self, before: usize, now: usize, is_stranger: bool) -> bool {
        if now <= before {
            self.0.fetch_sub(before - now, Relaxed);
            return true;
        }
        let most = if is_stranger { MOST_OF_STRANGERS } else { MOST };
        let grown = |held: usize| held.checked_add(now - before).filter(|held| *held <= most);
        self.0.fetch_update(Relaxed, Relaxed, grown).is_ok()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_room_for_clients() {
        let half_read = HalfRead::default();
        assert!(half_read.change(0, MOST_OF_STRANGERS, true));
        assert!(!half_read.change(0, 1, true));
        assert!(half_read.change(0, MOST - MOST_OF_STRANGERS, false));
        assert!(!half_read.change(0, 1, false));
        assert!(half_read.change(MOST_OF_STRANGERS, 0, true));
        assert!(half_read.change(0, 1, false) && !half_read.change(0, 1, true));
        assert_eq!(half_read.held(), MOST - MOST_OF_STRANGERS + 1);
    }
}
