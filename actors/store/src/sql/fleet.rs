//! Groups, templates, images and jobs, and how far each job has come with each of its devices.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entities::{device, fleet, job_device};
use super::rows::{self, failed, int, uint};
use super::write::{self, WriteSql};
use super::{SqlStore, reach};
use crate::{
    FleetChanges, FleetRecord, JobCounts, JobDevice, JobDevicePage, JobDeviceQuery, JobOp, JobPlace,
    StepSweep, StoreError,
};
use twinhub_access::Reach;
use twinhub_domain::command::CommandId;
use twinhub_domain::fleet::{JobId, JobStep, RecordKind, StepState};
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};

use job_device::Column as C;

const READ: &str = "read the fleet";
const READ_JOB: &str = "read a job's devices";
const WRITE: &str = "write the fleet";
const WRITE_JOB: &str = "write a job's devices";

/// The rows of one job, within a query of several jobs.
const ITS: &str = "its";

/// The last step of each device of a job, and its time.
type LatestSteps<'a> = HashMap<(JobId, DeviceNumber), (&'a JobStep, Timestamp)>;

/// See [`crate::Store::records`].
pub async fn records(store: &SqlStore, kind: RecordKind) -> Result<Vec<FleetRecord>, StoreError> {
    let rows = fleet::Entity::find()
        .filter(fleet::Column::Kind.eq(kind.as_str()))
        .order_by_asc(fleet::Column::Id)
        .all(&store.readers)
        .await
        .map_err(failed(READ))?;
    let record = |row: fleet::Model| {
        let text = store.opened(&row.body)?;
        let body = rows::from_json(READ, || format!("of {} {}", row.kind, row.id), &text)?;
        let updated_at = Timestamp::from_millis(row.updated_at);
        Ok(FleetRecord { kind, id: row.id.into(), body: Some(body), updated_at })
    };
    rows.into_iter().map(record).collect()
}

/// See [`crate::Store::job_devices`].
pub async fn job_devices(store: &SqlStore, query: &JobDeviceQuery) -> Result<JobDevicePage, StoreError> {
    let selected = job_device::Entity::find().filter(condition(query));
    let mut total = 0;
    if query.counted {
        let counting = selected.clone().select_only().column_as(C::Place.count(), "count").into_tuple();
        let count: Option<i64> = counting.one(&store.readers).await.map_err(failed(READ_JOB))?;
        total = uint(count.unwrap_or_default());
        if query.offset >= total {
            return Ok(JobDevicePage { devices: Vec::new(), total });
        }
    }
    if query.limit == 0 {
        return Ok(JobDevicePage { devices: Vec::new(), total });
    }
    let rows = selected
        .order_by_asc(C::Place)
        .offset(rows::bound(query.offset))
        .limit(rows::bound(query.limit))
        .all(&store.readers)
        .await
        .map_err(failed(READ_JOB))?;
    let devices: Result<Vec<_>, _> = rows.into_iter().map(|row| to_device(query.job, row)).collect();
    Ok(JobDevicePage { devices: devices?, total })
}

/// See [`crate::Store::job_counts`].
pub async fn job_counts(
    store: &SqlStore,
    job: JobId,
    places: Option<(u64, u64)>,
) -> Result<JobCounts, StoreError> {
    let counts: Vec<(String, i64)> = job_device::Entity::find()
        .filter(condition(&JobDeviceQuery { places, ..JobDeviceQuery::of(job) }))
        .select_only()
        .column(C::State)
        .column_as(C::Place.count(), "count")
        .group_by(C::State)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ_JOB))?;
    counts.into_iter().map(|(word, count)| Ok((state(&word)?, uint(count)))).collect()
}

/// See [`crate::Store::job_places`].
pub async fn job_places(
    store: &SqlStore,
    jobs: &[JobId],
    reach: &Reach,
) -> Result<HashMap<JobId, JobPlace>, StoreError> {
    let within = reach::condition(reach).unwrap_or_else(Condition::all);
    let beyond = match reach.is_everywhere() {
        true => Condition::all().add(Expr::val(1).eq(0)),
        false => within.clone().not(),
    };
    let mut places: HashMap<_, _> = jobs.iter().map(|job| (*job, JobPlace::default())).collect();
    for some in jobs.chunks(write::AT_ONCE) {
        let found: Vec<(Vec<u8>, i64, i64)> = job_device::Entity::find()
            .filter(C::Job.is_in(some.iter().map(|job| bytes(*job))))
            .select_only()
            .column(C::Job)
            .expr_as(has_device(within.clone()), "has_within")
            .expr_as(has_device(beyond.clone()), "has_beyond")
            .group_by(C::Job)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(READ_JOB))?;
        for (job, has_within, has_beyond) in found {
            let damaged =
                |error: uuid::Error| StoreError::Damaged { operation: READ_JOB, detail: error.to_string() };
            let job = JobId(Uuid::from_slice(&job).map_err(damaged)?);
            places.insert(job, JobPlace { has_within: has_within != 0, has_beyond: has_beyond != 0 });
        }
    }
    Ok(places)
}

