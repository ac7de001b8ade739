//! The timer queue: tasks in the order of their times.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Tasks in the order of their times. Tasks of the same moment come in the order in which they were put down.
pub(super) struct TimerQueue<T> {
    tasks: BTreeMap<(Instant, u64), T>,
    next: u64,
}

impl<T> TimerQueue<T> {
    pub(super) fn new() -> Self {
        Self { tasks: BTreeMap::new(), next: 0 }
    }

    /// Puts a task down for `at`; one whose time is past comes at once.
    pub(super) fn put(&mut self, at: Instant, task: T) {
        self.tasks.insert((at, self.next), task);
        self.next += 1;
    }

    /// Waits for the next task, for ever where there is none. May be given up half way.
    pub(super) async fn due(&mut self) -> (Instant, T) {
        loop {
            let Some((at, _)) = self.tasks.keys().next().copied() else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(at).await;
            if let Some(((at, _), task)) = self.tasks.pop_first() {
                return (at, task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_come_in_the_order_of_their_times() {
        let mut agenda = TimerQueue::new();
        let now = Instant::now();
        for (second, task) in [(3, "third"), (1, "first"), (3, "fourth"), (2, "second")] {
            agenda.put(now + Duration::from_secs(second), task);
        }
        for (second, expected) in [(1, "first"), (2, "second"), (3, "third"), (3, "fourth")] {
            let at = now + Duration::from_secs(second);
            assert_eq!(agenda.due().await, (at, expected));
            assert_eq!(Instant::now(), at);
        }
    }
}
