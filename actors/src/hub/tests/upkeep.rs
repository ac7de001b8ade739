//! Upkeep of the running hub: it compacts, deletes what is old, forgets delivered messages, and takes no device for
//! silent over a time in which none could be heard.

use super::waiting::{CommandsFixture, NEW_YEAR};
use super::*;
use crate::messages::archive::{FindRun, RawHistory};
use crate::messages::journal::Barrier;
use twinhub_domain::fleet::{FirmwareState, FirmwareTask};
use twinhub_domain::run::{RuleId, RunEntry, RunId, RunKind, RunOutcome, TriggerSeen};
use twinhub_domain::series::{Aggregate, HistoryQuery};
use twinhub_domain::{CommandRequest, CommandStatus, DeviceNumber, Object, Status};
use twinhub_mqtt::Intake;
use twinhub_store::sql::Keeping;
use twinhub_store::{AutomationChanges, Batch};
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
        keeping: Keeping {
            journal: hours(24),
            readings: Some(hours(48)),
            runs: hours(72),
            ..Keeping::default()
        },
        ..SqlOptions::default()
    };
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), options).await.unwrap();
    let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let ran = run(clock.now());
    let id = ran.id;
    let automation = AutomationChanges { runs: vec![ran], ..AutomationChanges::default() };
    store.commit(&mut Batch { automation, ..Batch::empty(clock.now()) }).await.unwrap();
    let settings = Settings { maintain_every: Duration::from_millis(1), ..Settings::default() };
    let fixture = CommandsFixture::with(FailingStore::around(store), clock, settings).await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;

    let pieces = || {
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.query_row("SELECT count(*) FROM pieces", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    fixture.clock.advance(HOUR / 4);
    until("order is made", async || pieces() == 1).await;
    let archive = &fixture.hub.archive;
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
            min_quality: None,
            limit: 10,
            newest_first: false,
            interval: None,
            aggregate: Aggregate::Avg,
        };
        ask(archive, RawHistory(of_first)).await.unwrap().len()
    };
    let has_run = async || ask(archive, FindRun(id)).await.unwrap().is_some();
    assert!(!is_pruned().await && readings().await == 1 && has_run().await);
    fixture.clock.advance(25 * HOUR);
    until("the journal is pruned", is_pruned).await;
    assert!(readings().await == 1 && has_run().await);
    fixture.clock.advance(24 * HOUR);
    until("the readings are gone", async || readings().await == 0).await;
    assert!(has_run().await);
    fixture.clock.advance(24 * HOUR);
    until("the run is gone", async || !has_run().await).await;
}

/// Or it would go out once more after the next start.
#[actix::test]
async fn what_was_delivered_is_forgotten_soon_though_nothing_else_is_committed() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    fixture.is_caught_up().await;
    let before = fixture.store.commits_tried();
    assert!(!fixture.store.outgoing().await.unwrap().is_empty());
    fixture.hub.connect(Arc::new(Scripted::default()));
    until("it is forgotten", async || fixture.store.outgoing().await.unwrap().is_empty()).await;
    assert_eq!(fixture.store.commits_tried(), before + 1, "one for all that was delivered meanwhile");
}

#[actix::test]
async fn what_was_delivered_is_forgotten_before_the_hub_is_closed() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    fixture.is_caught_up().await;
    let before = fixture.store.commits_tried();
    fixture.store.block();
    fixture.hub.connect(Arc::new(Scripted::default()));
    until("it is to be forgotten", async || fixture.store.commits_tried() > before).await;
    let (reply, mut closed) = oneshot::channel();
    try_send_unbounded(&fixture.hub.journal, CloseJournal { reply }).unwrap();
    let (reply, looked) = oneshot::channel();
    try_send_unbounded(&fixture.hub.journal, Barrier { reply }).unwrap();
    within("the journal looks at both", looked).await.unwrap();
    assert!(closed.try_recv().is_err(), "closed, and the store has not heard of it");
    fixture.store.unblock();
    within("the journal closes", closed).await.unwrap();
    assert!(fixture.store.outgoing().await.unwrap().is_empty());
}

