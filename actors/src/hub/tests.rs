//! The actors together, over a real database in a folder of the test's own.

mod crowded;
mod deadly_clock;
mod dialects;
mod groups;
mod jobs;
mod rules;
mod upkeep;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::ingress::{IncomingMessage, UnknownDevicePolicy};
use crate::messages::archive::Replay;
use crate::messages::automation::Flush;
use crate::messages::feed::SubscribeFeed;
use crate::messages::journal::CloseJournal;
use crate::messages::timers::Tick;
use crate::testkit::close;
use deadly_clock::DeadlyClock;
use twinhub_domain::Outgoing;
use twinhub_domain::cause::Source;
use twinhub_domain::event::ChangeKind;
use twinhub_domain::receipt::InputOutcome;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::{
    CommandId, CommandResult, EventBody, Json, Recorded, Refusal, Timestamp, Twin, TwinChange, payload,
};
use twinhub_mqtt::receipt;
use twinhub_mqtt::{LinkError, LinkState, Published};
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_testkit::{CommitFault, FailingStore, ask, until, until_found, within};

/// A way out that records publishes, and fails on demand.
#[derive(Default)]
struct Scripted {
    published: Mutex<Vec<String>>,
    failures: AtomicU32,
    changed: Notify,
    recalled: Mutex<Vec<CommandId>>,
    /// No client subscribes there.
    deaf: AtomicBool,
}

#[async_trait]
impl Link for Scripted {
    async fn publish(&self, message: &Outgoing, _: Option<Duration>) -> Result<Published, LinkError> {
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            return Err(LinkError("the test says so".into()));
        }
        self.published.lock().unwrap().push(String::from_utf8(message.payload.to_vec()).unwrap());
        self.changed.notify_waiters();
        Ok(if self.deaf.load(Ordering::SeqCst) { Published::Unheard } else { Published::Taken })
    }

    fn recall(&self, command: CommandId) {
        self.recalled.lock().unwrap().push(command);
    }

    fn state(&self) -> LinkState {
        LinkState::default()
    }

    async fn stop_intake(&self) {}

    async fn close(&self) {}
}

impl Scripted {
    async fn until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let enough = async {
            loop {
                let changed = self.changed.notified();
                let published = self.published.lock().unwrap().clone();
                if enough(&published) {
                    return published;
                }
                changed.await;
            }
        };
        within("enough is published", enough).await
    }
}

/// A hub with all parts that a test wants to touch.
struct HubFixture {
    hub: Arc<Hub>,
    store: Arc<FailingStore>,
    clock: Arc<DeadlyClock>,
    folder: TempDir,
}

impl HubFixture {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        Self::over(TempDir::new().unwrap(), settings).await
    }

    async fn over(folder: TempDir, settings: Settings) -> Self {
        // Twins have a thread of their own, so that the clock may kill them and not the journal.
        let settings = Settings { arbiters: settings.arbiters.max(1), ..settings };
        let url = format!("sqlite:{}", folder.path().join("twinhub.db").display());
        let store = FailingStore::around(SqlStore::open(&url, SqlOptions::default()).await.unwrap());
        let clock = Arc::new(DeadlyClock::default());
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        clock.spare_timers(&hub).await;
        Self { hub, store, clock, folder }
    }

    /// As after a crash: everything uncommitted is gone.
    async fn again(self) -> Self {
        self.store.die().await;
        Self::over(self.folder, self.hub.settings.clone()).await
    }

    fn arrive(&self, device: &str, payload: &str) -> Receiver<InputOutcome> {
        let (receipt, settled) = receipt::channel();
        let topic = format!("iot/devices/{device}/data").into();
        let payload = payload.to_owned().into();
        let message = IncomingMessage {
            topic,
            payload,
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.ingress.accept(message, receipt, None);
        settled
    }

    async fn taken(&self, device: &str, payload: &str) -> Accepted {
        within("the receipt of a message", self.arrive(device, payload)).await.unwrap().unwrap()
    }

    async fn change(&self, device: &str, patch: &str, if_version: Option<u64>) -> Result<Accepted, HubError> {
        let patch = payload::object(patch.as_bytes()).unwrap();
        let input = Input::Change(Box::new(Change { patch }));
        self.deliver_to(if_version, device, input, IfUnknown::Refuse).await
    }

    async fn deliver(&self, device: &str, input: Input, if_unknown: IfUnknown) -> Result<Accepted, HubError> {
        self.deliver_to(None, device, input, if_unknown).await
    }

    async fn deliver_to(
        &self,
        if_version: Option<u64>,
        device: &str,
        input: Input,
        if_unknown: IfUnknown,
    ) -> Result<Accepted, HubError> {
        let (cause, if_version) = (Cause::new(Source::Rest, "user:ann"), if_version.map(Into::into));
        let delivered = self.hub.deliver_to(if_version, id(device), input, cause, if_unknown, true);
        within("the twin's answer", delivered).await
    }

    async fn value(&self, device: &str, name: &str) -> Json {
        let twin =
            within("the twin", self.hub.read(&id(device))).await.unwrap().expect("there is such a twin");
        twin.reported.get(name).map(|property| property.value.clone()).unwrap_or_default()
    }

    async fn events(&self) -> Vec<Arc<Recorded>> {
        let all = Replay { after: 0, up_to: u64::MAX, limit: usize::MAX };
        ask(&self.hub.archive, all).await.unwrap().events
    }
}

