//! Automation's data is deleted when it is old or too much: runs, cleared alarms, requests outward, and the events of
//! runs.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::entities::{alarm, command, delivery, event, run};
use super::pace::WorkTurn;
use super::prune::{self, millis};
use super::rows::failed;
use super::{SqlStore, deliveries, events, runs};
use crate::{DeliveryStatus, StoreError};
use twinhub_domain::run::RunEntry;
use twinhub_domain::{CommandStatus, EventKind, Timestamp};

/// Runs that are kept of a rule: those that did something, and those that did not run.
const TELLING: u64 = 1_000;
const DULL: u64 = 200;
/// The retention of finished requests outward.
const KEEP_DELIVERED: Duration = Duration::from_hours(7 * 24);
/// Events that go after a time of their own. Those of readings are no rows, and the others go with what they are about.
const OF_THE_LOG: [EventKind; 5] =
    [EventKind::Twin, EventKind::Presence, EventKind::Command, EventKind::Alarm, EventKind::Fleet];
/// The interval between two counts of the rules that ran, and between two searches for old data.
const COUNT_EVERY_MS: i64 = 60 * 1000;
const AGE_EVERY_MS: i64 = 60 * 60 * 1000;

const EXPIRE: &str = "delete old runs";

/// The rules to count at the next expiry.
#[derive(Default)]
pub struct Expiry(Mutex<ExpiryState>);

#[derive(Default)]
struct ExpiryState {
    /// Rules that ran since they were looked at. What ran before the start is not known.
    ran: HashSet<String>,
    counted: Option<Timestamp>,
    aged: Option<Timestamp>,
}

impl Expiry {
    /// These runs are being written.
    pub fn note(&self, runs: &[RunEntry]) {
        if runs.is_empty() {
            return;
        }
        let mut state = self.state();
        for entry in runs {
            if !state.ran.contains(entry.rule.as_str()) {
                state.ran.insert(entry.rule.as_str().to_owned());
            }
        }
    }

    /// No code in here can panic half way through a change.
    fn state(&self) -> MutexGuard<'_, ExpiryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes data that is old or too much. Costs nothing where nothing ran, but for a look every hour.
pub async fn expire(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    let is_time = |last: Option<Timestamp>, every| {
        last.is_none_or(|last| !(0..every).contains(&(now.millis() - last.millis())))
    };
    let (counted, aged) = {
        let state = store.expiring.state();
        (state.counted, state.aged)
    };
    let work = WorkTurn::begin();
    if is_time(counted, COUNT_EVERY_MS) {
        let ran = std::mem::take(&mut store.expiring.state().ran);
        let ran = if counted.is_none() { rules_with_too_many(store).await? } else { ran };
        store.expiring.state().counted = Some(now);
        for rule in ran {
            too_many(store, &rule, true, TELLING, &work).await?;
            too_many(store, &rule, false, DULL, &work).await?;
        }
        if work.is_over() {
            store.expiring.state().counted = None; // not all of them may have had their turn
        }
    }
    if is_time(aged, AGE_EVERY_MS) {
        old(store, now, &work).await?;
        if !work.is_over() {
            store.expiring.state().aged = Some(now);
        }
    }
    Ok(())
}

/// At the first time after a start, when it is not known which rules ran before.
async fn rules_with_too_many(store: &SqlStore) -> Result<HashSet<String>, StoreError> {
    let counts: Vec<(String, bool, i64)> = run::Entity::find()
        .select_only()
        .column(run::Column::Rule)
        .column(run::Column::Telling)
        .column_as(run::Column::Id.count(), "count")
        .group_by(run::Column::Rule)
        .group_by(run::Column::Telling)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(EXPIRE))?;
    let most = |telling| super::rows::int(if telling { TELLING } else { DULL });
    Ok(counts
        .into_iter()
        .filter(|(_, telling, count)| *count > most(*telling))
        .map(|(rule, ..)| rule)
        .collect())
}

/// Deletes all but the newest `most` of a rule's runs that are telling, or are not. What still runs stays.
async fn too_many(
    store: &SqlStore,
    rule: &str,
    telling: bool,
    most: u64,
    work: &WorkTurn,
) -> Result<(), StoreError> {
    use run::Column as C;

    let of_rule = Condition::all().add(C::Rule.eq(rule)).add(C::Telling.eq(telling));
    let first_over: Option<(i64, i64)> = run::Entity::find()
        .filter(of_rule.clone())
        .order_by(C::Began, Order::Desc)
        .order_by(C::Seq, Order::Desc)
        .offset(most)
        .limit(1)
        .select_only()
        .columns([C::Began, C::Seq])
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed(EXPIRE))?;
    let Some((began, seq)) = first_over else { return Ok(()) };
    let same_time = Condition::all().add(C::Began.eq(began)).add(C::Seq.lte(seq));
    let over = of_rule
        .add(C::Began.lte(began))
        .add(Condition::any().add(C::Began.lt(began)).add(same_time))
        .add(C::Outcome.ne("running"));
    delete_runs(store, over, work).await
}

