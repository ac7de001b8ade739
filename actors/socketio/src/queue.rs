//! The packets of a session that wait for its client: a bounded number of them, and of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

/// Packets that wait for one client at most.
pub(crate) const MOST_PACKETS: usize = 1_024;
/// Bytes of packets that wait for one client, beyond which no further packet is taken.
pub(crate) const MOST_BYTES: usize = 1_000_000;

/// The packets that wait, in order.
#[derive(Debug, Default)]
pub(crate) struct PacketQueue {
    packets: VecDeque<Arc<str>>,
    bytes: usize,
}

impl PacketQueue {
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Is there room for one more?
    pub fn has_room(&self) -> bool {
        self.packets.len() < MOST_PACKETS && self.bytes < MOST_BYTES
    }

    /// Appends a packet. The caller has asked for room; what keeps a session alive goes in without.
    pub fn push(&mut self, packet: Arc<str>) {
        self.bytes += packet.len();
        self.packets.push_back(packet);
    }

    /// Puts a packet before all others.
    pub fn push_first(&mut self, packet: Arc<str>) {
        self.bytes += packet.len();
        self.packets.push_front(packet);
    }

    /// The first packets: as many as have `bytes` bytes together, and one at least where there is one.
    pub fn take(&mut self, bytes: usize) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        let mut sum = 0;
        while let Some(packet) = self.packets.front() {
            sum += packet.len() + 1;
            if sum > bytes && !taken.is_empty() {
                break;
            }
            self.bytes -= packet.len();
            taken.extend(self.packets.pop_front());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_bounded_in_number_and_in_bytes() {
        let mut queue = PacketQueue::default();
        let mut count = 0;
        while queue.has_room() {
            queue.push("42[]".into());
            count += 1;
        }
        assert_eq!(count, MOST_PACKETS);
        let mut queue = PacketQueue::default();
        let large: Arc<str> = "x".repeat(MOST_BYTES / 4).into();
        let mut count = 0;
        while queue.has_room() {
            queue.push(Arc::clone(&large));
            count += 1;
        }
        assert_eq!(count, 4);
        assert_eq!(queue.take(usize::MAX).len(), 4);
        assert!(queue.is_empty() && queue.has_room() && queue.bytes == 0);
    }

    #[test]
    fn packets_are_taken_in_order_and_by_size() {
        let mut queue = PacketQueue::default();
        ["4aaa", "4bbb", "4ccc"].into_iter().for_each(|packet| queue.push(packet.into()));
        let mut taken = |bytes| queue.take(bytes).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(taken(10), ["4aaa", "4bbb"]);
        assert_eq!(taken(1), ["4ccc"], "one that is larger goes alone");
        assert!(taken(1).is_empty());
    }
}
