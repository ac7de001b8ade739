//! What every store must do, tested on all of them, and what the durable one must do beside.

mod basics;
mod commands;
mod durable;
mod migrated;
mod random;
pub mod support;
mod told;
mod waiting;
