//! The filter of a subscription.

use std::collections::HashSet;
use std::sync::Arc;

use twinhub_domain::alarm::Severity;
use twinhub_domain::{DeviceId, EventKind, Recorded, Twin};

use super::globs::Globs;
use super::group::Subtree;
use crate::http::extract::fields::FieldError;

/// Patterns of one connection at most, in all of its subscriptions: each costs memory, and every event a look.
/// A device's id is none.
pub(super) const MOST_PATTERNS: usize = 256;
/// Bytes of a pattern at most: twice what the longest id has.
const LONGEST_PATTERN: usize = 256;
/// Ids in one subscription at most: a look into a set, however many.
const MOST_IDS: usize = 1_000;
/// The characters that make a pattern of an id.
const META: [char; 8] = ['*', '?', '[', ']', '{', '}', '!', '\\'];

/// The events of a subscription. A part that is left out lets all pass.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    devices: DeviceFilter,
    kinds: Kinds,
    /// Alarms of this severity or worse, and nothing else.
    at_least: Option<Severity>,
    group: Option<Subtree>,
}

/// The devices of a subscription.
#[derive(Clone, Debug, Default)]
enum DeviceFilter {
    #[default]
    All,
    /// Devices of these ids, and devices that one of the patterns fits.
    These { ids: HashSet<DeviceId>, globs: Option<Arc<Globs>> },
}

/// A set of kinds, a bit each.
#[derive(Clone, Copy, Debug)]
struct Kinds(u16);

impl EventFilter {
    /// Devices by pattern (`*`, `?`, `[a-c]`, `{a,b}`) and kinds by name; none of either means all.
    ///
    /// # Errors
    /// A pattern or kind that makes no sense, by its field: `devices`, `kinds`.
    pub fn new(devices: Option<&[Box<str>]>, kinds: Option<&[Box<str>]>) -> Result<Self, FieldError> {
        Ok(Self {
            devices: devices.map_or(Ok(DeviceFilter::All), DeviceFilter::parse)?,
            kinds: kinds.map_or(Ok(Kinds::default()), Kinds::parse)?,
            at_least: None,
            group: None,
        })
    }

    /// Only alarms of this severity or worse, where one is given: other events have no severity.
    #[must_use]
    pub fn at_least(mut self, severity: Option<Severity>) -> Self {
        self.at_least = severity;
        self
    }

    /// Only devices of this group and of those under it.
    #[must_use]
    pub(super) fn within(mut self, group: Subtree) -> Self {
        self.group = Some(group);
        self
    }

    /// The group and those under it, where it is about one.
    pub(super) fn groups(&self) -> Vec<String> {
        self.group.as_ref().map(Subtree::groups).unwrap_or_default()
    }

    /// Groups whose devices it must know before it looks at the next event.
    pub(super) fn unread(&self) -> &[Box<str>] {
        self.group.as_ref().map_or(&[], Subtree::unread)
    }

    /// The devices of those groups, each with its own.
    pub(super) fn set_members(&mut self, members: impl IntoIterator<Item = (DeviceId, Box<str>)>) {
        if let Some(group) = &mut self.group {
            group.set_members(members);
        }
    }

    /// The devices, where each is named by its id.
    #[must_use]
    pub fn named(&self) -> Option<&HashSet<DeviceId>> {
        if let DeviceFilter::These { ids, globs: None } = &self.devices { Some(ids) } else { None }
    }

    /// The number of its patterns.
    pub(super) fn patterns(&self) -> usize {
        if let DeviceFilter::These { globs: Some(globs), .. } = &self.devices { globs.len() } else { 0 }
    }

    /// Does this event pass? The event by which a device leaves the group does. Events without a device pass
    /// only where no devices are named.
    pub fn passes(&mut self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let in_group = self.group.as_mut().is_none_or(|group| group.passes(recorded));
        in_group
            && self.kinds.has(event.kind())
            && self.at_least.is_none_or(|severity| event.severity() >= Some(severity))
            && self.devices.has(&event.device)
    }

    /// Does this twin pass? Kinds do not matter to a snapshot.
    #[must_use]
    pub fn takes_twin(&self, twin: &Twin) -> bool {
        self.devices.has(&twin.id) && self.group.as_ref().is_none_or(|group| group.has(twin))
    }
}

