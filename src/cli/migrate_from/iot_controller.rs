//! Seed 004, the IoT Controller: groups, devices, readings, logs and rules.

use std::collections::{HashMap, HashSet};

use chrono_tz::Tz;
use twinhub_domain::{Json, Object, Reading, Scalar};
use twinhub_mqtt::dialects::dispositivos::id_of_serial;

use super::device_book::{DeviceBook, line};
use super::row::{CellFault, MappedRows, MomentBook, STEP_NS, SeedDocument, SeedRow, SeedSample};
use super::seed::{Seed, SeedTable};

const GROUPS: &str = "device_groups";
const DEVICES: &str = "devices";
const READINGS: &str = "sensor_data";
const LOGS: &str = "device_logs";
const RULES: &str = "automation_rules";
const OF_THE_HUB: &str = "the hub says it by what it hears itself";
const OWNERS: &str = "things belong to whoever takes them over, until another user is made their owner";
const MADE: &str = "it is the time of the migration here";

static TABLES: [SeedTable; 5] = [
    SeedTable {
        name: GROUPS,
        columns: &["id", "name", "description", "parent_id"],
        left: &[("user_id", OWNERS), ("device_count", "the hub counts them itself"), ("created_at", MADE)],
    },
    SeedTable {
        name: DEVICES,
        columns: &[
            "id",
            "name",
            "device_type",
            "description",
            "ip_address",
            "mac_address",
            "auth_token",
            "group_id",
            "configuration",
        ],
        left: &[
            ("user_id", OWNERS),
            ("status", OF_THE_HUB),
            ("last_seen", OF_THE_HUB),
            ("firmware_version", "the device itself says it"),
            ("created_at", MADE),
        ],
    },
    SeedTable {
        name: READINGS,
        columns: &["device_id", "sensor_type", "value", "unit", "timestamp", "quality_score"],
        left: &[("id", "readings have no id here")],
    },
    SeedTable {
        name: LOGS,
        columns: &["device_id", "event_type", "message", "severity", "timestamp"],
        left: &[("id", "readings have no id here")],
    },
    // Behind the readings: no rule is to act on those of the past.
    SeedTable {
        name: RULES,
        columns: &["id", "name", "description", "trigger_conditions", "actions", "is_enabled"],
        left: &[("user_id", OWNERS), ("last_triggered", "the hub keeps its own runs"), ("created_at", MADE)],
    },
];

static LEFT: [(&str, &str); 2] = [
    ("users", super::USERS),
    ("commands", "the hub keeps the history of its own commands alone, and sends none that waited there"),
];

/// The texts of a device that are the same there and here.
const TEXTS: [(&str, &str); 5] = [
    ("device_type", "type"),
    ("description", "description"),
    ("ip_address", "ip_address"),
    ("mac_address", "mac_address"),
    ("auth_token", "auth_token"),
];

/// A group that waits for the others: it may come before the one above it.
struct WaitingGroup {
    rowid: i64,
    /// The ids as they are there.
    id: String,
    parent: Option<String>,
    line: Object,
}

/// The reader of its rows.
pub struct IotControllerSeed {
    zone: Tz,
    moments: MomentBook,
    groups: Vec<WaitingGroup>,
    /// The groups' ids here, by those there.
    group_ids: HashMap<String, String>,
    devices: DeviceBook,
}

impl IotControllerSeed {
    /// With times that name no zone of `zone`.
    pub fn new(zone: Tz) -> Self {
        let (groups, group_ids, devices) = (Vec::new(), HashMap::new(), DeviceBook::default());
        Self { zone, moments: MomentBook::default(), groups, group_ids, devices }
    }

    fn group(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let id = row.needed_text("id")?;
        if self.group_ids.contains_key(&id) {
            return Err(row.fault("id", format!("`{id}` is there already: its first row counts")));
        }
        let own = own_id(row, &id, "group", into)?;
        let name = into.or_without(row.text("name")).unwrap_or_else(|| id.clone());
        let mut line: Object =
            [("id", Json::from(own.as_str())), ("name", name.into())].into_iter().collect();
        if let Some(description) = into.or_without(row.text("description")) {
            line.insert("description", description.into());
        }
        let parent = into.or_without(row.text("parent_id"));
        self.group_ids.insert(id.clone(), own);
        self.groups.push(WaitingGroup { rowid: row.rowid(), id, parent, line });
        Ok(())
    }

    /// The groups, each with the one above it; one that is its own above, or below one that nobody has, is at the top.
    fn end_of_groups(&mut self, into: &mut MappedRows) {
        let above: HashMap<String, String> =
            self.groups.iter().filter_map(|group| Some((group.id.clone(), group.parent.clone()?))).collect();
        for WaitingGroup { rowid, id, parent, mut line } in std::mem::take(&mut self.groups) {
            let known = parent.as_ref().map(|parent| (parent, self.group_ids.get(parent)));
            match known {
                None => {}
                Some((parent, _)) if is_above(&above, parent, &id) => {
                    let reason = format!("`{parent}` is below it: it is at the top here");
                    into.faults.push(CellFault { rowid, column: "parent_id".into(), reason });
                }
                Some((_, Some(own))) => {
                    line.insert("parent_group", own.as_str().into());
                }
                Some((parent, None)) => {
                    let reason = format!("there is no group `{parent}`: it is at the top here");
                    into.faults.push(CellFault { rowid, column: "parent_id".into(), reason });
                }
            }
            into.documents.push((rowid, SeedDocument::Group(line)));
        }
    }

