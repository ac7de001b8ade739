//! Seed 003's dialect: one topic for all devices, whose ids are in the payload. Its HTTP side is in the program's
//! `dialects`; the meaning of its words is in [`twinhub_domain::twin::Dispositivo`].

use super::native::Native;
use super::{DecodeError, Decoded, Dialect};
use twinhub_domain::payload;
use twinhub_domain::twin::{Dispositivo, Speaker, id_of_serial, serial_number};
use twinhub_domain::{DeviceId, Input, Outgoing, Publish};

/// `{"serial_number": "…", "estado": "activo", "parametros": {…}, "configuracion": {…}}`
pub(super) const TOPIC: &str = "dispositivos/estado";

/// The dialect of seed 003.
pub(super) struct Dispositivos;

impl Dialect for Dispositivos {
    fn filters(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    fn takes(&self, topic: &str) -> bool {
        topic == TOPIC
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        self.takes(topic).then(|| decode(payload))
    }

    /// Encodes nothing: the hub's messages to these devices are native.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        Native.encode(device, publish)
    }
}

fn decode(payload: &[u8]) -> Result<Decoded, DecodeError> {
    let mut bad = Vec::new();
    let document = payload::object_leaving_out(payload, &mut bad)?;
    let serial = serial_number(document.get("serial_number").cloned())?;
    let device = id_of_serial(&serial)?;
    let said = Dispositivo::read_leaving_out(document, Speaker::Device, &mut bad)?;
    Ok(Decoded::one(device, Input::Dispositivo(Box::new(said)), bad))
}
