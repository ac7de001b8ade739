//! Mapped rows on their way into the hub. Each of the requests may come twice: what is there stays as it is.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use twinhub_domain::{DeviceId, Json, Object};
use twinhub_mqtt::dialects::iamis::is_hubs_own;

use super::iamis::{TAG, TAGGED};
use super::report::{DocumentKind, MigrationReport};
use super::row::{CellFault, MappedRows, SeedDocument, SeedSample};
use crate::cli::remote::{Method, Remote, refused};

/// Devices are taken in without a field that the hub refuses, one after the other.
const MOST_FIELDS: usize = 8;
/// Fields without which a device is none.
const NEEDED: [&str; 2] = ["device_id", "name"];
const JSON: &str = "application/json";
/// Lines of a refusal that are listed, the most that may be.
const DETAILS: usize = 100_000;
/// The pauses, and their number, while the hub is busy or does not take anything in.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSES: u32 = 60;

/// The hub that takes a file over.
pub struct SeedSender {
    /// None: nothing is sent.
    hub: Option<Remote>,
    pub report: MigrationReport,
}

/// A line that was refused.
struct RefusedLine {
    /// Its place among those that were sent.
    index: usize,
    field: Option<String>,
    error: String,
}

impl SeedSender {
    /// To this hub, or in a dry run to none.
    pub fn new(hub: Option<Remote>, report: MigrationReport) -> Self {
        Self { hub, report }
    }

    /// Sends what the rows of a table became, and reports all that is to be said about it.
    ///
    /// # Errors
    /// The hub is not there, or takes nothing in.
    pub async fn send(&mut self, table: &str, mapped: MappedRows) -> Result<()> {
        let MappedRows { documents, faults, notes } = mapped;
        for fault in &faults {
            self.report.fault(table, fault)?;
        }
        for note in notes {
            self.report.note(note);
        }
        let Some(hub) = self.hub.take() else {
            for (_, document) in &documents {
                let count =
                    if let SeedDocument::Sample(sample) = document { sample.readings.len() } else { 1 };
                self.report.count(DocumentKind::of(document), count as u64, 0);
            }
            return Ok(());
        };
        let (mut groups, mut devices, mut samples) = (Vec::new(), Vec::new(), Vec::new());
        let mut alone = Vec::new();
        for (rowid, document) in documents {
            match document {
                SeedDocument::Group(line) => groups.push((rowid, line)),
                SeedDocument::Device(line) => devices.push((rowid, line)),
                SeedDocument::Sample(sample) => samples.push((rowid, sample)),
                SeedDocument::Dispositivo(_) | SeedDocument::Rule(_) => alone.push((rowid, document)),
            }
        }
        // A reading is of a device, which may be in a group.
        self.records(&hub, table, "groups", DocumentKind::Groups, groups).await?;
        self.records(&hub, table, "devices", DocumentKind::Devices, devices).await?;
        for (rowid, document) in alone {
            self.alone(&hub, table, rowid, document).await?;
        }
        self.samples(&hub, table, &samples).await?;
        self.hub = Some(hub);
        Ok(())
    }

    /// Groups or devices. One with a field that the hub refuses comes in without it.
    async fn records(
        &mut self,
        hub: &Remote,
        table: &str,
        name: &str,
        kind: DocumentKind,
        mut records: Vec<(i64, Object)>,
    ) -> Result<()> {
        let path = format!("/api/{name}/import?format=jsonl&existing=skip&details={DETAILS}");
        for round in 0..=MOST_FIELDS {
            if records.is_empty() {
                break;
            }
            let lines = records.iter().map(|(_, line)| Json::from(line.clone()).to_string());
            let refused = self.import(hub, &path, kind, lines).await?;
            let mut again = Vec::new();
            for RefusedLine { index, field, error } in refused {
                let Some((rowid, mut line)) = records.get(index).cloned() else { continue };
                let field = field.unwrap_or_default();
                let section = field.split('.').next().unwrap_or_default();
                let is_needed = NEEDED.contains(&section) || round == MOST_FIELDS;
                if !is_needed && line.remove(section).is_some() {
                    again.push((rowid, line));
                }
                self.report.fault(table, &CellFault { rowid, column: field, reason: error })?;
            }
            records = again;
        }
        Ok(())
    }

    async fn samples(&mut self, hub: &Remote, table: &str, samples: &[(i64, SeedSample)]) -> Result<()> {
        let path = format!("/api/data/import?format=jsonl&details={DETAILS}");
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for (rowid, sample) in samples {
            lines.extend(sample.lines());
            rows.resize(lines.len(), *rowid);
        }
        for RefusedLine { index, field, error } in
            self.import(hub, &path, DocumentKind::Readings, lines.into_iter()).await?
        {
            let rowid = rows.get(index).copied().unwrap_or_default();
            let column = field.unwrap_or_default();
            self.report.fault(table, &CellFault { rowid, column, reason: error })?;
        }
        Ok(())
    }

