//! Live events: subscriptions to twins and events, and the transports that bring them to people and programs.

mod asyncapi;
pub(crate) mod audit_tail;
pub(crate) mod bundle;
mod frame_buffer;
pub mod mqtt;
pub(crate) mod pump;
pub mod socketio;
pub mod sse;
pub mod subscription;
pub mod ws;

pub use asyncapi::asyncapi;

use crate::http::routes::Operation;

/// The routes of live events and of their description; server-sent events are a form of `/api/events`.
pub(crate) fn operations() -> Vec<Operation> {
    [ws::operations(), mqtt::operations(), asyncapi::operations()].into_iter().flatten().collect()
}
