//! A running import of readings: rows gather, and are stored some ten thousand at a time while the next ones gather.

use std::collections::BTreeMap;

use actix_rt::task::JoinHandle;
use actix_web::web::Bytes;
use futures_util::Stream;
use twinhub_domain::Json;

use super::ReadingsImportOptions;
use super::intake::{GatheredReadings, ReadingsOutcome, RefusedRow};
use super::row::{ImportedRow, RowWindow};
use crate::api::files::import::{BodyRows, BrokenOff, ImportReport, LineRefused, RowsEnd};
use crate::http::Access;
use crate::import_export::columns::READINGS;
use crate::import_export::{FileFault, FileRow, LineFault, RowReader};

/// Rows that are stored at once. Those of one device and time share an event, and all of them their commits.
const AT_ONCE: usize = 20_000;
/// Rows after which others of this thread have a turn.
const IN_A_TURN: u64 = 512;

/// A running import of readings.
struct ReadingsImport {
    access: Access,
    options: ReadingsImportOptions,
    window: RowWindow,
    gathered: GatheredReadings,
    /// The readings that are being stored.
    storing: Option<JoinHandle<ReadingsOutcome>>,
    /// The refused lines that are listed in full, by line.
    refusals: BTreeMap<u64, LineRefused>,
    report: ImportReport,
}

/// Takes in all rows of `body`, of which `limit` bytes are read at most.
///
/// # Errors
/// No part of it can be read, and nothing was done.
pub(super) async fn run<S, E>(
    access: Access,
    body: &mut S,
    options: ReadingsImportOptions,
    limit: usize,
) -> Result<ImportReport, FileFault>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let reader = RowReader::new(&READINGS, options.file.format, options.file.first_line);
    let mut rows = BodyRows::new(reader, body, limit);
    let mut import = ReadingsImport {
        window: options.window(&access),
        access,
        options,
        gathered: GatheredReadings::default(),
        storing: None,
        refusals: BTreeMap::new(),
        report: ImportReport { dry_run: options.file.dry_run, ..ImportReport::default() },
    };
    import.all(&mut rows).await?;
    let mut report = import.report;
    report.decimal_commas = rows.reader.decimal_commas().into_iter().map(Into::into).collect();
    report.refusals = import.refusals.into_values().collect();
    report.more_refusals = report.refused - report.refusals.len() as u64;
    Ok(report)
}

impl ReadingsImport {
    async fn all<S, E>(&mut self, rows: &mut BodyRows<'_, S>) -> Result<(), FileFault>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        while self.report.broken_off.is_none() {
            match rows.next().await {
                Ok(Some(row)) => self.take(row).await,
                Ok(None) => break,
                Err(RowsEnd::Unreadable(fault)) => return Err(fault),
                Err(RowsEnd::BrokenOff(error)) => {
                    let line = rows.reader.line();
                    self.report.broken_off = Some(BrokenOff { line, error });
                }
            }
            if self.report.lines.is_multiple_of(IN_A_TURN) {
                tokio::task::yield_now().await;
            }
        }
        self.settle().await;
        if self.report.broken_off.as_ref().is_none_or(|broken| !self.is_before(broken.line)) {
            self.store();
            self.settle().await;
        }
        Ok(())
    }

    /// Was the import broken off before the rows that are gathered?
    fn is_before(&self, line: u64) -> bool {
        self.gathered.first_line().is_some_and(|first| line <= first)
    }

    async fn take(&mut self, FileRow { line, fields }: FileRow) {
        self.report.lines += 1;
        let row = match fields {
            Ok(row) => row,
            Err(fault) => return self.refuse(line, None, fault),
        };
        let id = row.get(READINGS.key).and_then(Json::as_str).map(str::to_owned);
        match ImportedRow::read(row, self.window) {
            Ok(row) => {
                if self.gathered.is_full(AT_ONCE, &row) {
                    self.settle().await;
                    self.store();
                }
                self.gathered.add(line, row);
            }
            Err(fault) => self.refuse(line, id, fault),
        }
    }

    /// Begins to store what has gathered.
    fn store(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.len() > 0 {
            let (access, options) = (self.access.clone(), self.options);
            self.storing = Some(actix_rt::spawn(gathered.store(access, options)));
        }
    }

    /// Waits for what is being stored.
    async fn settle(&mut self) {
        let Some(storing) = self.storing.take() else { return };
        let outcome = storing.await.unwrap_or_default(); // it is not stopped, and has no way to panic
        let ReadingsOutcome { stored, known, refused, outage } = outcome;
        self.report.created += stored;
        self.report.skipped += known;
        for RefusedRow { line, device, fault } in refused {
            self.refuse(line, Some(device), fault);
        }
        if let Some((line, error)) = outage {
            // The rows that come would fare no better.
            self.report.broken_off = Some(BrokenOff { line, error });
        }
    }

    fn refuse(&mut self, line: u64, id: Option<String>, fault: LineFault) {
        self.report.refused += 1;
        let refused = LineRefused { device_id: id.clone(), ..LineRefused::new(line, id, fault) };
        self.refusals.insert(line, refused);
        if self.refusals.len() > self.options.file.details {
            self.refusals.pop_last(); // the first are told
        }
    }
}
