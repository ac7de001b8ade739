//! Readings beyond their limits: each has an alarm for as long as it is. A twin's actor looks after each change, and
//! tells the alarms when other readings are beyond than before; after its start it tells them once, whatever was told
//! before that. A reading that is to be beyond for some time has its alarm after that, and one that is hardly within again
//! keeps it.

use actix::Addr;
use twinhub_domain::alarm::Originator;
use twinhub_domain::fleet::limits::ReadingLimit;
use twinhub_domain::{Json, Timestamp, Twin};

use crate::alarms::Alarms;
use crate::mailbox::try_send_unbounded;
use crate::messages::alarms::{AlarmingReading, SettleLimits};

/// The readings of a twin that were beyond their limits, or hardly within, at the last look; none before the first one.
#[derive(Default)]
pub struct LimitWatch(Option<Box<[WatchedReading]>>);

/// A reading beyond its limits, or hardly within.
#[derive(Debug)]
struct WatchedReading {
    name: Box<str>,
    /// The moment from which it has an alarm; none: one that it has goes on, and no other begins.
    alarm_from: Option<Timestamp>,
    /// That moment has come.
    is_due: bool,
}

impl LimitWatch {
    /// Looks at the twin as it is `now`; `had_limits` before. Limits that go end alarms that were told before the start.
    pub fn look(&mut self, twin: &Twin, had_limits: bool, now: Timestamp, alarms: &Addr<Alarms>) {
        if !twin.has_limits() && !had_limits && self.0.as_deref().unwrap_or_default().is_empty() {
            return;
        }
        let (found, alarming) = self.find(twin, now);
        let is_known = self.0.as_deref().is_some_and(|known| {
            let is_told = |(one, other): (&WatchedReading, &WatchedReading)| {
                one.name == other.name && one.is_due == other.is_due
            };
            known.len() == found.len() && known.iter().zip(&found).all(is_told)
        });
        self.0 = Some(found);
        if is_known {
            return;
        }
        let of = Originator::Device(twin.id.clone());
        let settle = SettleLimits { of, number: twin.number, alarming };
        let _ = try_send_unbounded(alarms, settle); // gone, the hub shuts down
    }

    /// The moment at which the next alarm begins, unless something comes before.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let waiting = self.0.as_deref().unwrap_or_default().iter().filter(|one| !one.is_due);
        waiting.filter_map(|one| one.alarm_from).min()
    }

    /// The readings that are beyond their limits or hardly within, in the order of their names.
    fn find(&self, twin: &Twin, now: Timestamp) -> (Box<[WatchedReading]>, Vec<AlarmingReading>) {
        let (mut found, mut alarming) = (Vec::new(), Vec::new());
        for (name, limit) in twin.limits().iter() {
            let Some((property, value)) = twin.reported.at_path(name) else { continue };
            let at = property.at().floor();
            let is_beyond = limit.judge(Some((value, at)), None, at, at).out_of_range;
            if !is_beyond && !limit.is_near(value) {
                continue;
            }
            let alarm_from = is_beyond.then(|| {
                // At the first look it is beyond since its reading at least.
                let since = if self.0.is_some() { now } else { at.min(now) };
                let known = self.0.as_deref().unwrap_or_default().iter().find(|one| *one.name == *name);
                let known = known.and_then(|one| one.alarm_from);
                let from = since.plus_millis(limit.for_ms.unwrap_or_default());
                known.map_or(from, |known| known.min(from))
            });
            let is_due = alarm_from.is_some_and(|from| from <= now);
            let message = message(name, limit, value);
            alarming.push(AlarmingReading { reading: name.into(), message, begins: is_due });
            found.push(WatchedReading { name: name.into(), alarm_from, is_due });
        }
        (found.into(), alarming)
    }
}

fn message(reading: &str, limit: ReadingLimit<'_>, value: &Json) -> String {
    let unit = limit.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    match (value.as_number(), limit.min, limit.max) {
        (Some(number), Some(min), _) if number < min => {
            format!("{reading} is {number}{unit}, below {min}{unit}")
        }
        (Some(number), _, Some(max)) => format!("{reading} is {number}{unit}, above {max}{unit}"),
        _ => format!("{reading} is no number"),
    }
}
