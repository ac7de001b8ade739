//! Seed 003's dialect: one topic for all devices, which say in the payload who they are. Its HTTP side is
//! in the program's `dialects`; what its words mean is in [`twinhub_domain::twin::Dispositivo`].

use super::{DecodeError, Decoded};
use twinhub_domain::Input;
use twinhub_domain::payload;
use twinhub_domain::twin::{Dispositivo, Speaker, id_of_serial, serial_number};

/// `{"serial_number": "…", "estado": "activo", "parametros": {…}, "configuracion": {…}}`
pub(super) const TOPIC: &str = "dispositivos/estado";

/// What devices publish.
pub(super) const SUBSCRIPTIONS: [&str; 1] = [TOPIC];

pub(super) fn knows(topic: &str) -> bool {
    topic == TOPIC
}

/// None where the topic is not of this dialect.
pub(super) fn decode(topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
    knows(topic).then(|| decode_known(payload))
}

fn decode_known(payload: &[u8]) -> Result<Decoded, DecodeError> {
    let mut bad = Vec::new();
    let document = payload::object_leaving_out(payload, &mut bad)?;
    let serial = serial_number(document.get("serial_number").cloned())?;
    let device = id_of_serial(&serial)?;
    let said = Dispositivo::read_leaving_out(document, Speaker::Device, &mut bad)?;
    Ok(Decoded { device, input: Input::Dispositivo(Box::new(said)), bad })
}