async fn old(store: &SqlStore, now: Timestamp, work: &WorkTurn) -> Result<(), StoreError> {
    let before = |keep: Duration| now.plus_millis(-millis(keep)).millis();
    let keeping = store.keeping();
    let keep_runs = before(keeping.runs);
    let over = Condition::all()
        .add(run::Column::Began.lt(keep_runs))
        .add(run::Column::LastAt.lt(keep_runs))
        .add(run::Column::Outcome.ne("running"));
    delete_runs(store, over, work).await?;
    if let Some(keep) = keeping.alarms {
        let cleared = Condition::all()
            .add(alarm::Column::Active.eq(false))
            .add(alarm::Column::RaisedAt.lt(before(keep)))
            .add(alarm::Column::ClearedAt.lt(before(keep)));
        delete::<alarm::Entity>(store, alarm::Column::Id, cleared, work).await?;
    }
    if let Some(keep) = keeping.commands {
        let ended = CommandStatus::ALL.into_iter().filter(|status| status.is_final());
        let ended = Condition::all()
            .add(command::Column::Status.is_in(ended.map(CommandStatus::as_str)))
            .add(command::Column::CreatedAt.lt(before(keep)));
        delete::<command::Entity>(store, command::Column::Id, ended, work).await?;
    }
    for status in [DeliveryStatus::Delivered, DeliveryStatus::Failed] {
        let done = Condition::all()
            .add(delivery::Column::Status.eq(deliveries::word(status)))
            .add(delivery::Column::CreatedAt.lt(before(KEEP_DELIVERED)))
            .add(delivery::Column::EndedAt.lt(before(KEEP_DELIVERED)));
        delete::<delivery::Entity>(store, delivery::Column::Id, done, work).await?;
    }
    old_events(store, EventKind::Rule.as_str(), keep_runs, now, work).await?;
    old_events(store, EventKind::Job.as_str(), keep_runs, now, work).await?;
    if let Some(keep) = keeping.events {
        for kind in OF_THE_LOG {
            old_events(store, kind.as_str(), before(keep), now, work).await?;
        }
    }
    match keeping.readings {
        // A backtest wants them as long as there are readings.
        Some(keep) => {
            old_events(store, events::SIGNAL, before(keep), now, work).await?;
            old_events(store, EventKind::Hub.as_str(), before(keep), now, work).await
        }
        None => Ok(()),
    }
}

/// Deletes the rows of events of a kind from before `until`: from the first on, as far as they are old. Those in the
/// future of `now` were written by a wrong clock, and do not end the search.
async fn old_events(
    store: &SqlStore,
    word: &str,
    until: i64,
    now: Timestamp,
    work: &WorkTurn,
) -> Result<(), StoreError> {
    use event::Column as C;

    while !work.is_over() {
        let at_once = store.paces.pruning.size();
        let first: Vec<(i64, i64)> = event::Entity::find()
            .filter(C::Kind.eq(word))
            .filter(C::At.lte(now.plus_millis(prune::WRONG_MS).millis()))
            .order_by_asc(C::Seq)
            .limit(at_once as u64)
            .select_only()
            .columns([C::Seq, C::At])
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(EXPIRE))?;
        let old: Vec<i64> = first.iter().take_while(|(_, at)| *at < until).map(|(seq, _)| *seq).collect();
        let count = old.len();
        if count == 0 {
            return Ok(());
        }
        let write = async |sql: &DatabaseTransaction| {
            let gone = event::Entity::delete_many().filter(C::Seq.is_in(old));
            gone.exec(sql).await.map(drop).map_err(failed(EXPIRE))
        };
        store.paces.pruning.write(store, EXPIRE, count, write).await?;
        if word == EventKind::Twin.as_str() {
            store.unused_layers.note_gone();
        }
        if count < at_once {
            return Ok(());
        }
    }
    Ok(())
}

/// Deletes runs, and with them the rows of the devices that had a part in them.
async fn delete_runs(store: &SqlStore, over: Condition, work: &WorkTurn) -> Result<(), StoreError> {
    delete_with::<run::Entity, _>(store, run::Column::Id, over, work, runs::delete_orphans).await
}

/// Deletes rows.
async fn delete<E: EntityTrait>(
    store: &SqlStore,
    id: E::Column,
    over: Condition,
    work: &WorkTurn,
) -> Result<(), StoreError> {
    delete_with::<E, _>(store, id, over, work, async |_, _| Ok(())).await
}

/// Deletes rows, few enough in a transaction that a commit need not wait long; and in it, after them, the dependent
/// rows that `rest` finds. A row that has changed meanwhile stays.
async fn delete_with<E: EntityTrait, F>(
    store: &SqlStore,
    id: E::Column,
    over: Condition,
    work: &WorkTurn,
    rest: F,
) -> Result<(), StoreError>
where
    F: AsyncFn(&DatabaseTransaction, Vec<Vec<u8>>) -> Result<(), StoreError>,
{
    while !work.is_over() {
        let at_once = store.paces.pruning.size();
        let ids: Vec<Vec<u8>> = E::find()
            .filter(over.clone())
            .limit(at_once as u64)
            .select_only()
            .column(id)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(EXPIRE))?;
        let count = ids.len();
        if count == 0 {
            return Ok(());
        }
        let write = async |sql: &DatabaseTransaction| {
            E::delete_many()
                .filter(over.clone())
                .filter(id.is_in(ids.iter().cloned()))
                .exec(sql)
                .await
                .map_err(failed(EXPIRE))?;
            rest(sql, ids).await
        };
        store.paces.pruning.write(store, EXPIRE, count, write).await?;
        if count < at_once {
            return Ok(());
        }
    }
    Ok(())
}
