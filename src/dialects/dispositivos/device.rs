//! A device as JSON, its members in the order in which they have always come.

use twinhub_domain::json::write_string;
use twinhub_domain::{Object, Twin};
use twinhub_mqtt::dialects::dispositivos::{DispositivoMoment, DispositivoView};

/// The texts shown of a device that was only heard, and that nobody has named.
const UNNAMED: [(&str, &str, &str); 3] =
    [("nombre", "name", "No definido"), ("tipo", "type", "generico"), ("modelo", "model", "desconocido")];

/// The serial number that it goes by: its own, or its id while it has none.
pub fn serial(twin: &Twin) -> &str {
    let own = &*twin.profile.serial_number;
    if own.is_empty() { twin.id.as_str() } else { own }
}

/// `activo`, `inactivo`, or `desconocido` as long as nobody has said.
pub fn estado(active: Option<bool>) -> &'static str {
    match active {
        Some(true) => "activo",
        Some(false) => "inactivo",
        None => "desconocido",
    }
}

/// Writes the device whole.
pub fn write(twin: &Twin, out: &mut String) {
    write_open(twin, None, out);
    out.push('}');
}

/// Writes the device as it was after an event, marked as one.
pub fn write_update(twin: &Twin, moment: Option<&DispositivoMoment>, out: &mut String) {
    write_open(twin, moment, out);
    out.push_str(r#","event":"device_update"}"#);
}

/// Writes of the device what is known before it is claimed.
pub fn write_unclaimed(twin: &Twin, out: &mut String) {
    write_head(twin, out);
    write_state(twin, None, out);
    out.push('}');
}

fn write_open(twin: &Twin, moment: Option<&DispositivoMoment>, out: &mut String) {
    write_head(twin, out);
    let is_added = DispositivoView::of(twin).is_added();
    for (member, field, unnamed) in UNNAMED {
        let text = twin.profile.text(field);
        write_text(member, if text.is_empty() && !is_added { unnamed } else { text }, out);
    }
    write_text("descripcion", twin.profile.text("description"), out);
    write_state(twin, moment, out);
}

fn write_head(twin: &Twin, out: &mut String) {
    out.push_str(r#"{"id":"#);
    out.push_str(&twin.number.0.to_string());
    write_text("serial_number", serial(twin), out);
}

fn write_state(twin: &Twin, moment: Option<&DispositivoMoment>, out: &mut String) {
    let view = DispositivoView::of(twin);
    let active = moment.map_or_else(|| view.estado(), |moment| moment.active);
    write_text("estado", estado(active), out);
    match moment.and_then(|moment| moment.parameters.as_ref()) {
        Some(parameters) => write_object("parametros", parameters, out),
        None => write_object("parametros", &view.parametros(), out),
    }
    write_object("configuracion", &view.configuracion(), out);
    out.push_str(if twin.control.claimed { r#","reclamado":true"# } else { r#","reclamado":false"# });
}

fn write_text(member: &str, text: &str, out: &mut String) {
    write_member(member, out);
    write_string(out, text);
}

fn write_object(member: &str, object: &Object, out: &mut String) {
    write_member(member, out);
    object.write(out);
}

/// `member` is one of ours.
fn write_member(member: &str, out: &mut String) {
    out.push_str(",\"");
    out.push_str(member);
    out.push_str("\":");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_domain::twin::Speaker;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Input, Timestamp, payload};
    use twinhub_mqtt::dialects::dispositivos::Dispositivo;

    use super::*;

    fn twin() -> Twin {
        Twin::new(DeviceId::parse("TMP0603IF1WD").unwrap(), DeviceNumber(1), Timestamp::default())
    }

    fn said(twin: &mut Twin, text: &str, speaker: Speaker) {
        let said = Dispositivo::read(payload::object(text.as_bytes()).unwrap(), speaker).unwrap();
        twin.apply(Input::Translate(Arc::new(said)), Timestamp::default(), &Cause::hub()).unwrap();
    }

    fn written(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn a_device_is_written_as_the_guide_shows_it() {
        let mut twin = twin();
        said(
            &mut twin,
            r#"{"serial_number":"TMP0603IF1WD","estado":"activo","parametros":{"temp":23.4}}"#,
            Speaker::Device,
        );
        said(
            &mut twin,
            r#"{"serial_number":"TMP0603IF1WD","nombre":"Sensor Temp","tipo":"sensor","modelo":"T-01",
                "descripcion":"Termómetro","configuracion":{"modo":"manual","encendido":true}}"#,
            Speaker::Claim,
        );
        assert_eq!(
            written(|out| write_update(&twin, None, out)),
            r#"{"id":1,"serial_number":"TMP0603IF1WD","nombre":"Sensor Temp","tipo":"sensor","modelo":"T-01","descripcion":"Termómetro","estado":"activo","parametros":{"temp":23.4},"configuracion":{"encendido":true,"modo":"manual"},"reclamado":true,"event":"device_update"}"#
        );
    }

    #[test]
    fn what_was_left_out_of_a_device_that_was_added_is_empty() {
        let mut twin = twin();
        let added = r#"{"serial_number":"TMP0603IF1WD","nombre":"Sensor Temp","tipo":"sensor"}"#;
        said(&mut twin, added, Speaker::Registration { claimed: false });
        assert_eq!(
            written(|out| write(&twin, out)),
            r#"{"id":1,"serial_number":"TMP0603IF1WD","nombre":"Sensor Temp","tipo":"sensor","modelo":"","descripcion":"","estado":"desconocido","parametros":{},"configuracion":{},"reclamado":false}"#
        );
    }

    #[test]
    fn is_unnamed() {
        let twin = twin();
        assert_eq!(
            written(|out| write(&twin, out)),
            r#"{"id":1,"serial_number":"TMP0603IF1WD","nombre":"No definido","tipo":"generico","modelo":"desconocido","descripcion":"","estado":"desconocido","parametros":{},"configuracion":{},"reclamado":false}"#
        );
        assert_eq!(
            written(|out| write_unclaimed(&twin, out)),
            r#"{"id":1,"serial_number":"TMP0603IF1WD","estado":"desconocido","parametros":{},"configuracion":{},"reclamado":false}"#
        );
    }
}
