//! The one table of a device's text fields: who may set each, and where it is shown. Events, the document, what a
//! device says of itself, registrations and changes, filters, orders and tables of exports take their fields from here,
//! so a new one is one line in [`FIELDS`], and its name among [`settable_texts`](crate::settable_texts) if it may be set.

use core::net::{IpAddr, Ipv6Addr}; // how addresses are written: nothing is sent

use crate::text::has_control;

/// A text field of a device. Its name is the key in JSON, and the word for it in filters and orders.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub set_by: SetBy,
    pub heard: Heard,
    pub shown: Shown,
    form: Form,
}

/// The requests that may set a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// A registration, a claim, or a change.
    Anybody,
    /// A registration or a claim alone.
    Registration,
    /// All of these, by a value that the program makes of what they say.
    Program,
    /// None: the device itself says it.
    Nobody,
}

/// The word of the device itself that sets a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its last word, always.
    Always,
    /// Its word while the field is empty: against what a person called it, a device's word is only reported.
    First,
    Never,
}

/// The way in which documents and lists show a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As a text, empty where it was not said.
    AsText,
    /// As a text, the device's id where it was not said.
    OrId,
    /// As a text, null where it was not said.
    OrNull,
    /// Not at all: it is a secret, or has a resource of its own.
    Hidden,
}

/// The form that the text must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Line,
    /// Text for people, which nobody looks for as a whole, may have several lines.
    Lines,
    Ip,
    Mac,
    /// The id of something else.
    Name,
}

/// All of them, in the order of the document.
pub static FIELDS: &[Field] = &[
    field("serial_number", SetBy::Anybody, Heard::Always, Shown::AsText, Form::Line),
    field("name", SetBy::Anybody, Heard::Never, Shown::OrId, Form::Lines),
    field("type", SetBy::Anybody, Heard::First, Shown::AsText, Form::Line),
    field("model", SetBy::Anybody, Heard::Always, Shown::AsText, Form::Line),
    field("description", SetBy::Anybody, Heard::Never, Shown::AsText, Form::Lines),
    field("group_id", SetBy::Anybody, Heard::Never, Shown::OrNull, Form::Name),
    field("ip_address", SetBy::Anybody, Heard::Always, Shown::OrNull, Form::Ip),
    field("mac_address", SetBy::Anybody, Heard::Always, Shown::OrNull, Form::Mac),
    field("owner_id", SetBy::Registration, Heard::Never, Shown::OrNull, Form::Line),
    field("firmware_version", SetBy::Nobody, Heard::Always, Shown::OrNull, Form::Line),
    field(TOKEN_HASH, SetBy::Registration, Heard::Never, Shown::Hidden, Form::Line),
    field(OLD_TOKEN_HASH, SetBy::Nobody, Heard::Never, Shown::Hidden, Form::Line),
    field(OLD_TOKEN_UNTIL, SetBy::Nobody, Heard::Never, Shown::Hidden, Form::Line),
    field(CLAIM_CODE_HASH, SetBy::Program, Heard::Never, Shown::Hidden, Form::Line),
    field(CERTIFICATE, SetBy::Nobody, Heard::Never, Shown::Hidden, Form::Line),
    field(CERTIFICATE_END, SetBy::Nobody, Heard::Never, Shown::Hidden, Form::Line),
    field(PROVISIONED_BY, SetBy::Registration, Heard::Never, Shown::Hidden, Form::Line),
    field(UNPAIRED_SINCE, SetBy::Registration, Heard::Never, Shown::Hidden, Form::Line),
    field(BROKER_HASH, SetBy::Registration, Heard::Never, Shown::Hidden, Form::Line),
];

