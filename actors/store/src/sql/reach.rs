//! The devices within reach, as conditions: on the rows of devices, and on rows that are some device's.

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QuerySelect};

use super::entities::device;
use super::rows::{device_id, failed};
use super::{SqlStore, sqlite};
use crate::{DevicePlace, StoreError, select};
use twinhub_access::{Reach, ReachPart};
use twinhub_domain::{DeviceId, DeviceNumber};

use device::Column as D;

const READ: &str = "read places";

/// A condition on rows of devices; none where no device is left out.
pub fn condition(reach: &Reach) -> Option<Condition> {
    let part = |part: &ReachPart| match part {
        ReachPart::Groups(groups) => D::GroupId.is_in(groups.iter().map(|group| select::key(group))),
        ReachPart::Owner(user) => D::OwnerId.eq(select::key(user)),
        ReachPart::Devices(devices) => D::Id.is_in(devices.iter().map(DeviceId::as_str)),
        ReachPart::Ids(patterns) => sqlite::fits(D::Id, patterns),
        ReachPart::Nothing => Expr::val(1).eq(0),
    };
    let all = || reach.parts().iter().map(part).fold(Condition::all(), Condition::add);
    (!reach.is_everywhere()).then(all)
}

/// A condition on the number of a device in `column`; none where no device is left out.
pub fn within(column: impl ColumnTrait, reach: &Reach) -> Option<Expr> {
    condition(reach).map(|condition| column.in_subquery(numbers(condition)))
}

/// The numbers of the devices for which this is true.
pub fn numbers(condition: Condition) -> SelectStatement {
    Query::select().column(D::Number).from(device::Entity).cond_where(condition).take()
}

/// See [`crate::Store::places`].
pub async fn places(store: &SqlStore) -> Result<Vec<DevicePlace>, StoreError> {
    let rows: Vec<(String, i64, String, String)> = device::Entity::find()
        .select_only()
        .columns([D::Id, D::Number, D::OwnerId, D::GroupId])
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ))?;
    let place = |(id, number, owner, group): (String, i64, String, String)| {
        let (device, number) = (device_id(READ, &id)?, DeviceNumber(number));
        Ok(DevicePlace { device, number, owner: owner.into(), group: group.into() })
    };
    rows.into_iter().map(place).collect()
}
