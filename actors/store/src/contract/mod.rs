//! The contract of every store, tested on all of them, and the further one of the durable store.

mod access;
mod access_random;
mod acted;
mod automation;
mod basics;
mod commands;
mod durable;
mod expiring;
mod fleet;
mod life;
mod lists;
pub mod made;
mod migrated;
mod nobody;
mod past;
#[cfg(target_os = "linux")]
mod power;
mod random;
mod retained;
mod said;
pub mod support;
mod templated;
mod told;
mod waiting;
