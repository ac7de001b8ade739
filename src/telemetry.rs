//! The program's log: text for people at a terminal, JSON lines for machines, on standard error.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, reload};
use twinhub_mqtt::broker;

use crate::config::{LogFilter, LogFormat};

/// Libraries' lines about every connection and statement are left out; a filter of one's own brings them back.
/// Of the broker: that it keeps no retained message, which it is made to (`mqtt::broker::retained`), and each
/// message that a full session drops, which is counted below and told once a second. Of HTTP: each malformed request,
/// which is a counter in `/metrics`, and a line at debug.
const QUIET: &str = "mqtt5=warn,mqtt5::broker::router=error,mqtt5::broker::storage::client_queue=error,\
                     sqlx=warn,sea_orm_migration=warn,actix_server=warn,rumqttc=warn,\
                     actix_http::h1::dispatcher=off,actix_http::h1::decoder=off";

/// Puts another filter in the place of the one that holds; why it cannot.
type ReplaceFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Set once, when the log starts.
static EXCHANGE: OnceLock<ReplaceFilter> = OnceLock::new();

/// Starts the log.
///
/// # Errors
/// The filter cannot be understood.
pub fn start(filter: &LogFilter, format: LogFormat) -> Result<(), ParseError> {
    let filter = parse(filter)?;
    let on_terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !on_terminal,
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Standard error may be a terminal that was closed: to complain of that there would be a panic.
    let log = log.log_internal_errors(false);
    let (filter, handle) = reload::Layer::new(filter);
    let exchange: ReplaceFilter =
        Box::new(move |filter| handle.reload(filter).map_err(|error: reload::Error| error.to_string()));
    let registry = tracing_subscriber::registry().with(DroppedMessages.with_filter(dropped_messages()));
    // Starting it twice in one process (tests do) leaves the first in place.
    let started = if json {
        let log = log.json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(log.with_filter(filter)).try_init()
    } else {
        registry.with(log.with_ansi(on_terminal).with_filter(filter)).try_init()
    };
    if started.is_ok() {
        let _ = EXCHANGE.set(exchange); // it started once, so this is the first
    }
    Ok(())
}

/// Logs by another filter from now on.
///
/// # Errors
/// The filter cannot be understood, or the log did not start.
pub fn change(filter: &LogFilter) -> Result<(), String> {
    let filter = parse(filter).map_err(|error| error.to_string())?;
    match EXCHANGE.get() {
        Some(exchange) => exchange(filter),
        None => Err("the log has not started".into()),
    }
}

fn parse(filter: &LogFilter) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{filter}"))
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
