//! The log: events of one device, or of all, by their place in the sequence.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, SelectModel,
    Selector,
};

use super::chunks::{self, Stretch};
use super::entities::{chunk, event, journal, piece};
use super::memtable::MemtableView;
use super::rows::{self, failed, int, uint};
use super::{SqlStore, devices, pieces, reach};
use crate::{DeviceQuery, EventQuery, StoreError, select};
use twinhub_access::Reach;
use twinhub_domain::{DeviceNumber, Event, EventBody, EventKind, Recorded};

const READ: &str = "read events";
/// The word for signals: inputs of rules from outside.
pub const SIGNAL: &str = "signal";

/// See [`crate::Store::events`].
pub async fn events(store: &SqlStore, query: &EventQuery) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let view = store.memtable.view();
    // Readings have no severity.
    let of_any = query.kinds.is_empty() || query.kinds.contains(&EventKind::Telemetry);
    let telemetry = of_any && query.at_least.is_none();
    let in_rows = query.device.is_some() && !telemetry && query.at_least.is_none();
    if query.offset > 0 && !in_rows {
        // Gathered from several places: what is passed over must be read to be counted.
        let limit = query.limit.saturating_add(query.offset);
        let mut found =
            gather(store, &EventQuery { offset: 0, limit, ..query.clone() }, &view, telemetry).await?;
        found.drain(..query.offset.min(found.len()));
        return Ok(found);
    }
    gather(store, query, &view, telemetry).await
}

async fn gather(
    store: &SqlStore,
    query: &EventQuery,
    view: &MemtableView,
    telemetry: bool,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    match query.device {
        Some(device) => of_device(store, query, view, device, telemetry).await,
        None if telemetry => of_all(store, query, view, &reached(store, &query.reach).await?).await,
        None => Ok(by_row(store, query, 0, view.last())
            .await?
            .into_iter()
            .filter(|e| view.is_visible(e))
            .collect()),
    }
}

/// Telemetry comes from the memtable, from pieces and from chunks, everything else from its own rows.
async fn of_device(
    store: &SqlStore,
    query: &EventQuery,
    view: &MemtableView,
    device: DeviceNumber,
    telemetry: bool,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let mut found = by_row(store, query, 0, view.last()).await?;
    if telemetry {
        let is_telemetry = |recorded: &Recorded| matches!(recorded.event.body, EventBody::Telemetry { .. });
        let memtable = view.of_device(device).into_iter();
        found.extend(memtable.filter(|recorded| is_telemetry(recorded) && select::wants(query, recorded)));
        let sql = chunks::snapshot(store, READ).await?;
        for selected in by_seq(query, view, device) {
            let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
            while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
                if is_enough_without(query, &found, &row) {
                    break;
                }
                let events = row.messages(READ)?.into_iter();
                found.extend(
                    events.filter(|e| e.seq <= view.after() && select::wants(query, e)).map(Arc::new),
                );
            }
        }
    }
    sort(query, &mut found);
    found.truncate(query.limit);
    Ok(found)
}

/// The devices whose events are taken from the journal; none: all.
type Reached = Option<HashSet<DeviceNumber>>;

async fn reached(store: &SqlStore, reach: &Reach) -> Result<Reached, StoreError> {
    if reach.is_everywhere() {
        return Ok(None);
    }
    let query = DeviceQuery { reach: reach.clone(), ..DeviceQuery::default() };
    Ok(Some(devices::numbers_of(store, &query).await?.into_iter().collect()))
}

/// From the journal, batch by batch; older events from the rows, without the telemetry.
async fn of_all(
    store: &SqlStore,
    query: &EventQuery,
    view: &MemtableView,
    reached: &Reached,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let is_reached =
        |event: &Recorded| reached.as_ref().is_none_or(|reached| reached.contains(&event.event.number));
    let kept_from = first_in_journal(store).await?.unwrap_or_else(|| view.last() + 1);
    let mut found = Vec::new();
    if !query.newest_first {
        found = by_row(store, query, 0, kept_from - 1).await?;
    }
    if found.len() < query.limit {
        let mut rows =
            journal_by_seq(query, view, kept_from).stream(&store.readers).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            let mut events = store.events(READ, row.first_seq, &row.body).await?;
            events.retain(|e| e.seq <= view.last() && select::wants(query, e) && view.is_visible(e));
            events.retain(is_reached);
            if query.newest_first {
                events.reverse();
            }
            found.extend(events.into_iter().map(Arc::new));
            if found.len() >= query.limit {
                break;
            }
        }
    }
    if query.newest_first && found.len() < query.limit {
        found.extend(by_row(store, query, 0, kept_from - 1).await?);
    }
    found.retain(|recorded| view.is_visible(recorded));
    found.truncate(query.limit);
    Ok(found)
}

