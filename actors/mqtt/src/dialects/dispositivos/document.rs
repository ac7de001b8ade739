//! From a document in Spanish to what it says. Devices and apps are taken as they are: fields that nobody
//! knows are passed over, and null is the same as not there.

use super::rules::on_or_off;
use super::serial::{serial_number, text};
use twinhub_domain::payload;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::twin::Speaker;
use twinhub_domain::{Json, Object, Reading};

/// The text fields that people may set, and what the twin calls them.
const TEXTS: [(&str, &str); 4] =
    [("nombre", "name"), ("tipo", "type"), ("modelo", "model"), ("descripcion", "description")];

/// Readings that would take the place of what the twin itself keeps under these names are called
/// `parametros.power` and so on.
const TAKEN: [&str; 2] = ["power", "parametros"];

/// A message of a device or an app of seed 003.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispositivo {
    pub speaker: Speaker,
    /// The device's serial number; an app names the device otherwise.
    pub serial: Option<Box<str>>,
    /// `estado`: active or not; none where it was left out or was neither.
    pub active: Option<bool>,
    /// `encendido` beside it.
    pub on: Option<bool>,
    /// Replaced as a whole by each message that has it.
    pub parameters: Option<Object>,
    /// Merged: `modo`, `encendido`, `horarios` and whatever else.
    pub configuration: Option<Object>,
    /// The measurements among the parameters.
    pub(super) readings: Vec<Reading>,
    /// `name`, `type`, `model`, `description` as the twin calls them.
    pub(super) profile: Object,
}

impl Dispositivo {
    /// Reads what `speaker` sent.
    ///
    /// # Errors
    /// Names the field that is missing, or is something else than it must be.
    pub fn read(document: Object, speaker: Speaker) -> Result<Self, PayloadError> {
        let mut bad = Vec::new();
        let message = Self::read_leaving_out(document, speaker, &mut bad)?;
        bad.into_iter().next().map_or(Ok(message), Err)
    }

    /// The same, but a parameter that is no reading, for its name or text is too long, is none and is named.
    ///
    /// # Errors
    /// As [`Dispositivo::read`].
    pub fn read_leaving_out(
        mut document: Object,
        speaker: Speaker,
        bad: &mut Vec<PayloadError>,
    ) -> Result<Self, PayloadError> {
        let mut message = Self {
            speaker,
            serial: None,
            active: document.remove("estado").as_ref().and_then(on_or_off),
            on: None,
            parameters: object(&mut document, "parametros")?,
            configuration: object(&mut document, "configuracion")?,
            readings: Vec::new(),
            profile: Object::default(),
        };
        if let Some(parameters) = &mut message.parameters {
            message.readings = readings(parameters.clone(), bad)?;
            parameters.retain(|name, _| payload::check_property(name).is_ok()); // they are in `bad`
        }
        if speaker != Speaker::App {
            message.serial = Some(serial_number(document.remove("serial_number"))?);
        }
        if speaker != Speaker::Device {
            message.on = document.remove("encendido").as_ref().and_then(on_or_off);
            for (field, name) in TEXTS {
                if let Some(text) = text(document.remove(field), field)? {
                    message.profile.insert(name, Json::String(text));
                }
            }
        }
        Ok(message)
    }

    /// The measurements among the parameters.
    #[must_use]
    pub fn into_readings(self) -> Vec<Reading> {
        self.readings
    }
}

fn object(document: &mut Object, field: &str) -> Result<Option<Object>, PayloadError> {
    match document.remove(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(other) => Err(PayloadError::WrongType {
            name: field.to_owned(),
            expected: "an object",
            found: other.kind(),
        }),
    }
}

fn readings(parameters: Object, bad: &mut Vec<PayloadError>) -> Result<Vec<Reading>, PayloadError> {
    let mut readings = payload::scalars(parameters, bad)?;
    for reading in &mut readings {
        if TAKEN.contains(&&*reading.name) {
            reading.name = format!("parametros.{}", reading.name).into();
        }
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, speaker: Speaker, expected: &str) {
        let message = match Dispositivo::read(payload::object(text.as_bytes()).unwrap(), speaker) {
            Err(error) => error.to_string(),
            Ok(message) => {
                let readings: Vec<_> =
                    message.readings.iter().map(|r| format!("{}={}", r.name, r.value)).collect();
                format!(
                    "{} {:?} {:?} [{}] {} {}",
                    message.serial.as_deref().unwrap_or_default(),
                    message.active,
                    message.on,
                    readings.join(" "),
                    Json::from(message.configuration.unwrap_or_default()),
                    Json::from(message.profile),
                )
            }
        };
        assert_eq!(message, expected, "{text}");
    }

    #[test]
    fn reads_what_devices_and_apps_say() {
        check(
            r#"{"serial_number": "S1", "estado": "activo", "parametros": {"temp": 23.40, "door": {"open": true}},
                "encendido": true, "nombre": "X", "color": 1}"#,
            Speaker::Device,
            "S1 Some(true) None [door.open=true temp=23.40] {} {}",
        );
        check(
            r#"{"serial_number": 17, "estado": 0, "configuracion": null, "parametros": {"power": 4.5}}"#,
            Speaker::Device,
            "17 Some(false) None [parametros.power=4.5] {} {}",
        );
        check(
            r#"{"estado": "quizás", "encendido": "off", "nombre": "Sala", "modelo": null, "tipo": 7, "id": 9,
                "serial_number": {}, "reclamado": true, "configuracion": {"modo": "manual"}}"#,
            Speaker::App,
            r#" None Some(false) [] {"modo":"manual"} {"name":"Sala","type":"7"}"#,
        );
    }

    #[test]
    fn a_parameter_that_nobody_could_name_is_left_out() {
        let text = format!(
            r#"{{"serial_number": "S1", "parametros": {{"a\nb": 1, "": 2, "{}": 3, "t": 4}}}}"#,
            "x".repeat(60_000)
        );
        let document = || payload::object(text.as_bytes()).unwrap();
        let mut bad = Vec::new();
        let message = Dispositivo::read_leaving_out(document(), Speaker::Device, &mut bad).unwrap();
        assert_eq!(Json::from(message.parameters.unwrap()).to_string(), r#"{"t":4}"#);
        assert_eq!((message.readings.len(), bad.len()), (1, 3));
        assert!(Dispositivo::read(document(), Speaker::App).is_err());
    }

    #[test]
    fn names_what_is_wrong() {
        for speaker in [Speaker::Device, Speaker::Claim, Speaker::Registration { claimed: false }] {
            check("{}", speaker, "`serial_number`: expected a string, found nothing");
            check(r#"{"serial_number": " "}"#, speaker, "`serial_number`: must not be empty");
            check(r#"{"serial_number": []}"#, speaker, "`serial_number`: expected a string, found an array");
        }
        check(r#"{"parametros": 5}"#, Speaker::App, "`parametros`: expected an object, found a number");
        check(
            r#"{"configuracion": "x"}"#,
            Speaker::App,
            "`configuracion`: expected an object, found a string",
        );
        check(r#"{"nombre": ["x"]}"#, Speaker::App, "`nombre`: expected a string, found an array");
    }
}
