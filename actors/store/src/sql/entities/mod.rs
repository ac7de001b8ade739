//! The tables as Rust sees them. They never leave the store.

pub mod access_key;
pub mod alarm;
pub mod audit;
pub mod bound_key;
pub mod chunk;
pub mod command;
pub mod delivery;
pub mod device;
pub mod event;
pub mod fleet;
pub mod job_device;
pub mod journal;
pub mod meta;
pub mod outbox;
pub mod piece;
pub mod retained;
pub mod rule;
pub mod run;
pub mod run_device;
pub mod scope;
pub mod session;
pub mod tag;
pub mod tombstone;
pub mod twin;
pub mod user;