/// Events that have a row of their own, `after < seq <= up_to`.
pub async fn by_row(
    store: &SqlStore,
    query: &EventQuery,
    after: u64,
    up_to: u64,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    if query.device.is_some() || query.kinds.is_empty() {
        return rows_of(store, query, None, after, up_to).await;
    }
    // Each kind by itself: so the first of them are found in order by the index, however few they are.
    let mut found = Vec::new();
    for word in words(&query.kinds) {
        found.extend(rows_of(store, query, Some(word), after, up_to).await?);
    }
    sort(query, &mut found);
    found.truncate(query.limit);
    Ok(found)
}

/// The words of these kinds in rows: signals from outside have one of their own, because they are kept longer than the
/// runs that they made.
fn words(kinds: &[EventKind]) -> BTreeSet<&'static str> {
    let words = |kind: &EventKind| {
        let signal = (*kind == EventKind::Rule).then_some(SIGNAL);
        std::iter::once(kind.as_str()).chain(signal)
    };
    kinds.iter().flat_map(words).collect()
}

/// The word by which a row knows its event's kind.
pub fn word(event: &Event) -> &'static str {
    match event.body {
        EventBody::Signal(_) if event.kind() == EventKind::Rule => SIGNAL,
        _ => event.kind().as_str(),
    }
}

async fn rows_of(
    store: &SqlStore,
    query: &EventQuery,
    word: Option<&'static str>,
    after: u64,
    up_to: u64,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let mut found = Vec::new();
    let mut rows =
        select_rows(query, word, after, up_to).stream(&store.readers).await.map_err(failed(READ))?;
    while found.len() < query.limit
        && let Some(row) = rows.try_next().await.map_err(failed(READ))?
    {
        let events = store.events(READ, row.seq, &row.body).await?.into_iter();
        // How severe it is, its body tells.
        let wanted = |event: &Recorded| query.at_least.is_none() || select::wants(query, event);
        found.extend(events.filter(wanted).map(Arc::new));
    }
    Ok(found)
}

/// In order. A device's kinds are looked for among its own rows: no index has this expression.
fn select_rows(
    query: &EventQuery,
    word: Option<&'static str>,
    after: u64,
    up_to: u64,
) -> Select<event::Entity> {
    let kind = || Func::coalesce([Expr::col(event::Column::Kind), Expr::val("")]);
    let of_kinds = match word {
        Some(word) => Some(event::Column::Kind.eq(word)),
        None if query.kinds.is_empty() => None,
        None => Some(kind().is_in(words(&query.kinds))),
    };
    let after = std::cmp::max(after, query.since.unwrap_or(0));
    let up_to = query.before.map_or(up_to, |before| Ord::min(up_to, before.saturating_sub(1)));
    let reach = query.device.is_none().then(|| reach::within(event::Column::Device, &query.reach)).flatten();
    let condition = Condition::all()
        .add_option(reach)
        .add(event::Column::Seq.gt(int(after)))
        .add(event::Column::Seq.lte(int(up_to)))
        .add_option(query.device.map(|device| event::Column::Device.eq(device.0)))
        .add_option(of_kinds)
        .add_option(query.from.map(|from| event::Column::At.gte(from.ceil().millis()))) // they have whole ones
        .add_option(query.to.map(|to| event::Column::At.lt(to.ceil().millis())));
    let order = if query.newest_first { Order::Desc } else { Order::Asc };
    let rows = event::Entity::find().filter(condition).order_by(event::Column::Seq, order);
    if query.at_least.is_some() {
        return rows; // how many must be looked at, nobody knows before
    }
    rows.offset(rows::bound(query.offset as u64)).limit(rows::bound(query.limit as u64))
}