#[actix::test]
async fn what_was_delivered_just_before_the_close_is_forgotten_with_it() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.change("a", r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    fixture.is_caught_up().await;
    fixture.hub.connect(Arc::new(Scripted::default()));
    until("all is delivered", async || get(&fixture.hub.counters.outbox_waiting) == 0).await;
    assert!(close(&fixture.hub).await);
    assert!(fixture.store.outgoing().await.unwrap().is_empty());
}

#[actix::test]
async fn nothing_is_taken_after_the_close() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    assert!(fixture.hub.close().await);
    let last = get(&fixture.hub.counters.seq);
    let late = fixture.change("a", r#"{"desired": {"power": "on"}}"#, None).await;
    assert!(matches!(late, Err(HubError::Unavailable(_))), "{late:?}");
    assert_eq!(fixture.store.head().await.unwrap().seq, last);
}

impl HubFixture {
    /// Waits until automation has nothing more to store.
    async fn is_caught_up(&self) {
        let caught_up = async || {
            let (reply, done) = oneshot::channel();
            try_send_unbounded(&self.hub.automation, Flush { reply }).unwrap();
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
    let fixture = HubFixture::new().await;
    let link = Arc::new(Scripted::default());
    fixture.hub.connect(link.clone());
    fixture.taken("a", r#"{"t": 1}"#).await;
    let command = fixture.command("a").await;
    let id = command.to_string();
    link.until(|published| published.iter().any(|message| message.contains(&id))).await;
    assert!(link.recalled.lock().unwrap().is_empty(), "it is on its way");
    fixture.cancel("a", command).await;
    until("it is called back", async || *link.recalled.lock().unwrap() == [command]).await;
}

#[actix::test]
async fn a_command_that_is_over_before_it_goes_out_does_not_go_out() {
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    let first = fixture.command("a").await;
    fixture.cancel("a", first).await;
    let second = fixture.command("a").await;
    let link = Arc::new(Scripted::default());
    fixture.hub.connect(link.clone());
    let out =
        link.until(|published| published.iter().any(|message| message.contains(&second.to_string()))).await;
    assert!(!out.iter().any(|message| message.contains(&first.to_string())), "{out:?}");
    assert_eq!(get(&fixture.hub.counters.messages_stale), 1);
}

#[actix::test]
async fn updates_and_commands_without_a_listener_wait_again() {
    let fixture = HubFixture::new().await;
    let link = Arc::new(Scripted::default());
    link.deaf.store(true, Ordering::SeqCst);
    fixture.hub.connect(link.clone());
    fixture.taken("a", r#"{"t": 1}"#).await;
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
    fixture.deliver("a", Input::Update(Box::new(task)), IfUnknown::Refuse).await.unwrap();
    fixture.command("a").await;
    link.until(|published| published.iter().any(|message| message.contains("http://hub/f"))).await;
    until("both wait", async || {
        let twin = fixture.hub.read(&id("a")).await.unwrap().unwrap();
        let command = &twin.commands()[0];
        let update = twin.firmware().unwrap();
        (command.status, command.attempts, update.state) == (CommandStatus::Pending, 0, FirmwareState::Queued)
    })
    .await;
}

#[actix::test]
async fn an_outage_of_the_broker_makes_no_device_silent() {
    let is_presence = |recorded: &Recorded| matches!(recorded.event.body, EventBody::Presence { .. });
    let mut fixture = CommandsFixture::new().await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;
    fixture.set("a", r#"{"settings": {"heartbeat": "90s"}}"#).await;
    fixture.settled("a").await; // its twin has told the timers by then
    fixture.clock.advance(80_000);
    Intake::connected(&fixture.hub.ingress);
    fixture.clock.advance(89_000);
    assert_eq!(fixture.settled("a").await.presence.status, Status::Online, "it can be heard since 89 s");
    fixture.pass(2_000, is_presence).await;
    assert_eq!(fixture.settled("a").await.presence.status, Status::Offline);
}
