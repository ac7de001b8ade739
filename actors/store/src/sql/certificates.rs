//! Devices by the certificates that are bound to them.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};

use super::SqlStore;
use super::devices::{numbers, read};
use super::entities::device;
use super::rows::{self, device_id, failed};
use crate::{CertificateEnd, StoreError, select};

/// See [`crate::Store::find_certificate`].
pub async fn find(store: &SqlStore, fingerprint: &str) -> Result<Option<DeviceId>, StoreError> {
    if fingerprint.is_empty() {
        return Ok(None); // so it stands with all to which none is bound
    }
    let view = store.memtable.view();
    let found = device::Entity::find().filter(device::Column::Certificate.eq(select::key(fingerprint)));
    let twins = read(store, &view, numbers(store, found).await?).await?;
    Ok(twins.into_iter().find(|twin| twin.profile.certificate() == fingerprint).map(|twin| twin.id))
}

/// See [`crate::Store::certificates_ending`].
pub async fn ending(
    store: &SqlStore,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<CertificateEnd>, StoreError> {
    const READ: &str = "read certificates";
    let found: Vec<(String, i64, i64)> = device::Entity::find()
        .select_only()
        .column(device::Column::Id)
        .column(device::Column::Number)
        .column(device::Column::CertificateEnd)
        .filter(device::Column::CertificateEnd.lt(before.millis()))
        .order_by_asc(device::Column::CertificateEnd)
        .order_by_asc(device::Column::Number)
        .limit(rows::bound(limit))
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ))?;
    let end = |(id, number, at): (String, i64, i64)| {
        let (device, at) = (device_id(READ, &id)?, Timestamp::from_millis(at));
        Ok(CertificateEnd { device, number: DeviceNumber(number), at })
    };
    found.into_iter().map(end).collect()
}
