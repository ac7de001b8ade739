//! The columns of each kind of row.

use std::sync::LazyLock;

use twinhub_domain::twin::fields::{FIELDS, Field, SetBy, Shown};

/// A kind of thing that is exported and imported.
#[derive(Debug)]
pub struct Table {
    /// As in addresses: `devices`.
    pub name: &'static str,
    /// The field that identifies a row.
    pub key: &'static str,
    /// Fields whose value may be in one line of a file alone.
    pub unique: &'static [&'static str],
    /// A file is taken in as a whole: a line may need one that stands behind it.
    pub whole: bool,
    /// In the order of an export.
    pub columns: LazyLock<Vec<Column>>,
}

/// A field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub shape: ColumnShape,
    pub use_of: ColumnUse,
}

/// The form of a field in a cell of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnShape {
    /// The text itself, whatever it looks like.
    Text,
    /// A text that names something else, or `null` for nothing.
    Name,
    /// `true` or `false`.
    Flag,
    /// JSON text.
    Json,
    /// A value as a cell of a section says it: a number, `true` or `false`, or a text.
    Value,
    /// A column for each key, `tags.floor`; or one for all of them, with JSON text.
    Section,
}

/// The directions in which a field is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnUse {
    /// It is exported, and taken in again.
    Both,
    /// It is exported where all is asked for, and passed over when it comes in: the hub itself says it.
    ExportOnly,
    /// It is taken in, and never shown.
    Taken,
}

impl Table {
    /// The column called `name`.
    #[must_use]
    pub fn column(&'static self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

const fn both(name: &'static str, shape: ColumnShape) -> Column {
    Column { name, shape, use_of: ColumnUse::Both }
}

const fn export_only(name: &'static str) -> Column {
    Column { name, shape: ColumnShape::Text, use_of: ColumnUse::ExportOnly }
}

/// The columns of devices that are no texts of theirs.
const DEVICE_PARTS: [Column; 11] = [
    both("template", ColumnShape::Name),
    both("claimed", ColumnShape::Flag),
    both("lifecycle", ColumnShape::Text),
    both("tags", ColumnShape::Section),
    both("configuration", ColumnShape::Section),
    both("settings", ColumnShape::Section),
    both("limits", ColumnShape::Section),
    both("desired", ColumnShape::Section),
    both("schedule", ColumnShape::Json),
    Column { name: "auth_token", shape: ColumnShape::Text, use_of: ColumnUse::Taken },
    Column { name: "claim_code", shape: ColumnShape::Text, use_of: ColumnUse::Taken },
];
const DEVICE_STATE: [Column; 6] = [
    export_only("status"),
    export_only("mode"),
    export_only("last_seen"),
    export_only("version"),
    export_only("created_at"),
    export_only("updated_at"),
];

/// The column of a text of devices. Whose a device is, and its secrets, stay with the hub.
fn text(field: &Field) -> Option<Column> {
    if field.shown == Shown::Hidden {
        return None;
    }
    match field.set_by {
        SetBy::Anybody if field.is_name() => Some(both(field.name, ColumnShape::Name)),
        SetBy::Anybody => Some(both(field.name, ColumnShape::Text)),
        SetBy::Registration | SetBy::Program => None,
        SetBy::Nobody => Some(export_only(field.name)),
    }
}

/// The id, the texts in the order of their table, the other parts, and the state.
fn device_columns() -> Vec<Column> {
    let id = both("device_id", ColumnShape::Text);
    let texts = FIELDS.iter().filter_map(text);
    std::iter::once(id).chain(texts).chain(DEVICE_PARTS).chain(DEVICE_STATE).collect()
}

/// Devices.
pub static DEVICES: Table = Table {
    name: "devices",
    key: "device_id",
    unique: &["device_id", "serial_number", "auth_token"],
    whole: false,
    columns: LazyLock::new(device_columns),
};

/// Templates.
pub static TEMPLATES: Table = Table {
    name: "templates",
    key: "id",
    unique: &["id"],
    whole: false,
    columns: LazyLock::new(|| {
        vec![
            both("id", ColumnShape::Text),
            both("name", ColumnShape::Text),
            both("description", ColumnShape::Text),
            both("applies_to", ColumnShape::Section),
            both("configuration", ColumnShape::Section),
            both("tags", ColumnShape::Section),
            both("limits", ColumnShape::Section),
            both("settings", ColumnShape::Section),
            both("schedule", ColumnShape::Json),
            both("rules", ColumnShape::Section),
            export_only("version"),
            export_only("created_at"),
            export_only("updated_at"),
        ]
    }),
};

/// Readings, which are many: they are written by a writer of their own.
pub static READINGS: Table = Table {
    name: "data",
    key: "device_id",
    unique: &[],
    whole: false,
    columns: LazyLock::new(|| {
        vec![
            both("device_id", ColumnShape::Text),
            both("timestamp", ColumnShape::Text),
            both("sensor_type", ColumnShape::Text),
            both("value", ColumnShape::Value),
            both("unit", ColumnShape::Text),
            both("quality_score", ColumnShape::Json),
            both("claimed_at", ColumnShape::Text),
        ]
    }),
};

/// Entries of the audit, which are exported alone.
pub static AUDIT: Table = Table {
    name: "audit",
    key: "seq",
    unique: &["seq"],
    whole: false,
    columns: LazyLock::new(|| {
        vec![
            both("seq", ColumnShape::Text),
            both("at", ColumnShape::Text),
            both("who", ColumnShape::Text),
            both("address", ColumnShape::Text),
            both("action", ColumnShape::Text),
            both("target", ColumnShape::Text),
            both("outcome", ColumnShape::Text),
            both("detail", ColumnShape::Json),
        ]
    }),
};

/// Groups.
pub static GROUPS: Table = Table {
    name: "groups",
    key: "id",
    unique: &["id"],
    whole: true,
    columns: LazyLock::new(|| {
        vec![
            both("id", ColumnShape::Text),
            both("name", ColumnShape::Text),
            both("description", ColumnShape::Text),
            both("parent_group", ColumnShape::Name),
            both("tags", ColumnShape::Section),
            export_only("created_at"),
            export_only("updated_at"),
        ]
    }),
};