impl DeviceFilter {
    fn parse(texts: &[Box<str>]) -> Result<Self, FieldError> {
        let bad = |detail: String| FieldError::bad("devices", detail);
        if texts.iter().any(|text| &**text == "*") {
            return Ok(Self::All);
        }
        let (patterns, ids): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.contains(META));
        if ids.len() > MOST_IDS {
            return Err(bad(format!("{MOST_IDS} ids at most, these are {}", ids.len())));
        }
        if patterns.len() > MOST_PATTERNS {
            return Err(bad(format!("{MOST_PATTERNS} patterns at most, these are {}", patterns.len())));
        }
        if patterns.iter().any(|pattern| pattern.len() > LONGEST_PATTERN) {
            return Err(bad(format!("a pattern has {LONGEST_PATTERN} bytes at most")));
        }
        let ids = ids.into_iter().map(|id| DeviceId::parse(id)).collect::<Result<_, _>>();
        let ids = ids.map_err(|error| bad(error.to_string()))?;
        if patterns.is_empty() {
            return Ok(Self::These { ids, globs: None });
        }
        let globs =
            Globs::of(patterns.into_iter().cloned().collect()).map_err(|error| bad(error.to_string()))?;
        Ok(Self::These { ids, globs: Some(globs) })
    }

    fn has(&self, device: &DeviceId) -> bool {
        match self {
            Self::All => true,
            // Events without a device pass only where no devices are named: `**` would fit the empty name.
            Self::These { ids, globs } => {
                ids.contains(device)
                    || !device.is_none() && globs.as_ref().is_some_and(|globs| globs.fit(device.as_str()))
            }
        }
    }
}

impl Kinds {
    fn parse(words: &[Box<str>]) -> Result<Self, FieldError> {
        let mut bits = 0;
        for word in words {
            bits |= EventKind::parse(word).map(Self::bit).ok_or_else(|| {
                let known = EventKind::ALL.map(EventKind::as_str).join(", ");
                FieldError::bad("kinds", format!("`{word}` is none of {known}"))
            })?;
        }
        Ok(if words.is_empty() { Self::default() } else { Self(bits) })
    }