/// Is there a device of the grouped job for which this is true? Looked for one by one, until there is.
fn has_device(condition: Condition) -> Expr {
    let its_number = Expr::col((ITS, C::Device)).equals((device::Entity, device::Column::Number));
    let devices = Query::select()
        .expr(Expr::val(1))
        .from_as(job_device::Entity, ITS)
        .inner_join(device::Entity, its_number)
        .and_where(Expr::col((ITS, C::Job)).equals((job_device::Entity, C::Job)))
        .cond_where(condition)
        .take();
    Expr::exists(devices)
}

/// The device of a job's row, where this is true of it.
fn device_of(condition: Condition) -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(device::Entity)
        .and_where(
            Expr::col((device::Entity, device::Column::Number)).equals((job_device::Entity, C::Device)),
        )
        .cond_where(condition)
        .take()
}

/// Writes it with the rest of the batch.
pub async fn write(
    store: &SqlStore,
    sql: &impl WriteSql,
    FleetChanges { records, jobs }: &FleetChanges,
) -> Result<(), StoreError> {
    let latest: HashMap<_, _> = records.iter().map(|record| ((record.kind, &*record.id), record)).collect();
    write_records(store, sql, latest.into_values()).await?;
    let mut latest = LatestSteps::new();
    for op in jobs {
        match op {
            JobOp::Step { number, at, step } => {
                let said = latest.entry((step.job, *number)).or_insert((step, *at));
                if said.0.state.gives_way_to(step.state) {
                    *said = (step, *at);
                }
            }
            JobOp::Devices(devices) => {
                write_steps(sql, std::mem::take(&mut latest)).await?;
                let keep = OnConflict::columns([C::Job, C::Device]).do_nothing().to_owned();
                write::insert(sql, WRITE_JOB, devices.iter().map(of_device).collect(), Some(keep)).await?;
            }
            JobOp::Sweep(sweep) => {
                write_steps(sql, std::mem::take(&mut latest)).await?;
                write_sweep(sql, sweep).await?;
            }
            JobOp::Forget { job, places } => {
                write_steps(sql, std::mem::take(&mut latest)).await?;
                let its = condition(&JobDeviceQuery { places: Some(*places), ..JobDeviceQuery::of(*job) });
                sql.run(WRITE_JOB, job_device::Entity::delete_many().filter(its)).await?;
            }
        }
    }
    write_steps(sql, latest).await
}

async fn write_records(
    store: &SqlStore,
    sql: &impl WriteSql,
    records: impl Iterator<Item = &FleetRecord>,
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for FleetRecord { kind, id, body, updated_at } in records {
        if let Some(body) = body {
            rows.push(fleet::Model {
                kind: kind.as_str().to_owned(),
                id: id.to_string(),
                updated_at: updated_at.millis(),
                body: match kind {
                    // Their rules may have secrets.
                    RecordKind::Template => store.sealed(rows::json(WRITE, body)?)?,
                    _ => rows::json(WRITE, body)?,
                },
            });
            continue;
        }
        let key = (kind.as_str().to_owned(), id.to_string());
        sql.run(WRITE, fleet::Entity::delete_by_id(key)).await?;
        if let (RecordKind::Job, Some(job)) = (kind, JobId::parse(id)) {
            let of_job = C::Job.eq(bytes(job));
            sql.run(WRITE, job_device::Entity::delete_many().filter(of_job)).await?;
        }
    }
    let overwrite = OnConflict::columns([fleet::Column::Kind, fleet::Column::Id])
        .update_columns([fleet::Column::UpdatedAt, fleet::Column::Body])
        .to_owned();
    write::insert(sql, WRITE, rows, Some(overwrite)).await
}

