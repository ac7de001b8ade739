//! The answers of a store to all queries, as text: two stores that answer alike have the same.

use std::fmt::Write as _;
use std::sync::Arc;

use super::event_windows::pages;
use super::samples;
use super::support::*;
use crate::{
    AlarmQuery, CommandQuery, DeliveryQuery, DeliveryStatus, DeviceQuery, DeviceSort, EventQuery, RunQuery,
    Store,
};
use twinhub_domain::alarm::Severity;
use twinhub_domain::series::HistoryQuery;
use twinhub_domain::{CommandStatus, DeviceId, DeviceNumber, EventKind, Recorded, Timestamp};

/// All that must be true to the last commit, whether order has been made since or not.
pub async fn dump_all(store: &dyn Store, devices: &[(String, DeviceNumber)], now: Timestamp) -> String {
    let mut dump = String::new();
    let head = store.head().await.unwrap();
    writeln!(dump, "{head:?}").unwrap();
    let replayed = store.replay(0, u64::MAX, usize::MAX).await.unwrap();
    writeln!(dump, "replay {} {:?}", replayed.pruned, describe(&replayed.events)).unwrap();
    for limit in [3, 1_000] {
        for newest_first in [false, true] {
            let before = newest_first.then_some(head.seq * 2 / 3);
            let query = EventQuery { limit, newest_first, since: Some(head.seq / 3), before, ..log() };
            writeln!(dump, "events {:?}", describe(&store.events(&query).await.unwrap())).unwrap();
        }
    }
    let page = store.devices(&list()).await.unwrap();
    writeln!(dump, "devices {} {:?}", page.total, page.twins).unwrap();
    dump_commands(&mut dump, store, None, now).await;
    for deadline in store.deadlines(DeviceNumber(0), u64::MAX).await.unwrap() {
        // When it was last heard is behind while order is not made; that it was is not.
        let heard = deadline.silence.is_some();
        writeln!(dump, "{} waits for {:?}, heard: {heard}", deadline.device, deadline.wake_at).unwrap();
    }
    writeln!(dump, "outgoing {:?}", store.outgoing().await.unwrap()).unwrap();
    dump_automation(&mut dump, store, devices).await;
    dump_past(&mut dump, store, devices, head.seq).await;
    for (id, device) in devices {
        dump_commands(&mut dump, store, Some(*device), now).await;
        for key in ["k0", "k1"] {
            writeln!(dump, "{key} {:?}", store.command_with_key(*device, key).await.unwrap()).unwrap();
        }
        let ids = [DeviceId::parse(id).unwrap()];
        writeln!(dump, "{id} {device:?} {:?}", store.load(&ids).await.unwrap()).unwrap();
        for (limit, newest_first) in [(5, false), (5, true), (10_000, false), (10_000, true)] {
            let from = newest_first.then(|| now.plus_millis(-90_000).into());
            let to = (!newest_first && limit == 5).then(|| now.plus_millis(-5_000).into());
            let query = HistoryQuery { limit, newest_first, from, to, ..history(*device) };
            writeln!(dump, "raw {:?}", store.raw_history(&query).await.unwrap()).unwrap();
            let by_minute = store.bucket_history(&query).await.unwrap();
            writeln!(dump, "buckets {by_minute:?}").unwrap();
            let query = EventQuery { device: Some(*device), limit, newest_first, from, to, ..log() };
            writeln!(dump, "log {:?}", describe(&store.events(&query).await.unwrap())).unwrap();
        }
    }
    dump
}

