//! Gathered readings on their way into the twins.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use twinhub_actors::HubError;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::{LoadTwins, RawHistory};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::reading::ImportedReadings;
use twinhub_domain::series::{Aggregate, HistoryQuery};
use twinhub_domain::twin::Rejected;
use twinhub_domain::{DeviceId, DeviceNumber, Input, Json, Reading, ReadingTime, Refusal, Twin};

use super::ReadingsImportOptions;
use super::row::ImportedRow;
use crate::api::data::page::HistoryPage;
use crate::http::Access;
use crate::http::problem::ApiError;
use crate::import_export::LineFault;

/// Devices that are written at once.
const DEVICES_AT_ONCE: usize = 64;
/// Readings of a device in one input: a commit with more holds up those of others.
const IN_AN_INPUT: usize = 2_000;
/// Readings of the store that are compared at once.
const PAGE: usize = 5_000;

/// Rows by their device, in the order of the file.
#[derive(Default)]
pub struct GatheredReadings {
    devices: HashMap<DeviceId, Vec<(u64, ImportedRow)>>,
    count: usize,
    first_line: Option<u64>,
    /// The device and the time of the last row.
    last: Option<(DeviceId, ReadingTime)>,
}

/// The outcome of gathered rows.
#[derive(Default)]
pub struct ReadingsOutcome {
    pub stored: u64,
    /// They were there already.
    pub known: u64,
    pub refused: Vec<RefusedRow>,
    /// The hub takes nothing in: the first line that is not stored therefore, and the reason.
    pub outage: Option<(u64, String)>,
}

/// A row that was refused.
pub struct RefusedRow {
    pub line: u64,
    pub device: String,
    pub fault: LineFault,
}

