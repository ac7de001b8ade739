//! The devices that had a part in a run: a row for each, written once and deleted with its run or its device.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait, IntoColumnRef, OnConflict, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DeleteMany, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use super::super::entities::{device, run, run_device};
use super::super::reach;
use super::super::rows::failed;
use super::super::write::{self, WriteSql};
use super::{began, bytes, condition};
use crate::{RunQuery, StoreError, select};
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::{DeviceId, DeviceNumber, Twin};

use run_device::Column as P;

const WRITE: &str = "write the devices of runs";
/// The name of these rows in a condition on another's.
const PART: &str = "part";

/// The runs of `device` that are asked for. The runs themselves are looked into only where that has to be.
pub fn select(query: &RunQuery, device: DeviceNumber) -> Select<run_device::Entity> {
    let parts = run_device::Entity::find().filter(P::Device.eq(device.0)).filter(began(query, P::Began));
    let of_runs = condition(query);
    if of_runs.is_empty() { parts } else { parts.inner_join(run::Entity).filter(of_runs) }
}

/// As the index has them.
pub fn sorted(selected: Select<run_device::Entity>, order: &Order) -> Select<run_device::Entity> {
    selected.order_by(P::Began, order.clone()).order_by(P::Seq, order.clone())
}

/// The runs that a device had a part in.
pub fn of(device: i64) -> SelectStatement {
    Query::select().column(P::Run).from(run_device::Entity).and_where(P::Device.eq(device)).take()
}

/// A condition on the run in `column`: a device within the query's reach had a part in it, and none beyond.
pub fn reached(column: impl IntoColumnRef + Clone, query: &RunQuery) -> Condition {
    let Some(within) = reach::condition(&query.reach) else { return Condition::all() };
    let part = |devices: Condition| {
        let part = Query::select()
            .expr(Expr::val(1))
            .from_as(run_device::Entity, PART)
            .and_where(Expr::col((PART, P::Run)).equals(column.clone()))
            .and_where(Expr::col((PART, P::Device)).in_subquery(reach::numbers(devices)))
            .take();
        Expr::exists(part)
    };
    Condition::all().add(part(within.clone())).add(part(within.not()).not())
}

/// Writes the devices that fired `runs`, which have these `seqs`, and those that they acted upon. Rows that are there stay: a part once had is
/// had for good.
pub async fn write(
    sql: &impl WriteSql,
    runs: &[&RunEntry],
    seqs: &HashMap<RunId, i64>,
    twins: &[(u64, &Twin)],
    is_gone: impl Fn(DeviceNumber) -> bool,
) -> Result<(), StoreError> {
    let ids: HashSet<&DeviceId> = runs.iter().flat_map(|entry| select::acted_on(entry)).collect();
    let numbers = numbers(sql.reads(), ids, twins).await?;
    let mut rows = Vec::new();
    for entry in runs {
        let acted_on = select::acted_on(entry).filter_map(|id| numbers.get(id.as_str()).copied());
        let parts: BTreeSet<DeviceNumber> = acted_on.chain([entry.number]).collect();
        for part in parts.into_iter().filter(|part| *part != select::NOBODY && !is_gone(*part)) {
            let (run, began, seq) = (bytes(entry.id), entry.at.millis(), seqs[&entry.id]);
            rows.push(run_device::Model { run, device: part.0, began, seq });
        }
    }
    let keep = OnConflict::columns([P::Run, P::Device]).do_nothing_on([P::Run, P::Device]).to_owned();
    write::insert(sql, WRITE, rows, Some(keep)).await
}

/// A device goes.
pub async fn forget(sql: &impl WriteSql, device: i64) -> Result<(), StoreError> {
    let of_device = run_device::Entity::delete_many().filter(P::Device.eq(device));
    sql.run("remove device", of_device).await
}

/// Deletes those of `runs` that there are no more.
pub async fn delete_orphans(sql: &impl ConnectionTrait, runs: Vec<Vec<u8>>) -> Result<(), StoreError> {
    orphans(runs).exec(sql).await.map(drop).map_err(failed("delete the devices of old runs"))
}

