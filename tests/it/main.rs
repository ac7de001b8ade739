//! The promises of twinhub, told as stories: each starts the program as a user would, and speaks to it as devices and
//! people do. `tests/run` runs them with everything else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

mod alarms_api;
mod answers;
mod architecture;
mod automation;
mod bad_configuration;
mod broker_gone;
mod broker_state;
mod clock;
mod command_line;
mod commands_api;
mod commands_killed;
mod crowded;
mod device_fields;
mod dispositivos;
mod event_stream;
mod exactly_once;
mod firmware;
mod first_device;
mod frames;
mod garbage;
mod groups;
mod history;
mod import;
mod ingest;
mod jobs;
mod killed;
mod lifecycle;
mod mqtt_hub;
mod one_hub;
mod options;
mod own_dialect;
mod page;
mod preconditions;
mod racing_writers;
mod readme;
mod search;
mod secrets;
mod seed_lines;
mod shutting_down;
mod sign_in;
mod signals;
mod simulated_fleet;
mod slow_clients;
mod steering_api;
mod store_fails;
mod templates;
mod tls;
mod tls_broker;
mod values;
mod who_may_ask;
