//! Twins: their rows with the memtable folded onto them.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, Query};
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entities::{device, tag, twin};
use super::memtable::MemtableView;
use super::rows::{self, failed, uint};
use super::{SqlStore, reach, write};
use crate::{Deadline, DevicePage, DeviceQuery, DeviceSort, StoreError, select};
use twinhub_domain::text::searched;
use twinhub_domain::{DeviceId, DeviceNumber, Twin};

const READ: &str = "read twins";

/// With fewer matches than this, all of them are sorted; with more, the order's index soon fills a page.
const FEW: u64 = 1_000;

/// See [`crate::Store::load`].
pub async fn load(store: &SqlStore, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError> {
    let view = store.memtable.view();
    let mut twins = Vec::with_capacity(ids.len());
    for some in ids.chunks(write::AT_ONCE) {
        let ids = some.iter().map(DeviceId::as_str);
        let found = device::Entity::find().filter(device::Column::Id.is_in(ids));
        twins.extend(read(store, &view, numbers(store, found).await?).await?);
    }
    Ok(twins)
}

/// See [`crate::Store::devices`].
pub async fn devices(store: &SqlStore, query: &DeviceQuery) -> Result<DevicePage, StoreError> {
    let view = store.memtable.view();
    let selected = device::Entity::find().filter(condition(query));
    let total = count(store, selected.clone()).await?;
    if query.offset >= total || query.limit == 0 {
        return Ok(DevicePage { twins: Vec::new(), total });
    }
    let selected = if total < FEW {
        // Found by the filters and sorted then: no order's index is walked to its end for a handful.
        device::Entity::find().filter(device::Column::Number.is_in(numbers(store, selected).await?))
    } else {
        selected
    };
    let page = sorted(selected, query).offset(query.offset).limit(rows::bound(query.limit));
    Ok(DevicePage { twins: read(store, &view, numbers(store, page).await?).await?, total })
}

/// See [`crate::Store::numbers`].
pub async fn numbers_of(store: &SqlStore, query: &DeviceQuery) -> Result<Vec<DeviceNumber>, StoreError> {
    let selected = device::Entity::find().filter(condition(query));
    let found = numbers(store, selected.order_by_asc(device::Column::Number)).await?;
    Ok(found.into_iter().map(DeviceNumber).collect())
}

/// See [`crate::Store::twins`].
pub async fn twins(store: &SqlStore, numbers: &[DeviceNumber]) -> Result<Vec<Twin>, StoreError> {
    let view = store.memtable.view();
    read(store, &view, rows::numbers(numbers)).await
}

/// See [`crate::Store::find_serial`].
pub async fn find_serial(store: &SqlStore, serial: &str) -> Result<Option<Twin>, StoreError> {
    let view = store.memtable.view();
    let by_serial = Condition::all().add(device::Column::SerialNumber.eq(select::key(serial)));
    let by_id = Condition::all().add(device::Column::Id.eq(serial)).add(device::Column::SerialNumber.eq(""));
    let found = device::Entity::find()
        .filter(Condition::any().add(by_serial).add(by_id))
        .order_by_desc(device::Column::SerialNumber) // who has the number before who is called so
        .order_by_asc(device::Column::Number);
    let twins = read(store, &view, numbers(store, found).await?).await?;
    Ok(twins.into_iter().find(|twin| {
        let own = &*twin.profile.serial_number;
        own == serial || (own.is_empty() && twin.id.as_str() == serial)
    }))
}

/// See [`crate::Store::find_token`].
pub async fn find_token(store: &SqlStore, hash: &str) -> Result<Option<DeviceId>, StoreError> {
    if hash.is_empty() {
        return Ok(None); // so it stands with all that have no token
    }
    let view = store.memtable.view();
    let is_its = Condition::any()
        .add(device::Column::TokenHash.eq(select::key(hash)))
        .add(device::Column::OldTokenHash.eq(select::key(hash)));
    let found = device::Entity::find().filter(is_its);
    let twins = read(store, &view, numbers(store, found).await?).await?;
    let mut holders = twins.into_iter().filter(|twin| twin.profile.token_hashes().any(|own| own == hash));
    Ok(holders.next().map(|twin| twin.id))
}

/// See [`crate::Store::deadlines`].
pub async fn deadlines(
    store: &SqlStore,
    after: DeviceNumber,
    limit: u64,
) -> Result<Vec<Deadline>, StoreError> {
    let waits = Condition::any()
        .add(device::Column::WakeAt.is_not_null())
        .add(device::Column::SilenceMs.is_not_null());
    let rows = device::Entity::find()
        .filter(device::Column::Number.gt(after.0))
        .filter(waits)
        .order_by_asc(device::Column::Number)
        .limit(rows::bound(limit))
        .all(&store.readers)
        .await
        .map_err(failed("read deadlines"))?;
    rows.iter().map(rows::to_deadline).collect()
}

/// Counts by one column, so that an index can do it alone.
async fn count(store: &SqlStore, selected: Select<device::Entity>) -> Result<u64, StoreError> {
    let count: Option<i64> = selected
        .select_only()
        .column_as(device::Column::Number.count(), "count")
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed("count twins"))?;
    Ok(uint(count.unwrap_or_default()))
}

