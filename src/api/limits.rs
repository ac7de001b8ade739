//! A device's readings against what they are expected to be.

use serde::Serialize;
use twinhub_actors::domain::series::{Aggregate, HistoryQuery};
use twinhub_actors::domain::{Json, Object, Timestamp, Twin};
use twinhub_actors::messages::archive::RawHistory;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::web::WebState;

/// A reading of which something is expected.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadingHealth {
    #[schema(example = "temperature")]
    reading: String,
    /// As last reported; null when it never was.
    #[schema(value_type = Option<f64>)]
    value: Option<Json>,
    /// That it last came with.
    unit: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    reported_at: Option<Timestamp>,
    /// What is expected: `{"min": -10, "max": 40, "unit": "°C", "interval": "60s"}`.
    #[schema(value_type = super::schema::Object)]
    limits: Object,
    out_of_range: bool,
    wrong_unit: bool,
    /// It has not come for three of its intervals.
    overdue: bool,
}

/// How many readings are not as expected. One can be so in several ways.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Unhealthy {
    out_of_range: usize,
    wrong_unit: usize,
    overdue: usize,
}

/// The readings that limits speak of, by their names.
pub(super) async fn judged(
    state: &WebState,
    twin: &Twin,
    now: Timestamp,
) -> Result<Vec<ReadingHealth>, ApiError> {
    let limits = twin.limits();
    let mut judged = Vec::new();
    for (reading, limit) in limits.iter() {
        let unit = match limit.unit {
            Some(_) => last_unit(state, twin, reading).await?,
            None => None,
        };
        let came = twin.reported.get(reading);
        let said = came.map(|property| (&property.value, property.at));
        let judgement = limit.judge(said, unit.as_deref(), twin.created_at, now);
        judged.push(ReadingHealth {
            reading: reading.to_owned(),
            value: came.map(|property| property.value.clone()),
            unit,
            reported_at: came.map(|property| property.at),
            limits: limits.as_object().get(reading).and_then(Json::as_object).cloned().unwrap_or_default(),
            out_of_range: judgement.out_of_range,
            wrong_unit: judgement.wrong_unit,
            overdue: judgement.overdue,
        });
    }
    Ok(judged)
}

impl Unhealthy {
    pub(super) fn of(readings: &[ReadingHealth]) -> Self {
        let count = |is: fn(&ReadingHealth) -> bool| readings.iter().filter(|reading| is(reading)).count();
        Self {
            out_of_range: count(|reading| reading.out_of_range),
            wrong_unit: count(|reading| reading.wrong_unit),
            overdue: count(|reading| reading.overdue),
        }
    }
}

/// A twin knows no units: they are the history's.
async fn last_unit(state: &WebState, twin: &Twin, reading: &str) -> Result<Option<String>, ApiError> {
    let last = HistoryQuery {
        device: twin.number,
        from: None,
        to: None,
        sensors: vec![reading.to_owned()],
        limit: 1,
        newest_first: true,
        interval_ms: 0,
        aggregate: Aggregate::default(),
    };
    let found = state.hub.archive.send(RawHistory(last)).await??;
    Ok(found.into_iter().next().and_then(|reading| reading.unit))
}
