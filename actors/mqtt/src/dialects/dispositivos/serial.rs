//! Serial numbers: this dialect's devices say no other name of themselves.

use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{BadDeviceId, DeviceId, Json};

/// A device's id has at most this many characters of a serial number that cannot be one whole.
const KEPT: usize = 100;

/// The id of the device with this serial number: the serial number itself where it can be one. Where it
/// cannot, its characters that can, and a hash of the whole that keeps two such devices apart.
///
/// # Errors
/// The serial number is empty.
pub fn id_of_serial(serial: &str) -> Result<DeviceId, BadDeviceId> {
    match DeviceId::parse(serial) {
        Ok(id) => Ok(id),
        Err(BadDeviceId::Empty) => Err(BadDeviceId::Empty),
        Err(_) => {
            let fits = |c: char| if c.is_ascii_alphanumeric() || "._:-".contains(c) { c } else { '-' };
            let kept: String = serial.chars().take(KEPT).map(fits).collect();
            let hash = Fingerprint::default().field(serial.as_bytes()).value();
            DeviceId::parse(&format!("{kept}-{hash:016x}"))
        }
    }
}

/// The serial number of a document, which may be a number.
///
/// # Errors
/// It is missing, empty or neither.
pub fn serial_number(value: Option<Json>) -> Result<Box<str>, PayloadError> {
    let name = || "serial_number".to_owned();
    match text(value, "serial_number")? {
        Some(serial) if !serial.trim().is_empty() => Ok(serial),
        Some(_) => Err(PayloadError::BadValue { name: name(), detail: "must not be empty".into() }),
        None => Err(PayloadError::WrongType { name: name(), expected: "a string", found: "nothing" }),
    }
}

/// A text field; numbers and booleans are taken for texts, null for none.
pub(super) fn text(value: Option<Json>, field: &str) -> Result<Option<Box<str>>, PayloadError> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(Json::Number(number)) => Ok(Some(number.as_str().into())),
        Some(Json::Bool(value)) => Ok(Some(value.to_string().into())),
        Some(other) => {
            Err(PayloadError::WrongType { name: field.to_owned(), expected: "a string", found: other.kind() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_gives_the_same_id_for_ever() {
        let id = |serial: &str| id_of_serial(serial).map(|id| id.to_string());
        assert_eq!(id("TMP0603IF1WD").unwrap(), "TMP0603IF1WD");
        assert_eq!(id("TMP/06 ñ").unwrap(), "TMP-06---5dc855e85294e968");
        assert_ne!(id("TMP/06 n"), id("TMP-06 n"));
        let long = "á".repeat(500);
        assert_eq!(id(&long).unwrap().len(), 117);
        assert_ne!(id(&long), id(&format!("{long}b")));
        assert_eq!(id(""), Err(BadDeviceId::Empty));
    }
}
