//! Statistics as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use utoipa::IntoParams;

/// The readings of which there are to be statistics.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsAsked {
    /// Inclusive. RFC 3339 to the nanosecond, a date, or epoch seconds [default: a day before `to`].
    from: Option<String>,
    /// Exclusive; a date means to the end of that day [default: now].
    to: Option<String>,
    /// One or several, parted by commas.
    sensor_type: Option<String>,
    /// Only readings whose `quality_score` is at least this, from 0 to 100; one without a score has nothing against it.
    min_quality: Option<u8>,
    /// Statistics of each stretch of this length as well, 1,000 at most: a duration, or with `timezone` `1d`, `1w` or `1mo`.
    #[param(example = "1d")]
    interval: Option<String>,
    /// The time zone of days, weeks and months, by its name in the time zone database.
    #[param(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// `previous`: beside the period of the same length before.
    compare: Option<String>,
}

/// The parting of the devices.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsParted {
    /// `device`, `type`, `group` or `template`: statistics of each [default: of all together].
    by: Option<String>,
}
