//! Queries within a caller's reach: of each kind of thing what the scopes contain and nothing else, in every store.

use std::collections::BTreeSet;

use super::samples::*;
use super::support::*;
use crate::{
    AlarmQuery, CommandQuery, DeviceQuery, EventQuery, JobDevice, JobDeviceQuery, JobOp, JobPlace, RunQuery,
};
use twinhub_access::scope::InTree;
use twinhub_access::{Reach, Scope, Scopes};
use twinhub_domain::fleet::{Group, GroupId, GroupTree, JobId, JobStep, StepState};
use twinhub_domain::run::RunEntry;
use twinhub_domain::{DeviceId, DeviceNumber, EventKind, Timestamp, Twin};
use uuid::Uuid;

const ANN: &str = "00000000-0000-0000-0000-000000000001";
const JOB: JobId = JobId(Uuid::from_u128(9));
/// A job of one device, and one that there is not.
const SMALL_JOB: JobId = JobId(Uuid::from_u128(10));
const NO_JOB: JobId = JobId(Uuid::from_u128(11));

fn tree() -> GroupTree {
    let made = |id: &str, parent: Option<&str>| Group {
        parent_group: parent.map(|parent| GroupId::parse(parent).unwrap()),
        ..Group::new(GroupId::parse(id).unwrap(), id, Timestamp::default())
    };
    GroupTree::new([made("plant", None), made("hall", Some("plant")), made("yard", None)])
}

