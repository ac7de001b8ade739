//! A running import: lines come in, several are under way at once, and the outcome of each is reported.

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::web::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use twinhub_domain::{Json, Object};

use super::report::{BrokenOff, ImportReport, LineRefused, TokenMade};
use super::rows::{BodyRows, RowsEnd};
use super::{DeferredLine, ImportOptions, LineOutcome, RecordImport};
use crate::http::problem::ApiError;
use crate::import_export::unique_values::UniqueValues;
use crate::import_export::{FileFault, FileRow, LineFault, RowReader};

/// Lines under way at once. They share commits, so this many are about as fast as more, and leave the hub time
/// for others.
const IN_FLIGHT: usize = 256;
/// The most lines that wait for others behind them.
const MOST_LATER: usize = 100_000;

/// A running import.
struct ImportRun<K> {
    kind: Rc<K>,
    options: ImportOptions,
    seen: UniqueValues,
    flying: FuturesUnordered<LocalBoxFuture<'static, TriedLine>>,
    /// Lines to be tried again, and why they were refused.
    later: Vec<(ReadLine, LineFault)>,
    /// The refused lines that are listed in full, by line.
    refusals: BTreeMap<u64, LineRefused>,
    report: ImportReport,
}

/// A line that can be taken in.
struct ReadLine {
    number: u64,
    id: Option<String>,
    row: Object,
}

/// A line that was tried.
struct TriedLine {
    line: ReadLine,
    done: Result<LineOutcome, ApiError>,
}

/// Takes in all lines of `body`, of which `limit` bytes are read at most.
///
/// # Errors
/// No part of it can be read, and nothing was done.
pub(super) async fn run<K: RecordImport, E: std::fmt::Display>(
    kind: K,
    body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    options: ImportOptions,
    limit: usize,
) -> Result<ImportReport, FileFault> {
    let mut run = ImportRun {
        kind: Rc::new(kind),
        seen: UniqueValues::default(),
        flying: FuturesUnordered::new(),
        later: Vec::new(),
        refusals: BTreeMap::new(),
        report: ImportReport {
            dry_run: options.file.dry_run,
            tokens: options.tokens.then(Vec::new),
            ..ImportReport::default()
        },
        options,
    };
    let reader = RowReader::new(K::table(), options.file.format, options.file.first_line);
    let mut rows = BodyRows::new(reader, body, limit);
    run.all(&mut rows).await?;
    run.retry(rows.reader.line()).await;
    run.report.decimal_commas = rows.reader.decimal_commas().into_iter().map(Into::into).collect();
    run.report.refusals = run.refusals.into_values().collect();
    run.report.more_refusals = run.report.refused - run.report.refusals.len() as u64;
    if let Some(tokens) = &mut run.report.tokens {
        tokens.sort_by_key(|made| made.line);
    }
    Ok(run.report)
}