/// The values that may be behind until a compaction.
pub async fn dump_order(store: &dyn Store, now: Timestamp) -> String {
    let mut dump = String::new();
    let mut after = DeviceNumber(0);
    loop {
        let page = store.deadlines(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.number;
        writeln!(dump, "{page:?}").unwrap();
    }
    for sort in [DeviceSort::LastSeen, DeviceSort::UpdatedAt, DeviceSort::Number] {
        for age in [0, 10_000, 60_000] {
            let drifting_since = Some(now.plus_millis(-age));
            let query = DeviceQuery { drifting_since, sort, descending: age == 0, limit: 3, ..list() };
            let page = store.devices(&query).await.unwrap();
            let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
            writeln!(dump, "drifting for {age} ms by {sort:?}: {ids:?} of {}", page.total).unwrap();
        }
    }
    dump
}

/// Automation's stored data, queried in all ways.
async fn dump_automation(dump: &mut String, store: &dyn Store, devices: &[(String, DeviceNumber)]) {
    let state = samples::sorted(store.automation().await.unwrap());
    writeln!(dump, "automation {state:?}").unwrap();
    let rules: Vec<_> = ["r0", "r1", "r2"].into_iter().map(samples::rule).collect();
    let mut last = store.last_runs(&rules).await.unwrap();
    last.sort_by(|one, other| one.rule.cmp(&other.rule));
    writeln!(dump, "last runs {last:?}").unwrap();
    let numbers = devices.iter().map(|(_, number)| Some(*number)).chain([None, Some(samples::NOBODY)]);
    for device in numbers {
        for rule in [None, Some(samples::rule("r1"))] {
            for (newest_first, offset, limit) in [(false, 0, 1_000), (true, 1, 3)] {
                let parent = (offset == 1 && device.is_none()).then(|| samples::run_id(1));
                let outcomes = if newest_first { vec![] } else { vec!["running".into(), "not_run".into()] };
                let (rule, from) = (rule.clone(), newest_first.then(|| samples::after_noon(2)));
                let query = RunQuery {
                    rule,
                    device,
                    parent,
                    outcomes,
                    from,
                    newest_first,
                    offset,
                    limit,
                    ..samples::runs()
                };
                let page = store.runs(&query).await.unwrap();
                writeln!(dump, "runs {page:?}").unwrap();
                let behind = RunQuery { after: page.next, offset: 0, ..query };
                writeln!(dump, "runs behind {:?}", store.runs(&behind).await.unwrap()).unwrap();
            }
            let (active, at_least) = (rule.is_some().then_some(true), device.map(|_| Severity::Minor));
            let query = AlarmQuery { active, at_least, device, rule, ..samples::alarms() };
            writeln!(dump, "alarms {:?}", store.alarms(&query).await.unwrap()).unwrap();
        }
    }
    for (offset, limit, run) in [(0, 9, None), (2, 1, None), (0, 9, Some(samples::run_id(1)))] {
        for status in [None, Some(DeliveryStatus::Waiting), Some(DeliveryStatus::Delivered)] {
            let query = DeliveryQuery { status, run, offset, limit };
            writeln!(dump, "deliveries {:?}", store.deliveries(&query).await.unwrap()).unwrap();
        }
    }
    for kinds in [vec![EventKind::Alarm], vec![EventKind::Rule, EventKind::Twin]] {
        for (limit, newest_first, offset) in [(1_000, false, 0), (3, true, 2)] {
            let query = EventQuery { kinds: kinds.clone(), limit, newest_first, offset, ..log() };
            writeln!(dump, "of a kind {:?}", describe(&store.events(&query).await.unwrap())).unwrap();
        }
    }
}

/// The past of each device, of two, and of all, by pages.
async fn dump_past(dump: &mut String, store: &dyn Store, devices: &[(String, DeviceNumber)], last: u64) {
    let numbers: Vec<DeviceNumber> = devices.iter().map(|(_, number)| *number).collect();
    for some in numbers.chunks(2).chain(numbers.chunks(1)) {
        for (after, limit) in [(0, 1_000), (last / 3, 7)] {
            let past = pages(store, Some(some), after, limit).await;
            writeln!(dump, "past {some:?} {:?}", describe(&past)).unwrap();
        }
    }
    writeln!(dump, "all past {:?}", seqs(&pages(store, None, 0, 11).await)).unwrap();
}

async fn dump_commands(dump: &mut String, store: &dyn Store, device: Option<DeviceNumber>, now: Timestamp) {
    use CommandStatus as S;
    for status in [vec![], vec![S::Failed], vec![S::Pending, S::Sent, S::Delivered]] {
        for (newest_first, offset, limit) in [(false, 0, 1_000), (true, 0, 3), (true, 2, 2), (false, 1, 0)] {
            let query =
                CommandQuery { device, status: status.clone(), newest_first, offset, limit, ..commands() };
            writeln!(dump, "commands {:?}", store.commands(&query).await.unwrap()).unwrap();
        }
    }
    let (from, to) = (Some(now.plus_millis(-60_000)), Some(now.plus_millis(-5_000)));
    for command_type in [None, Some("a".to_owned()), Some("nothing".to_owned())] {
        let query = CommandQuery { device, command_type, from, to, ..commands() };
        let page = store.commands(&query).await.unwrap();
        writeln!(dump, "of their time and type {page:?}").unwrap();
        for record in page.commands {
            assert_eq!(store.command(record.command.id).await.unwrap(), Some(record));
        }
    }
}

/// Events as text.
pub fn describe(events: &[Arc<Recorded>]) -> Vec<String> {
    events.iter().map(|recorded| format!("{} {:?}", recorded.seq, recorded.event)).collect()
}