    fn has(self, kind: EventKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn bit(kind: EventKind) -> u16 {
        1 << kind as u16 // there are nine
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self(u16::MAX)
    }
}

/// The names of kinds as query parameters give them: `telemetry,twin`.
///
/// # Errors
/// Names the one that is none.
pub fn kinds_named(words: &[Box<str>]) -> Result<Vec<EventKind>, FieldError> {
    Kinds::parse(words).map(|kinds| EventKind::ALL.into_iter().filter(|kind| kinds.has(*kind)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use twinhub_domain::alarm::{Alarm, AlarmId, Originator, Raised};
    use twinhub_domain::run::RuleId;

    use twinhub_domain::event::EventBody;
    use twinhub_domain::{Cause, DeviceNumber, Event, Status, Timestamp};

    use super::*;

    fn words(words: &[&str]) -> Vec<Box<str>> {
        words.iter().map(|word| (*word).into()).collect()
    }

    fn event(seq: u64, device: &str, body: EventBody) -> Recorded {
        let at = Timestamp::from_millis(0);
        let device = DeviceId::parse(device).unwrap();
        Recorded::new(
            seq,
            Event {
                device,
                number: DeviceNumber(1),
                at: at.into(),
                received_at: at,
                body,
                cause: Cause::hub(),
            },
        )
    }

    fn arrived(seq: u64, device: &str) -> Recorded {
        event(seq, device, EventBody::Presence { status: Status::Online, reason: "heard".into() })
    }

    fn check(devices: &[&str], id: &str, expected: bool) {
        let mut filter = EventFilter::new(Some(&words(devices)), None).unwrap();
        assert_eq!(filter.passes(&arrived(1, id)), expected, "{devices:?} on {id}");
    }

    #[test]
    fn picks_devices_by_name_and_glob() {
        check(&["pump-1"], "pump-1", true);
        check(&["pump-1"], "pump-10", false);
        check(&["pump-*"], "pump-10", true);
        check(&["pump-?"], "pump-10", false);
        check(&["*"], "anything", true);
        check(&["pump-[12]", "fan"], "pump-2", true);
        check(&["{pump,fan}-*"], "fan-9", true);
        check(&[], "pump-1", false);
    }

    #[test]
    fn events_without_a_device_pass_only_where_none_is_named() {
        let signal = twinhub_domain::run::AutomationSignal::Rules {
            loaded: Vec::new(),
            changed: Vec::new(),
            gone: Vec::new(),
            warnings: Vec::new(),
        };
        let mut recorded = arrived(1, "a");
        (recorded.event.device, recorded.event.number) = (DeviceId::none(), DeviceNumber(0));
        recorded.event.body = EventBody::Signal(Box::new(signal));
        assert!(recorded.json_members().contains(r#""kind":"rule","device_id":null,"#));
        assert!(EventFilter::default().passes(&recorded));
        assert!(EventFilter::new(None, Some(&words(&["rule"]))).unwrap().passes(&recorded));
        assert!(!EventFilter::new(None, Some(&words(&["alarm", "telemetry"]))).unwrap().passes(&recorded));
        for patterns in [["a", "b"], ["**", "x"], ["{,a}", "x"]] {
            assert!(
                !EventFilter::new(Some(&words(&patterns)), None).unwrap().passes(&recorded),
                "{patterns:?}"
            );
        }
    }

    #[test]
    fn ids_and_patterns_stand_side_by_side() {
        let ids = (0..1_000).map(|n| format!("pump-{n}").into());
        let texts: Vec<Box<str>> = ids.chain(["fan-*".into()]).collect();
        let mut filter = EventFilter::new(Some(&texts), None).unwrap();
        assert_eq!(filter.patterns(), 1, "an id is no pattern");
        assert_eq!(filter.named(), None, "there are more than those that are named");
        assert!(filter.passes(&arrived(1, "pump-999")) && filter.passes(&arrived(2, "fan-7")));
        assert!(!filter.passes(&arrived(3, "pump-1000")));
    }

    #[test]
    fn picks_kinds() {
        let mut filter = EventFilter::new(None, Some(&words(&["telemetry", "twin"]))).unwrap();
        assert!(!filter.passes(&arrived(1, "a")));
        let mut filter = EventFilter::new(None, Some(&words(&["presence"]))).unwrap();
        assert!(filter.passes(&arrived(1, "a")));
    }

    fn alarm(device: DeviceId, severity: Severity) -> Recorded {
        let of = match device.is_none() {
            true => Originator::Rule(RuleId::parse("cool").unwrap()),
            false => Originator::Device(device.clone()),
        };
        let (number, alarm_type) = (DeviceNumber(0), "hot".into());
        let raised = Raised { of, number, alarm_type, severity, message: "".into(), rule: None, run: None };
        let at = Timestamp::from_millis(0);
        let change = Alarm::begin(AlarmId(uuid::Uuid::nil()), raised, at);
        let body = EventBody::Alarm(Box::new(change));
        Recorded::new(1, Event { device, number, at: at.into(), received_at: at, body, cause: Cause::hub() })
    }

    #[test]
    fn picks_alarms_by_severity() {
        let pump = DeviceId::parse("pump-1").unwrap();
        let mut filter = EventFilter::default().at_least(Some(Severity::Minor));
        assert!(filter.passes(&alarm(pump.clone(), Severity::Critical)));
        assert!(filter.passes(&alarm(pump.clone(), Severity::Minor)));
        assert!(!filter.passes(&alarm(pump, Severity::Warning)));
        assert!(!filter.passes(&arrived(1, "pump-1")), "what is no alarm has no severity");
    }

    #[test]
    fn alarms_without_a_device_pass_only_where_none_is_named() {
        let check = |devices: Option<&[&str]>, of: DeviceId, expected: bool| {
            let mut filter = EventFilter::new(devices.map(words).as_deref(), None).unwrap();
            assert_eq!(filter.passes(&alarm(of, Severity::Major)), expected, "{devices:?}");
        };
        let pump = DeviceId::parse("pump-1").unwrap();
        check(None, DeviceId::none(), true);
        check(Some(&["*"]), DeviceId::none(), true);
        check(Some(&["pump-1"]), DeviceId::none(), false);
        check(Some(&["{*,pump-1}"]), DeviceId::none(), false);
        check(Some(&["pump-1"]), pump.clone(), true);
        check(Some(&["pump-*"]), pump.clone(), true);
        check(Some(&["fan"]), pump, false);
        let group = Subtree::new("hall", Arc::default(), 0);
        assert!(!EventFilter::default().within(group).passes(&alarm(DeviceId::none(), Severity::Major)));
    }

    #[test]
    fn names_the_part_that_makes_no_sense() {
        assert_eq!(EventFilter::new(Some(&words(&["pump-[1"])), None).unwrap_err().field, "devices");
        assert_eq!(EventFilter::new(Some(&words(&["a/b"])), None).unwrap_err().field, "devices");
        let many = |pattern: &str, count: usize| {
            let texts: Vec<Box<str>> = (0..count).map(|n| format!("{pattern}{n}").into()).collect();
            EventFilter::new(Some(&texts), None).map(|filter| filter.patterns()).map_err(|error| error.detail)
        };
        assert_eq!(many("*-", 256), Ok(256));
        assert_eq!(many("*-", 257), Err("256 patterns at most, these are 257".into()));
        assert_eq!(many("p-", 1_001), Err("1000 ids at most, these are 1001".into()));
        assert_eq!(many(&"*".repeat(256), 1), Err("a pattern has 256 bytes at most".into()));
        let error = EventFilter::new(None, Some(&words(&["weather"]))).unwrap_err();
        assert!(error.detail.starts_with("`weather` is none of telemetry, twin"), "{error}");
    }
}
