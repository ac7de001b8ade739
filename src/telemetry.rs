//! The program's log: text for people at a terminal, JSON lines for machines, on standard error.

use std::io::IsTerminal as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};
use twinhub_actors::mqtt::broker;

use crate::config::LogFormat;

/// Libraries' lines about every connection and statement are left out; a filter of one's own brings them back.
/// Of the broker: that it keeps no retained message, which it is made to (`mqtt::broker::retained`), and each
/// message that a full session drops, which is counted below and told once a second. Of HTTP: each malformed request,
/// which is a counter in `/metrics`, and a line at debug.
const QUIET: &str = "mqtt5=warn,mqtt5::broker::router=error,mqtt5::broker::storage::client_queue=error,\
                     sqlx=warn,sea_orm_migration=warn,actix_server=warn,rumqttc=warn,\
                     actix_http::h1::dispatcher=off,actix_http::h1::decoder=off";

/// Starts the log. `filter` is a level or a list of directives.
///
/// # Errors
/// The filter cannot be understood.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(format!("{QUIET},{filter}"))?;
    let on_terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !on_terminal,
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(DroppedMessages.with_filter(dropped_messages()));
    // Starting it twice in one process (tests do) leaves the first in place.
    let _ = if json {
        let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(log.with_filter(filter)).try_init()
    } else {
        registry.with(log.with_ansi(on_terminal).with_filter(filter)).try_init()
    };
    Ok(())
}

/// Counts the messages that the embedded broker drops from full sessions: the broker crate tells them by an
/// event of its log alone.
struct DroppedMessages;

const SESSION_QUEUE: &str = "mqtt5::broker::storage::client_queue";

fn dropped_messages() -> Targets {
    Targets::new().with_target(SESSION_QUEUE, LevelFilter::WARN)
}

impl<S: Subscriber> Layer<S> for DroppedMessages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut CountDropped);
    }
}

struct CountDropped;

impl Visit for CountDropped {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "dropped" {
            broker::count_dropped(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
