//! Bytes of packets that have not come whole: bounded over all connections, as each client may send all of a large
//! packet but its last byte, and wait.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in all.
const MOST: usize = 64 << 20;
/// The total up to which connections that are not admitted yet may add bytes: clients have the rest.
const MOST_UNADMITTED: usize = 16 << 20;

/// Counts the bytes of half-read packets over all connections, and bounds them.
#[derive(Debug, Default)]
pub(super) struct PartialPackets(AtomicUsize);

impl PartialPackets {
    /// A connection holds `now` bytes after `before`. False where that is too much: then it holds as many as before.
    pub(super) fn change(&self, before: usize, now: usize, is_unadmitted: bool) -> bool {
        if now <= before {
            self.0.fetch_sub(before - now, Relaxed);
            return true;
        }
        let most = if is_unadmitted { MOST_UNADMITTED } else { MOST };
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
    fn unadmitted_connections_leave_room_for_clients() {
        let partial_packets = PartialPackets::default();
        assert!(partial_packets.change(0, MOST_UNADMITTED, true));
        assert!(!partial_packets.change(0, 1, true));
        assert!(partial_packets.change(0, MOST - MOST_UNADMITTED, false));
        assert!(!partial_packets.change(0, 1, false));
        assert!(partial_packets.change(MOST_UNADMITTED, 0, true));
        assert!(partial_packets.change(0, 1, false) && !partial_packets.change(0, 1, true));
        assert_eq!(partial_packets.held(), MOST - MOST_UNADMITTED + 1);
    }
}
