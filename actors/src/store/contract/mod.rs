//! What every store must do, tested on all of them, and what the durable one must do beside.

mod acted;
mod automation;
mod basics;
mod commands;
mod durable;
mod expiring;
mod fleet;
mod life;
mod lists;
mod made;
mod migrated;
mod nobody;
mod past;
mod random;
mod retained;
mod said;
pub mod support;
mod told;
mod waiting;