pub(super) async fn numbers(
    store: &SqlStore,
    selected: Select<device::Entity>,
) -> Result<Vec<i64>, StoreError> {
    selected
        .select_only()
        .column(device::Column::Number)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ))
}

/// The twins with these numbers, in this order, as of the last commit. One that went meanwhile is left out.
pub(super) async fn read(
    store: &SqlStore,
    view: &MemtableView,
    numbers: Vec<i64>,
) -> Result<Vec<Twin>, StoreError> {
    let mut found = HashMap::with_capacity(numbers.len());
    for some in numbers.chunks(write::AT_ONCE) {
        let rows = twin::Entity::find()
            .filter(twin::Column::Number.is_in(some.iter().copied()))
            .all(&store.readers)
            .await
            .map_err(failed(READ))?;
        for row in rows {
            let mut twin = rows::to_twin(&row, &store.layers)?;
            for recorded in view.of_device(twin.number).iter().filter(|e| e.seq > uint(row.seq)) {
                twin.redo(&recorded.event);
            }
            found.insert(row.number, twin);
        }
    }
    Ok(numbers.iter().filter_map(|number| found.remove(number)).collect())
}

fn condition(query: &DeviceQuery) -> Condition {
    let DeviceQuery { numbers, status, drifting_since, device_type, groups, grouped, .. } = query;
    let DeviceQuery { claimed, mode, template, lifecycle, tags, q, .. } = query;
    let mut all = Condition::all()
        .add_option(reach::condition(&query.reach))
        .add_option(numbers.map(|(first, last)| device::Column::Number.between(first.0, last.0)))
        .add_option(
            (!status.is_empty())
                .then(|| device::Column::Status.is_in(status.iter().map(|status| status.as_str()))),
        )
        .add_option(drifting_since.map(|since| device::Column::DriftingSince.lte(since.millis())))
        .add_option(device_type.as_deref().map(|text| device::Column::DeviceType.eq(&*select::alike(text))))
        .add_option(
            (!groups.is_empty())
                .then(|| device::Column::GroupId.is_in(groups.iter().map(|group| select::key(group)))),
        )
        .add_option(grouped.map(|grouped| match grouped {
            true => device::Column::GroupId.ne(""),
            false => device::Column::GroupId.eq(""),
        }))
        .add_option(claimed.map(|claimed| device::Column::Claimed.eq(claimed)))
        .add_option(mode.map(|mode| device::Column::Mode.eq(mode.as_str())))
        .add_option(template.as_deref().map(|id| device::Column::Template.eq(id)))
        .add_option(
            (!lifecycle.is_empty())
                .then(|| device::Column::Lifecycle.is_in(lifecycle.iter().map(|state| state.as_str()))),
        )
        .add_option(q.as_deref().map(|part| Expr::col(device::Column::Search).like(part_of(part))));
    for (name, value) in tags {
        let tagged = Query::select()
            .column(tag::Column::Device)
            .from(tag::Entity)
            .and_where(tag::Column::Name.eq(&*select::alike(name)))
            .and_where(tag::Column::Value.eq(&*select::alike(value)))
            .to_owned();
        all = all.add(device::Column::Number.in_subquery(tagged));
    }
    all
}

/// A pattern for texts with `part` in them. The escape is one that no database has a meaning for.
fn part_of(part: &str) -> LikeExpr {
    let mut pattern = String::from("%");
    for character in searched(part).chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('!')
}

fn sorted(selected: Select<device::Entity>, query: &DeviceQuery) -> Select<device::Entity> {
    let order = if query.descending { Order::Desc } else { Order::Asc };
    let column = match query.sort {
        DeviceSort::Number => return selected.order_by(device::Column::Number, order),
        DeviceSort::Id => device::Column::IdOrder,
        DeviceSort::Name => device::Column::NameOrder,
        DeviceSort::Type => device::Column::DeviceType,
        DeviceSort::Status => device::Column::Status,
        DeviceSort::LastSeen => device::Column::LastSeen,
        DeviceSort::CreatedAt => device::Column::CreatedAt,
        DeviceSort::UpdatedAt => device::Column::UpdatedAt,
    };
    // Both in one direction, as the index has them.
    selected.order_by(column, order.clone()).order_by(device::Column::Number, order)
}
