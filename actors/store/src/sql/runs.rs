//! Runs of rules: each a row, as far as it has come.

mod parts;

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entities::{meta, run, run_device};
use super::rows::{self, failed};
use super::write::{self, WriteSql};
use super::{SqlStore, head, page};
use crate::{RunPage, RunPlace, RunQuery, StoreError, select};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{DeviceNumber, Timestamp, Twin};

use run::Column as C;
use run_device::Column as P;

pub use parts::delete_orphans;

const READ: &str = "read runs";
const WRITE: &str = "write runs";
/// Rules whose last runs are queried in one statement: each is a subquery of its own in there.
const RULES_AT_ONCE: usize = 50;

/// See [`crate::Store::runs`].
pub async fn runs(store: &SqlStore, query: &RunQuery) -> Result<RunPage, StoreError> {
    let (total, mut places) = match query.device {
        Some(device) => {
            let selected =
                parts::select(query, device).filter(parts::reached((run_device::Entity, P::Run), query));
            let total = page::count(store, READ, selected.clone(), P::Run).await?;
            let sorted = parts::sorted(selected.filter(behind(query, P::Began, P::Seq)), &order(query));
            (total, places(store, query, total, sorted, [P::Began, P::Seq, P::Run]).await?)
        }
        None => {
            let selected = run::Entity::find().filter(condition(query)).filter(began(query, C::Began));
            let selected = selected.filter(parts::reached((run::Entity, C::Id), query));
            let total = page::count(store, READ, selected.clone(), C::Id).await?;
            let sorted = sorted(selected.filter(behind(query, C::Began, C::Seq)), &order(query));
            (total, places(store, query, total, sorted, [C::Began, C::Seq, C::Id]).await?)
        }
    };
    let has_next = places.len() as u64 > query.limit;
    if has_next {
        places.pop();
    }
    let place =
        |(began, seq, _): &RunKey| RunPlace { at: Timestamp::from_millis(*began), seq: rows::uint(*seq) };
    let next = places.last().filter(|_| has_next).map(place);
    let ids: Vec<Vec<u8>> = places.into_iter().map(|(.., id)| id).collect();
    let rows = page::with_ids::<run::Entity>(store, READ, C::Id, &ids).await?;
    let runs: Result<Vec<RunEntry>, _> = rows.iter().map(to_run).collect();
    // One that a commit has just brought further may be no more what was asked for.
    let runs = runs?.into_iter().filter(|entry| select::is_run(query, entry)).collect();
    Ok(RunPage { runs, total, next })
}

/// A run's beginning, its `seq` and its id.
type RunKey = (i64, i64, Vec<u8>);

/// The places of the runs on a page, and of one more where there is one.
async fn places<E: EntityTrait>(
    store: &SqlStore,
    query: &RunQuery,
    total: u64,
    sorted: Select<E>,
    columns: [E::Column; 3],
) -> Result<Vec<RunKey>, StoreError> {
    if query.offset >= total || query.limit == 0 {
        return Ok(Vec::new());
    }
    sorted
        .offset(rows::bound(query.offset))
        .limit(rows::bound(query.limit.saturating_add(1)))
        .select_only()
        .columns(columns)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ))
}

/// See [`crate::Store::run`].
pub async fn run(store: &SqlStore, id: RunId) -> Result<Option<RunEntry>, StoreError> {
    let row = run::Entity::find_by_id(bytes(id)).one(&store.readers).await.map_err(failed(READ))?;
    row.as_ref().map(to_run).transpose()
}

/// See [`crate::Store::last_runs`].
pub async fn last_runs(store: &SqlStore, rules: &[RuleId]) -> Result<Vec<RunEntry>, StoreError> {
    let mut last = Vec::with_capacity(rules.len());
    for some in rules.chunks(RULES_AT_ONCE) {
        let rows = run::Entity::find().filter(are_last(some)).all(&store.readers).await;
        for row in rows.map_err(failed(READ))? {
            last.push(to_run(&row)?);
        }
    }
    Ok(last)
}

