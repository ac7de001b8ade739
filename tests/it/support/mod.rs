//! The means by which stories are told.

pub mod asyncapi;
pub mod browser;
pub mod certificates;
mod described;
pub mod http;
pub mod hub;
pub mod mosquitto;
pub mod mqtt;
pub mod people;
pub mod provider;
pub mod pump;
pub mod receiver;
pub mod rules;
pub mod websocket;

use std::time::{Duration, Instant};

pub use browser::Browser;
pub use hub::HubProcess;
pub use mosquitto::Mosquitto;
pub use mqtt::MqttDevice;
pub use pump::PumpDevice;
pub use websocket::WebSocketSession;

/// Nothing that works takes longer, even on a busy machine and unoptimized.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; where there is nothing to wait on.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for `future`, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Chance from a seed (SplitMix64). The seed is printed, so that a failure can be played again with
/// `TWINHUB_TEST_SEED`.
pub struct Dice(u64);

impl Dice {
    /// Dice of this run.
    pub fn new() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        let fresh = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        let seed =
            std::env::var("TWINHUB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
        println!("TWINHUB_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let stirred = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let stirred = (stirred ^ (stirred >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        stirred ^ (stirred >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }
}
