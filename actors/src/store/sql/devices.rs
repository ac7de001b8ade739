//! Twins: their rows with the tail folded onto them.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, Query};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::SqlStore;
use super::entities::{tag, twin};
use super::rows::{self, failed, rows_at_once, uint};
use super::tail::View;
use crate::domain::{DeviceId, Recorded, Twin};
use crate::store::{DevicePage, DeviceQuery, DeviceSort, StoreError, select};

const READ: &str = "read twins";

/// See [`crate::store::Store::load`].
pub async fn load(store: &SqlStore, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError> {
    let view = store.tail.view();
    let mut twins = Vec::with_capacity(ids.len());
    for some in ids.chunks(rows_at_once(1)) {
        let rows = twin::Entity::find()
            .filter(twin::Column::Id.is_in(some.iter().map(DeviceId::as_str)))
            .all(&store.readers)
            .await
            .map_err(failed(READ))?;
        for row in &rows {
            twins.push(folded(&view, row)?);
        }
    }
    Ok(twins)
}

/// See [`crate::store::Store::devices`].
pub async fn devices(store: &SqlStore, query: &DeviceQuery) -> Result<DevicePage, StoreError> {
    let view = store.tail.view();
    let selected = twin::Entity::find().filter(condition(query));
    let total = selected.clone().count(&store.readers).await.map_err(failed("count twins"))?;
    let mut twins = Vec::new();
    if query.offset < total {
        let page = sorted(selected, query).offset(query.offset).limit(query.limit);
        for row in page.all(&store.readers).await.map_err(failed(READ))? {
            twins.push(folded(&view, &row)?);
        }
    }
    Ok(DevicePage { twins, total })
}

/// See [`crate::store::Store::find_serial`].
pub async fn find_serial(store: &SqlStore, serial: &str) -> Result<Option<Twin>, StoreError> {
    let view = store.tail.view();
    let by_serial = Condition::all().add(twin::Column::SerialNumber.eq(select::key(serial)));
    let by_id =
        Condition::all().add(twin::Column::Id.eq(serial)).add(twin::Column::SerialNumber.eq(""));
    let rows = twin::Entity::find()
        .filter(Condition::any().add(by_serial).add(by_id))
        .order_by_desc(twin::Column::SerialNumber) // who has the number before who is called so
        .order_by_asc(twin::Column::Number)
        .all(&store.readers)
        .await
        .map_err(failed(READ))?;
    for row in &rows {
        let twin = folded(&view, row)?;
        let own = &*twin.profile.serial_number;
        if own == serial || (own.is_empty() && twin.id.as_str() == serial) {
            return Ok(Some(twin));
        }
    }
    Ok(None)
}

fn folded(view: &View, row: &twin::Model) -> Result<Twin, StoreError> {
    let mut twin = rows::to_twin(row)?;
    let tail: Vec<Arc<Recorded>> = view.of_device(twin.number);
    for recorded in tail.iter().filter(|recorded| recorded.seq > uint(row.seq)) {
        twin.redo(&recorded.event);
    }
    Ok(twin)
}

fn condition(query: &DeviceQuery) -> Condition {
    let DeviceQuery { status, device_type, group, claimed, mode, tags, q, .. } = query;
    let mut all = Condition::all()
        .add_option(status.map(|status| twin::Column::Status.eq(status.as_str())))
        .add_option(device_type.as_deref().map(|text| twin::Column::DeviceType.eq(select::key(text))))
        .add_option(group.as_deref().map(|text| twin::Column::GroupId.eq(select::key(text))))
        .add_option(claimed.map(|claimed| twin::Column::Claimed.eq(claimed)))
        .add_option(mode.map(|mode| twin::Column::Mode.eq(mode.as_str())))
        .add_option(q.as_deref().map(|part| Expr::col(twin::Column::Search).like(part_of(part))));
    for (name, value) in tags {
        let tagged = Query::select()
            .column(tag::Column::Device)
            .from(tag::Entity)
            .and_where(tag::Column::Name.eq(select::key(name)))
            .and_where(tag::Column::Value.eq(select::key(value)))
            .to_owned();
        all = all.add(twin::Column::Number.in_subquery(tagged));
    }
    all
}

/// A pattern for texts with `part` in them. The escape is one that no database has a meaning for.
fn part_of(part: &str) -> LikeExpr {
    let mut pattern = String::from("%");
    for character in part.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('!')
}

fn sorted(selected: Select<twin::Entity>, query: &DeviceQuery) -> Select<twin::Entity> {
    let order = if query.descending { Order::Desc } else { Order::Asc };
    let column = match query.sort {
        DeviceSort::Number => return selected.order_by(twin::Column::Number, order),
        DeviceSort::Id => twin::Column::Id,
        DeviceSort::Name => twin::Column::Name,
        DeviceSort::Type => twin::Column::DeviceType,
        DeviceSort::Status => twin::Column::Status,
        DeviceSort::LastSeen => twin::Column::LastSeen,
        DeviceSort::CreatedAt => twin::Column::CreatedAt,
        DeviceSort::UpdatedAt => twin::Column::UpdatedAt,
    };
    // Both in one direction, as the index has them.
    selected.order_by(column, order.clone()).order_by(twin::Column::Number, order)
}
