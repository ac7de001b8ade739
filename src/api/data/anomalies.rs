//! `GET /api/devices/{id}/anomalies`: what is wrong in a device's history, as the settings that come along have it.

use std::collections::{BTreeMap, HashMap};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::messages::archive::{RawHistory, ReadingStatistics};
use twinhub_domain::anomaly::{Anomaly, AnomalyKind, AnomalySettings, SeriesWatch};
use twinhub_domain::duration::amount_ms;
use twinhub_domain::fleet::Limits;
use twinhub_domain::series::{Aggregate, HistoryQuery, SeriesStatistics, StatisticsQuery, StoredReading};
use twinhub_domain::{Number, ReadingTime, Scalar, Twin};
use utoipa::ToSchema;

use super::page::HistoryPage;
use crate::api::data::schema::AnomaliesAsked;
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::extract::body::DevicePath;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::limit;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::turns::TurnKind;

/// A day, in ms: looked at without a word, and read before what is asked for, to know what is usual.
const DAY_MS: i64 = 24 * 3_600_000;
/// Spreads that a number may be off the centre without a word.
const USUAL_DEVIATION: f64 = 6.0;
/// Readings that are looked through for an answer at most, and read at once.
const MOST_READINGS: u64 = 1_000_000;
const AT_ONCE: usize = 10_000;
/// Anomalies in an answer: without a word, and at most.
const USUAL: u64 = 1_000;
const MOST: u64 = 10_000;

/// The anomalies of a device's readings.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceAnomalies {
    device_id: String,
    #[schema(value_type = String, format = DateTime)]
    from: ReadingTime,
    #[schema(value_type = String, format = DateTime)]
    to: ReadingTime,
    /// Numbers that were judged.
    numbers: u64,
    /// Anomalies in all, by kind, a day, and for each number: what these settings would tell of a device where nothing is wrong
    /// is the rate of their false alarms.
    found: u64,
    #[schema(value_type = Object, example = json!({"deviation": 3, "stuck": 1}))]
    kinds: BTreeMap<&'static str, u64>,
    per_day: f64,
    share: f64,
    /// The first of them, by time.
    anomalies: Vec<FoundAnomaly>,
}

/// An anomaly of a reading.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundAnomaly {
    #[schema(value_type = String, format = DateTime)]
    timestamp: ReadingTime,
    #[schema(example = "temperature")]
    sensor_type: String,
    #[schema(value_type = f64)]
    value: Number,
    /// `deviation`, `stuck`, `jump`, `rate`, `silence` or `range`.
    #[schema(example = "deviation")]
    kind: &'static str,
    /// The multiple of what is allowed, above 1. Out of the limits it is 1 and the spreads beyond.
    score: f64,
    /// The numbers that would have been none; null for `stuck` and `silence`.
    expected: Option<ExpectedNumbers>,
}

/// The numbers that are no anomaly.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpectedNumbers {
    min: Option<f64>,
    max: Option<f64>,
}

/// The anomalies that are asked for.
struct AskedAnomalies {
    from: ReadingTime,
    to: ReadingTime,
    sensors: Vec<String>,
    kinds: Vec<AnomalyKind>,
    min_score: f64,
    limit: usize,
    settings: AnomalySettings,
}

/// A device's readings on their way through the watches of their names.
struct AnomalySearch<'a> {
    asked: &'a AskedAnomalies,
    limits: Limits,
    watches: HashMap<String, (AnomalySettings, SeriesWatch)>,
    answer: DeviceAnomalies,
}

/// The anomalies of the device's numbers: how many, and the first of them. Nothing is kept: the history is looked through with
/// the settings of this request, so that they can be tried on it.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/anomalies",
    tag = "data",
    params(("id" = String, Path), AnomaliesAsked),
    responses(
        (status = 200, description = "The anomalies", body = DeviceAnomalies),
        (status = 404, body = Problem),
        (status = 422, description = "A parameter makes no sense, or there are more than a million readings", body = Problem),
    )
)]
pub async fn get_anomalies(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let asked = AskedAnomalies::take(&mut params, &access)?;
    params.finish()?;
    let twin = find(&access, &id).await?;
    let _turn = access.state.turns.wait(TurnKind::Search, &access, &request).await?;
    check_size(&access, &twin, &asked).await?;
    let mut search = AnomalySearch::new(&asked, &twin);
    let mut page = Some(HistoryPage::first(AT_ONCE));
    while let Some(this) = page {
        let mut query = asked.readings(&twin);
        this.narrow(&mut query);
        let found = access.ask(RawHistory(query)).await??;
        let (these, next) = this.part(&found, |reading| reading.timestamp);
        these.iter().for_each(|reading| search.take(reading));
        page = next;
    }
    Ok(reply::json(StatusCode::OK, &search.finish()))
}

/// Refuses to look through more readings than an answer is worth.
async fn check_size(access: &Access, twin: &Twin, asked: &AskedAnomalies) -> Result<(), ApiError> {
    let HistoryQuery { device, sensors, .. } = asked.readings(twin);
    let query = StatisticsQuery {
        device,
        from: asked.warm_up(),
        to: asked.to,
        sensors,
        min_quality: None,
        points: false,
    };
    let series = access.ask(ReadingStatistics(query)).await??;
    let count: u64 = series.values().map(SeriesStatistics::readings).sum();
    if count > MOST_READINGS {
        let detail = format!(
            "there are {count} readings with the day before, and {MOST_READINGS} at most are looked through"
        );
        return Err(bad("from", detail).into());
    }
    Ok(())
}