/// Pieces, and chunks. Both by the end that is met first, so no later row of the one has anything beyond that end.
fn by_seq(
    query: &EventQuery,
    view: &MemtableView,
    device: DeviceNumber,
) -> [Selector<SelectModel<Stretch>>; 2] {
    let pieces = pieces::in_time(device, query.from, query.to);
    let pieces = within(query, view, pieces, piece::Column::FirstSeq, piece::Column::LastSeq);
    let chunks = chunks::in_time(device, query.from, query.to);
    let chunks = within(query, view, chunks, chunk::Column::FirstSeq, chunk::Column::LastSeq);
    [pieces::stretches(pieces).into_model(), chunks::stretches(chunks).into_model()]
}

fn within<E: EntityTrait>(
    query: &EventQuery,
    view: &MemtableView,
    rows: Select<E>,
    first_seq: E::Column,
    last_seq: E::Column,
) -> Select<E> {
    let rows = rows
        .filter(first_seq.lte(int(view.after())))
        .filter(last_seq.gt(int(query.since.unwrap_or(0))))
        .filter(first_seq.lt(int(query.before.unwrap_or(u64::MAX))));
    if query.newest_first { rows.order_by_desc(last_seq) } else { rows.order_by_asc(first_seq) }
}

fn is_enough_without(query: &EventQuery, found: &[Arc<Recorded>], next: &Stretch) -> bool {
    let is_before_next =
        |seq: u64| if query.newest_first { seq > uint(next.last_seq) } else { seq < uint(next.first_seq) };
    found.len() >= query.limit
        && found.iter().filter(|recorded| is_before_next(recorded.seq)).count() >= query.limit
}

fn journal_by_seq(query: &EventQuery, view: &MemtableView, kept_from: u64) -> Select<journal::Entity> {
    let mut rows = journal::Entity::find()
        .filter(journal::Column::FirstSeq.gte(int(kept_from)))
        .filter(journal::Column::FirstSeq.lte(int(view.last())));
    if let Some(since) = query.since {
        rows = rows.filter(journal::Column::LastSeq.gt(int(since)));
    }
    if let Some(before) = query.before {
        rows = rows.filter(journal::Column::FirstSeq.lt(int(before)));
    }
    if let Some(from) = query.from {
        rows = rows.filter(journal::Column::LastAt.gte(from.floor().millis()));
    }
    if let Some(to) = query.to {
        rows = rows.filter(journal::Column::FirstAt.lt(to.ceil().millis()));
    }
    if query.newest_first {
        rows.order_by_desc(journal::Column::FirstSeq)
    } else {
        rows.order_by_asc(journal::Column::FirstSeq)
    }
}

/// The first `seq` in the journal.
pub async fn first_in_journal(store: &SqlStore) -> Result<Option<u64>, StoreError> {
    let first: Option<i64> = journal::Entity::find()
        .select_only()
        .column(journal::Column::FirstSeq)
        .order_by_asc(journal::Column::FirstSeq)
        .limit(1)
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed(READ))?;
    Ok(first.map(uint))
}

fn sort(query: &EventQuery, events: &mut [Arc<Recorded>]) {
    events.sort_unstable_by_key(|recorded| recorded.seq);
    if query.newest_first {
        events.reverse();
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait};

    use super::*;
    use crate::contract::support::{Fixture, plan};

    #[tokio::test]
    async fn rows_are_found_in_order_by_an_index() {
        let fixture = Fixture::sql().await;
        let device = Some(DeviceNumber(1));
        let kinds = vec![EventKind::Rule, EventKind::Alarm];
        let all = || EventQuery { limit: 20, ..EventQuery::default() };
        for (query, word, index) in [
            (all(), None, "PRIMARY KEY"),
            (all(), Some("alarm"), "events_kind_seq"),
            (EventQuery { device, ..all() }, None, "events_device_seq"),
            (EventQuery { device, kinds, ..all() }, None, "events_device_seq"),
        ] {
            for newest_first in [false, true] {
                let query = EventQuery { newest_first, ..query.clone() };
                let rows = select_rows(&query, word, 5, 500);
                let plan = plan(&fixture, &rows.build(DbBackend::Sqlite).to_string());
                assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
            }
        }
    }
}
