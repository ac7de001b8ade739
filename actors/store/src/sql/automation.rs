//! Automation's part of a commit, and the state that the engine loads from it at start.

use std::collections::HashMap;
use std::hash::Hash;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::entities::{alarm, meta, rule, scope};
use super::rows::{self, failed, int, uint};
use super::write::{self, WriteSql};
use super::{SqlStore, alarms, deliveries, head, runs};
use crate::{AutomationChanges, AutomationState, EngineProgress, RuleRecord, StoreError};
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceNumber, Timestamp, Twin};
use twinhub_rules::ScopeSnapshot;

const READ: &str = "read automation";
const SCOPES: &str = "write what rules keep";
const RULES: &str = "write rules";
/// Pairs of rule and device in one condition.
const PAIRS_AT_ONCE: usize = 100;

/// See [`crate::Store::automation`].
pub async fn state(store: &SqlStore) -> Result<AutomationState, StoreError> {
    let sql = &store.readers;
    let seq = head::meta_value(sql, meta::AUTOMATION_SEQ).await?;
    let time = head::meta_value(sql, meta::AUTOMATION_TIME).await?;
    let progress = seq
        .zip(time)
        .map(|(seq, time)| EngineProgress { seq: uint(seq), time: Timestamp::from_millis(time) });
    let scopes = scope::Entity::find().all(sql).await.map_err(failed(READ))?;
    let kept: Result<Vec<ScopeSnapshot>, _> = scopes.into_iter().map(to_snapshot).collect();
    let records = rule::Entity::find().all(sql).await.map_err(failed(READ))?;
    let rules: Result<Vec<RuleRecord>, _> = records.into_iter().map(|row| to_record(store, row)).collect();
    Ok(AutomationState { progress, kept: kept?, rules: rules? })
}

/// Writes automation's part with the rest of the batch, of which these are the `twins`. `is_gone` is true of removed
/// devices.
pub async fn write(
    store: &SqlStore,
    sql: &impl WriteSql,
    automation: &AutomationChanges,
    twins: &[(u64, &Twin)],
    is_gone: impl Fn(DeviceNumber) -> bool,
) -> Result<(), StoreError> {
    let AutomationChanges { progress, kept, runs, alarms, rules, deliveries } = automation;
    let scopes = latest(kept, |kept| (&kept.rule, kept.device));
    write_scopes(sql, scopes.filter(|kept| !is_gone(kept.device))).await?;
    write_rules(store, sql, latest(rules, |record| &record.id)).await?;
    runs::write(sql, latest(runs, |entry| entry.id), twins, &is_gone).await?;
    alarms::write(sql, latest(alarms, |alarm| alarm.id).filter(|alarm| !is_gone(alarm.number))).await?;
    deliveries::write(store, sql, latest(deliveries, |record| record.id)).await?;
    if let Some(EngineProgress { seq, time }) = progress {
        let row = |name: &str, value| meta::Model { name: name.to_owned(), value };
        let rows = vec![row(meta::AUTOMATION_SEQ, int(*seq)), row(meta::AUTOMATION_TIME, time.millis())];
        let overwrite = OnConflict::column(meta::Column::Name).update_column(meta::Column::Value).to_owned();
        write::insert(sql, "write how far rules have come", rows, Some(overwrite)).await?;
    }
    store.expiring.note(runs);
    Ok(())
}

/// Removes a device: its alarms, and its scopes. Its runs stay, and are no device's.
pub async fn forget(sql: &impl WriteSql, device: i64) -> Result<(), StoreError> {
    const FORGET: &str = "remove device";
    sql.run(FORGET, scope::Entity::delete_many().filter(scope::Column::Device.eq(device))).await?;
    sql.run(FORGET, alarm::Entity::delete_many().filter(alarm::Column::Device.eq(device))).await?;
    runs::forget(sql, device).await
}

