//! Events of one subscription that are sent together: at most one bundle in a time, and where the client wants no more
//! than what stands at its end, the newest reading of each name alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use twinhub_domain::event::EventBody;
use twinhub_domain::{DeviceId, ReadingTime, Recorded};

/// The shortest and the longest time of a bundle.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);
/// Events, and bytes of their texts and of the messages that they came in, which make a bundle full: it is sent before
/// its time then.
const MOST_EVENTS: usize = 4_096;
const MOST_BYTES: usize = 256 * 1024;

/// The pace of the bundles of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BundlePace {
    every: Duration,
    latest: bool,
}

/// A bundle in the making.
#[derive(Debug)]
pub(super) struct EventBundle {
    pace: BundlePace,
    events: Vec<Arc<Recorded>>,
    bytes: usize,
    /// The next one is not sent before.
    not_before: Instant,
}

/// The reason why bundles cannot have this pace: the field, and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPace(pub &'static str, pub &'static str);

impl BundlePace {
    /// The pace that a client asks for, in ms; none: its events are not bundled.
    ///
    /// # Errors
    /// The time is too short or too long, or is not there and is needed.
    pub(crate) fn asked(every_ms: Option<i64>, latest: Option<bool>) -> Result<Option<Self>, BadPace> {
        let latest = latest.unwrap_or(false);
        match every_ms {
            None if latest => {
                Err(BadPace("latest", "needs `every`: the time in which no more than the newest counts"))
            }
            None => Ok(None),
            Some(every) => {
                let every = Duration::from_millis(u64::try_from(every).unwrap_or_default());
                if (SHORTEST..=LONGEST).contains(&every) {
                    Ok(Some(Self { every, latest }))
                } else {
                    Err(BadPace("every", "10ms to 1m"))
                }
            }
        }
    }
}

impl EventBundle {
    /// None yet; the first event may go at once.
    pub fn new(pace: BundlePace, now: Instant) -> Self {
        Self { pace, events: Vec::new(), bytes: 0, not_before: now }
    }

    /// Appends an event. True where it is so full that it is to be taken before its time.
    #[must_use]
    pub fn push(&mut self, event: Arc<Recorded>) -> bool {
        self.bytes += size(&event);
        self.events.push(event);
        if !self.is_over(1) {
            return false;
        }
        if self.pace.latest {
            self.fold();
            return self.is_over(2); // more than half would soon be folded again, for little
        }
        true
    }

    /// The time to send it; none where nothing is in it.
    pub fn due(&self) -> Option<Instant> {
        (!self.events.is_empty()).then_some(self.not_before)
    }

    /// Its events, in order. The next bundle is not due before its time from `now` on.
    pub fn take(&mut self, now: Instant) -> Vec<Arc<Recorded>> {
        if self.pace.latest {
            self.fold();
        }
        self.not_before = now + self.pace.every;
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }

    fn is_over(&self, parts: usize) -> bool {
        self.events.len() >= MOST_EVENTS / parts || self.bytes >= MOST_BYTES / parts
    }

    /// Leaves the newest reading of each name of each device, by its time, and of one time the last; and all that is none.
    fn fold(&mut self) {
        let mut newest: HashMap<(&DeviceId, &str), (ReadingTime, usize)> = HashMap::new();
        for (at, recorded) in self.events.iter().enumerate() {
            let EventBody::Telemetry { readings, .. } = &recorded.event.body else { continue };
            for reading in readings {
                let this = (recorded.event.at, at);
                match newest.entry((&recorded.event.device, &reading.name)) {
                    Entry::Occupied(mut known) if *known.get() <= this => drop(known.insert(this)),
                    Entry::Occupied(_) => {}
                    Entry::Vacant(free) => drop(free.insert(this)),
                }
            }
        }
        let left = self.events.iter().enumerate().filter_map(|(at, recorded)| {
            let is_newest =
                |name: &str| newest.get(&(&recorded.event.device, name)).is_some_and(|(_, of)| *of == at);
            only(recorded, is_newest)
        });
        let left: Vec<_> = left.collect();
        self.bytes = left.iter().map(|event| size(event)).sum();
        self.events = left;
    }
}

/// The event with those of its readings alone that `is_wanted` says; none where none is left.
fn only(recorded: &Arc<Recorded>, is_wanted: impl Fn(&str) -> bool) -> Option<Arc<Recorded>> {
    let EventBody::Telemetry { readings, .. } = &recorded.event.body else {
        return Some(Arc::clone(recorded));
    };
    let wanted = readings.iter().filter(|reading| is_wanted(&reading.name)).count();
    if wanted == readings.len() {
        return Some(Arc::clone(recorded));
    }
    if wanted == 0 {
        return None;
    }
    let mut event = recorded.event.clone();
    if let EventBody::Telemetry { readings, payload, .. } = &mut event.body {
        readings.retain(|reading| is_wanted(&reading.name));
        *payload = None;
    }
    Some(Arc::new(Recorded::new(recorded.seq, event)))
}

