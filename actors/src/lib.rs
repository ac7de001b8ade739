//! twinhub's actors: the twins, and everything that lives beside them. In reading order.
//!
//! # Invariants, each an absence
//! - `twinhub-domain`, `twinhub-access` and `twinhub-rules` know no actix, tokio, database or MQTT, `twinhub-mqtt` no
//!   database and no actor, `twinhub-store` no MQTT and no actor, this crate neither database nor MQTT library: their
//!   manifests do not name them. The first three do no input or output and never ask the time.
//! - [`messages`] import no actor but name recipients, so the imports are the graph of waits between actors; it has no
//!   circle.
//! - No code outside of this crate reaches an actor but by a [`Grant`](access::Grant), which has the caller's
//!   permissions.
//! - No word of a dialect stands in this crate, `twinhub-domain`, `twinhub-rules` or `twinhub-store`: dialects
//!   translate at the edge, in the twin's actor where the twin has to be asked.
//! - Entities never leave `twinhub-store`. `twinhub-migrations` imports nothing of ours.
//! - No module in this crate knows HTTP, but [`webhooks`], which is a client of it.
//! - No actor waits (`send().await`) on one that may be waiting on it.
//! - No code uses `do_send` where a full mailbox must be felt: the messages in flight are bounded at the [`ingress`],
//!   so inside the hub nothing can pile up beyond that bound.
//!
//! `tests/it/architecture.rs` reads the manifests and the imports, and fails where one of these is broken.

pub mod messages;

pub mod identities;
pub mod ingress;
pub mod interpreter;
pub mod pairing;
pub mod retained;

pub mod automation;
pub mod supervisor;
pub mod timers;
pub mod twin;
pub mod twin_registry;

pub mod feed;
pub mod journal;
pub mod outbox;

pub mod alarms;
pub mod webhooks;

pub mod fleet;

mod backoff;
mod delivery;
mod device_certificates;
mod device_tokens;
mod fine_timer;
mod gathering;
mod known_devices;
mod limit_watch;
mod token_renewal;

pub mod archive;
pub mod audit;
pub mod backtest;
pub mod search;

pub mod access;
pub mod accounts;
pub mod binding;
pub mod caller;
pub mod catalog;
pub mod clock;
pub mod clock_watch;
pub mod counters;
pub mod error;
pub mod hub;
pub mod log_throttle;
pub mod mailbox;
pub mod places;
pub mod silence;
pub mod slow_messages;
#[cfg(test)]
mod testkit;
pub mod webhook_destinations;

pub use clock::SystemClock;
pub use error::HubError;
pub use hub::{Hub, Settings};