fn scopes() -> Vec<Scope> {
    let own = format!(r#"{{"own": "{ANN}"}}"#);
    let texts = [
        r#""all""#,
        r#""nothing""#,
        r#"{"groups": ["plant"]}"#,
        r#"{"groups": ["hall", "yard"]}"#,
        r#"{"groups": []}"#,
        r#"{"devices": ["in-hall", "in-yard", "unknown"]}"#,
        r#"{"devices": []}"#,
        r#"{"ids": ["in-*l?*", "nowher?"]}"#,
        r#"{"ids": ["IN-*"]}"#,
        &own,
    ];
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// Devices in and out of groups, each with a command, an alarm, events and a run; a run and a job of two of them; and
/// what is of no device.
fn fill(world: &mut TestFleet) {
    for (id, group, owner) in [
        ("in-plant", "plant", ""),
        ("in-hall", "hall", ANN),
        ("in-yard", "yard", ANN),
        ("nowhere", "", ""),
        ("nowhere-hers", "", ANN),
    ] {
        world.register(id, &format!(r#"{{"group_id": "{group}", "owner_id": "{owner}"}}"#));
        world.tell(id, r#"{"t": 1}"#);
        world.command(id, &asked(r#"{"command_type": "reboot"}"#));
    }
    let ids: Vec<String> = world.twins.keys().cloned().collect();
    for (n, id) in (1..).zip(&ids) {
        let of = (&**id, world.number(id));
        world.automation.alarms.push(alarm(n, "hot", of));
        world.automation.runs.push(run(n, "cool", Some(of)));
        world.happen(Some(of), told_alarm(alarm(n, "hot", of)));
    }
    let (hall, yard) = (("in-hall", world.number("in-hall")), ("in-yard", world.number("in-yard")));
    world.automation.runs.push(RunEntry { actions: vec![action(yard.0)], ..run(50, "cool", Some(hall)) });
    world.automation.runs.push(run(51, "cool", None));
    world.automation.alarms.push(rule_alarm(60, "cool"));
    world.happen(None, signal("a/b"));
    let device = |place: u64, of: (&str, DeviceNumber)| JobDevice {
        device: DeviceId::parse(of.0).unwrap(),
        number: of.1,
        place,
        step: JobStep::new(JOB, StepState::Queued),
        at: after_noon(0),
    };
    let unknown = ("unknown", DeviceNumber(-1));
    world.fleet.jobs.push(JobOp::Devices(vec![device(0, hall), device(1, yard), device(2, unknown)]));
    let small = JobDevice { step: JobStep::new(SMALL_JOB, StepState::Queued), ..device(0, hall) };
    world.fleet.jobs.push(JobOp::Devices(vec![small]));
}

fn contain(scopes: &Scopes, tree: &GroupTree, twin: &Twin) -> bool {
    let (owner, group) = (twin.profile.text("owner_id"), twin.profile.text("group_id"));
    scopes.contain(&InTree { device: &twin.id, owner, group, tree })
}

#[tokio::test]
async fn each_query_finds_what_the_scopes_contain() {
    for mut fixture in Fixture::both().await {
        let (mut world, tree) = (TestFleet::new(), tree());
        fill(&mut world);
        fixture.commit(&mut world.batch()).await;
        for maintained in [false, true] {
            if maintained {
                fixture.store.maintain(world.now).await.unwrap();
                fixture.reopen().await;
            }
            for one in scopes() {
                for other in scopes() {
                    check(&fixture, &world, &tree, &Scopes::from(&one).narrowed_by(&other)).await;
                }
            }
        }
        let mut places: Vec<_> = fixture.store.places().await.unwrap();
        places.sort_by_key(|place| place.number);
        let told = places.iter().map(|place| (place.device.as_str(), &*place.owner, &*place.group));
        assert_eq!(told.collect::<Vec<_>>()[..2], [("in-plant", "", "plant"), ("in-hall", ANN, "hall")]);
    }
}

async fn check(fixture: &Fixture, world: &TestFleet, tree: &GroupTree, scopes: &Scopes) {
    let (store, reach) = (&fixture.store, Reach::of(scopes, tree));
    let is_all = scopes.are_all();
    let within: BTreeSet<DeviceNumber> =
        world.twins.values().filter(|twin| contain(scopes, tree, twin)).map(|twin| twin.number).collect();
    let has = |number: DeviceNumber| is_all || within.contains(&number);

    let query = DeviceQuery { reach: reach.clone(), ..list() };
    let page = store.devices(&query).await.unwrap();
    let found: BTreeSet<_> = page.twins.iter().map(|twin| twin.number).collect();
    assert_eq!((found, page.total), (within.clone(), within.len() as u64), "devices in {scopes:?}");
    let page = store.devices(&DeviceQuery { limit: 1, offset: 1, ..query.clone() }).await.unwrap();
    assert_eq!((page.twins.len(), page.total), ((within.len() > 1).into(), within.len() as u64));
    let numbers: BTreeSet<_> = store.numbers(&query).await.unwrap().into_iter().collect();
    assert_eq!(numbers, within, "numbers in {scopes:?}");

    let page = store.commands(&CommandQuery { reach: reach.clone(), ..commands() }).await.unwrap();
    let found: BTreeSet<_> = page.commands.iter().map(|record| record.number).collect();
    assert_eq!((found, page.total), (within.clone(), within.len() as u64), "commands in {scopes:?}");

    let all = store.alarms(&alarms()).await.unwrap().alarms;
    let page = store.alarms(&AlarmQuery { reach: reach.clone(), ..alarms() }).await.unwrap();
    let expected: Vec<_> = all.into_iter().filter(|alarm| has(alarm.number)).collect();
    assert_eq!((page.total, page.alarms), (expected.len() as u64, expected), "alarms in {scopes:?}");

    for kinds in
        [vec![], vec![EventKind::Telemetry], vec![EventKind::Alarm, EventKind::Command, EventKind::Rule]]
    {
        for newest_first in [false, true] {
            let query = EventQuery { kinds: kinds.clone(), newest_first, ..log() };
            let all = store.events(&query).await.unwrap();
            let expected: Vec<_> = all.into_iter().filter(|event| has(event.event.number)).collect();
            let found = store.events(&EventQuery { reach: reach.clone(), ..query.clone() }).await.unwrap();
            assert_eq!(seqs(&found), seqs(&expected), "events {kinds:?} in {scopes:?}");
            let few = EventQuery { reach: reach.clone(), offset: 1, limit: 2, ..query };
            let found = seqs(&store.events(&few).await.unwrap());
            assert_eq!(found, seqs(&expected).into_iter().skip(1).take(2).collect::<Vec<_>>());
        }
    }

    let page = store.runs(&RunQuery { reach: reach.clone(), ..runs() }).await.unwrap();
    let parts = |n: u128| match n {
        50 => vec!["in-hall", "in-yard"],
        _ => vec![],
    };
    let all = store.runs(&runs()).await.unwrap().runs;
    let expected: Vec<_> = all
        .into_iter()
        .filter(|entry| {
            let mut of: Vec<DeviceNumber> =
                parts(entry.id.0.as_u128()).into_iter().map(|id| world.number(id)).collect();
            of.extend((entry.number != NOBODY).then_some(entry.number));
            is_all || !of.is_empty() && of.into_iter().all(has)
        })
        .collect();
    assert_eq!((page.total, page.runs), (expected.len() as u64, expected.clone()), "runs in {scopes:?}");
    let yard = Some(world.number("in-yard"));
    let of_yard = RunQuery { reach: reach.clone(), device: yard, ..runs() };
    let page = store.runs(&of_yard).await.unwrap();
    let is_of_yard = |entry: &&RunEntry| Some(entry.number) == yard || entry.id == run_id(50);
    let expected: Vec<_> = expected.iter().filter(is_of_yard).map(|entry| entry.id).collect();
    assert_eq!(page.runs.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected, "runs in {scopes:?}");

    let (hall, yard) = (has(world.number("in-hall")), has(world.number("in-yard")));
    let places = store.job_places(&[JOB, SMALL_JOB, NO_JOB], &reach).await.unwrap();
    let expected = [
        (JOB, JobPlace { has_within: hall || yard, has_beyond: !(hall && yard) }),
        (SMALL_JOB, JobPlace { has_within: hall, has_beyond: !hall }),
        (NO_JOB, JobPlace::default()),
    ];
    assert_eq!(places, expected.into(), "{scopes:?}");
    let devices = store.job_devices(&JobDeviceQuery { reach, ..JobDeviceQuery::of(JOB) }).await.unwrap();
    assert_eq!(devices.devices.len(), usize::from(hall) + usize::from(yard) + 1, "{scopes:?}");
}
