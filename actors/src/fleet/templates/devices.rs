//! Which devices have a template.

use crate::domain::{DeviceNumber, Twin};
use crate::store::{DeviceQuery, Store, StoreError};

/// Devices read with one query.
const PAGE: u64 = 1_000;

/// How many have it.
pub(super) async fn count(store: &dyn Store, id: &str) -> Result<u64, StoreError> {
    Ok(store.devices(&of(id)).await?.total)
}

/// Shows each of them to `look`, in the order of their numbers.
pub(super) async fn each(store: &dyn Store, id: &str, mut look: impl FnMut(Twin)) -> Result<(), StoreError> {
    let mut after = DeviceNumber(0);
    loop {
        // From number to number: what changes meanwhile moves none of them to another page.
        let rest = Some((DeviceNumber(after.0 + 1), DeviceNumber(i64::MAX)));
        let query = DeviceQuery { numbers: rest, limit: PAGE, ..of(id) };
        let twins = store.devices(&query).await?.twins;
        let Some(last) = twins.last() else { return Ok(()) };
        after = last.number;
        twins.into_iter().for_each(&mut look);
    }
}

fn of(id: &str) -> DeviceQuery {
    DeviceQuery { template: Some(id.to_owned()), ..DeviceQuery::default() }
}
