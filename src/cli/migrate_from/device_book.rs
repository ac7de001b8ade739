//! The devices of a file by the ids that they have there.

use std::collections::HashMap;

use twinhub_domain::{DeviceId, Json, Object};
use twinhub_mqtt::dialects::dispositivos::id_of_serial;

use super::row::{CellFault, MappedRows, SeedDocument, SeedRow};

/// The devices that were met.
#[derive(Debug, Default)]
pub struct DeviceBook {
    known: HashMap<String, DeviceId>,
}

impl DeviceBook {
    /// The device's id here, and whether this is the first time that it is met. An id that can be none here becomes one,
    /// always the same, and is told.
    ///
    /// # Errors
    /// It is empty.
    pub fn meet(
        &mut self,
        row: &SeedRow<'_>,
        column: &'static str,
        id: &str,
        into: &mut MappedRows,
    ) -> Result<(DeviceId, bool), CellFault> {
        if let Some(known) = self.known.get(id) {
            return Ok((known.clone(), false));
        }
        let device = id_of_serial(id).map_err(|error| row.fault(column, error.to_string()))?;
        if device.as_str() != id {
            into.notes
                .push(format!("the device `{id}` is `{device}` here, with `{id}` as its serial number"));
        }
        self.known.insert(id.to_owned(), device.clone());
        Ok((device, true))
    }

    /// The same for readings of a device: one that no table has is made, under its id.
    ///
    /// # Errors
    /// The id is missing.
    pub fn of_reading(
        &mut self,
        row: &SeedRow<'_>,
        column: &'static str,
        table: &str,
        into: &mut MappedRows,
    ) -> Result<DeviceId, CellFault> {
        let id = row.needed_text(column)?;
        let (device, is_new) = self.meet(row, column, &id, into)?;
        if is_new {
            into.notes.push(format!("the device `{id}` has readings and no row in {table}: it is made"));
            into.add(row, SeedDocument::Device(line(&device, &id, &id)));
        }
        Ok(device)
    }
}

/// The line of a device that was called `id`.
pub fn line(device: &DeviceId, id: &str, name: &str) -> Object {
    let mut line: Object =
        [("device_id", Json::from(device.as_str())), ("name", name.into())].into_iter().collect();
    if device.as_str() != id {
        line.insert("serial_number", id.into());
    }
    line
}
