//! The program's log: text for people at a terminal, JSON lines for machines, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// What libraries say about every connection and statement is theirs; who wants it can ask for it. One of them
/// logs each malformed HTTP request as an error; here it is a counter in `/metrics`, and a line at debug.
const QUIET: &str = "mqtt5=warn,sqlx=warn,sea_orm_migration=warn,actix_server=warn,rumqttc=warn,\
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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Starting it twice in one process (tests do) leaves the first in place.
    let _ = if json {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        log.with_ansi(on_terminal).try_init()
    };
    Ok(())
}