    /// Lines for one of the imports. Gives those that were refused.
    async fn import(
        &mut self,
        hub: &Remote,
        path: &str,
        kind: DocumentKind,
        lines: impl Iterator<Item = String>,
    ) -> Result<Vec<RefusedLine>> {
        let mut body = String::new();
        for line in lines {
            body.push_str(&line);
            body.push('\n');
        }
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let (status, answer) = ask(hub, path, "application/x-ndjson", body).await?;
        if status != 200 {
            return Err(said_no(status, &answer));
        }
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        self.report.count(kind, count("created"), count("skipped"));
        if let Some(error) = answer["broken_off"]["error"].as_str() {
            bail!("the hub takes nothing in: {error}. Run it again: what is in already is passed over");
        }
        let refusals = answer["refusals"].as_array().map(Vec::as_slice).unwrap_or_default();
        let refusal = |refusal: &Value| {
            let line = usize::try_from(refusal["line"].as_u64()?).ok()?;
            let field = refusal["field"].as_str().map(str::to_owned);
            let error = refusal["error"].as_str().unwrap_or_default().to_owned();
            Some(RefusedLine { index: line.checked_sub(1)?, field, error })
        };
        Ok(refusals.iter().filter_map(refusal).collect())
    }

    /// A document that has a request of its own.
    async fn alone(&mut self, hub: &Remote, table: &str, rowid: i64, document: SeedDocument) -> Result<()> {
        let kind = DocumentKind::of(&document);
        let (path, body) = match document {
            SeedDocument::Dispositivo(body) => ("/dispositivos", body),
            SeedDocument::Rule(body) => ("/api/automation/rules", body),
            _ => return Ok(()), // the others go together
        };
        let number = body.get("id").filter(|_| kind == DocumentKind::Devices).cloned();
        let text = Json::from(body).to_string();
        let (status, answer) = ask(hub, path, JSON, text).await?;
        match status {
            201 => {
                self.report.count(kind, 1, 0);
                let own = answer["id"].to_string();
                if let Some(number) = number.as_ref().and_then(Json::as_str).filter(|number| *number != own) {
                    self.report.note(format!("the device with the id {number} has the id {own} here"));
                }
            }
            409 => self.report.count(kind, 0, 1),
            400 | 413 | 422 => {
                let reason = said_no(status, &answer).to_string();
                self.report.fault(table, &CellFault { rowid, column: String::new(), reason })?;
            }
            _ => return Err(said_no(status, &answer)),
        }
        Ok(())
    }

    /// Sees to it that readings of seed 001 come before all others of their device: their numbers lead from each to the one
    /// before, and those that the hub has given begin with 1.
    ///
    /// # Errors
    /// The hub has numbered readings of its own; or it is not there, or says no.
    pub async fn check_numbers(&self, device: &DeviceId) -> Result<()> {
        let Some(hub) = &self.hub else { return Ok(()) };
        let path = format!("/api/devices/{device}");
        let (status, twin) = hub.answer(Method::GET, &format!("{path}/twin"), JSON, Vec::new()).await?;
        if status == 404 || twin["tags"][TAG] == TAGGED {
            return Ok(());
        }
        if status != 200 {
            return Err(said_no(status, &twin));
        }
        let numbered = twin["reported"].as_object().into_iter().flatten();
        if numbered.into_iter().any(|(name, _)| is_hubs_own(name)) {
            bail!(
                "sensors have spoken to the hub already, so readings of before cannot be numbered before theirs: \
                 take them over into a device of another name, with --sensor-data-device"
            );
        }
        let tag = json!({ "tags": { TAG: TAGGED } });
        hub.send_json(Method::PATCH, &path, Some(&tag)).await.map(drop)
    }

    /// The dashboard of seed 001, where the hub has none yet.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn layout(&mut self, file: &str, text: String) -> Result<()> {
        let kind = DocumentKind::Layouts;
        let Some(hub) = &self.hub else {
            self.report.count(kind, 1, 0);
            return Ok(());
        };
        let (there, _) = hub.get("/api/layout").await?;
        if there["tiles"].as_array().is_some_and(|tiles| !tiles.is_empty()) {
            self.report.count(kind, 0, 1);
            return Ok(());
        }
        let (status, answer) = ask(hub, "/api/layout", JSON, text).await?;
        if status == 200 {
            self.report.count(kind, 1, 0);
            return Ok(());
        }
        let reason = match &answer["detail"] {
            Value::Array(faults) => faults.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
            _ => said_no(status, &answer).to_string(),
        };
        self.report.fault(file, &CellFault { rowid: 1, column: String::new(), reason })
    }
}

/// Asks, and again while the hub is busy or its store takes nothing in.
async fn ask(hub: &Remote, path: &str, media_type: &str, body: String) -> Result<(u16, Value)> {
    let mut pauses = 0;
    loop {
        let answer = hub.answer(Method::POST, path, media_type, body.clone().into_bytes()).await?;
        if !matches!(answer.0, 429 | 503) || pauses == PAUSES {
            return Ok(answer);
        }
        pauses += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

fn said_no(status: u16, answer: &Value) -> anyhow::Error {
    if let Some(detail) = answer["detalle"].as_str() {
        return anyhow!("{detail}");
    }
    refused(answer).unwrap_or_else(|| anyhow!("the hub says {status}"))
}
