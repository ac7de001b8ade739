//! Messages between actors: small types of their own, one file an actor.

pub mod accounts;
pub mod alarms;
pub mod archive;
pub mod audit;
pub mod automation;
pub mod bound_keys;
pub mod dialects;
pub mod feed;
pub mod firmware;
pub mod groups;
pub mod jobs;
pub mod journal;
pub mod layouts;
pub mod outbox;
pub mod search;
pub mod supervisor;
pub mod templates;
pub mod timers;
pub mod twin;
pub mod webhooks;