/// Calls the macro `$make` with the names of the texts that anybody may set, for structs with a member for each. The
/// name and the serial number are not among them: each request has a use of its own for these.
#[macro_export]
macro_rules! settable_texts {
    ($make:ident) => {
        $make! { r#type model description group_id ip_address mac_address }
    };
}

/// The field with what the device's token hashes to.
pub const TOKEN_HASH: &str = "token_hash";
/// The field with what the token before that hashes to, while it still counts.
pub const OLD_TOKEN_HASH: &str = "old_token_hash";
/// The field with the moment until which the token before counts.
pub const OLD_TOKEN_UNTIL: &str = "old_token_until";
/// The field with what the code hashes to that whoever claims the device has to know.
pub const CLAIM_CODE_HASH: &str = "claim_code_hash";
/// The field with the fingerprint of the certificate that is bound to the device: `sha256:` and 64 hexadecimal digits.
pub const CERTIFICATE: &str = "certificate_fingerprint";
/// The field with the moment at which that certificate ends, where it is known.
pub const CERTIFICATE_END: &str = "certificate_expires_at";
/// The field with the id of the provisioning key by which the device registered itself.
pub const PROVISIONED_BY: &str = "provisioned_by";
/// The field with the moment at which the device came through a pairing window, without a password. It needs a token from
/// the end of that window on.
pub const UNPAIRED_SINCE: &str = "unpaired_since";
/// The field with the hash of the same token by which an outside broker knows the device; empty where it need not.
pub const BROKER_HASH: &str = "broker_hash";

/// A text has at most this many bytes.
const LONGEST_TEXT: usize = 4_096;

const fn field(name: &'static str, set_by: SetBy, heard: Heard, shown: Shown, form: Form) -> Field {
    Field { name, set_by, heard, shown, form }
}

impl Field {
    /// The field of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.name == name)
    }

    /// The names of those that changes may set.
    pub fn changeable() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().filter(|field| field.set_by == SetBy::Anybody).map(|field| field.name)
    }

    /// The names of those that documents show, filters know and lists are ordered by.
    pub fn shown() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().filter(|field| field.shown != Shown::Hidden).map(|field| field.name)
    }

    /// Does it name something else, by its id?
    #[must_use]
    pub const fn is_name(&self) -> bool {
        matches!(self.form, Form::Name)
    }

    /// Can the field be so? Empty means: not said.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let no_address = |form: &str| {
            let shown: String = text.chars().take(64).collect();
            Err(format!("`{shown}` is no address: write {form}"))
        };
        let is_control = match self.form {
            _ if text.len() > LONGEST_TEXT => {
                return Err(format!("{LONGEST_TEXT} bytes at most, this has {}", text.len()));
            }
            Form::Ip if !is_ip(text) => return no_address("192.168.1.7 or fd00::7"),
            Form::Mac if !is_mac(text) => return no_address("aa:bb:cc:dd:ee:ff"),
            Form::Lines => text.split(['\n', '\r', '\t']).any(has_control),
            Form::Line | Form::Ip | Form::Mac | Form::Name => has_control(text),
        };
        if is_control {
            return Err("no control characters, such as a NUL or the end of a line".into());
        }
        Ok(())
    }

    /// Is this word of the device one for the field, which is `known` so far?
    #[must_use]
    pub fn hears(&self, text: &str, known: &str) -> bool {
        match self.heard {
            Heard::Always => is_plain(self.form, text),
            Heard::First => known.is_empty() || known == text,
            Heard::Never => false,
        }
    }
}

/// A device's word of any length is taken, where a request's is refused.
fn is_plain(form: Form, text: &str) -> bool {
    let is_address = match form {
        Form::Ip => is_ip(text),
        Form::Mac => is_mac(text),
        Form::Line | Form::Lines | Form::Name => true,
    };
    is_address && !has_control(text)
}

fn is_ip(text: &str) -> bool {
    // An address of a link may say of which: `fe80::1%eth0`.
    match text.split_once('%') {
        _ if text.is_empty() => true,
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// Six bytes, or eight, in hexadecimal digits: `aa:bb:cc:dd:ee:ff`, with `-` or with nothing between them, or
/// `aabb.ccdd.eeff`.
fn is_mac(text: &str) -> bool {
    let of = |separator: char, length: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let is_hex = |part: &&str| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        [12, 16].contains(&(parts.len() * length)) && parts.iter().all(is_hex)
    };
    let bare = [12, 16].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.is_empty() || bare || of(':', 2) || of('-', 2) || of('.', 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_addresses() {
        let check = |field: &str, good: &[&str], bad: &[&str]| {
            let field = Field::of(field).unwrap();
            for text in good {
                assert_eq!(field.check(text), Ok(()), "{}: {text}", field.name);
            }
            for text in bad {
                assert!(field.check(text).is_err(), "{}: {text}", field.name);
            }
        };
        check(
            "ip_address",
            &["", "192.168.1.7", "::1", "fd00::7", "fe80::1%eth0", "::ffff:10.0.0.1"],
            &[
                "999.1.1.1",
                "1.2.3",
                "10.0.0.7:80",
                "10.0.0.0/8",
                "pump.local",
                "fe80::1%",
                "10.0.0.7%eth0",
                " 10.0.0.7",
            ],
        );
        check(
            "mac_address",
            &[
                "",
                "aa:bb:cc:dd:ee:ff",
                "AA-BB-CC-DD-EE-FF",
                "aabb.ccdd.eeff",
                "aabbccddeeff",
                "00:11:22:33:44:55:66:77",
            ],
            &[
                "aa:bb",
                "aa:bb:cc:dd:ee:fg",
                "aa:bb-cc:dd:ee:ff",
                "aa:bb:cc:dd:ee:ff:",
                "mac",
                "aa:bb:cc:dd:ee:ff:00",
            ],
        );
        check("model", &["999.1.1.1"], &["a\nb"]);
        check("description", &["a\nb"], &["a\0b"]);
    }

    macro_rules! names {
        ($($text:ident)+) => {
            [$(stringify!($text)),+].map(|name| name.trim_start_matches("r#"))
        };
    }

    #[test]
    fn every_text_that_may_be_set_is_among_the_settable() {
        let settable: Vec<&str> =
            Field::changeable().filter(|name| !["name", "serial_number"].contains(name)).collect();
        assert_eq!(settable, settable_texts!(names));
    }

    #[test]
    fn every_name_is_one_fields() {
        for field in FIELDS {
            assert_eq!(Field::of(field.name), Some(field), "two are called {}", field.name);
        }
    }
}
