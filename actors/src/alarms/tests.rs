//! Alarms over a real hub and a real database.

use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::counters::get;
use crate::hub::{Hub, Settings};
use crate::ingress::IncomingMessage;
use crate::messages::archive::{FindAlarm, ListAlarms, Replay};
use crate::messages::supervisor::IfUnknown;
use twinhub_access::Reach;
use twinhub_domain::alarm::{AlarmStep, Originator, Severity};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::run::{RuleId, RunId};
use twinhub_domain::{Input, Recorded};
use twinhub_mqtt::receipt;
use twinhub_store::AlarmPage;
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_testkit::{CommitFault, FailingStore, ManualClock, ask, until, within};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;

struct AlarmsFixture {
    hub: Arc<Hub>,
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

/// The answer to a request about an alarm.
async fn became<T>(told: oneshot::Receiver<T>) -> T {
    within("what became of the alarm", told).await.unwrap()
}

impl AlarmsFixture {
    async fn new() -> Self {
        Self::over(TempDir::new().unwrap(), ManualClock::at(Timestamp::from_millis(NEW_YEAR))).await
    }

    async fn over(folder: TempDir, clock: Arc<ManualClock>) -> Self {
        let url = format!("sqlite:{}", folder.path().join("twinhub.db").display());
        let store = FailingStore::around(SqlStore::open(&url, SqlOptions::default()).await.unwrap());
        let hub = Hub::start(store.clone(), clock.clone(), Settings::default()).await.unwrap();
        Self { hub, store, clock, folder }
    }

    /// As after a crash.
    async fn again(self) -> Self {
        self.store.die().await;
        Self::over(self.folder, self.clock).await
    }

