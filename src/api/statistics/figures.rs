//! Statistics as they are shown.

use serde::Serialize;
use twinhub_domain::series::{
    NumberStatistics, ReadingPosition, SeriesByName, SeriesStatistics, TimedMoments,
};
use twinhub_domain::{Number, ReadingTime};
use utoipa::ToSchema;

/// A slope with a smaller probability of chance is told as significant.
const SIGNIFICANT: f64 = 0.05;
/// Seconds in an hour.
const HOUR: f64 = 3_600.0;

/// The statistics of the readings of one name. What numbers alone have is null where all readings are texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct PropertyFigures {
    #[schema(example = "temperature")]
    sensor_type: String,
    readings: u64,
    /// Numbers among them; a boolean counts as 0 or 1.
    numbers: u64,
    texts: u64,
    /// Readings in an hour, over all of the time that is asked for.
    per_hour: f64,
    #[schema(value_type = Option<f64>)]
    min: Option<Number>,
    #[schema(value_type = Option<f64>)]
    max: Option<Number>,
    mean: Option<f64>,
    /// The standard deviation, of all there are.
    stddev: Option<f64>,
    /// The numbers below which 5, 50 and 95 per cent lie; null where there are too many readings to look at each.
    p5: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    first: Option<ReadingFigure>,
    last: Option<ReadingFigure>,
    /// Null with fewer than three numbers.
    trend: Option<TrendFigures>,
    quality: QualityCounts,
    /// Null where the device has too few readings for a usual interval, and for more than one device.
    gaps: Option<GapFigures>,
}

/// A reading of a series.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadingFigure {
    #[schema(value_type = String, format = DateTime)]
    timestamp: ReadingTime,
    #[schema(value_type = f64)]
    value: Number,
}

/// A straight line through the numbers, by least squares.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrendFigures {
    /// The growth in an hour.
    per_hour: f64,
    /// Its standard error.
    standard_error: f64,
    /// The probability of a slope like this, or a steeper one, by chance: two-sided, Student's t. It takes readings for
    /// independent of each other, which those of a slow quantity are not.
    p_value: f64,
    /// The probability is below 0.05.
    significant: bool,
}

/// Readings by the class of their score: from 67 good, from 34 uncertain; without a score they are good.
#[derive(Debug, Serialize, ToSchema)]
pub struct QualityCounts {
    good: u64,
    uncertain: u64,
    bad: u64,
}

/// Intervals between readings of more than three times the usual one.
#[derive(Debug, Serialize, ToSchema)]
pub struct GapFigures {
    /// The median of the intervals, in ms.
    usual_interval_ms: i64,
    count: u64,
    /// Their length beyond the usual interval, in ms: together, and of the longest.
    total_ms: i64,
    longest_ms: i64,
}

/// The figures of each name, of `ms` milliseconds.
pub fn figures(series: SeriesByName, ms: i64, gaps: bool) -> Vec<PropertyFigures> {
    series.into_iter().map(|(name, series)| PropertyFigures::of(name.into(), &series, ms, gaps)).collect()
}

impl PropertyFigures {
    fn of(sensor_type: String, series: &SeriesStatistics, ms: i64, gaps: bool) -> Self {
        let readings = series.readings();
        let numbers = series.numbers.as_ref();
        let of_moments = numbers.map(|numbers| numbers.moments);
        let percentiles = series.percentiles([5, 50, 95]);
        let edge = |((at, ..), value): &(ReadingPosition, Number)| ReadingFigure {
            timestamp: *at,
            value: value.clone(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
        let per_hour = readings as f64 / (ms.max(1) as f64 / (HOUR * 1e3));
        let NumberEdges { min, max, first, last } = NumberEdges::of(numbers);
        Self {
            sensor_type,
            readings,
            numbers: of_moments.map_or(0, |moments| moments.count),
            texts: series.texts,
            per_hour,
            min: min.cloned(),
            max: max.cloned(),
            mean: of_moments.map(|moments| moments.mean),
            stddev: of_moments.map(TimedMoments::standard_deviation),
            p5: percentiles.map(|[low, ..]| low),
            p50: percentiles.map(|[_, half, _]| half),
            p95: percentiles.map(|[.., high]| high),
            first: first.map(edge),
            last: last.map(edge),
            trend: of_moments.and_then(TimedMoments::trend).map(|trend| TrendFigures {
                per_hour: trend.slope * HOUR,
                standard_error: trend.standard_error * HOUR,
                p_value: trend.p_value,
                significant: trend.p_value < SIGNIFICANT,
            }),
            quality: QualityCounts {
                good: readings.saturating_sub(series.uncertain).saturating_sub(series.bad),
                uncertain: series.uncertain,
                bad: series.bad,
            },
            gaps: series.gaps().filter(|_| gaps).map(|gaps| GapFigures {
                usual_interval_ms: gaps.usual_ms,
                count: gaps.count,
                total_ms: gaps.total_ms,
                longest_ms: gaps.longest_ms,
            }),
        }
    }
}

/// The ends of some numbers.
#[derive(Default)]
struct NumberEdges<'a> {
    min: Option<&'a Number>,
    max: Option<&'a Number>,
    first: Option<&'a (ReadingPosition, Number)>,
    last: Option<&'a (ReadingPosition, Number)>,
}

impl<'a> NumberEdges<'a> {
    fn of(numbers: Option<&'a NumberStatistics>) -> Self {
        numbers.map_or_else(Self::default, |NumberStatistics { min, max, first, last, .. }| Self {
            min: Some(min),
            max: Some(max),
            first: Some(first),
            last: Some(last),
        })
    }
}
