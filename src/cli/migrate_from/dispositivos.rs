//! Seed 003, the Flask "IoT Backend": `dispositivo`, and `estado_log`, a line for each message.

use std::collections::{HashMap, HashSet};

use chrono_tz::Tz;
use twinhub_domain::twin::Speaker;
use twinhub_domain::{DeviceId, Json, Object, Reading, Scalar};
use twinhub_mqtt::dialects::dispositivos::{Dispositivo, id_of_serial};

use super::row::{CellFault, MappedRows, MomentBook, STEP_NS, SeedDocument, SeedRow, SeedSample};
use super::seed::{Seed, SeedTable};

/// Its guide names the models; their tables are called after them, in one way or another.
pub const DEVICES: &str = "dispositivo|dispositivos";
const LOGS: &str = "estado_log|estado_logs|estadolog|estados_log";

static TABLES: [SeedTable; 2] = [
    SeedTable {
        name: DEVICES,
        columns: &[
            "id",
            "serial_number",
            "nombre",
            "tipo",
            "modelo",
            "descripcion",
            "estado",
            "parametros",
            "configuracion",
            "reclamado",
        ],
        left: &[],
    },
    SeedTable {
        name: LOGS,
        columns: &["dispositivo_id|device_id|id_dispositivo", "estado", "parametros", "timestamp|fecha"],
        left: &[("id", "readings have no number here")],
    },
];

/// The texts of a device, as they are posted.
const TEXTS: [&str; 4] = ["nombre", "tipo", "modelo", "descripcion"];

/// The reader of its rows.
pub struct DispositivosSeed {
    zone: Tz,
    moments: MomentBook,
    /// The serial numbers by the ids that the devices have there.
    serials: HashMap<String, String>,
    seen: HashSet<String>,
}

impl DispositivosSeed {
    /// With times that name no zone of `zone`; it wrote them in UTC.
    pub fn new(zone: Tz) -> Self {
        Self { zone, moments: MomentBook::default(), serials: HashMap::new(), seen: HashSet::new() }
    }

    fn device(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let serial = row.needed_text("serial_number")?;
        if !self.seen.insert(serial.clone()) {
            let reason = format!("`{serial}` is there already: its first row counts");
            return Err(row.fault("serial_number", reason));
        }
        let mut body: Object = [("serial_number", Json::from(serial.as_str()))].into_iter().collect();
        if let Some(id) = into.or_without(row.text("id")) {
            body.insert("id", id.as_str().into()); // its number is looked at when it has come in
            self.serials.insert(id, serial);
        }
        for column in TEXTS {
            if let Some(text) = into.or_without(row.text(column)) {
                body.insert(column, text.into());
            }
        }
        if let Some(estado) = into.or_without(row.text("estado")) {
            body.insert("estado", estado.into());
        }
        for column in ["parametros", "configuracion"] {
            if let Some(object) = into.or_without(row.object(column)) {
                body.insert(column, object.into());
            }
        }
        let claimed = into.or_without(row.flag("reclamado").map(Some)).unwrap_or_default();
        body.insert("reclamado", claimed.into());
        into.add(row, SeedDocument::Dispositivo(body));
        Ok(())
    }

    fn log(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let id = row.needed_text("dispositivo_id")?;
        let unknown = || row.fault("dispositivo_id", format!("there is no device with the id {id}"));
        let serial = self.serials.get(&id).ok_or_else(unknown)?;
        let device = device_id(row, serial)?;
        let at = row.time("timestamp", self.zone)?;
        let mut message: Object = [("serial_number", Json::from(serial.as_str()))].into_iter().collect();
        if let Some(parameters) = into.or_without(row.object("parametros")) {
            message.insert("parametros", parameters.into());
        }
        let mut bad = Vec::new();
        let mut readings = Dispositivo::read_leaving_out(message, Speaker::Device, &mut bad)
            .map_err(|error| row.fault("parametros", error.to_string()))?
            .into_readings();
        into.faults.extend(bad.iter().map(|error| row.fault("parametros", error.to_string())));
        let power = match into.or_without(row.text("estado")).as_deref().map(str::trim) {
            Some("activo") => Some("on"),
            Some("inactivo") => Some("off"),
            _ => None,
        };
        readings.extend(power.map(|power| Reading {
            name: "power".into(),
            value: Scalar::Text(power.into()),
            unit: None,
            quality_score: None,
        }));
        if readings.is_empty() {
            into.empty(row, "there is neither a reading nor a state in it");
            return Ok(());
        }
        let at = self.moments.moment(device.as_str(), at, STEP_NS);
        into.add(row, SeedDocument::Sample(SeedSample { device, at, readings }));
        Ok(())
    }
}

fn device_id(row: &SeedRow<'_>, serial: &str) -> Result<DeviceId, CellFault> {
    id_of_serial(serial).map_err(|error| row.fault("serial_number", error.to_string()))
}

impl Seed for DispositivosSeed {
    fn tables(&self) -> &'static [SeedTable] {
        &TABLES
    }

    fn map(&mut self, table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows) {
        let mapped = if table == DEVICES { self.device(row, into) } else { self.log(row, into) };
        into.faults.extend(mapped.err());
    }
}
