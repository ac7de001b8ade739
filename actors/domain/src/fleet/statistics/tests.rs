//! Group statistics against a plain count of the twins, over whatever happens to them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::cause::{Cause, Source};
use crate::fleet::Group;
use crate::id::DeviceId;
use crate::payload;
use crate::twin::{Change, Input, Registration};

const GROUPS: [&str; 5] = ["", "a", "b", "c", "gone"];
const TYPES: [&str; 3] = ["", "pump", "fan"];
const NAMES: [&str; 3] = ["t", "h", "motor"];

#[derive(Clone, Debug)]
enum DeviceStep {
    /// Readings, by name, with the device's own time where it gives one.
    Reads(u8, f64, Option<u8>),
    /// A merge patch onto its reported state.
    Reports(u8, &'static str),
    Status(bool),
    Type(u8),
    Group(u8),
    Manual(bool),
    Delete,
}

fn does() -> impl Strategy<Value = (u8, DeviceStep)> {
    let values =
        prop_oneof![4 => -50.0..150.0_f64, 1 => Just(1e300), 1 => Just(-1e-300), 1 => Just(1e15 + 0.125)];
    let patches =
        prop::sample::select(&["1", "null", "\"x\"", "{\"rpm\": 1}", "{\"rpm\": null}", "2.50", "true"][..]);
    let what = prop_oneof![
        6 => (0..3_u8, values, prop::option::of(0..60_u8)).prop_map(|(name, value, at)| DeviceStep::Reads(name, value, at)),
        2 => (0..3_u8, patches).prop_map(|(name, value)| DeviceStep::Reports(name, value)),
        2 => any::<bool>().prop_map(DeviceStep::Status),
        1 => (0..3_u8).prop_map(DeviceStep::Type),
        4 => (0..5_u8).prop_map(DeviceStep::Group),
        1 => any::<bool>().prop_map(DeviceStep::Manual),
        1 => Just(DeviceStep::Delete),
    ];
    (0..4_u8, what)
}

/// The devices, and all their events.
#[derive(Default)]
struct RandomFleet {
    twins: BTreeMap<u8, Twin>,
    log: Vec<Event>,
    now: i64,
    numbers: i64,
}

impl RandomFleet {
    fn let_it(&mut self, device: u8, what: &DeviceStep) {
        self.now += 1_000;
        let now = Timestamp::from_millis(self.now);
        let pick = |from: &[&'static str], at: &u8| from[usize::from(*at)];
        let object = |text: String| payload::object(text.as_bytes()).unwrap();
        let change = |text: String| Input::Change(Box::new(Change { patch: object(text) }));
        let input = match what {
            DeviceStep::Reads(name, value, at) => {
                let at = at
                    .map(|at| format!(r#","timestamp":"1970-01-01T00:00:{at:02}.000Z""#))
                    .unwrap_or_default();
                let text = format!(r#"{{"{}": {value}{at}}}"#, pick(&NAMES, name));
                Input::Telemetry(payload::telemetry(text.as_bytes()).unwrap())
            }
            DeviceStep::Reports(name, value) => {
                Input::Report(object(format!(r#"{{"{}": {value}}}"#, pick(&NAMES, name))))
            }
            DeviceStep::Status(online) => Input::Presence { online: *online, details: Object::default() },
            DeviceStep::Type(to) => change(format!(r#"{{"type": "{}"}}"#, pick(&TYPES, to))),
            DeviceStep::Group(0) => change(r#"{"group_id": null}"#.into()),
            DeviceStep::Group(to) => change(format!(r#"{{"group_id": "{}"}}"#, pick(&GROUPS, to))),
            DeviceStep::Manual(manual) => {
                let mode = if *manual { Mode::Manual } else { Mode::Schedule };
                Input::SetMode { mode, until: None }
            }
            DeviceStep::Delete => Input::Delete,
        };
        let cause = Cause::new(Source::Mqtt, "");
        let numbers = &mut self.numbers;
        let twin = self.twins.entry(device).or_insert_with(|| {
            *numbers += 1;
            let id = DeviceId::parse(&format!("d-{device}")).unwrap();
            Twin::new(id, DeviceNumber(*numbers), now)
        });
        if twin.is_new() {
            // Every second one begins in a group.
            let input = match &input {
                Input::Change(change) => {
                    Input::Register(Box::new(Registration { patch: change.patch.clone() }))
                }
                _ => Input::Appear,
            };
            self.log.extend(twin.apply(input, now, &cause).unwrap().events);
        }
        let is_deletion = matches!(input, Input::Delete);
        if let Ok(outcome) = twin.apply(input, now, &cause) {
            self.log.extend(outcome.events);
        }
        if is_deletion {
            self.twins.remove(&device);
        }
    }

    fn statistics(&self) -> GroupStatistics {
        let mut statistics = GroupStatistics::default();
        self.twins.values().for_each(|twin| statistics.count_device(twin));
        statistics
    }

    /// Follows these events; a twin that is requested is given in its present state.
    fn follow(&self, statistics: &mut GroupStatistics, events: &[Event], seen: &mut BTreeSet<DeviceNumber>) {
        for event in events {
            if statistics.see(event, seen.insert(event.number)) == MembershipEffect::Unknown
                && let Some(twin) = self.twins.values().find(|twin| twin.number == event.number)
            {
                statistics.count_device(twin);
            }
        }
    }
}

fn tree() -> GroupTree {
    let group = |id: &str, parent: &str| Group {
        parent_group: GroupId::parse(parent).ok(),
        ..Group::new(GroupId::parse(id).unwrap(), id, Timestamp::from_millis(0))
    };
    GroupTree::new([group("a", ""), group("b", "a"), group("c", "b"), group("empty", "a")])
}

/// By words, with means rounded: a plain sum has errors of its own.
fn described(counts: &DeviceStatistics) -> String {
    let readings =
        counts.readings.iter().map(|(name, count, mean)| format!("{name} {count} {:.9e}", mean.as_f64()));
    let readings: Vec<_> = readings.collect();
    format!("{} {:?} {:?} {:?} {readings:?}", counts.total, counts.by_status, counts.by_mode, counts.by_type)
}

/// A plain count of these twins.
fn count<'a>(twins: impl Iterator<Item = &'a Twin>) -> DeviceStatistics {
    let mut counts = DeviceStatistics::default();
    let (mut types, mut numbers) = (BTreeMap::<Arc<str>, u64>::new(), BTreeMap::<Arc<str>, Vec<f64>>::new());
    for twin in twins {
        counts.total += 1;
        counts.by_status[twin.presence.status as usize] += 1;
        counts.by_mode[twin.control.mode as usize] += 1;
        *types.entry((*twin.profile.device_type).into()).or_default() += 1;
        for property in twin.reported.iter() {
            if let Some(number) = property.value.as_f64() {
                numbers.entry((*property.name).into()).or_default().push(number);
            }
        }
    }
    counts.by_type = types.into_iter().collect();
    let mean = |mut numbers: Vec<f64>| {
        // The largest first: so they cancel out before the small ones come.
        numbers.sort_by(|one, other| other.abs().total_cmp(&one.abs()).then(one.total_cmp(other)));
        numbers.iter().sum::<f64>() / f64::from(u32::try_from(numbers.len()).unwrap())
    };
    let readings = numbers
        .into_iter()
        .map(|(name, numbers)| (name, numbers.len() as u64, Number::from_f64(mean(numbers)).unwrap()));
    counts.readings = readings.collect();
    counts
}

fn check(statistics: &GroupStatistics, fleet: &RandomFleet) -> Result<(), TestCaseError> {
    let tree = tree();
    let top: Vec<&GroupId> = tree.children(None).collect();
    let standings = statistics.standings(&tree.walk(top), |_| true);
    prop_assert_eq!(standings.len(), tree.len());
    for group in tree.iter() {
        let standing = &standings[&group.id];
        prop_assert_eq!(standing, &statistics.standing(&tree, &group.id));
        let stands = |twin: &&Twin| twin.profile.text("group_id") == group.id.as_str();
        let within = |twin: &&Twin| tree.is_within(twin.profile.text("group_id"), group.id.as_str());
        prop_assert_eq!(described(&standing.own), described(&count(fleet.twins.values().filter(stands))));
        prop_assert_eq!(described(&standing.subtree), described(&count(fleet.twins.values().filter(within))));
        prop_assert_eq!(standing.groups, tree.subtree(group.id.as_str()).len() as u64 - 1);
        prop_assert_eq!(statistics.devices_of(group.id.as_str()), standing.own.total);
    }
    let in_groups = fleet.twins.values().filter(|twin| !twin.profile.text("group_id").is_empty());
    prop_assert_eq!(statistics.len(), in_groups.count());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_is_what_a_recount_finds(all in prop::collection::vec(does(), 0..80)) {
        let (mut fleet, mut statistics, mut seen) = (RandomFleet::default(), GroupStatistics::default(), BTreeSet::new());
        for (device, what) in &all {
            let from = fleet.log.len();
            fleet.let_it(*device, what);
            fleet.follow(&mut statistics, &fleet.log[from..], &mut seen);
            check(&statistics, &fleet)?;
        }
        // Nothing of what came and went is left behind.
        fleet.twins.values().for_each(|twin| statistics.forget(twin.number));
        prop_assert!(statistics.is_empty() && statistics.counters.is_empty());
        prop_assert_eq!(statistics.groups().count(), 0);
    }

    /// It begins with twins as they were at some time, and events from before that come again.
    #[test]
    fn what_comes_again_does_no_harm(
        all in prop::collection::vec(does(), 1..80),
        read in 0..80_usize,
        back in 0..40_usize,
    ) {
        let (mut fleet, mut statistics) = (RandomFleet::default(), GroupStatistics::default());
        let mut from = 0;
        for (index, (device, what)) in all.iter().enumerate() {
            fleet.let_it(*device, what);
            if index == read.min(all.len() - 1) {
                statistics = fleet.statistics();
                from = fleet.log.len().saturating_sub(back);
            }
        }
        let mut seen: BTreeSet<_> = fleet.log.iter().map(|event| event.number).collect();
        fleet.follow(&mut statistics, &fleet.log[from..], &mut seen);
        check(&statistics, &fleet)?;
    }
}

#[test]
fn counters_of_64_bits_keep_their_last_digit() {
    let mut statistics = GroupStatistics::default();
    let mut mean = |counters: &[&str]| {
        for (number, counter) in (1..).zip(counters) {
            let now = Timestamp::from_millis(1_000);
            let mut twin =
                Twin::new(DeviceId::parse(&format!("d-{number}")).unwrap(), DeviceNumber(number), now);
            let group = payload::object(br#"{"group_id": "a"}"#).unwrap();
            let begin = Input::Register(Box::new(Registration { patch: group }));
            twin.apply(begin, now, &Cause::hub()).unwrap();
            let said = payload::object(format!(r#"{{"n": {counter}}}"#).as_bytes()).unwrap();
            twin.apply(Input::Report(said), now, &Cause::hub()).unwrap();
            statistics.count_device(&twin);
        }
        let standing = statistics.standing(&tree(), &GroupId::parse("a").unwrap());
        let [(_, count, mean)] = &standing.subtree.readings[..] else { panic!("{standing:?}") };
        assert_eq!(*count, counters.len() as u64);
        let mean = mean.as_str().to_owned();
        (1..).zip(counters).for_each(|(number, _)| statistics.forget(DeviceNumber(number)));
        mean
    };
    assert_eq!(mean(&["9007199254740993"]), "9007199254740993");
    assert_eq!(mean(&["9007199254740993", "9007199254740994"]), "9007199254740993.5");
    assert_eq!(mean(&["18446744073709551615", "18446744073709551613"]), "18446744073709551614");
    assert_eq!(mean(&["-9007199254740993", "-9007199254740993"]), "-9007199254740993");
    assert_eq!(mean(&["1e300", "1e300"]), "1e+300");
    assert_eq!(size_of::<CountedProperty>(), 24, "a million twins have three million of these");
}

#[test]
fn words_are_kept_while_somebody_uses_them() {
    let mut words = WordTable::default();
    let (pump, fan) = (words.intern("pump"), words.intern("fan"));
    assert_eq!(words.intern("pump"), pump);
    words.release(pump);
    assert_eq!((words.find("pump"), &**words.text(pump)), (Some(pump), "pump"));
    words.release(pump);
    assert_eq!(words.find("pump"), None);
    assert_eq!(words.intern("valve"), pump, "its number is another's");
    assert_eq!((words.find("fan"), &**words.text(pump)), (Some(fan), "valve"));
}
