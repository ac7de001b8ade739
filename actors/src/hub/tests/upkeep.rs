//! Upkeep of the running hub: it compacts, deletes what is old, forgets delivered messages, and takes no device for
//! silent over a time in which none could be heard.

use super::waiting::{NEW_YEAR, Scene};
use super::*;
use crate::messages::archive::{FindRun, RawHistory};
use crate::messages::journal::Barrier;
use twinhub_domain::fleet::{FirmwareState, FirmwareTask};
use twinhub_domain::run::{RuleId, RunEntry, RunId, RunKind, RunOutcome, TriggerSeen};
use twinhub_domain::series::{Aggregate, HistoryQuery};
use twinhub_domain::{CommandRequest, CommandStatus, DeviceNumber, Object, Status};
use twinhub_mqtt::Intake;
use twinhub_store::{Automation, Batch};
use twinhub_testkit::ManualClock;
use uuid::Uuid;

const HOUR: i64 = 3_600_000;

/// A run that is done.
fn run(at: Timestamp) -> RunEntry {
    RunEntry {
        id: RunId(Uuid::from_u128(1)),
        rule: RuleId::parse("cool").unwrap(),
        device: None,
        number: DeviceNumber(0),
        at,
        ended_at: None,
        kind: RunKind::Trigger,
        trigger: TriggerSeen {
            index: 0,
            kind: "numeric".into(),
            data: Object::default(),
            seq: None,
            cause: None,
        },
        conditions: Vec::new(),
        outcome: RunOutcome::Done,
        actions: Vec::new(),
        targets: Vec::new(),
        parent: None,
        depth: 0,
        count: 1,
        last_at: at,
    }
}

