//! The program's clock. In here alone the system is asked for the time.

use std::sync::LazyLock;
use std::time::Instant;

use crate::domain::{Clock, Timestamp};

/// Asks the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everyone asks")]
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }

    fn uptime_ms(&self) -> u64 {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
