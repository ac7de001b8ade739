//! Selection of twins, readings and events by a query: the same for every store.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{
    AlarmQuery, CommandQuery, CommandRecord, Deadline, DeliveryQuery, DeliveryRecord, DeviceQuery,
    EventQuery, RunQuery,
};
use twinhub_access::Reach;
use twinhub_domain::alarm::{Alarm, Originator};
use twinhub_domain::run::{RuleId, RunEntry, RunOutcome};
use twinhub_domain::series::{HistoryQuery, StoredReading};
use twinhub_domain::text::{composed, order_key, searched};
use twinhub_domain::twin::presence::SHORTEST_SILENCE_MS;
use twinhub_domain::{
    DeviceId, DeviceNumber, Event, EventBody, Json, ReadingTime, Recorded, Scalar, Status, Timestamp, Twin,
};

/// The query for the last reading of a sensor before `start`.
pub(crate) fn last_before(query: &HistoryQuery, sensor: &str, start: Timestamp) -> HistoryQuery {
    HistoryQuery {
        from: None,
        to: Some(start.into()),
        sensors: vec![sensor.to_owned()],
        limit: 1,
        newest_first: true,
        interval: None,
        ..query.clone()
    }
}

/// The number of rows that are no device's.
pub(crate) const NOBODY: DeviceNumber = DeviceNumber(0);

/// Twins are looked up and sorted by this many characters of a text. Longer texts that begin alike are told apart only
/// where they are read.
const KEY: usize = 190;
/// A search looks into this many characters of a twin's names.
pub(crate) const SEARCHED: usize = 600;

/// The part of `text` that twins are looked up and sorted by.
#[must_use]
pub fn key(text: &str) -> &str {
    cut(text, KEY)
}

/// The sort key of twins where it is a text for people: see [`order_key`].
pub(crate) fn ordered(text: &str) -> String {
    order_key(text, KEY)
}

/// The text that a search matches: id, serial number and name in lower case, a line each.
pub(crate) fn search_text(twin: &Twin) -> String {
    let text = searched(&format!("{}\n{}\n{}", twin.id, twin.profile.serial_number, twin.profile.name));
    cut(&text, SEARCHED).to_owned()
}

/// The part of `text` by which filters compare it: in one form, however it was typed.
pub(crate) fn alike(text: &str) -> Cow<'_, str> {
    match composed(text) {
        Cow::Borrowed(text) => Cow::Borrowed(key(text)),
        Cow::Owned(text) => Cow::Owned(key(&text).to_owned()),
    }
}

/// The text that a tag is found by; none for objects, arrays and null.
pub(crate) fn tag_text(value: &Json) -> Option<String> {
    Scalar::from_json(value.clone()).map(|scalar| alike(&scalar.to_string()).into_owned())
}

/// Has the twin this tag? Of names that are alike the first counts.
fn is_tagged(twin: &Twin, name: &str, value: &str) -> bool {
    let name = alike(name);
    let mut named = twin.setup.tags.iter().filter(|(own, _)| alike(own) == name);
    named.find_map(|(_, value)| tag_text(value)).is_some_and(|text| text == alike(value))
}

/// Is this twin one of those asked for?
pub(crate) fn matches(query: &DeviceQuery, twin: &Twin) -> bool {
    let group = key(twin.profile.text("group_id"));
    (query.groups.is_empty() || query.groups.iter().any(|wanted| group == key(wanted)))
        && is_within(&query.reach, twin)
        && is_listed_in_any_group(query, twin)
        && is_called(query, twin)
}

/// Is this twin within reach?
#[must_use]
pub fn is_within(reach: &Reach, twin: &Twin) -> bool {
    reach.is_everywhere()
        || reach.contains(&twin.id, twin.profile.text("owner_id"), twin.profile.text("group_id"))
}

/// The same but for its group, of which many may be queried, for the reach, and for its names, which cost most to
/// search.
#[must_use]
pub fn is_listed_in_any_group(query: &DeviceQuery, twin: &Twin) -> bool {
    let DeviceQuery { numbers, status, drifting_since, device_type, grouped, .. } = query;
    let DeviceQuery { claimed, mode, template, lifecycle, tags, .. } = query;
    numbers.is_none_or(|(first, last)| (first..=last).contains(&twin.number))
        && (status.is_empty() || status.contains(&twin.presence.status))
        && drifting_since.is_none_or(|since| twin.drifting_since().is_some_and(|began| began <= since))
        && device_type.as_deref().is_none_or(|wanted| alike(&twin.profile.device_type) == alike(wanted))
        && grouped.is_none_or(|grouped| twin.profile.text("group_id").is_empty() != grouped)
        && claimed.is_none_or(|claimed| twin.control.claimed == claimed)
        && mode.is_none_or(|mode| twin.control.mode == mode)
        && (lifecycle.is_empty() || lifecycle.contains(&twin.lifecycle()))
        && tags.iter().all(|(name, value)| is_tagged(twin, name, value))
        && template.as_deref().is_none_or(|wanted| twin.template_id() == Some(wanted))
}

