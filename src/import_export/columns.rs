//! The columns of each kind of row.

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
#[derive(Debug, PartialEq, Eq)]
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

/// Devices.
pub static DEVICES: Table = Table {
    name: "devices",
    key: "device_id",
    unique: &["device_id", "serial_number", "auth_token"],
    whole: false,
    columns: &[
        both("device_id", Shape::Text),
        both("name", Shape::Text),
        both("type", Shape::Text),
        both("serial_number", Shape::Text),
        both("model", Shape::Text),
        both("description", Shape::Text),
        both("group_id", Shape::Name),
        both("template", Shape::Name),
        both("ip_address", Shape::Text),
        both("mac_address", Shape::Text),
        both("claimed", Shape::Flag),
        both("lifecycle", Shape::Text),
        both("tags", Shape::Section),
        both("configuration", Shape::Section),
        both("settings", Shape::Section),
        both("limits", Shape::Section),
        both("desired", Shape::Section),
        both("schedule", Shape::Json),
        Column { name: "auth_token", shape: Shape::Text, use_of: Use::Taken },
        export_only("firmware_version"),
        export_only("status"),
        export_only("mode"),
        export_only("last_seen"),
        export_only("version"),
        export_only("created_at"),
        export_only("updated_at"),
    ],
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
