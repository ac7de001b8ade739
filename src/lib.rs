//! twinhub's way in: command line, configuration, start-up, REST, WebSocket, SSE, dialects, page. It holds no state:
//! that lives in the actors of `twinhub-actors`.

pub mod api;
pub mod backup;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod dialects;
pub mod disk;
pub mod http;
pub mod import_export;
pub mod live;
pub mod memory;
pub mod reload;
pub mod shutdown;
pub mod single_sign_on;
pub mod startup;
pub mod state;
pub mod telemetry;
