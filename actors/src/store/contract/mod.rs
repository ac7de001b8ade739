//! What every store must do, tested on all of them, and what the durable one must do beside.

mod basics;
mod durable;
mod random;
pub mod support;
