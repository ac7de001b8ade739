//! Statistics of readings: of one device, or of all that match, by property.

mod figures;
mod of_device;
mod of_fleet;
pub mod schema;

use twinhub_domain::ReadingTime;
use twinhub_domain::series::Interval;

use crate::api::data::{interval, min_quality};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{Params, bad};
use crate::http::routes::routes;

routes! {
    Read: of_device::get_device_statistics,
    Read: of_fleet::get_statistics,
}

/// The stretch of time that is looked at without a word, in ms.
const USUAL_MS: i64 = 24 * 3_600_000;
/// Stretches in an answer at most.
const MOST_STRETCHES: usize = 1_000;

/// The readings that are asked for.
#[derive(Clone, Debug)]
struct AskedReadings {
    from: ReadingTime,
    to: ReadingTime,
    sensors: Vec<String>,
    min_quality: Option<u8>,
    interval: Option<Interval>,
    /// Beside the period of the same length before.
    compared: bool,
}

impl AskedReadings {
    /// Takes them from the parameters.
    ///
    /// # Errors
    /// One of them makes no sense.
    fn take(params: &mut Params, access: &Access) -> Result<Self, FieldError> {
        let now = ReadingTime::from(access.now());
        let to = params.end_time("to")?.unwrap_or(now.plus_millis(1));
        let from = params.start_time("from")?.unwrap_or_else(|| to.plus_millis(-USUAL_MS));
        if from >= to {
            return Err(bad("from", "must be before `to`"));
        }
        let asked = Self {
            from,
            to,
            sensors: params.list("sensor_type"),
            min_quality: min_quality(params)?,
            interval: interval(params)?,
            compared: params
                .read("compare", "previous", |word| (word == "previous").then_some(()))?
                .is_some(),
        };
        if asked.stretches().nth(MOST_STRETCHES).is_some() {
            return Err(bad("interval", format!("makes more than {MOST_STRETCHES} stretches of this time")));
        }
        Ok(asked)
    }

    /// The period of the same length before.
    fn before(&self) -> Self {
        let length = self.to.floor().millis().saturating_sub(self.from.floor().millis());
        Self { from: self.from.plus_millis(-length), to: self.from, ..self.clone() }
    }

    /// The stretches that the interval makes, cut to what is asked for; none without an interval.
    fn stretches(&self) -> impl Iterator<Item = (ReadingTime, ReadingTime)> {
        let mut next = self.from;
        std::iter::from_fn(move || {
            let interval = self.interval.filter(|_| next < self.to)?;
            let (start, end) = (next, ReadingTime::from(interval.around(next.floor()).1).min(self.to));
            next = if end > start { end } else { self.to };
            Some((start, next))
        })
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Timestamp;

    use super::*;

    #[test]
    fn stretches_are_cut_to_what_is_asked_for() {
        let at = |ms: i64| ReadingTime::from(Timestamp::from_millis(ms));
        let asked = |from, to, interval| AskedReadings {
            from: at(from),
            to: at(to),
            sensors: Vec::new(),
            min_quality: None,
            interval,
            compared: false,
        };
        let stretches = |asked: AskedReadings| -> Vec<(i64, i64)> {
            asked.stretches().map(|(from, to)| (from.floor().millis(), to.floor().millis())).collect()
        };
        let tens = Some(Interval::Fixed(10));
        assert_eq!(stretches(asked(5, 25, tens)), [(5, 10), (10, 20), (20, 25)]);
        assert_eq!(stretches(asked(10, 20, tens)), [(10, 20)]);
        assert_eq!(stretches(asked(5, 25, None)), []);
        let before = asked(5, 25, None).before();
        assert_eq!((before.from, before.to), (at(-15), at(5)));
    }
}