fn orphans(runs: Vec<Vec<u8>>) -> DeleteMany<run_device::Entity> {
    let run = Query::select()
        .expr(Expr::val(1))
        .from(run::Entity)
        .and_where(Expr::col((run::Entity, run::Column::Id)).equals((run_device::Entity, P::Run)))
        .take();
    run_device::Entity::delete_many().filter(P::Run.is_in(runs)).filter(Expr::exists(run).not())
}

/// Of those that there are as this is committed: that are there before, and that come with this batch.
async fn numbers(
    sql: &impl ConnectionTrait,
    ids: HashSet<&DeviceId>,
    twins: &[(u64, &Twin)],
) -> Result<HashMap<String, DeviceNumber>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let texts: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let mut numbers = HashMap::with_capacity(ids.len());
    for some in texts.chunks(write::AT_ONCE) {
        let found: Vec<(String, i64)> = device::Entity::find()
            .filter(device::Column::Id.is_in(some.iter().copied()))
            .select_only()
            .columns([device::Column::Id, device::Column::Number])
            .into_tuple()
            .all(sql)
            .await
            .map_err(failed(WRITE))?;
        numbers.extend(found.into_iter().map(|(id, number)| (id, DeviceNumber(number))));
    }
    for (_, twin) in twins.iter().filter(|(_, twin)| ids.contains(&twin.id)) {
        numbers.insert(twin.id.as_str().to_owned(), twin.number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait};

    use super::*;
    use crate::RunPlace;
    use crate::contract::support::{Fixture, plan};
    use crate::sql::runs::{behind, order};
    use twinhub_domain::Timestamp;
    use twinhub_domain::run::RuleId;

    #[tokio::test]
    async fn a_page_of_a_device_is_read_from_an_index() {
        let fixture = Fixture::sql().await;
        let time = Some(Timestamp::from_millis(0));
        let all = RunQuery::default;
        let after = Some(RunPlace { at: Timestamp::from_millis(0), seq: 7 });
        let page = |query: &RunQuery, newest_first| {
            let query = RunQuery { newest_first, ..query.clone() };
            let all = select(&query, DeviceNumber(1)).filter(behind(&query, P::Began, P::Seq));
            let page =
                sorted(all, &order(&query)).select_only().columns([P::Began, P::Seq, P::Run]).limit(20);
            plan(&fixture, &page.build(DbBackend::Sqlite).to_string())
        };
        for newest_first in [false, true] {
            for query in [
                all(),
                RunQuery { from: time, ..all() },
                RunQuery { from: time, to: time, ..all() },
                RunQuery { after, ..all() },
            ] {
                let plan = page(&query, newest_first);
                assert!(plan.contains("COVERING INDEX run_devices_device_began_seq"), "{query:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("runs"), "{query:?}: {plan}");
            }
            let failed = RunQuery { outcomes: vec!["failed".into()], ..all() };
            let plan = page(&failed, newest_first);
            assert!(plan.contains("COVERING INDEX run_devices_device_began_seq"), "{plan}");
            assert!(plan.contains("SEARCH runs") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        let of_both = RunQuery { rule: RuleId::parse("cool").ok(), ..all() };
        let plan = page(&of_both, true);
        assert!(!plan.contains("SCAN"), "{plan}");
    }

    #[tokio::test]
    async fn what_is_written_and_deleted_is_found_by_an_index() {
        let fixture = Fixture::sql().await;
        let of_device = plan(&fixture, &of(1).to_string(sea_orm::sea_query::SqliteQueryBuilder));
        assert!(of_device.contains("COVERING INDEX run_devices_device_began_seq"), "{of_device}");
        let orphans = orphans(vec![vec![0; 16], vec![1; 16]]).build(DbBackend::Sqlite).to_string();
        let orphans = plan(&fixture, &orphans);
        assert!(orphans.contains("PRIMARY KEY (run=?)") && !orphans.contains("SCAN"), "{orphans}");
    }
}
