//! What happens, as it happens: subscriptions to twins and events, and the ways in which they reach people and
//! programs.

pub mod sse;
pub mod subscription;
pub mod ws;