fn id(device: &str) -> DeviceId {
    DeviceId::parse(device).unwrap()
}

#[actix::test]
async fn a_receipt_is_settled_after_the_commit_and_not_before() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.store.block();
    let mut settled = fixture.arrive("a", r#"{"t": 2}"#);
    // The lone commit is blocked: what comes now waits behind it, so this read shows nothing newer.
    let device = id("a");
    let reading = fixture.hub.read(&device);
    tokio::pin!(reading);
    assert!(futures_util::poll!(reading.as_mut()).is_pending());
    assert!(settled.try_recv().is_err());
    fixture.store.unblock();
    assert!(within("the receipt", settled).await.unwrap().unwrap().seq.is_some());
    within("the read", reading).await.unwrap();
    assert_eq!(fixture.value("a", "t").await, Json::from(2));
}

#[actix::test]
async fn while_the_store_fails_nothing_is_acknowledged_and_afterwards_all_is_there() {
    for fault in [CommitFault::Failed, CommitFault::UnknownDone, CommitFault::UnknownNotDone] {
        let fixture =
            HubFixture::with(Settings { patience: Duration::from_millis(300), ..Settings::default() }).await;
        fixture.taken("a", r#"{"t": 1}"#).await;
        fixture.store.break_commits(fault);
        let mut waiting = fixture.arrive("a", r#"{"t": 2}"#);
        let refused = fixture.change("a", r#"{"name": "A"}"#, None).await;
        assert!(matches!(refused, Err(HubError::Unavailable(_))), "{fault:?}: {refused:?}");
        assert!(fixture.hub.is_failing());
        assert!(waiting.try_recv().is_err());
        fixture.store.heal();
        within("the receipt", waiting).await.unwrap().unwrap();
        fixture.taken("b", r#"{"t": 3}"#).await;
        assert!(!fixture.hub.is_failing());
        let seqs: Vec<u64> = fixture.events().await.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{fault:?}: each once, without a gap");
        assert_eq!(fixture.value("a", "t").await, Json::from(2));
    }
}

#[actix::test]
async fn a_twin_that_dies_comes_back_from_the_store_and_the_others_notice_nothing() {
    let fixture = HubFixture::new().await;
    for device in ["a", "b"] {
        fixture.taken(device, r#"{"t": 1}"#).await;
    }
    fixture.clock.kill_next(1);
    let tried_again = fixture.taken("a", r#"{"t": 2}"#).await;
    assert!(tried_again.seq.is_some());
    assert_eq!(get(&fixture.hub.counters.twins_restarted), 1);
    assert_eq!(fixture.value("a", "t").await, Json::from(2));
    fixture.taken("b", r#"{"t": 2}"#).await;
    fixture.clock.kill_next(1);
    let changed = fixture.change("b", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    assert_eq!(changed.twin.unwrap().desired.get("power").unwrap().value, Json::from("on"));
    assert_eq!(fixture.hub.rejections.by_reason(), HashMap::new().into_iter().collect());
}

#[actix::test]
async fn a_message_that_its_twin_always_dies_of_is_put_aside() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.clock.kill_next(4);
    let put_aside = fixture.taken("a", r#"{"t": 2}"#).await;
    assert_eq!(put_aside.seq, None, "acknowledged, so that it does not come again");
    assert_eq!(fixture.hub.rejections.by_reason().into_iter().collect::<Vec<_>>(), [("poison", 1)]);
    fixture.taken("a", r#"{"t": 3}"#).await;
    assert_eq!(fixture.value("a", "t").await, Json::from(3));
}

#[actix::test]
async fn an_idle_twin_is_put_away_and_comes_back_with_nothing_lost() {
    let idle = Settings { idle_after: Some(Duration::ZERO), idle_above: 0, ..Settings::default() };
    let fixture = HubFixture::with(idle).await;
    for round in 1..=20 {
        for device in ["a", "b", "c"] {
            fixture.taken(device, &format!(r#"{{"t": {round}, "n{round}": true}}"#)).await;
        }
        if round == 10 {
            let counters = Arc::clone(&fixture.hub.counters);
            until("all three twins are put away", async || {
                !(get(&counters.twins_put_away) < 3 || get(&counters.twins) > 0)
            })
            .await;
        }
    }
    let twin = fixture.hub.read(&id("b")).await.unwrap().unwrap();
    assert_eq!((twin.intake.messages, twin.reported.len()), (20, 21));
}

#[actix::test]
async fn repeats_are_stored_once_also_across_a_restart() {
    let mut fixture = HubFixture::new().await;
    let old = r#"{"t": 1, "timestamp": 1767268800}"#;
    fixture.taken("a", old).await;
    for second in 1..=40 {
        fixture.taken("a", &format!(r#"{{"t": {second}, "timestamp": {}}}"#, 1_767_268_800 + second)).await;
    }
    for restarted in [false, true] {
        assert!(fixture.taken("a", old).await.repeated, "restarted: {restarted}");
        let late = fixture.taken("a", &format!(r#"{{"u": {restarted}, "timestamp": 1767268800}}"#)).await;
        assert!(!late.repeated, "another message of the same time is another message");
        fixture = fixture.again().await;
    }
    let telemetry =
        fixture.events().await.iter().filter(|event| event.event.kind().as_str() == "telemetry").count();
    assert_eq!(telemetry, 43);
}

#[actix::test]
async fn the_feed_has_every_event_once_and_in_order() {
    let fixture = HubFixture::new().await;
    let mut live = ask(&fixture.hub.feed, SubscribeFeed).await;
    let waiting: Vec<_> =
        (0..500).map(|n| fixture.arrive(&format!("d{}", n % 7), &format!(r#"{{"n": {n}}}"#))).collect();
    for settled in waiting {
        within("the receipt", settled).await.unwrap().unwrap();
    }
    let stored = fixture.events().await;
    let mut heard = Vec::new();
    while heard.len() < stored.len() {
        let batch = within("the next events of the feed", live.events.recv()).await.unwrap();
        heard.extend(batch.iter().cloned());
    }
    assert_eq!(live.seq, 0);
    for (heard, stored) in heard.iter().zip(&stored) {
        assert_eq!((heard.seq, &heard.event), (stored.seq, &stored.event));
    }
    // Each device's readings in the order in which they arrived.
    let mut last: HashMap<DeviceId, f64> = HashMap::new();
    for event in &stored {
        if let Some(n) = event.event.data().get("n").and_then(Json::as_f64) {
            let before = last.insert(event.event.device.clone(), n);
            assert!(before.is_none_or(|before| before < n));
        }
    }
}

#[actix::test]
async fn of_two_writers_with_one_version_one_is_told_that_it_missed() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    let version = fixture.hub.read(&id("a")).await.unwrap().unwrap().version;
    let (one, other) = futures_util::join!(
        fixture.change("a", r#"{"name": "One"}"#, Some(version)),
        fixture.change("a", r#"{"name": "Other"}"#, Some(version)),
    );
    let missed = [one, other].into_iter().filter(Result::is_err).count();
    assert_eq!(missed, 1);
}

#[actix::test]
async fn a_removed_device_is_gone_and_its_id_begins_anew() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    let number = fixture.hub.read(&id("a")).await.unwrap().unwrap().number;
    fixture.deliver("a", Input::Delete, IfUnknown::Refuse).await.unwrap();
    assert!(fixture.hub.read(&id("a")).await.unwrap().is_none());
    let unknown = fixture.change("a", r#"{"name": "A"}"#, None).await;
    assert!(matches!(unknown, Err(HubError::Refused(Refusal::Unknown(_)))), "{unknown:?}");
    let registration = Registration { patch: payload::object(br#"{"name": "A"}"#).unwrap() };
    let register = Input::Register(Box::new(registration));
    let begun = fixture.deliver("a", register, IfUnknown::Begin).await.unwrap().twin.unwrap();
    assert!(begun.number > number && begun.reported.is_empty(), "{begun:?}");
    assert_eq!(get(&fixture.hub.counters.twins_restarted), 0);
}

/// A message older than the twin's memory of repeats is looked up in the store. A look-up that fails is repeated.
#[actix::test]
async fn a_store_that_cannot_answer_costs_no_message() {
    let fixture = HubFixture::new().await;
    for second in 100..120 {
        fixture.taken("a", &format!(r#"{{"t": {second}, "timestamp": {}}}"#, 1_767_225_600 + second)).await;
    }
    fixture.store.break_reads();
    let mut late = fixture.arrive("a", r#"{"t": 1, "timestamp": 1767225601}"#);
    let mut repeated = fixture.arrive("a", r#"{"t": 100, "timestamp": 1767225700}"#);
    fixture.taken("a", r#"{"t": 120, "timestamp": 1767225720}"#).await;
    assert!(late.try_recv().is_err() && repeated.try_recv().is_err());
    fixture.store.heal();
    assert!(!within("the receipt", late).await.unwrap().unwrap().repeated);
    assert!(within("the receipt", repeated).await.unwrap().unwrap().repeated);
    assert_eq!(fixture.hub.rejections.by_reason(), HashMap::new().into_iter().collect());
}

#[actix::test]
async fn unknown_devices_can_be_refused() {
    let refuse = Settings { unknown_devices: UnknownDevicePolicy::Reject, ..Settings::default() };
    let fixture = HubFixture::with(refuse).await;
    assert_eq!(fixture.taken("a", r#"{"t": 1}"#).await.seq, None);
    assert_eq!(fixture.hub.rejections.by_reason().into_iter().collect::<Vec<_>>(), [("refused", 1)]);
    assert!(fixture.hub.read(&id("a")).await.unwrap().is_none());
}

/// A device that answers a command that never was has not appeared by it: its first event is its appearance.
#[actix::test]
async fn a_device_whose_first_word_is_refused_appears_with_the_next() {
    let fixture = HubFixture::new().await;
    let nothing = CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    let answer = CommandResult::read(br#"{"status": "executed"}"#).unwrap();
    let input = Input::CommandResult { id: nothing, answer: Box::new(answer), known: None };
    let refused = fixture.deliver("a", input, IfUnknown::Appear).await;
    assert!(matches!(refused, Err(HubError::Refused(Refusal::NoCommand(_)))), "{refused:?}");
    assert!(fixture.hub.read(&id("a")).await.unwrap().is_none());
    fixture.taken("a", r#"{"t": 1}"#).await;
    let first = fixture.events().await.into_iter().next().unwrap();
    let appeared = TwinChange::empty(ChangeKind::Registered);
    assert_eq!((first.seq, &first.event.body), (1, &EventBody::Twin(appeared)));
}

#[actix::test]
async fn what_is_to_be_published_survives_failures_and_a_restart_and_keeps_its_order() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    for level in 1..=5 {
        fixture.change("a", &format!(r#"{{"desired": {{"level": {level}}}}}"#), None).await.unwrap();
    }
    // Nothing could go out yet. After a restart it does, though the first tries fail.
    let fixture = fixture.again().await;
    let link = Arc::new(Scripted::default());
    link.failures.store(3, Ordering::SeqCst);
    fixture.hub.connect(link.clone());
    let told = |message: &String, level: u32| message.contains(&format!(r#""desired":{{"level":{level}}}"#));
    let all_and_the_last_last = |published: &[String]| {
        published.last().is_some_and(|last| told(last, 5))
            && (1..=5).all(|level| published.iter().any(|message| told(message, level)))
    };
    link.until(all_and_the_last_last).await;
    // Delivered, and so forgotten with the next commit: another start publishes nothing of it.
    fixture.taken("a", r#"{"t": 2}"#).await;
    until_found("what was delivered is forgotten", async || {
        (fixture.store.outgoing().await.unwrap().is_empty()).then_some(())
    })
    .await;
}

#[actix::test]
async fn closing_commits_what_was_taken_in() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.store.block();
    let waiting: Vec<_> = (2..50).map(|n| fixture.arrive("a", &format!(r#"{{"t": {n}}}"#))).collect();
    // A read goes through the twin's mailbox, so once it waits the journal has been told of all.
    let hub = Arc::clone(&fixture.hub);
    let read = actix::spawn(async move { hub.read(&id("a")).await });
    until("the journal has been told of all", async || {
        !(get(&fixture.hub.counters.inputs_in_flight) < 48 || fixture.store.commits_tried() < 2)
    })
    .await;
    fixture.store.unblock();
    within("the answer to a read", read).await.unwrap().unwrap();
    assert!(close(&fixture.hub).await);
    for settled in waiting {
        within("the receipt", settled).await.unwrap().unwrap();
    }
    let after = fixture.arrive("a", r#"{"t": 99}"#);
    let fixture = fixture.again().await;
    assert_eq!(fixture.value("a", "t").await, Json::from(49));
    drop(after);
}