    fn device(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let id = row.needed_text("id")?;
        let (device, is_new) = self.devices.meet(row, "id", &id, into)?;
        if !is_new {
            return Err(row.fault("id", format!("`{id}` is there already: its first row counts")));
        }
        let name = into.or_without(row.text("name")).unwrap_or_else(|| id.clone());
        let mut line = line(&device, &id, &name);
        for (column, member) in TEXTS {
            if let Some(text) = into.or_without(row.text(column)) {
                line.insert(member, text.into());
            }
        }
        if let Some(group) = into.or_without(row.text("group_id")) {
            match self.group_ids.get(&group) {
                Some(own) => {
                    line.insert("group_id", own.as_str().into());
                }
                None => into.faults.push(row.fault("group_id", format!("there is no group `{group}`"))),
            }
        }
        if let Some(configuration) = into.or_without(row.object("configuration")) {
            line.insert("configuration", configuration.into());
        }
        into.add(row, SeedDocument::Device(line));
        Ok(())
    }

    fn reading(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let name = row.needed_text("sensor_type")?;
        let value = match row.number("value") {
            Ok(number) => number.map(Scalar::Number),
            Err(fault) => match row.text("value") {
                Ok(text) => text.map(|text| Scalar::Text(text.into())), // a switch's `open`
                Err(_) => return Err(fault),
            },
        };
        let value = value.ok_or_else(|| row.fault("value", "there is none"))?;
        let quality = row.number("quality_score").and_then(|number| match number {
            None => Ok(None),
            Some(number) => match number.as_whole().and_then(|whole| u8::try_from(whole).ok()) {
                Some(score) if score <= 100 => Ok(Some(score)),
                _ => Err(row.fault("quality_score", format!("{number} is no whole number from 0 to 100"))),
            },
        });
        let at = row.time("timestamp", self.zone)?;
        let unit = into.or_without(row.text("unit")).map(Into::into);
        let quality_score = into.or_without(quality);
        let device = self.devices.of_reading(row, "device_id", DEVICES, into)?;
        let at = self.moments.moment(&format!("{device}/{name}"), at, STEP_NS);
        let reading = Reading { name: name.into(), value, unit, quality_score };
        into.add(row, SeedDocument::Sample(SeedSample { device, at, readings: vec![reading] }));
        Ok(())
    }

    /// A log line is a reading `log` of its moment, with its kind and severity beside.
    fn log(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let at = row.time("timestamp", self.zone)?;
        let mut readings = Vec::new();
        for (column, name) in
            [("message", "log"), ("event_type", "log.event_type"), ("severity", "log.severity")]
        {
            if let Some(text) = into.or_without(row.text(column)) {
                let value = Scalar::Text(text.into());
                readings.push(Reading { name: name.into(), value, unit: None, quality_score: None });
            }
        }
        if readings.is_empty() {
            into.empty(row, "there is nothing in it");
            return Ok(());
        }
        let device = self.devices.of_reading(row, "device_id", DEVICES, into)?;
        let at = self.moments.moment(device.as_str(), at, STEP_NS);
        into.add(row, SeedDocument::Sample(SeedSample { device, at, readings }));
        Ok(())
    }

    fn rule(row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let id = row.needed_text("id")?;
        let own = own_id(row, &id, "rule", into)?;
        let name = into.or_without(row.text("name")).unwrap_or(id);
        let needed = |column| {
            let there = row.json(column)?.filter(|json| *json != Json::Null);
            there.ok_or_else(|| row.fault(column, "there is none, and a rule needs one"))
        };
        let mut body: Object = [
            ("id", Json::from(own)),
            ("name", name.into()),
            ("trigger_conditions", needed("trigger_conditions")?),
            ("actions", needed("actions")?),
            ("is_enabled", row.flag("is_enabled")?.into()),
        ]
        .into_iter()
        .collect();
        if let Some(description) = into.or_without(row.text("description")) {
            body.insert("description", description.into());
        }
        into.add(row, SeedDocument::Rule(body));
        Ok(())
    }
}

/// The id that a group or a rule has here.
fn own_id(row: &SeedRow<'_>, id: &str, what: &str, into: &mut MappedRows) -> Result<String, CellFault> {
    let own = id_of_serial(id).map_err(|error| row.fault("id", error.to_string()))?.to_string();
    if own != id {
        into.notes.push(format!("the {what} `{id}` is `{own}` here"));
    }
    Ok(own)
}

/// Is `parent` the group `id`, or below it?
fn is_above(above: &HashMap<String, String>, parent: &str, id: &str) -> bool {
    let (mut at, mut seen) = (parent, HashSet::new());
    while at != id {
        match above.get(at) {
            Some(next) if seen.insert(at) => at = next,
            _ => return false,
        }
    }
    true
}

impl Seed for IotControllerSeed {
    fn tables(&self) -> &'static [SeedTable] {
        &TABLES
    }

    fn left(&self) -> &'static [(&'static str, &'static str)] {
        &LEFT
    }

    fn map(&mut self, table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows) {
        let mapped = match table {
            GROUPS => self.group(row, into),
            DEVICES => self.device(row, into),
            READINGS => self.reading(row, into),
            LOGS => self.log(row, into),
            _ => Self::rule(row, into),
        };
        into.faults.extend(mapped.err());
    }

    fn end(&mut self, table: &'static str, into: &mut MappedRows) {
        if table == GROUPS {
            self.end_of_groups(into);
        }
    }
}