impl AskedAnomalies {
    /// Takes them from the parameters.
    ///
    /// # Errors
    /// One of them makes no sense.
    fn take(params: &mut Params, access: &Access) -> Result<Self, FieldError> {
        let now = ReadingTime::from(access.now());
        let to = params.end_time("to")?.unwrap_or(now.plus_millis(1));
        let from = params.start_time("from")?.unwrap_or_else(|| to.plus_millis(-DAY_MS));
        if from >= to {
            return Err(bad("from", "must be before `to`"));
        }
        let deviation = params.read("deviation", "a number above 0, or off", |text| match text {
            "off" => Some(None),
            number => positive(number).map(Some),
        })?;
        let settings = AnomalySettings {
            deviation: deviation.unwrap_or(Some(USUAL_DEVIATION)),
            stuck_ms: params.duration("stuck")?,
            jump: params.read("jump", "a number above 0", positive)?,
            rate: params.read("rate", "a number above 0 and a time, such as 2/min", rate)?,
            silence_ms: params.duration("silence")?,
            range: (None, None),
        };
        let names = "deviation, stuck, jump, rate, silence or range";
        let kinds = params.list("kind").into_iter().map(|word| {
            AnomalyKind::parse(&word).ok_or_else(|| bad("kind", format!("expected {names}, found `{word}`")))
        });
        Ok(Self {
            from,
            to,
            kinds: kinds.collect::<Result<_, _>>()?,
            sensors: params.list("sensor_type"),
            min_score: params.read("min_score", "a number above 0", positive)?.unwrap_or_default(),
            limit: usize::try_from(limit(params, USUAL, MOST)?).unwrap_or(usize::MAX),
            settings,
        })
    }

    /// The start of the readings that show what is usual.
    fn warm_up(&self) -> ReadingTime {
        self.from.plus_millis(-DAY_MS)
    }

    fn readings(&self, twin: &Twin) -> HistoryQuery {
        HistoryQuery {
            device: twin.number,
            from: Some(self.warm_up()),
            to: Some(self.to),
            sensors: self.sensors.clone(),
            min_quality: None,
            limit: 0,
            newest_first: false,
            interval: None,
            aggregate: Aggregate::default(),
        }
    }

    fn wants(&self, found: &Anomaly) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&found.kind)) && found.score >= self.min_score
    }
}

impl<'a> AnomalySearch<'a> {
    fn new(asked: &'a AskedAnomalies, twin: &Twin) -> Self {
        let answer = DeviceAnomalies {
            device_id: twin.id.to_string(),
            from: asked.from,
            to: asked.to,
            numbers: 0,
            found: 0,
            kinds: BTreeMap::new(),
            per_day: 0.0,
            share: 0.0,
            anomalies: Vec::new(),
        };
        Self { asked, limits: twin.limits(), watches: HashMap::new(), answer }
    }

    /// Judges a reading. Texts are none, and booleans have no usual value.
    fn take(&mut self, reading: &StoredReading) {
        let Scalar::Number(number) = &reading.value else { return };
        let name = reading.sensor_type.as_str();
        if !self.watches.contains_key(name) {
            let watch = (settings(&self.asked.settings, &self.limits, name), SeriesWatch::default());
            self.watches.insert(name.to_owned(), watch);
        }
        let Some((settings, watch)) = self.watches.get_mut(name) else { return };
        let found = watch.take(settings, reading.timestamp.floor(), number.as_f64());
        if reading.timestamp < self.asked.from {
            return;
        }
        self.answer.numbers += 1;
        for found in found.iter().filter(|found| self.asked.wants(found)) {
            self.answer.found += 1;
            *self.answer.kinds.entry(found.kind.as_str()).or_default() += 1;
            if self.answer.anomalies.len() < self.asked.limit {
                self.answer.anomalies.push(FoundAnomaly::new(reading, number, found));
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "rates to look at")]
    fn finish(mut self) -> DeviceAnomalies {
        let days = (self.asked.to.seconds() - self.asked.from.seconds()) / 86_400.0;
        let found = self.answer.found as f64;
        self.answer.per_day = found / days;
        self.answer.share = found / (self.answer.numbers as f64).max(1.0);
        self.answer
    }
}

impl FoundAnomaly {
    fn new(reading: &StoredReading, number: &Number, found: &Anomaly) -> Self {
        let (min, max) = found.expected;
        Self {
            timestamp: reading.timestamp,
            sensor_type: reading.sensor_type.clone(),
            value: number.clone(),
            kind: found.kind.as_str(),
            score: found.score,
            expected: (min.is_some() || max.is_some()).then_some(ExpectedNumbers { min, max }),
        }
    }
}

/// The settings for the readings of this name: those that are asked for, with its limits.
fn settings(asked: &AnomalySettings, limits: &Limits, name: &str) -> AnomalySettings {
    let limit = limits.iter().find(|(reading, _)| *reading == name).map(|(_, limit)| limit);
    let of = |number: Option<&Number>| number.map(Number::as_f64);
    let range = limit.map_or((None, None), |limit| (of(limit.min), of(limit.max)));
    AnomalySettings { range, ..*asked }
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

/// In a second, of `2/min` or `0.5/10s`.
fn rate(text: &str) -> Option<f64> {
    let (change, time) = text.split_once('/')?;
    let digits = time.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(time.len());
    let (count, unit) = time.split_at(digits);
    let ms = amount_ms(if count.is_empty() { "1" } else { count }, unit).ok().filter(|ms| *ms > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "a time to reckon with")]
    let seconds = ms as f64 / 1e3;
    Some(positive(change)? / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(rate(text), expected, "{text}");
        check("2/s", Some(2.0));
        check("3/min", Some(0.05));
        check("0.5/10s", Some(0.05));
        for wrong in ["2", "/min", "2/", "0/s", "-1/s", "2/0s", "2/moon", "x/s", "inf/s"] {
            check(wrong, None);
        }
    }
}
