//! Rules: in files and over the API, what they do, and why, and why not.

mod api;
mod backtest;
mod files;
mod journal;
mod signed_webhooks;
mod time;
mod webhooks_and_topics;
mod why;
