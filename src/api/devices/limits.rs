//! A device's readings against their expectations.

use serde::Serialize;
use twinhub_domain::{Json, Object, ReadingTime, Timestamp, Twin};
use utoipa::ToSchema;

/// A reading of which something is expected.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadingHealth {
    #[schema(example = "temperature")]
    reading: String,
    /// As last reported; null when it never was.
    #[schema(value_type = serde_json::Value)]
    value: Option<Json>,
    /// That it last named.
    unit: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    reported_at: Option<ReadingTime>,
    /// The expectation: `{"min": -10, "max": 40, "unit": "°C", "interval": "60s"}`.
    #[schema(value_type = crate::api::schema::Object)]
    limits: Object,
    out_of_range: bool,
    wrong_unit: bool,
    /// It has not come for three of its intervals.
    overdue: bool,
}

/// The number of readings that are not as expected, by fault. One can have several faults.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Unhealthy {
    out_of_range: usize,
    wrong_unit: usize,
    overdue: usize,
}

/// The readings that limits speak of, by their names.
pub(crate) fn judged(twin: &Twin, now: Timestamp) -> Vec<ReadingHealth> {
    let limits = twin.limits();
    let mut judged = Vec::new();
    for (reading, limit) in limits.iter() {
        let unit = twin.reported.unit_at(reading);
        let came = twin.reported.at_path(reading);
        let said = came.map(|(property, value)| (value, property.at().floor()));
        let judgement = limit.judge(said, unit, twin.created_at, now);
        judged.push(ReadingHealth {
            reading: reading.to_owned(),
            value: came.map(|(_, value)| value.clone()),
            unit: unit.map(str::to_owned),
            reported_at: came.map(|(property, _)| property.at()),
            limits: limits.as_object().get(reading).and_then(Json::as_object).cloned().unwrap_or_default(),
            out_of_range: judgement.out_of_range,
            wrong_unit: judgement.wrong_unit,
            overdue: judgement.overdue,
        });
    }
    judged
}

impl Unhealthy {
    pub(crate) fn of(readings: &[ReadingHealth]) -> Self {
        let count = |is: fn(&ReadingHealth) -> bool| readings.iter().filter(|reading| is(reading)).count();
        Self {
            out_of_range: count(|reading| reading.out_of_range),
            wrong_unit: count(|reading| reading.wrong_unit),
            overdue: count(|reading| reading.overdue),
        }
    }
}