    async fn device(&self, name: &str) -> DeviceNumber {
        let (receipt, settled) = receipt::channel();
        let topic = format!("iot/devices/{name}/data").into();
        let message = IncomingMessage {
            topic,
            payload: r#"{"t": 1}"#.into(),
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.ingress.accept(message, receipt, None);
        within("the receipt of a message", settled).await.unwrap().unwrap();
        self.hub.read(&DeviceId::parse(name).unwrap()).await.unwrap().unwrap().number
    }

    fn raise(
        &self,
        of: Originator,
        number: DeviceNumber,
        severity: Severity,
    ) -> oneshot::Receiver<AlarmReply> {
        let (reply, told) = oneshot::channel();
        let raise = Raise {
            of,
            number,
            alarm_type: "hot".into(),
            severity,
            message: format!("it is {}", severity.as_str()),
            rule: Some(cool()),
            cause: by_rule(),
            reply,
        };
        try_send_unbounded(&self.hub.alarms, raise).unwrap();
        told
    }

    fn clear_type(&self, of: Originator) -> oneshot::Receiver<AlarmReply> {
        let (reply, told) = oneshot::channel();
        let clear = ClearType { of, alarm_type: "hot".into(), cause: by_rule(), reply };
        try_send_unbounded(&self.hub.alarms, clear).unwrap();
        told
    }

    fn clear(&self, id: AlarmId) -> oneshot::Receiver<Option<AlarmReply>> {
        let (reply, told) = oneshot::channel();
        try_send_unbounded(
            &self.hub.alarms,
            Clear { id, reach: Reach::default(), cause: Cause::new(Source::Rest, "user:ann"), reply },
        )
        .unwrap();
        told
    }

    fn acknowledge(&self, id: AlarmId, by: &str) -> oneshot::Receiver<Option<AlarmReply>> {
        let (reply, told) = oneshot::channel();
        try_send_unbounded(
            &self.hub.alarms,
            Acknowledge { id, reach: Reach::default(), cause: Cause::new(Source::Rest, by), reply },
        )
        .unwrap();
        told
    }

    async fn stored(&self, id: AlarmId) -> Option<Alarm> {
        ask(&self.hub.archive, FindAlarm(id)).await.unwrap()
    }

    async fn all(&self) -> AlarmPage {
        let query = AlarmQuery { limit: 100, ..AlarmQuery::default() };
        ask(&self.hub.archive, ListAlarms(query)).await.unwrap()
    }

    async fn steps(&self) -> Vec<AlarmStep> {
        let events = self.events().await;
        let step = |recorded: &Arc<Recorded>| match &recorded.event.body {
            EventBody::Alarm(change) => Some(change.step),
            _ => None,
        };
        events.iter().filter_map(step).collect()
    }

    async fn events(&self) -> Vec<Arc<Recorded>> {
        let all = Replay { after: 0, up_to: u64::MAX, limit: usize::MAX };
        ask(&self.hub.archive, all).await.unwrap().events
    }
}

fn cool() -> RuleId {
    RuleId::parse("cool").unwrap()
}

fn by_rule() -> Cause {
    let run = RunCause { id: RunId(Uuid::from_u128(7)), depth: 0, even_in_manual: false };
    Cause { run: Some(Arc::new(run)), ..Cause::new(Source::Rule, "cool") }
}

fn of(device: &str) -> Originator {
    Originator::Device(DeviceId::parse(device).unwrap())
}

fn of_rule() -> Originator {
    Originator::Rule(cool())
}

#[actix::test]
async fn two_who_raise_one_at_once_make_one_of_it() {
    let fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    fixture.store.block();
    let one = fixture.raise(of("pump-1"), pump, Severity::Minor);
    let mut other = fixture.raise(of("pump-1"), pump, Severity::Major);
    // The actor has both, and answers neither before the commit.
    until("the alarm is active", async || get(&fixture.hub.counters.alarms_active) != 0).await;
    assert!(other.try_recv().is_err());
    fixture.store.unblock();
    let (one, other) = (became(one).await, became(other).await);
    let (first, last) = (one.alarm.unwrap(), other.alarm.unwrap());
    assert_eq!((first.id, first.count, last.count), (last.id, 1, 2));
    assert!(one.seq < other.seq);
    assert_eq!((last.severity, &*last.message), (Severity::Major, "it is major"));
    assert_eq!((&last.rule, last.run), (&Some(cool()), Some(RunId(Uuid::from_u128(7)))));
    assert_eq!(last.id.0.get_version_num(), 7);
    assert_eq!(last.id.0.get_timestamp().unwrap().to_unix(), (1_767_225_600, 0));
    assert_eq!(fixture.stored(last.id).await, Some(last.clone()));
    assert_eq!(fixture.steps().await, [AlarmStep::Raised, AlarmStep::Repeated]);
    assert_eq!(get(&fixture.hub.counters.alarms_active), 1);

    let events = fixture.events().await;
    let raised = events.iter().find(|event| Some(event.seq) == one.seq).unwrap();
    let told = raised.json_members();
    assert!(
        told.contains(r#""kind":"alarm","device_id":"pump-1","at":"2026-01-01T00:00:00.000Z""#),
        "{told}"
    );
    assert!(told.contains(r#""data":{"alarm":{"acknowledged":false,"#), "{told}");
    assert!(told.contains(r#""cause":{"source":"rule","by":"cool","run_id":"#), "{told}");
}

#[actix::test]
async fn an_alarm_of_a_rule_is_no_devices() {
    let fixture = AlarmsFixture::new().await;
    let told = became(fixture.raise(of_rule(), DeviceNumber(0), Severity::Major)).await;
    let events = fixture.events().await;
    let event = &events.iter().find(|event| Some(event.seq) == told.seq).unwrap().event;
    assert!(event.device.is_none());
    assert_eq!(event.number, DeviceNumber(0));
}

#[actix::test]
async fn what_is_over_can_still_be_acknowledged_and_once_only() {
    let fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    let id = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap().id;
    fixture.clock.advance(60_000);
    let cleared = became(fixture.clear_type(of("pump-1"))).await;
    let alarm = cleared.alarm.unwrap();
    assert_eq!((alarm.id, alarm.active, &*alarm.cleared_by), (id, false, "rule:cool"));
    assert_eq!(alarm.cleared_at, Some(Timestamp::from_millis(NEW_YEAR + 60_000)));
    assert_eq!(get(&fixture.hub.counters.alarms_active), 0);
    let nothing = became(fixture.clear_type(of("pump-1"))).await;
    assert_eq!((nothing.alarm, nothing.seq), (None, None));

    // It has left memory. Two people see it at once: the first one's word stands.
    let (ann, bob) = (fixture.acknowledge(id, "user:ann"), fixture.acknowledge(id, "user:bob"));
    let (ann, bob) = (became(ann).await.unwrap(), became(bob).await.unwrap());
    assert!(ann.seq.is_some() && bob.seq.is_none());
    assert_eq!(ann.alarm, bob.alarm);
    assert_eq!(&*ann.alarm.clone().unwrap().acknowledged_by, "user:ann");
    assert_eq!(fixture.stored(id).await, ann.alarm);
    let again = became(fixture.clear(id)).await.unwrap();
    assert_eq!((again.alarm, again.seq), (ann.alarm, None));
    assert!(became(fixture.clear(AlarmId(Uuid::nil()))).await.is_none());
    assert!(became(fixture.acknowledge(AlarmId(Uuid::nil()), "user:ann")).await.is_none());
    assert_eq!(fixture.steps().await, [AlarmStep::Raised, AlarmStep::Cleared, AlarmStep::Acknowledged]);

    let next = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap();
    assert_ne!(next.id, id, "what is raised after it was over is another");
    let ids: Vec<_> = fixture.all().await.alarms.iter().map(|alarm| alarm.id).collect();
    assert_eq!(ids, [next.id, id], "the newest first");
}

#[actix::test]
async fn one_that_is_on_its_way_to_the_store_is_as_it_will_be() {
    let fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    let id = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap().id;
    fixture.store.block();
    let cleared = fixture.clear(id);
    let seen = fixture.acknowledge(id, "user:bob");
    let mut again = fixture.clear(id);
    // The actor takes one request after the other, and no look-up waits for a commit.
    assert!(became(fixture.clear(AlarmId(Uuid::nil()))).await.is_none());
    assert!(again.try_recv().is_err(), "it told of a change that may yet be lost");
    fixture.store.unblock();
    assert!(became(cleared).await.unwrap().seq.is_some());
    let seen = became(seen).await.unwrap().alarm.unwrap();
    assert_eq!((seen.active, &*seen.cleared_by, &*seen.acknowledged_by), (false, "user:ann", "user:bob"));
    assert_eq!(became(again).await.unwrap().seq, None);
    assert_eq!(fixture.stored(id).await, Some(seen));
}

#[actix::test]
async fn a_restart_goes_on_counting() {
    let mut fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    let id = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap().id;
    became(fixture.acknowledge(id, "user:ann")).await;
    became(fixture.raise(of_rule(), DeviceNumber(0), Severity::Info)).await;
    fixture = fixture.again().await;
    let again = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap();
    assert_eq!((again.id, again.count, again.acknowledged), (id, 2, true));
    assert_eq!(get(&fixture.hub.counters.alarms_active), 2);
    let worse = became(fixture.raise(of("pump-1"), pump, Severity::Critical)).await.alarm.unwrap();
    assert!(!worse.acknowledged, "it has become worse than what was seen");
}

#[actix::test]
async fn what_comes_before_the_store_answers_waits() {
    let fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    let id = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap().id;
    let hub = &fixture.hub;
    fixture.store.break_reads();
    let (store, clock) =
        (Arc::clone(&fixture.store) as Arc<dyn Store>, Arc::clone(&fixture.clock) as Arc<dyn Clock>);
    let (counters, places) = (Arc::clone(&hub.counters), Arc::clone(&hub.places));
    let late = Alarms::new(store, clock, hub.journal.clone(), counters, places).start();
    let (reply, mut told) = oneshot::channel();
    let cause = Cause::new(Source::Rest, "user:ann");
    try_send_unbounded(&late, Clear { id, reach: Reach::default(), cause, reply }).unwrap();
    let (reply, raised) = oneshot::channel();
    let raise = Raise {
        of: of("pump-1"),
        number: pump,
        alarm_type: "hot".into(),
        severity: Severity::Major,
        message: String::new(),
        rule: None,
        cause: Cause::hub(),
        reply,
    };
    try_send_unbounded(&late, raise).unwrap();
    tokio::task::yield_now().await;
    assert!(told.try_recv().is_err());
    fixture.store.heal();
    assert!(became(told).await.unwrap().seq.is_some());
    assert_ne!(became(raised).await.alarm.unwrap().id, id, "it was known to be over");
}

#[actix::test]
async fn alarms_are_announced_only_once_they_are_stored() {
    for fault in [CommitFault::Failed, CommitFault::UnknownDone, CommitFault::UnknownNotDone] {
        let fixture = AlarmsFixture::new().await;
        let pump = fixture.device("pump-1").await;
        fixture.store.break_commits(fault);
        let mut one = fixture.raise(of("pump-1"), pump, Severity::Major);
        let other = fixture.raise(of("pump-1"), pump, Severity::Major);
        until("the hub knows that its store fails", async || fixture.hub.is_failing()).await;
        assert!(one.try_recv().is_err());
        fixture.store.heal();
        let told = became(other).await.alarm.unwrap();
        assert_eq!((told.count, fixture.all().await.total), (2, 1), "{fault:?}");
        assert_eq!(fixture.steps().await, [AlarmStep::Raised, AlarmStep::Repeated], "{fault:?}");
    }
}

#[actix::test]
async fn alarms_of_a_removed_device_go_with_it() {
    let mut fixture = AlarmsFixture::new().await;
    let pump = fixture.device("pump-1").await;
    let id = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await.alarm.unwrap().id;
    let rules = became(fixture.raise(of_rule(), DeviceNumber(0), Severity::Major)).await.alarm.unwrap().id;
    let device = DeviceId::parse("pump-1").unwrap();
    let cause = Cause::new(Source::Rest, "user:ann");
    fixture.hub.deliver(device, Input::Delete, cause, IfUnknown::Refuse, false).await.unwrap();
    until("the removed device's alarm is gone", async || get(&fixture.hub.counters.alarms_active) <= 1).await;
    assert_eq!(fixture.stored(id).await, None);
    let late = became(fixture.raise(of("pump-1"), pump, Severity::Major)).await;
    assert_eq!((late.alarm, late.seq), (None, None), "a rule that had not heard of it yet");
    let anew = fixture.device("pump-1").await;
    let alarm = became(fixture.raise(of("pump-1"), anew, Severity::Major)).await.alarm.unwrap();
    assert_eq!((alarm.number, alarm.count), (anew, 1));

    // One that was on its way when its device was removed is not active for ever.
    fixture.store.block();
    let device = DeviceId::parse("pump-1").unwrap();
    let cause = Cause::new(Source::Rest, "user:ann");
    let removing = fixture.hub.deliver(device, Input::Delete, cause, IfUnknown::Refuse, false);
    let (raised, removed) = futures_util::join!(fixture.raise(of("pump-1"), anew, Severity::Major), async {
        tokio::task::yield_now().await;
        fixture.store.unblock();
        removing.await
    });
    raised.unwrap();
    removed.unwrap();
    until("the removed device's alarm is gone", async || get(&fixture.hub.counters.alarms_active) <= 1).await;
    fixture = fixture.again().await;
    became(fixture.raise(of_rule(), DeviceNumber(0), Severity::Major)).await;
    assert_eq!(get(&fixture.hub.counters.alarms_active), 1);
    assert_eq!(fixture.stored(rules).await.unwrap().count, 2);
}

/// They are read page by page, a thousand at a time.
#[actix::test]
async fn all_active_alarms_are_known_after_a_start_however_many() {
    let fixture = AlarmsFixture::new().await;
    let of = |n: u32| Originator::Rule(RuleId::parse(&format!("r{n}")).unwrap());
    let raise = |fixture: &AlarmsFixture, n| fixture.raise(of(n), DeviceNumber(0), Severity::Major);
    let raised: Vec<_> = (0..=1_000).map(|n| raise(&fixture, n)).collect();
    for told in raised {
        became(told).await;
    }
    let fixture = fixture.again().await;
    for n in [0, 1, 1_000] {
        let again = became(raise(&fixture, n)).await;
        assert_eq!(again.alarm.unwrap().count, 2, "{n} is raised again, and no second one");
    }
    assert_eq!(get(&fixture.hub.counters.alarms_active), 1_001);
}
