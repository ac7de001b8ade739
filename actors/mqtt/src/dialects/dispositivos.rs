//! Seed 003's dialect: one topic for all devices, which say in the payload who they are. Its HTTP side is
//! in the program's `dialects`. What it is on a twin:
//!
//! | there | here |
//! |---|---|
//! | `id`, `serial_number` | `number`, `serial_number` (the device's id is made of it, see [`id_of_serial`]) |
//! | `nombre`, `tipo`, `modelo`, `descripcion` | `name`, `type`, `model`, `description` |
//! | `estado` of a device | `reported.power`: `on` or `off` |
//! | `estado` that follows from an app's `encendido` | shown until the device reports; `reported` is the device's |
//! | `parametros` | `reported.parametros`, replaced as a whole; each value in it is a reading too |
//! | `configuracion` | `configuration`, merged by its first level |
//! | `configuracion.modo` | `mode`: `manual`, or `horario` for `schedule` |
//! | `configuracion.encendido` | in manual mode also `desired.power`, so that any device obeys |
//! | `configuracion.horarios` | also the `schedule` |
//! | `reclamado` | `claimed` |
//!
//! The mode says which part of a message counts, so a message is translated in the twin's turn. Every message and
//! every PUT is one event, whose note `dispositivo` says which line of the device's log it is and what `estado` was
//! after it; `parametros` stand in its `reported`, or beside where nobody sent any. So the log and the live stream
//! are read from the events, and nothing is kept twice.

mod document;
mod echo;
mod horarios;
mod meaning;
mod rules;
mod serial;
mod view;

use std::sync::Arc;

pub use document::Dispositivo;
pub use serial::{id_of_serial, serial_number};
pub use view::{DispositivoMoment, DispositivoView};

use super::native::Native;
use super::{DecodeError, Decoded, Dialect, Direction, TopicDevice};
use twinhub_domain::payload;
use twinhub_domain::twin::{Patch, Speaker};
use twinhub_domain::{DeviceId, Input, Object, Outgoing, Publish, Twin};

/// `{"serial_number": "…", "estado": "activo", "parametros": {…}, "configuracion": {…}}`
pub(super) const TOPIC: &str = "dispositivos/estado";

/// The name of the notes in this dialect. Events and twins of earlier versions have it.
const NOTE: &str = "dispositivo";

/// The dialect of seed 003.
pub(super) struct Dispositivos;

impl Dialect for Dispositivos {
    fn filters(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    fn takes(&self, topic: &str) -> bool {
        topic == TOPIC
    }

    fn device_of(&self, topic: &str, direction: Direction) -> Option<TopicDevice> {
        (direction == Direction::FromDevice && self.takes(topic)).then_some(TopicDevice::InPayload)
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        self.takes(topic).then(|| decode(payload))
    }

    /// Encodes nothing: the hub's messages to these devices are native.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        Native.encode(device, publish)
    }

    fn echo(&self, twin: &Twin, patch: &Patch) -> Object {
        echo::of(twin, patch)
    }
}

fn decode(payload: &[u8]) -> Result<Decoded, DecodeError> {
    let mut bad = Vec::new();
    let document = payload::object_leaving_out(payload, &mut bad)?;
    let serial = serial_number(document.get("serial_number").cloned())?;
    let device = id_of_serial(&serial)?;
    let message = Dispositivo::read_leaving_out(document, Speaker::Device, &mut bad)?;
    Ok(Decoded::one(device, Input::Translate(Arc::new(message)), bad))
}

#[cfg(test)]
mod tests;
