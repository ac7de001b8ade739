//! Text for people: to standard output, whose reader may have gone (`twinhub rules list | head`).

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use chrono::{DateTime, Local, SecondsFormat, TimeZone};
use chrono_tz::Tz;
use twinhub_domain::Timestamp;

/// A line.
///
/// # Errors
/// It cannot be written.
pub fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A moment in the time zone of this machine, with the zone: `2026-03-01 03:12:05.120+01:00`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    match DateTime::from_timestamp_millis(at.millis()) {
        Some(time) => written(&time.with_timezone(&Local)),
        None => at.to_string(),
    }
}

/// A moment in an answer by the clock of `zone`; anything else as it is. What a rule does is told by the clock that its
/// schedules go by.
#[must_use]
pub fn moment_of(text: &str, zone: Tz) -> String {
    let at = Timestamp::parse(text).and_then(|at| DateTime::from_timestamp_millis(at.millis()));
    at.map_or_else(|| text.to_owned(), |at| written(&at.with_timezone(&zone)))
}

/// The zone with this name, as an answer gives it; UTC where it gives none.
#[must_use]
pub fn zone(name: Option<&str>) -> Tz {
    name.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}

/// A moment in an answer, as [`moment`] writes it; anything else as it is.
#[must_use]
pub fn moment_in(text: &str) -> String {
    Timestamp::parse(text).map_or_else(|| text.to_owned(), moment)
}

/// One form for all that is printed.
fn written<Z: TimeZone>(time: &DateTime<Z>) -> String
where
    Z::Offset: Display,
{
    time.to_rfc3339_opts(SecondsFormat::Millis, true).replacen('T', " ", 1)
}

/// `1 rule`, `2 rules`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Columns as wide as what is in them; one that is empty throughout is left out. `nothing`: where there are no rows.
#[must_use]
pub fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]], nothing: &str) -> String {
    if rows.is_empty() {
        return nothing.into();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let columns: Vec<_> = (0..N).filter(|column| width(*column) > 0).collect();
    let first = heads.map(str::to_owned);
    let lines = std::iter::once(&first).chain(rows).map(|row| {
        let cells = columns.iter().map(|column| {
            let cell = &row[*column];
            let blank = width(*column).max(heads[*column].len()).saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(blank))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let heads = ["RULE", "STATUS", "TRIGGERS", "LAST RUN", "NEXT", "FROM"];
        let row = |id: &str, status: &str| [id, status, "cron", "", "", "a.yaml"].map(str::to_owned);
        assert_eq!(
            table(heads, &[row("night", "running"), row("x", "stopped")], "no rules"),
            "RULE   STATUS   TRIGGERS  FROM\nnight  running  cron      a.yaml\nx      stopped  cron      a.yaml"
        );
        assert_eq!(table(heads, &[], "no rules"), "no rules");
    }

    #[test]
    fn moments_name_their_zone() {
        let text = moment_in("2026-03-01T03:12:05.120Z");
        let again = Timestamp::parse(&text.replacen(' ', "T", 1)).unwrap();
        assert_eq!(again.to_string(), "2026-03-01T03:12:05.120Z", "{text}");
        assert_eq!(moment_in("soon"), "soon");
        let madrid = zone(Some("Europe/Madrid"));
        assert_eq!(moment_of("2026-07-01T03:12:05.120Z", madrid), "2026-07-01 05:12:05.120+02:00");
        assert_eq!(moment_of("2026-07-01T03:12:05.120Z", zone(None)), "2026-07-01 03:12:05.120Z");
        assert_eq!((count(1, "rule"), count(2, "rule")), ("1 rule".into(), "2 rules".into()));
    }
}