/// Writes one statement for all devices with the same step: of thousands, most often.
async fn write_steps(sql: &impl WriteSql, latest: LatestSteps<'_>) -> Result<(), StoreError> {
    let mut alike: HashMap<(&JobStep, Timestamp), Vec<i64>> = HashMap::new();
    for ((_, number), said) in latest {
        alike.entry(said).or_default().push(number.0);
    }
    for ((step, at), numbers) in alike {
        let JobStep { job, state, detail, percent, command } = step;
        for some in numbers.chunks(write::AT_ONCE) {
            let alike = job_device::Entity::update_many()
                .col_expr(C::State, Expr::value(state.as_str()))
                .col_expr(C::Detail, Expr::value(&**detail))
                .col_expr(C::Percent, Expr::value(percent.map(i16::from)))
                .col_expr(C::Command, Expr::value(command.map(|id| id.0.as_bytes().to_vec())))
                .col_expr(C::At, Expr::value(at.millis()))
                .filter(C::Job.eq(bytes(*job)))
                .filter(C::Device.is_in(some.iter().copied()))
                .filter(C::State.is_in(before(*state)));
            sql.run(WRITE_JOB, alike).await?;
        }
    }
    Ok(())
}

async fn write_sweep(sql: &impl WriteSql, sweep: &StepSweep) -> Result<(), StoreError> {
    let StepSweep { job, from, places, to, detail, at } = sweep;
    let query = JobDeviceQuery { states: from.clone(), places: Some(*places), ..JobDeviceQuery::of(*job) };
    let swept = job_device::Entity::update_many()
        .col_expr(C::State, Expr::value(to.as_str()))
        .col_expr(C::Detail, Expr::value(&**detail))
        .col_expr(C::Percent, Expr::value(None::<i16>))
        .col_expr(C::Command, Expr::value(None::<Vec<u8>>))
        .col_expr(C::At, Expr::value(at.millis()))
        .filter(condition(&query));
    sql.run(WRITE_JOB, swept).await
}

fn condition(query: &JobDeviceQuery) -> Condition {
    let states = query.states.iter().map(|state| state.as_str());
    let is_beyond = |within: Condition| Expr::exists(device_of(within.not())).not();
    Condition::all()
        .add_option(reach::condition(&query.reach).map(is_beyond))
        .add(C::Job.eq(bytes(query.job)))
        .add_option((!query.states.is_empty()).then(|| C::State.is_in(states)))
        .add_option(query.device.map(|device| C::Device.eq(device.0)))
        .add_option(query.places.map(|(from, _)| C::Place.gte(int(from))))
        .add_option(query.places.map(|(_, to)| C::Place.lt(int(to))))
}

fn before(state: StepState) -> impl Iterator<Item = &'static str> {
    StepState::ALL.into_iter().filter(move |before| before.gives_way_to(state)).map(StepState::as_str)
}

fn of_device(device: &JobDevice) -> job_device::Model {
    let JobDevice { device, number, place, step, at } = device;
    job_device::Model {
        job: bytes(step.job),
        device: number.0,
        place: int(*place),
        device_id: device.as_str().to_owned(),
        state: step.state.as_str().to_owned(),
        detail: step.detail.to_string(),
        percent: step.percent.map(i16::from),
        command: step.command.map(|id| id.0.as_bytes().to_vec()),
        at: at.millis(),
    }
}

fn to_device(job: JobId, row: job_device::Model) -> Result<JobDevice, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { operation: READ_JOB, detail };
    let command = match row.command {
        Some(id) => {
            let id = Uuid::from_slice(&id).map_err(|error| damaged(error.to_string()))?;
            Some(CommandId(id))
        }
        None => None,
    };
    Ok(JobDevice {
        device: DeviceId::parse(&row.device_id).map_err(|error| damaged(error.to_string()))?,
        number: DeviceNumber(row.device),
        place: uint(row.place),
        step: JobStep {
            job,
            state: state(&row.state)?,
            detail: row.detail.into(),
            percent: row.percent.and_then(|percent| u8::try_from(percent).ok()),
            command,
        },
        at: Timestamp::from_millis(row.at),
    })
}

fn state(word: &str) -> Result<StepState, StoreError> {
    let detail = || format!("`{word}` is no state of a device in a job");
    StepState::parse(word).ok_or_else(|| StoreError::Damaged { operation: READ_JOB, detail: detail() })
}

fn bytes(job: JobId) -> Vec<u8> {
    job.0.as_bytes().to_vec()
}
