//! Readings beyond their limits: each has an alarm for as long as it is. A twin's actor looks after each change, and
//! tells the alarms when other readings are beyond than before; after its start it tells them once, whatever was told
//! before that.

use actix::Addr;
use twinhub_domain::alarm::Originator;
use twinhub_domain::fleet::limits::ReadingLimit;
use twinhub_domain::{Json, Twin};

use crate::alarms::Alarms;
use crate::mailbox::try_send_unbounded;
use crate::messages::alarms::{BeyondLimit, SettleLimits};

/// The readings of a twin that were beyond their limits at the last look; none before the first one.
#[derive(Default)]
pub struct LimitWatch(Option<Box<[Box<str>]>>);

impl LimitWatch {
    /// Looks at the twin as it is now; `had_limits` before. Limits that go end alarms that were told before the start.
    pub fn look(&mut self, twin: &Twin, had_limits: bool, alarms: &Addr<Alarms>) {
        if !twin.has_limits() && !had_limits && self.0.as_deref().unwrap_or_default().is_empty() {
            return;
        }
        let beyond = beyond(twin);
        let is_known = self.0.as_deref().is_some_and(|known| {
            known.len() == beyond.len() && known.iter().zip(&beyond).all(|(one, other)| *one == other.reading)
        });
        if is_known {
            return;
        }
        self.0 = Some(beyond.iter().map(|fault| fault.reading.clone()).collect());
        let of = Originator::Device(twin.id.clone());
        let _ = try_send_unbounded(alarms, SettleLimits { of, number: twin.number, beyond }); // gone, the hub shuts down
    }
}

/// The readings that are beyond their limits, in the order of their names.
fn beyond(twin: &Twin) -> Vec<BeyondLimit> {
    let mut beyond = Vec::new();
    for (reading, limit) in twin.limits().iter() {
        let Some((property, value)) = twin.reported.at_path(reading) else { continue };
        let at = property.at().floor();
        if limit.judge(Some((value, at)), None, at, at).out_of_range {
            beyond.push(BeyondLimit { reading: reading.into(), message: message(reading, limit, value) });
        }
    }
    beyond
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