impl GatheredReadings {
    /// Takes in the row of this line.
    pub fn add(&mut self, line: u64, row: ImportedRow) {
        self.first_line.get_or_insert(line);
        self.count += 1;
        self.last = Some((row.device.clone(), row.at));
        match self.devices.get_mut(&row.device) {
            Some(rows) => rows.push((line, row)),
            None => drop(self.devices.insert(row.device.clone(), vec![(line, row)])),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there `most` rows, and is `next` of another moment than the last of them? Those of a moment are one event, as
    /// the message was that they came with; as long as they are not as many again.
    pub fn is_full(&self, most: usize, next: &ImportedRow) -> bool {
        let goes_on = self.last.as_ref().is_some_and(|(device, at)| (device, *at) == (&next.device, next.at));
        self.count >= most && (!goes_on || self.count >= 2 * most)
    }

    /// The line of the first row.
    pub fn first_line(&self) -> Option<u64> {
        self.first_line
    }

    /// Stores them, several devices at once.
    pub async fn store(self, access: Access, options: ReadingsImportOptions) -> ReadingsOutcome {
        let ids = self.devices.keys().cloned().collect();
        let known = match access.ask(LoadTwins(ids)).await {
            Ok(Ok(twins)) => twins,
            Ok(Err(error)) => return self.none(&ApiError::from(error)),
            Err(error) => return self.none(&ApiError::from(error)),
        };
        let numbers: HashMap<DeviceId, DeviceNumber> =
            known.into_iter().map(|Twin { id, number, .. }| (id, number)).collect();
        let storing = self.devices.into_iter().map(|(device, rows)| {
            let of = ImportedDevice { number: numbers.get(&device).copied(), device, rows };
            of.store(&access, options)
        });
        let all: Vec<_> = stream::iter(storing).buffer_unordered(DEVICES_AT_ONCE).collect().await;
        all.into_iter().fold(ReadingsOutcome::default(), ReadingsOutcome::and)
    }

    /// None of them could be stored.
    fn none(&self, error: &ApiError) -> ReadingsOutcome {
        let outage = Some((self.first_line.unwrap_or_default(), error.to_string()));
        ReadingsOutcome { outage, ..ReadingsOutcome::default() }
    }
}

impl ReadingsOutcome {
    fn and(mut self, other: Self) -> Self {
        self.stored += other.stored;
        self.known += other.known;
        self.refused.extend(other.refused);
        self.outage = match (self.outage, other.outage) {
            (Some(one), Some(other)) => Some(if one.0 <= other.0 { one } else { other }),
            (one, other) => one.or(other),
        };
        self
    }
}

/// The rows of one device.
struct ImportedDevice {
    device: DeviceId,
    /// None: it is not known.
    number: Option<DeviceNumber>,
    rows: Vec<(u64, ImportedRow)>,
}

impl ImportedDevice {
    async fn store(mut self, access: &Access, options: ReadingsImportOptions) -> ReadingsOutcome {
        let mut outcome = ReadingsOutcome::default();
        if self.number.is_none() && options.refuse_unknown {
            let error = HubError::Refused(Refusal::Unknown(self.device.to_string()));
            let rows = std::mem::take(&mut self.rows);
            self.refuse(rows, ApiError::from(error), &mut outcome);
            return outcome;
        }
        self.rows.sort_by_key(|(_, row)| row.at);
        let all = self.rows.len();
        if let Err(error) = self.leave_known_out(access).await {
            let rows = std::mem::take(&mut self.rows);
            self.refuse(rows, error, &mut outcome);
            return outcome;
        }
        outcome.known = (all - self.rows.len()) as u64;
        if options.file.dry_run {
            outcome.stored = self.rows.len() as u64;
            return outcome;
        }
        let mut rows = std::mem::take(&mut self.rows);
        while !rows.is_empty() {
            let later = rows.split_off(rows_of_input(&rows));
            let these = std::mem::replace(&mut rows, later);
            self.deliver(these, access, options, &mut outcome).await;
            if outcome.outage.is_some() {
                break; // the rest would fare no better; it comes in again with the file
            }
        }
        outcome
    }

    /// Leaves the rows out that are in the store, or twice in the file.
    async fn leave_known_out(&mut self, access: &Access) -> Result<(), ApiError> {
        let mut known = HashSet::new();
        if let (Some(device), Some((_, first)), Some((_, last))) =
            (self.number, self.rows.first(), self.rows.last())
        {
            let names: HashSet<&str> = self.rows.iter().map(|(_, row)| &*row.reading.name).collect();
            let wanted = HistoryQuery {
                device,
                from: Some(first.at),
                to: Some(last.at.next()),
                sensors: names.into_iter().map(str::to_owned).collect(),
                min_quality: None,
                limit: 0,
                newest_first: false,
                interval: None,
                aggregate: Aggregate::default(),
            };
            let times: HashSet<ReadingTime> = self.rows.iter().map(|(_, row)| row.at).collect();
            let mut next = Some(HistoryPage::first(PAGE));
            while let Some(page) = next {
                let mut query = wanted.clone();
                page.narrow(&mut query);
                let found = access.ask(RawHistory(query)).await??;
                let (these, behind) = page.part(&found, |reading| reading.timestamp);
                let of_rows = these.iter().filter(|reading| times.contains(&reading.timestamp));
                known.extend(of_rows.map(|reading| {
                    (
                        reading.timestamp,
                        reading.sensor_type.clone(),
                        Json::from(reading.value.clone()).to_string(),
                    )
                }));
                next = behind;
            }
        }
        // As JSON has them: a text `5` is another value than the number.
        self.rows.retain(|(_, row)| {
            let Reading { name, value, .. } = &row.reading;
            known.insert((row.at, name.to_string(), Json::from(value.clone()).to_string()))
        });
        Ok(())
    }

    async fn deliver(
        &self,
        rows: Vec<(u64, ImportedRow)>,
        access: &Access,
        options: ReadingsImportOptions,
        outcome: &mut ReadingsOutcome,
    ) {
        let if_unknown = if options.refuse_unknown { IfUnknown::Refuse } else { IfUnknown::Appear };
        let input = Input::Import(samples(&rows));
        let request = InputRequest::new(self.device.clone(), input).if_unknown(if_unknown);
        match access.deliver(request).await {
            Ok(taken) => {
                let rejected: HashMap<&str, &Rejected> =
                    taken.rejected.iter().map(|rejected| (&*rejected.name, rejected)).collect();
                for (line, row) in rows {
                    match rejected.get(&*row.reading.name) {
                        None => outcome.stored += 1,
                        Some(Rejected { refusal, .. }) => {
                            let error = ApiError::from(HubError::Refused(refusal.clone()));
                            outcome.refused.push(self.refused(line, error));
                        }
                    }
                }
            }
            Err(error) => self.refuse(rows, ApiError::from(error), outcome),
        }
    }

    /// The rows are not stored, for this reason.
    fn refuse(&self, rows: Vec<(u64, ImportedRow)>, error: ApiError, outcome: &mut ReadingsOutcome) {
        if error.is_outage() {
            let first = rows.iter().map(|(line, _)| *line).min().unwrap_or_default();
            outcome.outage = Some((first, error.to_string()));
            return;
        }
        let fault = LineFault::from(error);
        let refused = rows.into_iter().map(|(line, _)| RefusedRow {
            line,
            device: self.device.to_string(),
            fault: fault.clone(),
        });
        outcome.refused.extend(refused);
    }

    fn refused(&self, line: u64, error: ApiError) -> RefusedRow {
        RefusedRow { line, device: self.device.to_string(), fault: error.into() }
    }
}

/// The number of the first rows that go in one input: all that there is room for, up to the end of a moment where one ends
/// among them.
fn rows_of_input(rows: &[(u64, ImportedRow)]) -> usize {
    let at = |index: usize| rows.get(index).map(|(_, row)| row.at);
    if rows.len() <= IN_AN_INPUT {
        return rows.len();
    }
    let ends = |count: &usize| at(*count) != at(count - 1);
    (1..=IN_AN_INPUT).rev().find(ends).unwrap_or(IN_AN_INPUT)
}

/// The rows, which are in the order of their times, as readings of one moment each.
fn samples(rows: &[(u64, ImportedRow)]) -> Box<[ImportedReadings]> {
    let mut samples: Vec<ImportedReadings> = Vec::new();
    for (_, row) in rows {
        match samples.last_mut() {
            Some(last) if last.at == row.at && last.claimed == row.claimed => {
                last.readings.push(row.reading.clone());
            }
            _ => samples.push(ImportedReadings {
                at: row.at,
                claimed: row.claimed,
                readings: vec![row.reading.clone()],
            }),
        }
    }
    samples.into()
}