/// Writes runs, each once, with a batch of these `twins`; `is_gone` is true of removed devices. The values of its beginning stay as they were written
/// first.
pub async fn write(
    sql: &impl WriteSql,
    runs: impl Iterator<Item = &RunEntry>,
    twins: &[(u64, &Twin)],
    is_gone: impl Fn(DeviceNumber) -> bool,
) -> Result<(), StoreError> {
    let runs: Vec<&RunEntry> = runs.collect();
    if runs.is_empty() {
        return Ok(());
    }
    let seqs = seqs(sql, &runs).await?;
    parts::write(sql, &runs, &seqs, twins, &is_gone).await?;
    let (mut telling, mut dull) = (Vec::new(), Vec::new());
    for entry in runs {
        let number = if is_gone(entry.number) { select::NOBODY } else { entry.number };
        let row = of_run(entry, seqs[&entry.id], number)?;
        if row.telling { telling.push(row) } else { dull.push(row) }
    }
    let overwrite =
        |columns: &[C]| OnConflict::column(C::Id).update_columns(columns.iter().copied()).to_owned();
    write::insert(sql, WRITE, telling, Some(overwrite(&[C::Outcome, C::LastAt, C::Body]))).await?;
    // Counted again and again: no index is written for that.
    write::insert(sql, WRITE, dull, Some(overwrite(&[C::LastAt, C::Body]))).await
}

/// The `seq` of each of these runs: the one that it has, or for a new one the next.
async fn seqs(sql: &impl WriteSql, runs: &[&RunEntry]) -> Result<HashMap<RunId, i64>, StoreError> {
    let mut known = HashMap::with_capacity(runs.len());
    for some in runs.chunks(write::AT_ONCE) {
        let found: Vec<(Vec<u8>, i64)> = run::Entity::find()
            .filter(C::Id.is_in(some.iter().map(|entry| bytes(entry.id))))
            .select_only()
            .columns([C::Id, C::Seq])
            .into_tuple()
            .all(sql.reads())
            .await
            .map_err(failed(WRITE))?;
        known.extend(found);
    }
    let before = head::meta_value(sql.reads(), meta::RUN_SEQ).await?.unwrap_or_default();
    let mut last = before;
    let mut seqs = HashMap::with_capacity(runs.len());
    for entry in runs {
        let seq = known.get(&bytes(entry.id)).copied().unwrap_or_else(|| {
            last += 1;
            last
        });
        seqs.insert(entry.id, seq);
    }
    if last > before {
        write::meta(sql, meta::RUN_SEQ, last).await?;
    }
    Ok(seqs)
}

/// Removes a device: the runs that it fired are no device's then.
pub async fn forget(sql: &impl WriteSql, device: i64) -> Result<(), StoreError> {
    const FORGET: &str = "remove device";
    let fired = run::Entity::update_many()
        .col_expr(C::Device, 0i64.into())
        .filter(C::Device.eq(device))
        .filter(C::Id.in_subquery(parts::of(device)));
    sql.run(FORGET, fired).await?;
    parts::forget(sql, device).await
}

fn of_run(entry: &RunEntry, seq: i64, number: DeviceNumber) -> Result<run::Model, StoreError> {
    let RunEntry { id, rule, at, ended_at, outcome, parent, last_at, .. } = entry;
    Ok(run::Model {
        id: bytes(*id),
        rule: rule.as_str().to_owned(),
        device: number.0,
        began: at.millis(),
        seq,
        last_at: (*at).max(*last_at).max(ended_at.unwrap_or(*at)).millis(),
        outcome: outcome.as_str().to_owned(),
        telling: select::is_telling(entry),
        parent: parent.map(bytes),
        body: rows::json(WRITE, entry)?,
    })
}

fn to_run(row: &run::Model) -> Result<RunEntry, StoreError> {
    let place = || format!("of rule {}, at {}", row.rule, row.began);
    let mut entry: RunEntry = rows::from_json(READ, place, &row.body)?;
    entry.number = DeviceNumber(row.device); // none, where the device was removed since
    Ok(entry)
}

