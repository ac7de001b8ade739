//! The program's log: text for people at a terminal, JSON lines for machines, on standard error.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogFilter, LogFormat};

/// What libraries say about every connection and statement is theirs; who wants it can ask for it.
const QUIET: &str = "mqtt5=warn,sqlx=warn,sea_orm_migration=warn,actix_server=warn,rumqttc=warn";

/// Puts another filter in the place of the one that holds; why it cannot.
type Exchange = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Set once, when the log starts.
static EXCHANGE: OnceLock<Exchange> = OnceLock::new();

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
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // Standard error may be a terminal that was closed: to complain of that there would be a panic.
    let log = log.log_internal_errors(false).with_env_filter(filter);
    // Starting it twice in one process (tests do) leaves the first in place.
    let (started, exchange): (_, Exchange) = if json {
        let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        (log.try_init(), Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
    } else {
        let log = log.with_ansi(on_terminal).with_filter_reloading();
        let handle = log.reload_handle();
        (log.try_init(), Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
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