/// The bytes that an event holds: its text, which all its readers share, and the message that it came in.
fn size(recorded: &Recorded) -> usize {
    let payload = match &recorded.event.body {
        EventBody::Telemetry { payload: Some(payload), .. } => payload.len(),
        _ => 0,
    };
    recorded.json_members().len() + payload
}

#[cfg(test)]
mod tests {
    use twinhub_domain::{Cause, DeviceNumber, Event, Status, Timestamp, payload};

    use super::*;

    const EVERY: Duration = Duration::from_millis(250);

    fn event(seq: u64, device: &str, at: i64, body: EventBody) -> Arc<Recorded> {
        let at = Timestamp::from_millis(at);
        let device = DeviceId::parse(device).unwrap();
        let event = Event {
            device,
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body,
            cause: Cause::hub(),
        };
        Arc::new(Recorded::new(seq, event))
    }

    fn readings(seq: u64, device: &str, at: i64, text: &str) -> Arc<Recorded> {
        let readings = payload::telemetry(text.as_bytes()).unwrap().readings;
        let body = EventBody::Telemetry { readings, identity: None, claimed: None, payload: None };
        event(seq, device, at, body)
    }

    fn bundle(latest: bool) -> EventBundle {
        let pace = BundlePace::asked(Some(250), Some(latest)).unwrap().unwrap();
        EventBundle::new(pace, Instant::now())
    }

    fn told(events: &[Arc<Recorded>]) -> Vec<String> {
        let told = |one: &Arc<Recorded>| {
            format!("{} {} {}", one.seq, one.event.device, twinhub_domain::Json::from(one.event.data()))
        };
        events.iter().map(told).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn first_event_goes_at_once_and_the_next_after_the_time() {
        let mut bundle = bundle(false);
        let began = Instant::now();
        assert_eq!(bundle.due(), None, "nothing is in it");
        assert!(!bundle.push(readings(1, "a", 0, r#"{"t":1}"#)));
        assert_eq!(bundle.due(), Some(began));
        assert_eq!(bundle.take(began).len(), 1);
        assert_eq!(bundle.due(), None);
        for seq in [2, 3] {
            assert!(!bundle.push(readings(seq, "a", 0, r#"{"t":1}"#)));
        }
        assert_eq!(bundle.due(), Some(began + EVERY));
        assert_eq!(bundle.take(began + EVERY).len(), 2, "without `latest` all are told");
    }

    #[tokio::test]
    async fn newest_readings_are_left_and_all_else() {
        let mut bundle = bundle(true);
        for event in [
            readings(1, "a", 10, r#"{"t":1,"h":5}"#),
            event(2, "a", 10, EventBody::Presence { status: Status::Online, reason: "heard".into() }),
            readings(3, "b", 10, r#"{"t":7}"#),
            readings(4, "a", 20, r#"{"t":2}"#),
            readings(5, "a", 15, r#"{"t":9}"#),
            readings(6, "b", 10, r#"{"t":8}"#),
        ] {
            assert!(!bundle.push(event));
        }
        assert_eq!(
            told(&bundle.take(Instant::now())),
            [
                r#"1 a {"h":5}"#,
                r#"2 a {"reason":"heard","status":"online"}"#,
                r#"4 a {"t":2}"#, // the one that came late is older
                r#"6 b {"t":8}"#,
            ]
        );
    }

    #[tokio::test]
    async fn full_bundle_goes_before_its_time() {
        let count = |latest: bool, text: &dyn Fn(u64) -> String| {
            let mut bundle = bundle(latest);
            let many = u64::try_from(MOST_EVENTS).unwrap() * 3;
            (1..=many).find(|seq| bundle.push(readings(*seq, "a", 0, &text(*seq))))
        };
        let same = |_| r#"{"t":1}"#.to_owned();
        assert!(count(false, &same).unwrap() <= u64::try_from(MOST_EVENTS).unwrap());
        assert_eq!(count(true, &same), None, "one reading is never many");
        assert!(count(true, &|seq| format!(r#"{{"t{seq}":1}}"#)).is_some());
        let long = |_| format!(r#"{{"t":"{}"}}"#, "x".repeat(1_000));
        assert!(count(false, &long).unwrap() < 300);
    }

    #[test]
    fn pace_has_bounds() {
        let asked = BundlePace::asked;
        assert_eq!(asked(None, None), Ok(None));
        assert_eq!(asked(None, Some(false)), Ok(None));
        assert_eq!(asked(Some(10), None), Ok(Some(BundlePace { every: SHORTEST, latest: false })));
        assert!(asked(Some(60_000), Some(true)).is_ok());
        for (every, field) in
            [(None, "latest"), (Some(9), "every"), (Some(60_001), "every"), (Some(-1), "every")]
        {
            assert_eq!(asked(every, Some(true)).unwrap_err().0, field, "{every:?}");
        }
    }
}