fn bytes(id: RunId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

fn condition(query: &RunQuery) -> Condition {
    let RunQuery { rule, parent, outcomes, .. } = query;
    Condition::all()
        .add_option(rule.as_ref().map(|rule| C::Rule.eq(rule.as_str())))
        .add_option(parent.map(|parent| C::Parent.eq(bytes(parent))))
        .add_option((!outcomes.is_empty()).then(|| C::Outcome.is_in(outcomes.iter().map(String::as_str))))
}

/// A condition on the time in `column`.
fn began(query: &RunQuery, column: impl ColumnTrait) -> Condition {
    Condition::all()
        .add_option(query.from.map(|from| column.gte(from.millis())))
        .add_option(query.to.map(|to| column.lt(to.millis())))
}

/// A condition on the place: the bound on the time alone is for the index.
fn behind(query: &RunQuery, began: impl ColumnTrait, seq: impl ColumnTrait) -> Condition {
    let Some(RunPlace { at, seq: last }) = query.after else { return Condition::all() };
    let (at, last) = (at.millis(), rows::int(last));
    let (bound, later, same_time) = if query.newest_first {
        (began.lte(at), began.lt(at), seq.lt(last))
    } else {
        (began.gte(at), began.gt(at), seq.gt(last))
    };
    Condition::all().add(bound).add(Condition::any().add(later).add(same_time))
}

fn order(query: &RunQuery) -> Order {
    if query.newest_first { Order::Desc } else { Order::Asc }
}

/// Both columns in one direction, as the indexes have them.
fn sorted(selected: Select<run::Entity>, order: &Order) -> Select<run::Entity> {
    selected.order_by(C::Began, order.clone()).order_by(C::Seq, order.clone())
}

/// A look into the index for each rule.
fn are_last(rules: &[RuleId]) -> Expr {
    let last = |rule: &RuleId| -> SelectStatement {
        Query::select()
            .column(C::Id)
            .from(run::Entity)
            .and_where(C::Rule.eq(rule.as_str()))
            .and_where(C::Telling.eq(true))
            .order_by(C::Began, Order::Desc)
            .order_by(C::Seq, Order::Desc)
            .limit(1)
            .to_owned()
    };
    Expr::col(C::Id).is_in(rules.iter().map(last))
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait};

    use super::*;
    use crate::contract::support::{Fixture, plan};

    #[tokio::test]
    async fn lists_read_no_more_than_an_index() {
        let fixture = Fixture::sql().await;
        let rule = || RuleId::parse("cool").ok();
        let time = Some(Timestamp::from_millis(0));
        let all = RunQuery::default;
        let after = Some(RunPlace { at: Timestamp::from_millis(0), seq: 7 });
        let failed = || vec!["failed".to_owned()];
        for (query, index) in [
            (all(), "COVERING INDEX runs_began"),
            (RunQuery { from: time, to: time, ..all() }, "COVERING INDEX runs_began"),
            (RunQuery { outcomes: failed(), ..all() }, "COVERING INDEX runs_began"),
            (RunQuery { after, ..all() }, "SEARCH runs USING COVERING INDEX runs_began"),
        ] {
            for newest_first in [false, true] {
                let query = RunQuery { newest_first, ..query.clone() };
                let all = run::Entity::find().filter(condition(&query)).filter(began(&query, C::Began));
                let page = sorted(all.filter(behind(&query, C::Began, C::Seq)), &order(&query));
                let page = page.select_only().columns([C::Began, C::Seq, C::Id]).limit(20);
                let plan = plan(&fixture, &page.build(DbBackend::Sqlite).to_string());
                assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
            }
        }
        let child = RunQuery { parent: Some(RunId(uuid::Uuid::nil())), ..all() };
        for (query, index) in
            [(RunQuery { rule: rule(), outcomes: failed(), ..all() }, "runs_rule_"), (child, "runs_parent")]
        {
            let few = run::Entity::find().filter(condition(&query));
            let plan = plan(&fixture, &few.build(DbBackend::Sqlite).to_string());
            assert!(plan.contains(index), "{query:?}: {plan}");
        }
        let rules: Vec<RuleId> = rule().into_iter().chain(RuleId::parse("heat")).collect();
        let last = run::Entity::find().filter(are_last(&rules));
        let plan = plan(&fixture, &last.build(DbBackend::Sqlite).to_string());
        assert!(plan.contains("runs_rule_telling_began_seq (rule=? AND telling=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY") && !plan.contains("SCAN runs"), "{plan}");
    }
}
