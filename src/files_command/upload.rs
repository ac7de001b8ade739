//! Lines on their way to the hub: so many in a request that none takes long, and that it can be seen how far
//! it is.

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::Value;
use twinhub_actors::domain::Json;

use super::import::ImportArgs;
use super::report::Report;
use crate::exchange::columns::Table;
use crate::exchange::seen::Seen;
use crate::exchange::{Format, MOST_DETAILS, Reader, Row};
use crate::remote::Remote;

/// Lines in a request.
const LINES: usize = 2_000;
/// Bytes in a request, about; a line may be longer.
const BYTES: usize = 8 << 20;

/// See the module.
pub struct Upload {
    table: &'static Table,
    hub: Remote,
    /// Where they go, with all but the number of the first line.
    path: String,
    format: Format,
    seen: Seen,
    body: Vec<u8>,
    lines: usize,
    /// The number of the body's first line, and of the one that would come next.
    first: u64,
    next: u64,
    pub report: Report,
}

impl Upload {
    /// To this hub, as it is asked for.
    pub fn new(table: &'static Table, hub: Remote, args: &ImportArgs, report: Report) -> Self {
        let details = if table.whole { MOST_DETAILS } else { LINES };
        let path = format!(
            "/api/{}/import?existing={}&dry_run={}&tokens={}&details={details}",
            table.name,
            args.existing.as_str(),
            args.dry_run,
            args.tokens
        );
        Self {
            table,
            hub,
            path,
            format: Format::Jsonl,
            seen: Seen::default(),
            body: Vec::new(),
            lines: 0,
            first: 0,
            next: 0,
            report,
        }
    }

    /// Puts a row beside the others, unless it is seen here already that it is none.
    pub fn take(&mut self, row: Row, reader: &Reader) {
        let Row { line, raw, fields } = row;
        let row = match fields {
            Ok(row) => row,
            Err(fault) => return self.report.refuse_here(line, None, &fault),
        };
        // The hub sees a part of the file alone: what stands there twice is seen here.
        if let Err(error) = self.seen.look(self.table, &row, line) {
            let id = row.get(self.table.key).and_then(Json::as_str);
            return self.report.refuse_here(line, id, &error.into());
        }
        if self.lines == 0 {
            self.format = reader.format().unwrap_or(Format::Jsonl);
            self.body.clear();
            self.body.extend_from_slice(reader.header());
            (self.first, self.next) = (line, line);
        }
        if !self.body.is_empty() && !matches!(self.body.last(), Some(b'\n' | b'\r')) {
            self.body.push(b'\n');
        }
        // Lines that were left out, or had nothing in them, are empty ones: those after them keep their numbers.
        let empty = if self.body.last() == Some(&b'\r') { b'\r' } else { b'\n' }; // one line end would be `\r\n`
        for _ in self.next..line {
            self.body.push(empty);
        }
        self.body.extend_from_slice(&raw);
        self.next = reader.line();
        self.lines += 1;
    }

    /// Is it time to send them?
    pub fn is_full(&self) -> bool {
        !self.table.whole && (self.lines >= LINES || self.body.len() >= BYTES)
    }

    /// Sends what there is, and tells what became of it.
    pub async fn send(&mut self, bar: &ProgressBar) -> Result<()> {
        let answer = if self.lines == 0 {
            Value::Null
        } else {
            let path = format!("{}&format={}&first_line={}", self.path, self.format.as_str(), self.first);
            let body = std::mem::take(&mut self.body);
            self.lines = 0;
            self.hub.send_file(&path, self.format.media_type(), body).await?
        };
        bar.suspend(|| self.report.take(&answer))
    }
}
