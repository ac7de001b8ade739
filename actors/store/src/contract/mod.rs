//! The contract of every store, tested on all of them, and the further one of the durable store.

mod access;
mod access_random;
mod automation;
mod basics;
mod bound_keys;
mod commands;
mod deadlines;
mod durable;
mod event_windows;
mod expiry;
mod fleet;
mod lifecycles;
mod lists;
mod migrated;
mod nanoseconds;
mod pieces;
mod places;
#[cfg(target_os = "linux")]
mod power;
mod query_dump;
mod random;
mod random_automation;
mod reach;
mod retained;
mod run_devices;
pub mod samples;
pub mod support;
mod template_devices;
mod trips;
mod without_device;