impl<K: RecordImport> ImportRun<K> {
    async fn all<S, E>(&mut self, rows: &mut BodyRows<'_, S>) -> Result<(), FileFault>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut open = true;
        loop {
            let reads = open && self.has_room();
            if !reads && self.flying.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(landed) = self.flying.next() => self.settle(landed, rows.reader.line()),
                row = rows.next(), if reads => match row {
                    Ok(Some(row)) => self.begin(row),
                    Ok(None) => open = false,
                    Err(RowsEnd::Unreadable(fault)) => return Err(fault),
                    Err(RowsEnd::BrokenOff(error)) => self.break_off(error, rows.reader.line()),
                },
            }
        }
    }

    fn has_room(&self) -> bool {
        self.flying.len() < IN_FLIGHT && self.report.broken_off.is_none()
    }

    /// Begins no further line. Lines under way are finished.
    fn break_off(&mut self, error: String, line: u64) {
        self.report.broken_off.get_or_insert(BrokenOff { line, error });
    }

    fn begin(&mut self, row: FileRow) {
        self.report.lines += 1;
        let number = row.line;
        let row = match row.fields {
            Ok(row) => row,
            Err(fault) => return self.refuse(number, None, fault),
        };
        let id = row.get(K::table().key).and_then(Json::as_str).map(str::to_owned);
        if let Err(error) = self.seen.check(K::table(), &row, number) {
            return self.refuse(number, id, error.into());
        }
        self.fly(ReadLine { number, id, row });
    }

    fn fly(&mut self, line: ReadLine) {
        let kind = Rc::clone(&self.kind);
        let landed = async move {
            let done = kind.import(line.row.clone()).await;
            TriedLine { line, done }
        };
        self.flying.push(landed.boxed_local());
    }

    fn settle(&mut self, TriedLine { line, done }: TriedLine, next: u64) {
        match done {
            Ok(LineOutcome::Created { id, token }) => {
                self.report.created += 1;
                if let (Some(tokens), Some(auth_token)) = (&mut self.report.tokens, token) {
                    tokens.push(TokenMade { line: line.number, device_id: id, auth_token });
                }
            }
            Ok(LineOutcome::Updated { .. }) => self.report.updated += 1,
            Ok(LineOutcome::Skipped) => self.report.skipped += 1,
            Err(error) if self.kind.may_be_deferred(&error) && self.later.len() < MOST_LATER => {
                self.later.push((line, error.into()));
            }
            Err(error) => {
                if error.is_outage() {
                    // The next would fare no better, and each would wait for its turn to fail.
                    self.break_off(error.to_string(), next);
                }
                self.refuse(line.number, line.id, error.into());
            }
        }
    }

    /// Retries lines that may have needed others, as long as that imports any.
    async fn retry(&mut self, next: u64) {
        let mut before = usize::MAX;
        while !self.later.is_empty() && self.later.len() < before && self.report.broken_off.is_none() {
            before = self.later.len();
            // Backwards: who stands before what he needs often does so all the way.
            let mut lines = std::mem::take(&mut self.later).into_iter().rev();
            loop {
                let room = IN_FLIGHT - self.flying.len();
                lines.by_ref().take(room).for_each(|(line, _)| self.fly(line));
                match self.flying.next().await {
                    Some(landed) => self.settle(landed, next),
                    None => break,
                }
            }
        }
        let later = std::mem::take(&mut self.later);
        let waiting = later.iter().map(|(line, _)| DeferredLine { line: line.number, row: &line.row });
        let mut explained = K::explain(&waiting.collect::<Vec<_>>());
        for (ReadLine { number, id, .. }, fault) in later {
            let fault = explained.remove(&number).unwrap_or(fault);
            self.refuse(number, id, fault);
        }
    }

    fn refuse(&mut self, line: u64, id: Option<String>, fault: LineFault) {
        self.report.refused += 1;
        let device_id = id.clone().filter(|_| K::table().key == "device_id");
        self.refusals.insert(line, LineRefused { device_id, ..LineRefused::new(line, id, fault) });
        if self.refusals.len() > self.options.file.details {
            self.refusals.pop_last(); // they come in as they end, and the first are told
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use futures_util::stream;
    use twinhub_actors::HubError;
    use twinhub_domain::Object;

    use super::*;
    use crate::api::files::import::FileOptions;
    use crate::http::extract::fields::FieldError;
    use crate::import_export::columns::{DEVICES, Table};

    /// Imports a line whose `model` is imported already, or that has none.
    #[derive(Default)]
    struct ModelTree(RefCell<BTreeSet<String>>);

    impl RecordImport for ModelTree {
        fn table() -> &'static Table {
            &DEVICES
        }

        async fn import(&self, row: Object) -> Result<LineOutcome, ApiError> {
            tokio::task::yield_now().await;
            let text = |field| row.get(field).and_then(Json::as_str).map(str::to_owned);
            let id = text("device_id").ok_or(FieldError::missing("device_id"))?;
            match text("model") {
                Some(model) if model == "away" => Err(HubError::Unavailable("away").into()),
                Some(parent) if !self.0.borrow().contains(&parent) => Err(ApiError::no_device(parent)),
                _ => {
                    self.0.borrow_mut().insert(id.clone());
                    Ok(LineOutcome::Created { id, token: None })
                }
            }
        }

        fn may_be_deferred(&self, refused: &ApiError) -> bool {
            matches!(refused, ApiError::NotFound { .. })
        }
    }

    async fn report_of(pieces: &[Result<&str, &'static str>], details: usize, limit: usize) -> String {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| piece.map(|text| Bytes::copy_from_slice(text.as_bytes()))).collect();
        let file = FileOptions { details, ..FileOptions::default() };
        let options = ImportOptions { file, ..ImportOptions::default() };
        let report = run(ModelTree::default(), &mut stream::iter(pieces), options, limit).await;
        let report = match report {
            Ok(report) => report,
            Err(fault) => return fault.to_string(),
        };
        let mut told = format!("{} of {}", report.created, report.lines);
        for LineRefused { line, code, error, .. } in &report.refusals {
            told.push_str(&format!("; {line} {code} {error}"));
        }
        if report.more_refusals > 0 {
            told.push_str(&format!("; and {}", report.more_refusals));
        }
        if let Some(BrokenOff { line, error }) = report.broken_off {
            told.push_str(&format!("; broken off at {line}: {error}"));
        }
        assert_eq!(report.lines, report.created + report.refused);
        told
    }

    async fn check(pieces: &[Result<&str, &'static str>], expected: &str) {
        assert_eq!(report_of(pieces, 100, 10_000).await, expected);
    }

    #[actix_rt::test]
    async fn what_stands_before_what_it_needs_comes_in_later() {
        check(
            &[Ok("device_id,model\nc,b\nb,a\na,\nx,y\ny,x\n")],
            "3 of 5; 5 device_not_found there is no device `y`; 6 device_not_found there is no device `x`",
        )
        .await;
    }

    #[actix_rt::test]
    async fn duplicates_are_reported_with_both_lines() {
        let body = "device_id,serial_number\na,1\n\nb,1\na,2\n,\n";
        let expected = "1 of 4; 4 duplicate `serial_number`: `1` is in line 2 already; \
            5 duplicate `device_id`: `a` is in line 2 already; 6 missing_field `device_id`: must be given";
        check(&[Ok(body)], expected).await;
    }

    #[actix_rt::test]
    async fn what_breaks_off_keeps_what_was_done() {
        let broken = "2 of 2; broken off at 4: the body did not arrive whole: gone";
        check(&[Ok("device_id\na\nb\nc"), Err("gone")], broken).await;
        let long = report_of(&[Ok("device_id\na\n"), Ok("b\n")], 10, 12).await;
        assert_eq!(long, "1 of 1; broken off at 3: a body has 12 bytes at most");
        let away = "1 of 2; 3 unavailable away; broken off at 4: away";
        check(&[Ok("device_id,model\na,\nb,away\n")], away).await;
    }

    #[actix_rt::test]
    async fn what_trickles_in_is_broken_off() {
        tokio::time::pause();
        let lines = stream::iter(0..1_000).then(|n| async move {
            tokio::time::sleep(std::time::Duration::from_secs(7)).await;
            let line = if n == 0 { "device_id\n".to_owned() } else { format!("d{n}\n") };
            Ok::<_, &'static str>(Bytes::from(line))
        });
        let report =
            run(ModelTree::default(), &mut Box::pin(lines), ImportOptions::default(), 100_000).await.unwrap();
        let broken = report.broken_off.map(|broken| broken.error);
        assert_eq!((report.created, broken.as_deref()), (3, Some("fewer than 64 KiB came in 30 s")));
    }

    #[actix_rt::test]
    async fn what_cannot_be_read_is_not_begun() {
        check(&[Ok("device_id\n"), Ok("a\nb\n")], "2 of 2").await;
        let refused = report_of(&[Ok("colour"), Ok("\na\n")], 100, 10_000).await;
        assert!(
            refused.starts_with("line 1, column 1: there is no column `colour` among devices: "),
            "{refused}"
        );
    }

    #[actix_rt::test]
    async fn refusals_are_reported_in_full_up_to_a_limit() {
        let body = format!("model\n{}", "m\n".repeat(10));
        let told = report_of(&[Ok(&body)], 2, 10_000).await;
        assert!(told.ends_with("; 3 missing_field `device_id`: must be given; and 8"), "{told}");
    }
}
