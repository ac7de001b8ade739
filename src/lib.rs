//! twinhub's way in: command line, configuration, start-up, REST, WebSocket, SSE, dialects, page. It holds no state:
//! that lives in the actors of `twinhub-actors`.

pub mod api;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod dialects;
pub mod error;
pub mod exchange;
pub mod fields;
pub mod files_command;
pub mod http;
pub mod jobs_command;
pub mod memory;
pub mod migrate;
pub mod reload;
pub mod remote;
pub mod rules_command;
pub mod shutdown;
pub mod simulate;
pub mod sse;
pub mod startup;
pub mod state;
pub mod subscription;
pub mod telemetry;
pub mod ws;
