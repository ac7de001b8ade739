//! Of files that are exported and imported.
#![expect(dead_code, reason = "described, never made")]

use utoipa::IntoParams;

/// The parameters of an export.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Exporting {
    /// `jsonl` or `csv` [default: jsonl].
    format: Option<String>,
    /// With what only the hub says, too: firmware_version, status, mode, last_seen, version, created_at, updated_at.
    /// An import passes over it.
    all: Option<bool>,
}

/// The parameters of an export of the audit.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditExporting {
    /// `jsonl` or `csv` [default: jsonl].
    format: Option<String>,
    /// Only entries by this caller: `user:ann`.
    who: Option<String>,
    /// Only entries of this action: `user.signed_in`.
    action: Option<String>,
    /// Only entries about this user, key, device or other thing: `group:hall-2`.
    target: Option<String>,
    /// Only entries from this moment on: a time, or how long ago (`7d`).
    from: Option<String>,
    /// Only entries from before this moment.
    to: Option<String>,
    /// Only entries after this place.
    since: Option<u64>,
}

/// The parameters of an import.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Importing {
    /// `jsonl` or `csv` [default: what the content type says, or the first bytes].
    format: Option<String>,
    /// The treatment of a line whose device is there already: `refuse` it, `update` the device as a PUT does,
    /// or `skip` the line [default: refuse].
    existing: Option<String>,
    /// Nothing is changed: the answer says what would be.
    dry_run: Option<bool>,
    /// New devices get a token, unless their line has one; the answer tells it this once. A dry run makes none.
    tokens: Option<bool>,
    /// The number of the first line, in CSV of the first after the header, where this is a part of a file.
    first_line: Option<u64>,
    /// Refusals that are told in full, 100,000 at most [default: 1000].
    details: Option<usize>,
}
