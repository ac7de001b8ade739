//! Alarms: each a row, active or over.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, Select};

use super::entities::alarm;
use super::rows::{self, failed};
use super::write::{self, WriteSql};
use super::{SqlStore, page, reach};
use crate::{AlarmPage, AlarmQuery, StoreError, select};
use twinhub_domain::Timestamp;
use twinhub_domain::alarm::{Alarm, AlarmId, Severity};

use alarm::Column as C;

const READ: &str = "read alarms";
const WRITE: &str = "write alarms";

/// See [`crate::Store::alarms`].
pub async fn alarms(store: &SqlStore, query: &AlarmQuery) -> Result<AlarmPage, StoreError> {
    let selected = alarm::Entity::find().filter(condition(query));
    let total = page::count(store, READ, selected.clone(), C::Id).await?;
    if query.offset >= total || query.limit == 0 {
        return Ok(AlarmPage { alarms: Vec::new(), total });
    }
    let rows = page::rows(store, READ, sorted(selected), C::Id, (query.offset, query.limit)).await?;
    let alarms: Result<Vec<Alarm>, _> = rows.iter().map(to_alarm).collect();
    // One that a commit has just changed may be no more what was asked for.
    let alarms = alarms?.into_iter().filter(|alarm| select::is_alarm(query, alarm)).collect();
    Ok(AlarmPage { alarms, total })
}

/// See [`crate::Store::alarm`].
pub async fn alarm(store: &SqlStore, id: AlarmId) -> Result<Option<Alarm>, StoreError> {
    let id = id.0.as_bytes().to_vec();
    let row = alarm::Entity::find_by_id(id).one(&store.readers).await.map_err(failed(READ))?;
    row.as_ref().map(to_alarm).transpose()
}

/// Writes alarms, each once. Whose it is, its type and when it was raised first stay as they were.
pub async fn write(sql: &impl WriteSql, alarms: impl Iterator<Item = &Alarm>) -> Result<(), StoreError> {
    let rows: Result<Vec<_>, _> = alarms.map(of_alarm).collect();
    let overwrite = OnConflict::column(C::Id)
        .update_columns([C::Rule, C::Severity, C::Active, C::Acknowledged, C::ClearedAt, C::Body])
        .to_owned();
    write::insert(sql, WRITE, rows?, Some(overwrite)).await
}

fn of_alarm(alarm: &Alarm) -> Result<alarm::Model, StoreError> {
    Ok(alarm::Model {
        id: alarm.id.0.as_bytes().to_vec(),
        device: alarm.number.0,
        rule: select::rule_of(alarm).map(|rule| rule.as_str().to_owned()),
        alarm_type: select::key(&alarm.alarm_type).to_owned(),
        severity: rank(alarm.severity),
        active: alarm.active,
        acknowledged: alarm.acknowledged,
        raised_at: alarm.raised_at.millis(),
        cleared_at: alarm.cleared_at.map(Timestamp::millis),
        body: rows::json(WRITE, alarm)?,
    })
}

fn to_alarm(row: &alarm::Model) -> Result<Alarm, StoreError> {
    rows::from_json(
        READ,
        || format!("{} of {}, raised at {}", row.alarm_type, row.device, row.raised_at),
        &row.body,
    )
}

/// The severity's number in rows.
fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Minor => 2,
        Severity::Major => 3,
        Severity::Critical => 4,
    }
}

fn condition(query: &AlarmQuery) -> Condition {
    let AlarmQuery { active, acknowledged, at_least, device, rule, alarm_type, from, to, .. } = query;
    Condition::all()
        .add_option(reach::within(C::Device, &query.reach))
        .add_option(active.map(|active| C::Active.eq(active)))
        .add_option(acknowledged.map(|acknowledged| C::Acknowledged.eq(acknowledged)))
        .add_option(at_least.map(|least| C::Severity.gte(rank(least))))
        .add_option(device.map(|device| C::Device.eq(device.0)))
        .add_option(rule.as_ref().map(|rule| C::Rule.eq(rule.as_str())))
        .add_option(alarm_type.as_deref().map(|wanted| C::AlarmType.eq(select::key(wanted))))
        .add_option(from.map(|from| C::RaisedAt.gte(from.millis())))
        .add_option(to.map(|to| C::RaisedAt.lt(to.millis())))
}

/// The newest first.
fn sorted(selected: Select<alarm::Entity>) -> Select<alarm::Entity> {
    selected.order_by_desc(C::RaisedAt).order_by_desc(C::Id)
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QuerySelect, QueryTrait};

    use super::*;
    use crate::contract::support::{Fixture, plan};
    use twinhub_domain::DeviceNumber;
    use twinhub_domain::run::RuleId;

    #[tokio::test]
    async fn lists_go_by_an_index() {
        let fixture = Fixture::sql().await;
        let all = AlarmQuery::default;
        let from = Some(Timestamp::from_millis(0));
        for (query, index) in [
            (all(), "alarms_raised_at_id"),
            (AlarmQuery { from, ..all() }, "alarms_raised_at_id"),
            (AlarmQuery { active: Some(true), ..all() }, "alarms_active_raised_at_id"),
            (AlarmQuery { active: Some(true), from, ..all() }, "alarms_active_raised_at_id"),
            (AlarmQuery { device: Some(DeviceNumber(1)), ..all() }, "alarms_device_raised_at_id"),
            (AlarmQuery { rule: RuleId::parse("cool").ok(), ..all() }, "alarms_rule_raised_at_id"),
        ] {
            let page = sorted(alarm::Entity::find().filter(condition(&query)).select_only());
            let page = page.column(C::Id).limit(20);
            let plan = plan(&fixture, &page.build(DbBackend::Sqlite).to_string());
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }
}
