//! Groups over the whole hub: counts that are true whatever happens at once, and groups that were never made.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::*;
use crate::messages::groups::{
    DeleteGroup, DeleteGroupReply, GroupPage, GroupQuery, GroupRefusal, PutGroup, PutGroupReply, ReadGroups,
    ReadTree,
};
use twinhub_access::{Reach, Scope, Scopes};
use twinhub_domain::fleet::{GroupFields, GroupId, GroupPrecondition, GroupRequest, RecordKind};
use twinhub_domain::{Event, Status};
use twinhub_store::{Batch, DeviceQuery, MemoryStore};
use twinhub_testkit::{FailingStore, ManualClock};

async fn start(store: &Arc<MemoryStore>, feed_depth: usize) -> Arc<Hub> {
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let settings = Settings { arbiters: 2, feed_depth, ..Settings::default() };
    Hub::start(Arc::clone(store) as Arc<dyn Store>, clock, settings).await.unwrap()
}

fn cause() -> Cause {
    Cause::new(Source::Rest, "user:ann")
}

fn said(body: &str) -> GroupRequest {
    let body = payload::object(body.as_bytes()).unwrap();
    let text = |field: &str| body.get(field).map(|value| value.as_str().map(Into::into));
    let said = GroupFields {
        id: None,
        name: text("name"),
        description: text("description"),
        parent_group: text("parent_group"),
        tags: body.get("tags").and_then(Json::as_object).cloned(),
    };
    said.checked().unwrap()
}

async fn put(hub: &Hub, id: &str, body: &str) -> Result<PutGroupReply, GroupRefusal> {
    let requested = said(body);
    let (reply, stood) = oneshot::channel();
    let put = PutGroup {
        id: GroupId::parse(id).ok(),
        requested,
        reach: Reach::default(),
        expect: GroupPrecondition::Any,
        if_tag: None,
        cause: cause(),
        reply,
    };
    try_send_unbounded(&hub.groups, put).ok().unwrap();
    within("what became of a group's change", stood).await.unwrap()
}

async fn delete(hub: &Hub, id: &str, force: bool) -> Result<DeleteGroupReply, GroupRefusal> {
    let (reply, gone) = oneshot::channel();
    try_send_unbounded(
        &hub.groups,
        DeleteGroup { id: id.into(), reach: Reach::default(), force, if_tag: None, cause: cause(), reply },
    )
    .ok()
    .unwrap();
    within("what became of a group's end", gone).await.unwrap()
}

async fn groups(hub: &Hub) -> GroupPage {
    let (reply, page) = oneshot::channel();
    let query = GroupQuery { limit: usize::MAX, ..GroupQuery::default() };
    try_send_unbounded(&hub.groups, ReadGroups { query, reach: Reach::default(), reply }).ok().unwrap();
    within("the groups", page).await.unwrap().unwrap()
}

/// By group: its own devices, and of them those that are online; and the mean of `t`.
async fn told(hub: &Hub) -> BTreeMap<String, (u64, u64, Option<f64>)> {
    let groups = groups(hub).await.groups.into_iter();
    let line = groups.map(|view| {
        let own = view.standing.own;
        let mean = own.readings.iter().find(|(name, _, _)| &**name == "t").map(|(_, _, mean)| mean.as_f64());
        (view.group.id.to_string(), (own.total, own.by_status[Status::Online as usize], mean))
    });
    line.collect()
}

async fn give(hub: &Hub, device: usize, input: Input, if_unknown: IfUnknown) {
    let id = DeviceId::parse(&format!("d-{device}")).unwrap();
    let _ = hub.deliver(id, input, cause(), if_unknown, false).await; // it may be gone just then
}

fn change(group: Json) -> Input {
    let patch = [("group_id", group)].into_iter().collect();
    Input::Change(Box::new(Change { patch }))
}