async fn write_scopes<'a>(
    sql: &impl WriteSql,
    scopes: impl Iterator<Item = &'a ScopeSnapshot>,
) -> Result<(), StoreError> {
    let (mut kept, mut over) = (Vec::new(), Vec::new());
    for ScopeSnapshot { rule, device, fingerprint, body } in scopes {
        let (rule, device) = (rule.as_str().to_owned(), device.0);
        match body {
            Some(body) => {
                let (fingerprint, body) = (fingerprint.cast_signed(), body.to_string());
                kept.push(scope::Model { rule, device, fingerprint, body });
            }
            None => over.push((rule, device)),
        }
    }
    for some in over.chunks(PAIRS_AT_ONCE) {
        let any = some.iter().fold(Condition::any(), |any, (rule, device)| {
            let both = Condition::all()
                .add(scope::Column::Rule.eq(rule.as_str()))
                .add(scope::Column::Device.eq(*device));
            any.add(both)
        });
        sql.run(SCOPES, scope::Entity::delete_many().filter(any)).await?;
    }
    let overwrite = OnConflict::columns([scope::Column::Rule, scope::Column::Device])
        .update_columns([scope::Column::Fingerprint, scope::Column::Body])
        .to_owned();
    write::insert(sql, SCOPES, kept, Some(overwrite)).await
}

async fn write_rules<'a>(
    store: &SqlStore,
    sql: &impl WriteSql,
    records: impl Iterator<Item = &'a RuleRecord>,
) -> Result<(), StoreError> {
    let (mut known, mut gone) = (Vec::new(), Vec::new());
    for RuleRecord { id, body, enabled, author, created_at, updated_at } in records {
        let id = id.as_str().to_owned();
        if body.is_none() && enabled.is_none() {
            gone.push(id);
            continue;
        }
        let mut text = String::new();
        if let Some(body) = body {
            body.write(&mut text);
        }
        known.push(rule::Model {
            id,
            body: store.sealed(text)?,
            enabled: *enabled,
            author: author.as_ref().map(|author| rows::json(RULES, author)).transpose()?,
            created_at: created_at.millis(),
            updated_at: updated_at.millis(),
        });
    }
    for some in gone.chunks(write::AT_ONCE) {
        let of_some = rule::Column::Id.is_in(some.iter().map(String::as_str));
        sql.run(RULES, rule::Entity::delete_many().filter(of_some)).await?;
    }
    let overwrite = OnConflict::column(rule::Column::Id)
        .update_columns([
            rule::Column::Body,
            rule::Column::Enabled,
            rule::Column::Author,
            rule::Column::CreatedAt,
            rule::Column::UpdatedAt,
        ])
        .to_owned();
    write::insert(sql, RULES, known, Some(overwrite)).await
}

/// The last value for each key.
fn latest<'a, T, K: Eq + Hash>(changes: &'a [T], key: impl Fn(&'a T) -> K) -> impl Iterator<Item = &'a T> {
    let last: HashMap<K, usize> = changes.iter().enumerate().map(|(place, one)| (key(one), place)).collect();
    let mut places: Vec<usize> = last.into_values().collect();
    places.sort_unstable();
    places.into_iter().filter_map(|place| changes.get(place))
}

fn to_snapshot(row: scope::Model) -> Result<ScopeSnapshot, StoreError> {
    let place = || format!("of rule {} and device {}", row.rule, row.device);
    Ok(ScopeSnapshot {
        rule: rule_id(&row.rule)?,
        device: DeviceNumber(row.device),
        fingerprint: row.fingerprint.cast_unsigned(),
        body: Some(rows::from_json(READ, place, &row.body)?),
    })
}

fn to_record(store: &SqlStore, row: rule::Model) -> Result<RuleRecord, StoreError> {
    let place = || format!("of rule {}", row.id);
    let text = store.opened(&row.body)?;
    let body = if text.is_empty() { None } else { Some(rows::from_json(READ, place, &text)?) };
    Ok(RuleRecord {
        id: rule_id(&row.id)?,
        body,
        enabled: row.enabled,
        author: row.author.as_deref().map(|text| rows::from_json(READ, place, text)).transpose()?,
        created_at: Timestamp::from_millis(row.created_at),
        updated_at: Timestamp::from_millis(row.updated_at),
    })
}

fn rule_id(text: &str) -> Result<RuleId, StoreError> {
    RuleId::parse(text).map_err(|detail| StoreError::Damaged { operation: READ, detail })
}
