//! The columns of each kind of row.

use twinhub_domain::twin::fields::{FIELDS, Field, SetBy};

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
    pub columns: &'static [Column],
}

/// A field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub shape: Shape,
    pub use_of: Use,
}

/// The form of a field in a cell of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The text itself, whatever it looks like.
    Text,
    /// A text that names something else, or `null` for nothing.
    Name,
    /// `true` or `false`.
    Flag,
    /// JSON text.
    Json,
    /// A column for each key, `tags.floor`; or one for all of them, with JSON text.
    Section,
}

/// The directions in which a field is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
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
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

const fn both(name: &'static str, shape: Shape) -> Column {
    Column { name, shape, use_of: Use::Both }
}

const fn export_only(name: &'static str) -> Column {
    Column { name, shape: Shape::Text, use_of: Use::ExportOnly }
}

/// The columns of devices that are no texts of theirs.
const DEVICE_PARTS: [Column; 10] = [
    both("template", Shape::Name),
    both("claimed", Shape::Flag),
    both("lifecycle", Shape::Text),
    both("tags", Shape::Section),
    both("configuration", Shape::Section),
    both("settings", Shape::Section),
    both("limits", Shape::Section),
    both("desired", Shape::Section),
    both("schedule", Shape::Json),
    Column { name: "auth_token", shape: Shape::Text, use_of: Use::Taken },
];
const DEVICE_STATE: [Column; 6] = [
    export_only("status"),
    export_only("mode"),
    export_only("last_seen"),
    export_only("version"),
    export_only("created_at"),
    export_only("updated_at"),
];

/// The texts of devices that are exported: those that may be set or that devices say.
const TEXTS: usize = {
    let (mut count, mut at) = (0, 0);
    while at < FIELDS.len() {
        if text(&FIELDS[at]).is_some() {
            count += 1;
        }
        at += 1;
    }
    count
};

/// The column of a text of devices. Whose a device is, and its token, stays with the hub.
const fn text(field: &Field) -> Option<Column> {
    match field.set_by {
        SetBy::Anybody if field.is_name() => Some(both(field.name, Shape::Name)),
        SetBy::Anybody => Some(both(field.name, Shape::Text)),
        SetBy::Registration => None,
        SetBy::Nobody => Some(export_only(field.name)),
    }
}

const DEVICE_COLUMNS: usize = 1 + TEXTS + DEVICE_PARTS.len() + DEVICE_STATE.len();

/// The id, the texts in the order of their table, the other parts, and the state.
const fn device_columns() -> [Column; DEVICE_COLUMNS] {
    let mut columns = [both("device_id", Shape::Text); DEVICE_COLUMNS];
    let (mut last, mut at) = (0, 0);
    while at < FIELDS.len() {
        if let Some(column) = text(&FIELDS[at]) {
            last += 1;
            columns[last] = column;
        }
        at += 1;
    }
    let (_, rest) = columns.split_at_mut(last + 1);
    let (parts, state) = rest.split_at_mut(DEVICE_PARTS.len());
    parts.copy_from_slice(&DEVICE_PARTS);
    state.copy_from_slice(&DEVICE_STATE);
    columns
}

/// Devices.
pub static DEVICES: Table = Table {
    name: "devices",
    key: "device_id",
    unique: &["device_id", "serial_number", "auth_token"],
    whole: false,
    columns: &device_columns(),
};

/// Templates.
pub static TEMPLATES: Table = Table {
    name: "templates",
    key: "id",
    unique: &["id"],
    whole: false,
    columns: &[
        both("id", Shape::Text),
        both("name", Shape::Text),
        both("description", Shape::Text),
        both("applies_to", Shape::Section),
        both("configuration", Shape::Section),
        both("tags", Shape::Section),
        both("limits", Shape::Section),
        both("settings", Shape::Section),
        both("schedule", Shape::Json),
        both("rules", Shape::Section),
        export_only("version"),
        export_only("created_at"),
        export_only("updated_at"),
    ],
};

/// Groups.
pub static GROUPS: Table = Table {
    name: "groups",
    key: "id",
    unique: &["id"],
    whole: true,
    columns: &[
        both("id", Shape::Text),
        both("name", Shape::Text),
        both("description", Shape::Text),
        both("parent_group", Shape::Name),
        both("tags", Shape::Section),
        export_only("created_at"),
        export_only("updated_at"),
    ],
};