#[actix::test]
async fn counts_are_true_whatever_happens_at_once() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let store = Arc::new(MemoryStore::default());
    let hub = start(&store, 2).await; // the census falls behind the feed again and again
    for name in NAMES {
        put(&hub, name, &format!(r#"{{"name": "{name}"}}"#)).await.unwrap();
    }
    for round in 0..6_usize {
        let each = (0..60_usize).map(async |device| {
            let turn = device * 7 + round * 5;
            match turn % 5 {
                0 => give(&hub, device, change(NAMES[turn % 3].into()), IfUnknown::Refuse).await,
                1 => give(&hub, device, change(Json::Null), IfUnknown::Refuse).await,
                2 if turn % 4 == 0 => give(&hub, device, Input::Delete, IfUnknown::Refuse).await,
                2 | 3 => {
                    let patch = [("group_id", NAMES[turn % 3].into())].into_iter().collect();
                    let input = Input::Register(Box::new(Registration { patch }));
                    give(&hub, device, input, IfUnknown::Begin).await;
                }
                _ => {}
            }
            let reading = format!(r#"{{"t": {turn}, "n": "x"}}"#);
            let reading = Input::Telemetry(payload::telemetry(reading.as_bytes()).unwrap());
            give(&hub, device, reading, IfUnknown::Appear).await;
        });
        join_all(each).await;
        let mut expected: BTreeMap<String, (u64, u64, Vec<f64>)> = BTreeMap::new();
        NAMES.iter().for_each(|name| drop(expected.insert((*name).into(), Default::default())));
        let query = DeviceQuery { limit: u64::MAX, grouped: Some(true), ..DeviceQuery::default() };
        for twin in store.devices(&query).await.unwrap().twins {
            let (total, online, readings) = expected.get_mut(twin.profile.text("group_id")).unwrap();
            *total += 1;
            *online += u64::from(twin.presence.status == Status::Online);
            readings.extend(twin.reported.get("t").and_then(|property| property.value.as_f64()));
        }
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(name, (total, online, readings))| {
                // They are whole numbers: their sum is exact.
                let mean = readings.iter().sum::<f64>() / f64::from(u32::try_from(readings.len()).unwrap());
                (name, (total, online, (!readings.is_empty()).then_some(mean)))
            })
            .collect();
        assert_eq!(told(&hub).await, expected, "round {round}");
    }
}

/// The twin's first events, as an earlier version of the program left them in the store.
async fn left_by_an_earlier_version(store: &MemoryStore, group: &str) {
    let now = Timestamp::from_millis(0);
    let mut twin = Twin::new(DeviceId::parse("old").unwrap(), twinhub_domain::DeviceNumber(1), now);
    let patch = [("group_id", group.into())].into_iter().collect();
    let outcome = twin.apply(Input::Register(Box::new(Registration { patch })), now, &cause()).unwrap();
    let recorded = |(at, event): (usize, Event)| Arc::new(Recorded::new(at as u64 + 1, event));
    let events = outcome.events.into_iter().enumerate().map(recorded).collect();
    let mut batch = Batch { events, twins: vec![(1, twin)], ..Batch::empty(now) };
    store.commit(&mut batch).await.unwrap();
}

#[actix::test]
async fn what_devices_name_as_their_group_is_one() {
    let store = Arc::new(MemoryStore::default());
    left_by_an_earlier_version(&store, "Hall 2").await;
    let hub = start(&store, 64).await;
    until("the group that a device named", async || hub.tree.now().contains("Hall 2")).await;
    assert_eq!(told(&hub).await, [("Hall 2".to_owned(), (1, 0, None))].into());
    // A device that comes in past the API is treated alike.
    let patch = [("group_id", "attic".into())].into_iter().collect();
    give(&hub, 7, Input::Register(Box::new(Registration { patch })), IfUnknown::Begin).await;
    until("the group that a new device named", async || hub.tree.now().contains("attic")).await;
    let both: BTreeMap<_, _> =
        [("Hall 2".to_owned(), (1, 0, None)), ("attic".to_owned(), (1, 0, None))].into();
    assert_eq!(told(&hub).await, both);
    close(&hub).await;

    let before = store.records(RecordKind::Group).await.unwrap();
    let hub = start(&store, 64).await;
    assert_eq!(told(&hub).await, both);
    assert!(hub.tree.now().contains("Hall 2"));
    assert_eq!(store.records(RecordKind::Group).await.unwrap(), before, "made once");
}

#[actix::test]
async fn the_tree_is_known_before_its_devices_are_counted() {
    let memory = Arc::new(MemoryStore::default());
    left_by_an_earlier_version(&memory, "Hall 2").await;
    let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
    store.block_lists();
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let hub = Hub::start(store.clone(), clock, Settings::default()).await.unwrap();
    let mut making = std::pin::pin!(put(&hub, "a", r#"{"name": "A"}"#));
    assert!(futures_util::poll!(&mut making).is_pending());
    let (reply, tree) = oneshot::channel();
    try_send_unbounded(&hub.groups, ReadTree { reach: Reach::default(), reply }).ok().unwrap();
    assert!(within("the tree", tree).await.unwrap().contains("a"), "it is made");
    assert!(futures_util::poll!(&mut making).is_pending(), "and told with its counts");
    assert_eq!(get(&hub.counters.groups_counted), 0);
    store.unblock();
    assert!(within("what became of the group", making).await.unwrap().made);
    assert_eq!(get(&hub.counters.groups_counted), 1);
}

#[actix::test]
async fn a_group_that_is_being_removed_takes_nothing_more_in() {
    let store = Arc::new(MemoryStore::default());
    let hub = start(&store, 64).await;
    put(&hub, "a", r#"{"name": "A"}"#).await.unwrap();
    put(&hub, "b", r#"{"name": "B", "parent_group": "a"}"#).await.unwrap();
    for device in 0..300 {
        let patch = [("group_id", "b".into())].into_iter().collect();
        give(&hub, device, Input::Register(Box::new(Registration { patch })), IfUnknown::Begin).await;
    }
    told(&hub).await; // all of it is seen, so the removal begins with its message
    let (gone, again, above, under, renamed) = tokio::join!(
        delete(&hub, "b", true),
        delete(&hub, "b", true),
        delete(&hub, "a", true),
        put(&hub, "c", r#"{"name": "C", "parent_group": "b"}"#),
        put(&hub, "b", r#"{"name": "other"}"#),
    );
    assert_eq!(gone.unwrap().devices, 300);
    let leaving = GroupRefusal::Leaving(GroupId::parse("b").unwrap());
    for refused in [again.map(drop), above.map(drop), under.map(drop), renamed.map(drop)] {
        assert_eq!(refused.unwrap_err(), leaving);
    }
    assert_eq!(told(&hub).await, [("a".to_owned(), (300, 0, None))].into());
    let unknown = GroupRefusal::Unknown("b".into());
    assert_eq!(delete(&hub, "b", false).await.unwrap_err(), unknown);
}

/// The tree is known from the start, and changes by commits alone; the devices need not be counted for it.
#[actix::test]
async fn the_tree_can_be_read_while_commits_fail() {
    let memory = Arc::new(MemoryStore::default());
    let hub = start(&memory, 2).await;
    put(&hub, "a", r#"{"name": "A"}"#).await.unwrap();
    give(&hub, 0, Input::Register(Box::default()), IfUnknown::Begin).await;
    close(&hub).await;
    let store = FailingStore::around(memory);
    store.block_lists(); // so that this device is never counted
    let settings = Settings { patience: Duration::from_millis(50), ..Settings::default() };
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let hub = Hub::start(store.clone(), clock, settings).await.unwrap();
    store.break_commits(CommitFault::Failed);
    give(&hub, 1, Input::Register(Box::default()), IfUnknown::Begin).await;
    assert!(hub.is_failing());
    let (reply, tree) = oneshot::channel();
    try_send_unbounded(&hub.groups, ReadTree { reach: Reach::default(), reply }).ok().unwrap();
    assert!(within("the tree", tree).await.unwrap().get("a").is_some());
    store.unblock();
    store.heal();
}

/// A caller sees the group that is the first in their scope at the top, wherever it stands.
#[actix::test]
async fn a_change_says_whether_the_group_moved_and_where_it_stands() {
    let hub = start(&Arc::new(MemoryStore::default()), 64).await;
    let plant = || GroupId::parse("plant").ok();
    put(&hub, "plant", r#"{"name": "Plant"}"#).await.unwrap();
    for (body, expected) in [
        (r#"{"name": "Hall", "parent_group": "plant"}"#, (true, false, plant())),
        (r#"{"name": "Hall 1", "parent_group": "plant"}"#, (false, false, plant())),
        (r#"{"parent_group": null}"#, (false, true, None)),
        (r#"{"parent_group": null}"#, (false, false, None)),
        (r#"{"parent_group": "plant"}"#, (false, true, plant())),
    ] {
        let PutGroupReply { made, moved, parent, .. } = put(&hub, "hall", body).await.unwrap();
        assert_eq!((made, moved, parent), expected, "{body}");
    }

    let scope: Scope = serde_json::from_str(r#"{"groups": ["hall"]}"#).unwrap();
    let (reply, stood) = oneshot::channel();
    let put = PutGroup {
        id: GroupId::parse("hall").ok(),
        requested: said(r#"{"name": "Hall 2", "parent_group": null}"#),
        reach: Reach::of(&Scopes::from(&scope), &hub.tree.now()),
        expect: GroupPrecondition::There,
        if_tag: None,
        cause: cause(),
        reply,
    };
    try_send_unbounded(&hub.groups, put).ok().unwrap();
    let replied = within("what became of the group", stood).await.unwrap().unwrap();
    assert_eq!(
        (replied.view.group.parent_group.clone(), replied.moved, replied.parent),
        (None, false, plant())
    );
}