#[actix::test]
async fn order_is_made_and_what_is_old_goes_while_the_hub_runs() {
    let (folder, hours) = (TempDir::new().unwrap(), Duration::from_hours);
    let path = folder.path().join("twinhub.db");
    let options = SqlOptions {
        keep_journal: hours(24),
        keep_readings: Some(hours(48)),
        keep_runs: hours(72),
        ..SqlOptions::default()
    };
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), options).await.unwrap();
    let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let ran = run(clock.now());
    let id = ran.id;
    let automation = Automation { runs: vec![ran], ..Automation::default() };
    store.commit(&Batch { automation, ..Batch::empty(clock.now()) }).await.unwrap();
    let settings = Settings { maintain_every: Duration::from_millis(1), ..Settings::default() };
    let scene = Scene::with(FailingStore::around(store), clock, settings).await;
    scene.say("a", "data", r#"{"t": 1}"#).await;

    let chunks = || {
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.query_row("SELECT count(*) FROM chunks", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    until("order is made", async || chunks() == 1).await;
    let archive = &scene.hub.archive;
    let is_pruned = async || {
        let past = Replay { after: 0, up_to: 1, limit: 1 };
        ask(archive, past).await.unwrap().pruned
    };
    let readings = async || {
        let of_first = HistoryQuery {
            device: DeviceNumber(1),
            from: None,
            to: None,
            sensors: Vec::new(),
            limit: 10,
            newest_first: false,
            interval_ms: 0,
            aggregate: Aggregate::Avg,
        };
        ask(archive, RawHistory(of_first)).await.unwrap().len()
    };
    let has_run = async || ask(archive, FindRun(id)).await.unwrap().is_some();
    assert!(!is_pruned().await && readings().await == 1 && has_run().await);
    scene.clock.advance(25 * HOUR);
    until("the journal is pruned", is_pruned).await;
    assert!(readings().await == 1 && has_run().await);
    scene.clock.advance(24 * HOUR);
    until("the readings are gone", async || readings().await == 0).await;
    assert!(has_run().await);
    scene.clock.advance(24 * HOUR);
    until("the run is gone", async || !has_run().await).await;
}

/// Or it would go out once more after the next start.
#[actix::test]
async fn what_was_delivered_is_forgotten_soon_though_nothing_else_is_committed() {
    let house = House::new().await;
    house.taken("a", r#"{"t": 1}"#).await;
    house.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    house.is_caught_up().await;
    let before = house.store.commits_tried();
    assert!(!house.store.outgoing().await.unwrap().is_empty());
    house.hub.connect(Arc::new(Scripted::default()));
    until("it is forgotten", async || house.store.outgoing().await.unwrap().is_empty()).await;
    assert_eq!(house.store.commits_tried(), before + 1, "one for all that was delivered meanwhile");
}

#[actix::test]
async fn what_was_delivered_is_forgotten_before_the_hub_is_closed() {
    let house = House::new().await;
    house.taken("a", r#"{"t": 1}"#).await;
    house.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    house.is_caught_up().await;
    let before = house.store.commits_tried();
    house.store.block();
    house.hub.connect(Arc::new(Scripted::default()));
    until("it is to be forgotten", async || house.store.commits_tried() > before).await;
    let (reply, mut closed) = oneshot::channel();
    post(&house.hub.journal, Close { reply }).unwrap();
    let (reply, looked) = oneshot::channel();
    post(&house.hub.journal, Barrier { reply }).unwrap();
    within("the journal looks at both", looked).await.unwrap();
    assert!(closed.try_recv().is_err(), "closed, and the store has not heard of it");
    house.store.unblock();
    within("the journal closes", closed).await.unwrap();
    assert!(house.store.outgoing().await.unwrap().is_empty());
}

#[actix::test]
async fn what_was_delivered_just_before_the_close_is_forgotten_with_it() {
    let house = House::new().await;
    house.taken("a", r#"{"t": 1}"#).await;
    house.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    house.is_caught_up().await;
    house.hub.connect(Arc::new(Scripted::default()));
    until("all is delivered", async || get(&house.hub.counters.outbox_waiting) == 0).await;
    assert!(close(&house.hub).await);
    assert!(house.store.outgoing().await.unwrap().is_empty());
}

#[actix::test]
async fn nothing_is_taken_after_the_close() {
    let house = House::new().await;
    house.taken("a", r#"{"t": 1}"#).await;
    assert!(house.hub.close().await);
    let last = get(&house.hub.counters.seq);
    let late = house.change("a", r#"{"desired": {"power": "on"}}"#, None).await;
    assert!(matches!(late, Err(HubError::Unavailable(_))), "{late:?}");
    assert_eq!(house.store.head().await.unwrap().seq, last);
}

impl House {
    /// Waits until automation has nothing more to store.
    async fn is_caught_up(&self) {
        let caught_up = async || {
            let (reply, done) = oneshot::channel();
            post(&self.hub.automation, Flush { reply }).unwrap();
            within("automation keeps what it has", done).await.unwrap();
            let progress = self.store.automation().await.unwrap().progress;
            progress.is_some_and(|progress| progress.seq == get(&self.hub.counters.seq))
        };
        until("automation has nothing more to keep", caught_up).await;
    }

    /// Asks for a command of the device.
    async fn command(&self, device: &str) -> CommandId {
        let command = CommandId(Uuid::now_v7());
        let request = CommandRequest::parse(payload::object(br#"{"command_type": "go"}"#).unwrap()).unwrap();
        let asked = Input::Command { id: command, request: Box::new(request), known: None, is_new: false };
        self.deliver(device, asked, IfUnknown::Refuse).await.unwrap();
        command
    }

    async fn cancel(&self, device: &str, command: CommandId) {
        let cancel = Input::Cancel { id: command, known: None };
        self.deliver(device, cancel, IfUnknown::Refuse).await.unwrap();
    }
}

#[actix::test]
async fn the_link_is_told_of_commands_that_are_over() {
    let house = House::new().await;
    let link = Arc::new(Scripted::default());
    house.hub.connect(link.clone());
    house.taken("a", r#"{"t": 1}"#).await;
    let command = house.command("a").await;
    let id = command.to_string();
    link.until(|published| published.iter().any(|message| message.contains(&id))).await;
    assert!(link.recalled.lock().unwrap().is_empty(), "it is on its way");
    house.cancel("a", command).await;
    until("it is called back", async || *link.recalled.lock().unwrap() == [command]).await;
}

#[actix::test]
async fn a_command_that_is_over_before_it_goes_out_does_not_go_out() {
    let house = House::new().await;
    house.taken("a", r#"{"t": 1}"#).await;
    let first = house.command("a").await;
    house.cancel("a", first).await;
    let second = house.command("a").await;
    let link = Arc::new(Scripted::default());
    house.hub.connect(link.clone());
    let out =
        link.until(|published| published.iter().any(|message| message.contains(&second.to_string()))).await;
    assert!(!out.iter().any(|message| message.contains(&first.to_string())), "{out:?}");
    assert_eq!(get(&house.hub.counters.messages_stale), 1);
}

#[actix::test]
async fn an_update_and_a_command_that_nobody_heard_of_wait_again() {
    let house = House::new().await;
    let link = Arc::new(Scripted::default());
    link.deaf.store(true, Ordering::SeqCst);
    house.hub.connect(link.clone());
    house.taken("a", r#"{"t": 1}"#).await;
    let task = FirmwareTask {
        job: None,
        image: "i".into(),
        version: "2".into(),
        models: Vec::new(),
        url: "http://hub/f".into(),
        sha256: "00".into(),
        size: 9,
        state: FirmwareState::Queued,
        percent: None,
        at: Timestamp::default(),
        furthest: None,
        reason: "".into(),
        timeout_ms: HOUR,
        expires: None,
        down: false,
    };
    house.deliver("a", Input::Update(Box::new(task)), IfUnknown::Refuse).await.unwrap();
    house.command("a").await;
    link.until(|published| published.iter().any(|message| message.contains("http://hub/f"))).await;
    until("both wait", async || {
        let twin = house.hub.read(&id("a")).await.unwrap().unwrap();
        let command = &twin.commands()[0];
        let update = twin.firmware().unwrap();
        (command.status, command.attempts, update.state) == (CommandStatus::Pending, 0, FirmwareState::Queued)
    })
    .await;
}

#[actix::test]
async fn nobody_is_called_silent_for_an_outage_of_the_broker() {
    let is_presence = |recorded: &Recorded| matches!(recorded.event.body, EventBody::Presence { .. });
    let mut scene = Scene::new().await;
    scene.say("a", "data", r#"{"t": 1}"#).await;
    scene.set("a", r#"{"settings": {"heartbeat": "90s"}}"#).await;
    scene.settled("a").await; // its twin has told the timers by then
    scene.clock.advance(80_000);
    Intake::connected(&scene.hub.door);
    scene.clock.advance(89_000);
    assert_eq!(scene.settled("a").await.presence.status, Status::Online, "it can be heard since 89 s");
    scene.pass(2_000, is_presence).await;
    assert_eq!(scene.settled("a").await.presence.status, Status::Offline);
}
