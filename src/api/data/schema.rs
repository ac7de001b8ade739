//! Readings as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::{Object, ScalarValue};

/// Readings of one moment, or a batch of them: at most 1,000 readings in all.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ReadingsBody {
    One(ReadingsDocument),
    Batch(Vec<ReadingsDocument>),
}

/// Readings: flat, by name, or as a list. Numbers, booleans and texts; nested ones are joined with dots.
#[derive(ToSchema)]
#[schema(example = json!({"temperature": 23.5, "humidity": 55, "pressure": 1013.25}))]
pub struct ReadingsDocument {
    /// When they were taken: RFC 3339 (also `+0100`, or without a zone where `settings.timezone` says which), or epoch
    /// seconds, ms, µs or ns. Left out, it is now. One that no clock can mean is kept as `claimed_at`, and it is now.
    timestamp: Option<String>,
    /// By which a repeat is known.
    message_id: Option<String>,
    /// Units by name, for the flat form.
    units: Option<Object>,
    sensor_readings: Option<SensorReadings>,
    /// A batch: each item as a body of its own, or one of `sensor_readings`.
    readings: Option<Vec<Object>>,
    device_status: Option<String>,
}

/// Readings: a list, or an object by their names, each a value or an object of it (`value`, `unit`, `timestamp`).
#[derive(ToSchema)]
#[serde(untagged)]
pub enum SensorReadings {
    Listed(Vec<SensorReading>),
    Named(Object),
}

/// A reading of the list form.
#[derive(ToSchema)]
pub struct SensorReading {
    #[schema(example = "temperature")]
    sensor_type: String,
    /// A number, a boolean or a text.
    #[schema(example = 23.5)]
    value: f64,
    #[schema(example = "°C")]
    unit: Option<String>,
    /// 0 to 100.
    quality_score: Option<u8>,
    /// When it was taken, where that is not `timestamp` of the whole.
    timestamp: Option<String>,
}

/// A reading as it was stored.
#[derive(ToSchema)]
pub struct ReadingItem {
    sensor_type: String,
    /// A number, a boolean or a text.
    value: ScalarValue,
    unit: Option<String>,
    quality_score: Option<u8>,
    #[schema(format = DateTime)]
    timestamp: String,
    /// The time that the device said, where that cannot be: `timestamp` is when the reading came then.
    #[schema(format = DateTime)]
    #[schema(nullable = false)]
    claimed_at: Option<String>,
    /// The place of its event, for callers who see all devices.
    #[schema(nullable = false)]
    seq: Option<u64>,
}

/// One sensor's readings within one interval.
#[derive(ToSchema)]
pub struct BucketItem {
    sensor_type: String,
    /// The start of the interval.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Its end, where `timezone` was given.
    #[schema(format = DateTime, nullable = false)]
    end: Option<String>,
    value: f64,
    count: u64,
    min: f64,
    max: f64,
}

/// A history: readings, or buckets where an interval was asked for.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum HistoryAnswer {
    Readings(Vec<ReadingItem>),
    Buckets(Vec<BucketItem>),
}

/// A query for a stretch of a history, as readings or as aggregates.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    /// Inclusive. RFC 3339 to the nanosecond, a date, or epoch seconds.
    from: Option<String>,
    /// Exclusive; a date means to the end of that day.
    to: Option<String>,
    /// One or several, parted by commas.
    sensor_type: Option<String>,
    /// Only readings whose `quality_score` is at least this, from 0 to 100; one without a score has nothing against it.
    min_quality: Option<u8>,
    /// A duration: stretches counted from 1970 (UTC). With `timezone` it is `1d`, `1w` (from Monday) or `1mo`: those of the
    /// clocks there.
    #[param(example = "5m")]
    interval: Option<String>,
    /// The time zone of days, weeks and months, by its name in the time zone database.
    #[param(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// `avg` (by default), `min`, `max`, `sum`, `count`, `first`, `last`, `p5`, `p50`, `p95`, `stddev`, `increase` or `rate`. `increase` is the
    /// growth of a counter over its resets, the step from the reading before included, and `rate` the same in a second.
    agg: Option<String>,
    /// 1,000 by default, 10,000 at most.
    limit: Option<u64>,
    /// `desc` (by default) or `asc`.
    order: Option<String>,
    /// Where the page before ended, as its `Link` with `rel="next"` says it.
    after: Option<String>,
    /// From 1, in place of `after`: the first 100,000 readings can be reached so.
    page: Option<u64>,
}

/// The parameters of an import of readings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadingsImporting {
    /// `jsonl` or `csv` [default: what the content type says, or the first bytes].
    format: Option<String>,
    /// Nothing is changed: the answer says what would be.
    dry_run: Option<bool>,
    /// The treatment of a line whose device is not known: `create` the device, unclaimed, or `refuse` the line
    /// [default: create; callers who see a part of the devices: refuse].
    unknown: Option<String>,
    /// The time zone of times that name none, by its name in the time zone database [default: such lines are refused].
    #[param(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// The number of the first line, in CSV of the first after the header, where this is a part of a file.
    first_line: Option<u64>,
    /// Refusals that are told in full, 100,000 at most [default: 1000].
    details: Option<usize>,
}

/// The parameters of an export of readings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadingsExporting {
    /// `jsonl`, `csv` or `parquet` [default: what `Accept` likes best, or jsonl].
    format: Option<String>,
    /// Inclusive. RFC 3339 to the nanosecond, a date, or epoch seconds.
    from: Option<String>,
    /// Exclusive; a date means to the end of that day [default: now].
    to: Option<String>,
    /// One or several, parted by commas.
    sensor_type: Option<String>,
    /// Only readings whose `quality_score` is at least this, from 0 to 100; one without a score has nothing against it.
    min_quality: Option<u8>,
}

/// The anomalies that are asked for, and the settings by which they are told.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AnomaliesAsked {
    /// Inclusive. RFC 3339 to the nanosecond, a date, or epoch seconds [default: a day before `to`].
    from: Option<String>,
    /// Exclusive; a date means to the end of that day [default: now].
    to: Option<String>,
    /// One or several, parted by commas.
    sensor_type: Option<String>,
    /// `deviation`, `stuck`, `jump`, `rate`, `silence`, `range`: one or several, parted by commas [default: all].
    kind: Option<String>,
    /// Only those with at least this score.
    min_score: Option<f64>,
    /// Spreads that a number may be off the centre of those before, or `off` [default: 6].
    deviation: Option<String>,
    /// Time for which a number may stay the very same.
    #[param(example = "1h")]
    stuck: Option<String>,
    /// Difference from the number before at most.
    jump: Option<f64>,
    /// Change in a time at most.
    #[param(example = "2/min")]
    rate: Option<String>,
    /// Time between two numbers at most.
    #[param(example = "10m")]
    silence: Option<String>,
    /// At most 10,000 [default: 1,000].
    limit: Option<u32>,
}