/// Is it called as it is asked for?
#[must_use]
pub fn is_called(query: &DeviceQuery, twin: &Twin) -> bool {
    let Some(part) = &query.q else { return true };
    let lines = [twin.id.as_str(), &twin.profile.serial_number, &twin.profile.name];
    let short = lines.iter().map(|line| line.len()).sum::<usize>() + lines.len() <= SEARCHED;
    if short && lines.iter().chain([&&**part]).all(|text| text.is_ascii()) && !part.contains('\n') {
        // As nearly all are; a search asks it of thousands, and this needs no text of its own.
        return lines.iter().any(|line| contains(line.as_bytes(), part.as_bytes()));
    }
    search_text(twin).contains(&searched(part))
}

/// Is `part` in `text`, whatever the case of its ASCII letters?
fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Does the question's time include `at`?
pub(crate) fn in_time<T: PartialOrd>(from: Option<T>, to: Option<T>, at: T) -> bool {
    from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
}

/// Is this event one of those asked for?
pub(crate) fn wants(query: &EventQuery, recorded: &Recorded) -> bool {
    let event = &recorded.event;
    query.device.is_none_or(|device| event.number == device)
        && (query.kinds.is_empty() || query.kinds.contains(&event.kind()))
        && query.at_least.is_none_or(|severity| event.severity() >= Some(severity))
        && query.since.is_none_or(|since| recorded.seq > since)
        && query.before.is_none_or(|before| recorded.seq < before)
        && in_time(query.from, query.to, event.at)
}

/// Is this command one of those asked for?
#[must_use]
pub fn is_asked_for(query: &CommandQuery, record: &CommandRecord) -> bool {
    let CommandRecord { number, command, .. } = record;
    query.device.is_none_or(|device| *number == device)
        && (query.status.is_empty() || query.status.contains(&command.status))
        && query.command_type.as_deref().is_none_or(|wanted| &*command.request.command_type == wanted)
        && in_time(query.from, query.to, command.created_at)
}

/// Is this run one of those asked for? Which devices had a part in it is not seen in it, and left aside.
pub(crate) fn is_run(query: &RunQuery, entry: &RunEntry) -> bool {
    let RunQuery { rule, parent, outcomes, from, to, .. } = query;
    rule.as_ref().is_none_or(|rule| entry.rule == *rule)
        && parent.is_none_or(|parent| entry.parent == Some(parent))
        && (outcomes.is_empty() || outcomes.iter().any(|outcome| outcome == entry.outcome.as_str()))
        && in_time(*from, *to, entry.at)
}

/// The ids that a run's actions were for, done or not, each as often as it was.
pub(crate) fn acted_on(entry: &RunEntry) -> impl Iterator<Item = &DeviceId> {
    entry.actions.iter().filter_map(|action| action.device.as_ref()).chain(&entry.targets)
}

/// Did the rule do something?
pub(crate) fn is_telling(entry: &RunEntry) -> bool {
    !matches!(entry.outcome, RunOutcome::NotRun { .. })
}

/// Is this alarm one of those asked for?
pub(crate) fn is_alarm(query: &AlarmQuery, alarm: &Alarm) -> bool {
    let AlarmQuery { active, acknowledged, at_least, device, rule, alarm_type, from, to, .. } = query;
    active.is_none_or(|active| alarm.active == active)
        && acknowledged.is_none_or(|acknowledged| alarm.acknowledged == acknowledged)
        && at_least.is_none_or(|least| alarm.severity >= least)
        && device.is_none_or(|device| alarm.number == device)
        && rule.as_ref().is_none_or(|rule| rule_of(alarm) == Some(rule))
        && alarm_type.as_deref().is_none_or(|wanted| &*alarm.alarm_type == wanted)
        && in_time(*from, *to, alarm.raised_at)
}

/// The rule that raised an alarm last, or else the one that it is about.
pub(crate) fn rule_of(alarm: &Alarm) -> Option<&RuleId> {
    let about = if let Originator::Rule(rule) = &alarm.originator { Some(rule) } else { None };
    alarm.rule.as_ref().or(about)
}

/// Is this request outward one of those asked for?
pub(crate) fn is_delivery(query: &DeliveryQuery, record: &DeliveryRecord) -> bool {
    query.status.is_none_or(|status| record.status == status) && query.run.is_none_or(|run| record.run == run)
}

