//! The bindings of stateful dialects in the store.

use twinhub_domain::Timestamp;
use twinhub_domain::fleet::RecordKind;
use twinhub_mqtt::dialects::Binding;
use twinhub_store::FleetRecord;

/// A binding of the dialect of this name, as the store keeps it.
#[must_use]
pub fn record(dialect: &str, Binding { id, body }: &Binding, now: Timestamp) -> FleetRecord {
    let id = format!("{dialect}/{}", id.as_str()).into();
    FleetRecord { kind: RecordKind::Dialect, id, body: body.clone(), updated_at: now }
}