/// Is this one of the events that a twin is made of? Others are no device's, or only about it.
pub(crate) fn makes_twin(event: &Event) -> bool {
    match event.body {
        EventBody::Telemetry { .. }
        | EventBody::Twin(_)
        | EventBody::Presence { .. }
        | EventBody::Command(_) => event.number != NOBODY,
        EventBody::Alarm(_) | EventBody::Rule(_) | EventBody::Fleet(_) | EventBody::Signal(_) => false,
    }
}

/// The twin's deadline as the store keeps it; none where nothing waits.
pub(crate) fn deadline(twin: &Twin) -> Option<Deadline> {
    let wake_at = twin.wake_at(Timestamp::default());
    // Of an unknown rhythm the shortest: how long such a device may be silent is set with the hub, not with it. A twin
    // that is woken too early finds nothing to do and waits on.
    let silence = match (twin.presence.status, twin.presence.last_seen, twin.silence_ms(SHORTEST_SILENCE_MS))
    {
        (Status::Online, Some(seen), Some(silence)) => Some((seen, silence)),
        _ => None,
    };
    let (device, number) = (twin.id.clone(), twin.number);
    (wake_at.is_some() || silence.is_some()).then_some(Deadline { device, number, wake_at, silence })
}

/// The readings of `recorded` that are asked for, in the order of the message.
pub(crate) fn readings<'a>(
    query: &'a HistoryQuery,
    recorded: &'a Recorded,
) -> impl Iterator<Item = (usize, &'a twinhub_domain::Reading)> {
    let readings = match &recorded.event.body {
        EventBody::Telemetry { readings, .. } if in_time(query.from, query.to, recorded.event.at) => {
            &readings[..]
        }
        _ => &[],
    };
    let is_good =
        |score: Option<u8>| query.min_quality.is_none_or(|least| score.is_none_or(|score| score >= least));
    let is_wanted = move |reading: &twinhub_domain::Reading| {
        is_asked(query, &reading.name) && is_good(reading.quality_score)
    };
    readings.iter().enumerate().filter(move |(_, reading)| is_wanted(reading))
}

/// Are readings of this name asked for?
pub(crate) fn is_asked(query: &HistoryQuery, name: &str) -> bool {
    query.sensors.is_empty() || query.sensors.iter().any(|sensor| sensor == name)
}

/// The readings of an event, in the form of the history.
pub(crate) fn stored_readings(query: &HistoryQuery, recorded: &Recorded) -> Vec<StoredReading> {
    let (timestamp, seq) = (recorded.event.at, recorded.seq);
    let claimed_at =
        if let EventBody::Telemetry { claimed, .. } = recorded.event.body { claimed } else { None };
    readings(query, recorded)
        .map(|(_, reading)| StoredReading {
            sensor_type: reading.name.to_string(),
            value: reading.value.clone(),
            unit: reading.unit.as_deref().map(str::to_owned),
            quality_score: reading.quality_score,
            timestamp,
            claimed_at,
            seq,
        })
        .collect()
}

/// The identity of `recorded`, where it is one of the messages that are `wanted` by their own time and identity.
pub(crate) fn message(recorded: &Recorded, wanted: &HashSet<(ReadingTime, u64)>) -> Option<u64> {
    let EventBody::Telemetry { identity: Some(identity), claimed: None, .. } = recorded.event.body else {
        return None;
    };
    wanted.contains(&(recorded.event.at, identity)).then_some(identity)
}

fn cut(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_umlaut_is_found_however_it_was_typed() {
        let mut twin = Twin::new(DeviceId::parse("p").unwrap(), DeviceNumber(1), Timestamp::default());
        let [composed, decomposed] = ["Büro 2", "Bu\u{308}ro 2"];
        for (name, part) in [(composed, "bu\u{308}ro"), (decomposed, "büro"), (decomposed, "U\u{308}RO")] {
            twin.profile.name = name.into();
            let query = DeviceQuery { q: Some(part.into()), ..DeviceQuery::default() };
            assert!(is_called(&query, &twin), "{part} in {name}");
        }
        let query = DeviceQuery { q: Some("buro".into()), ..DeviceQuery::default() };
        assert!(!is_called(&query, &twin));
    }

    #[test]
    fn a_name_is_found_in_either_way_of_looking() {
        let mut twin = Twin::new(DeviceId::parse("Pump-1").unwrap(), DeviceNumber(1), Timestamp::default());
        twin.profile.serial_number = "SN-9".into();
        for name in ["", "Cellar", "Keller Süd", &"long ".repeat(200)] {
            twin.profile.name = name.into();
            let parts = [
                "", "PUMP", "p-1", "sn", "1\nsn", "cellar", "SÜD", "1SN", "nothing", "\n", "g lo", "Pump-1 ",
            ];
            for part in parts {
                let query = DeviceQuery { q: Some(part.into()), ..DeviceQuery::default() };
                let found = search_text(&twin).contains(&searched(part));
                assert_eq!(is_called(&query, &twin), found, "`{part}` in `{name}`");
            }
        }
    }
}
