//! Waits: commands and schedules over time, restarts and jumps of the clock, in virtual time.

use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::messages::archive::{FindCommand, ListCommands};
use crate::messages::feed::WatchCommands;
use twinhub_domain::{
    Command, CommandId, CommandRequest, CommandResult, CommandResultStatus, CommandStatus, EventBody,
    EventKind, Mode, Status,
};
use twinhub_mqtt::receipt;
use twinhub_store::{CommandQuery, MemoryStore};
use twinhub_testkit::ManualClock;

/// 2026-01-01T00:00:00Z, a Thursday.
pub const NEW_YEAR: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;

/// A hub in virtual time, whose devices' way out is written down.
pub struct CommandsFixture {
    pub hub: Arc<Hub>,
    pub store: Arc<FailingStore>,
    pub clock: Arc<ManualClock>,
    pub link: Arc<Scripted>,
    pub events: tokio::sync::broadcast::Receiver<Arc<[Arc<Recorded>]>>,
    pub seen: Vec<Arc<Recorded>>,
}

impl CommandsFixture {
    pub async fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
        Self::over(FailingStore::around(Arc::new(MemoryStore::default())), clock).await
    }

    pub async fn over(store: Arc<FailingStore>, clock: Arc<ManualClock>) -> Self {
        Self::with(store, clock, Settings::default()).await
    }

    pub async fn with(store: Arc<FailingStore>, clock: Arc<ManualClock>, settings: Settings) -> Self {
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        let link = Arc::new(Scripted::default());
        hub.connect(link.clone());
        let events = ask(&hub.feed, SubscribeFeed).await.events;
        Self { hub, store, clock, link, events, seen: Vec::new() }
    }

    /// As after a kill: the old hub is not closed, and nothing that it still does is written.
    pub async fn again(self) -> Self {
        self.down_for(0).await
    }

    /// The same, and the next hub starts `millis` later.
    pub async fn down_for(self, millis: i64) -> Self {
        let (store, clock) = (self.store.cut_off().await, self.clock.apart());
        clock.advance(millis);
        Self::over(store, clock).await
    }

    pub async fn say(&self, device: &str, leaf: &str, payload: &str) {
        let (receipt, settled) = receipt::channel();
        let topic = format!("iot/devices/{device}/{leaf}").into();
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
        within("the receipt of a message", settled).await.unwrap().unwrap();
    }

    pub async fn deliver(&self, device: &str, input: Input) -> Result<Accepted, HubError> {
        let cause = Cause::new(Source::Rest, "user:ann");
        let delivered = self.hub.deliver(id(device), input, cause, IfUnknown::Refuse, true);
        within("the twin's answer", delivered).await
    }

    pub async fn set(&self, device: &str, patch: &str) {
        let patch = payload::object(patch.as_bytes()).unwrap();
        let change = Change { patch };
        self.deliver(device, Input::Change(Box::new(change))).await.unwrap();
    }

    pub async fn ask(&self, device: &str, fields: &str, key: Option<&str>) -> Result<Accepted, HubError> {
        let mut request = CommandRequest::parse(payload::object(fields.as_bytes()).unwrap()).unwrap();
        request.idempotency_key = key.map(Into::into);
        let id = CommandId(Uuid::now_v7());
        self.deliver(device, Input::Command { id, request: Box::new(request), known: None, is_new: false })
            .await
    }

    pub async fn asked(&self, device: &str, fields: &str) -> CommandId {
        self.ask(device, fields, None).await.unwrap().commands[0].id
    }

    pub async fn answer(
        &self,
        device: &str,
        id: CommandId,
        status: CommandResultStatus,
    ) -> Result<Accepted, HubError> {
        let answer = Box::new(CommandResult { status, response: None, reason: None });
        self.deliver(device, Input::CommandResult { id, answer, known: None }).await
    }

    pub async fn command(&self, id: CommandId) -> Command {
        ask(&self.hub.archive, FindCommand(id)).await.unwrap().unwrap().command
    }

    /// Lets time pass, and waits until `enough` of the events from then on.
    pub async fn pass(&mut self, millis: i64, enough: impl FnMut(&Recorded) -> bool) {
        // Events of before are told before this is answered.
        self.events = ask(&self.hub.feed, SubscribeFeed).await.events;
        self.seen.clear();
        self.clock.advance(millis);
        self.tick().await;
        self.until(enough).await;
    }

    pub async fn tick(&self) {
        ask(&self.hub.timers, Tick).await;
    }

    /// The wall clock is set by `by_ms`, ahead or back, and the hub follows.
    pub async fn set_clock(&mut self, by_ms: i64) {
        self.events = ask(&self.hub.feed, SubscribeFeed).await.events;
        self.seen.clear();
        let from = self.clock.now();
        self.clock.set(from.plus_millis(by_ms));
        ask(&self.hub.clock_watch, Tick).await;
        self.until(|recorded| recorded.event.kind() == EventKind::Hub).await;
        until("the clock follows", async || self.clock.now() != from).await;
        self.tick().await;
    }

    /// Waits until `enough` of the events since time last passed; in whatever order.
    pub async fn until(&mut self, mut enough: impl FnMut(&Recorded) -> bool) {
        let Self { events, seen, .. } = self;
        let enough = async {
            while !seen.iter().any(|recorded| enough(recorded)) {
                seen.extend(events.recv().await.unwrap().iter().cloned());
            }
        };
        within("enough has happened", enough).await;
    }

    /// All inputs to the twins before this are done: they answer in order.
    pub async fn settled(&self, device: &str) -> Box<Twin> {
        self.tick().await;
        within("the twin", self.hub.read(&id(device))).await.unwrap().unwrap()
    }
}

fn comes_to(id: CommandId, status: CommandStatus) -> impl FnMut(&Recorded) -> bool {
    move |recorded| {
        let data = recorded.event.data();
        let text = |name: &str| data.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        text("command_id") == id.to_string() && text("status") == status.as_str()
    }
}

fn is_change(name: &'static str) -> impl FnMut(&Recorded) -> bool {
    move |recorded| recorded.event.data().get("change").and_then(Json::as_str) == Some(name)
}

const GO: &str = r#"{"command_type": "go", "timeout": "10s", "max_attempts": 2}"#;

#[actix::test]
async fn an_unanswered_command_goes_out_again_and_ends_as_a_dead_letter() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    let id = fixture.asked("a", GO).await;
    let first = fixture.link.until(|published| published.len() == 1).await;
    assert!(first[0].contains(r#""attempt":1"#) && first[0].contains(&id.to_string()), "{first:?}");
    fixture.pass(10_000, comes_to(id, CommandStatus::Pending)).await;
    fixture.pass(1_000, comes_to(id, CommandStatus::Sent)).await;
    fixture.link.until(|published| published.len() == 2 && published[1].contains(r#""attempt":2"#)).await;
    fixture.pass(10_000, comes_to(id, CommandStatus::Failed)).await;
    assert_eq!(fixture.command(id).await.reason.as_deref(), Some("no answer to 2 attempts"));
    let late = fixture.answer("a", id, CommandResultStatus::Executed).await.unwrap();
    assert_eq!((late.repeated, late.commands[0].status), (false, CommandStatus::Failed));
    assert!(fixture.command(id).await.history.last().unwrap().late);
    assert!(fixture.answer("a", id, CommandResultStatus::Executed).await.unwrap().repeated);
}

/// A crash in every status that is not final: the pending step happens after it.
#[actix::test]
async fn nothing_that_is_not_final_is_forgotten() {
    let mut fixture = CommandsFixture::new().await;
    for device in ["pending", "sent", "delivered", "backing-off"] {
        fixture.say(device, "status", "online").await;
        fixture.set(device, r#"{"settings": {"heartbeat": "never"}}"#).await;
    }
    fixture.say("pending", "status", "offline").await;
    let pending = fixture.asked("pending", r#"{"command_type": "go", "ttl": "1h"}"#).await;
    let backing_off = fixture.asked("backing-off", GO).await;
    fixture.pass(10_000, comes_to(backing_off, CommandStatus::Pending)).await;
    let sent = fixture.asked("sent", GO).await;
    let delivered = fixture.asked("delivered", GO).await;
    fixture.answer("delivered", delivered, CommandResultStatus::Delivered).await.unwrap();

    let mut fixture = fixture.again().await;
    fixture.pass(1_000, comes_to(backing_off, CommandStatus::Sent)).await;
    fixture.pass(10_000, comes_to(sent, CommandStatus::Pending)).await;
    fixture.until(comes_to(delivered, CommandStatus::TimedOut)).await;
    fixture.pass(HOUR, comes_to(pending, CommandStatus::Expired)).await;
    // Commands that came due together were settled together, in whatever order the twins were woken.
    fixture.settled("backing-off").await;
    assert_eq!(fixture.command(backing_off).await.status, CommandStatus::Failed);
}

#[actix::test]
async fn what_waited_in_the_outbox_too_long_does_not_go_out() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    fixture.link.failures.store(u32::MAX, Ordering::SeqCst);
    let id = fixture.asked("a", r#"{"command_type": "go", "timeout": "10s", "max_attempts": 1}"#).await;
    fixture.pass(10_000, comes_to(id, CommandStatus::Failed)).await;
    fixture.link.failures.store(0, Ordering::SeqCst);
    fixture.set("a", r#"{"desired": {"power": "on"}}"#).await;
    let published = fixture.link.until(|published| !published.is_empty()).await;
    assert!(published[0].contains("desired"), "{published:?}");
    assert_eq!(get(&fixture.hub.counters.messages_stale), 1);
}

#[actix::test]
async fn a_key_is_known_when_its_command_has_long_been_done() {
    let fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    let first = fixture.ask("a", GO, Some("k")).await.unwrap().commands[0].id;
    fixture.answer("a", first, CommandResultStatus::Executed).await.unwrap();
    let fixture = fixture.again().await;
    let again = fixture.ask("a", GO, Some("k")).await.unwrap();
    assert_eq!((again.repeated, again.commands[0].id), (true, first));
    let other = fixture.ask("a", r#"{"command_type": "stop"}"#, Some("k")).await;
    assert!(matches!(other, Err(HubError::Refused(Refusal::KeyTaken { .. }))), "{other:?}");
}

#[actix::test]
async fn a_schedule_runs_also_after_a_restart_and_in_the_right_mode() {
    let fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    fixture.set("a", r#"{"settings": {"heartbeat": "never"}}"#).await;
    let entries = r#"{"schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}},
        {"cron": "0 9 * * *", "set": {"power": "off"}}]}"#;
    fixture.set("a", entries).await;
    let mut fixture = fixture.again().await;
    fixture.pass(7 * HOUR, is_change("scheduled")).await;
    let twin = fixture.settled("a").await;
    assert_eq!(twin.desired.get("power").unwrap().value, Json::from("on"));
    let until = Some(Timestamp::from_millis(NEW_YEAR + 10 * HOUR));
    fixture.deliver("a", Input::SetMode { mode: Mode::Manual, until }).await.unwrap();
    fixture.pass(2 * HOUR, is_change("skipped")).await;
    let mut fixture = fixture.again().await;
    fixture.pass(HOUR, is_change("updated")).await;
    let twin = fixture.settled("a").await;
    assert_eq!((twin.control.mode, twin.control.mode_until()), (Mode::Schedule, None));
    assert_eq!(twin.desired.get("power").unwrap().value, Json::from("on"), "nine o'clock was skipped");
}

/// A schedule's command that was missed while the hub was down is due before the broker runs: it has no listener then.
#[actix::test]
async fn what_is_due_before_the_broker_runs_waits_for_who_listens() {
    for (broker_tells, expected) in [(true, CommandStatus::Pending), (false, CommandStatus::Sent)] {
        let mut fixture = CommandsFixture::new().await;
        fixture.say("a", "status", "online").await;
        let daily = r#"{"schedule": [{"cron": "0 0 3 * * *", "command": {"command_type": "rinse"}, "missed": "run_once"}]}"#;
        fixture.set("a", daily).await;
        close(&fixture.hub).await;
        fixture.clock.advance(24 * HOUR);
        let settings = Settings { broker_tells, ..Settings::default() };
        fixture = CommandsFixture::with(fixture.store, fixture.clock, settings).await;
        fixture.tick().await;
        let found = until_found("the schedule's command", async || {
            let query = CommandQuery { limit: 1, ..CommandQuery::default() };
            let page = ask(&fixture.hub.archive, ListCommands(query)).await.unwrap();
            page.commands.into_iter().next().map(|record| record.command)
        })
        .await;
        fixture.settled("a").await;
        assert_eq!(fixture.command(found.id).await.status, expected, "a broker tells: {broker_tells}");
        close(&fixture.hub).await;
    }
}

#[actix::test]
async fn a_silent_device_is_offline_but_not_for_a_restart_or_a_jump_of_the_clock() {
    let is_presence = |recorded: &Recorded| matches!(recorded.event.body, EventBody::Presence { .. });
    let fixture = CommandsFixture::new().await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;
    fixture.set("a", r#"{"settings": {"heartbeat": "90s"}}"#).await;
    let mut fixture = fixture.down_for(24 * HOUR).await;
    assert_eq!(fixture.settled("a").await.presence.status, Status::Online);
    fixture.set_clock(24 * HOUR).await;
    assert_eq!(fixture.settled("a").await.presence.status, Status::Online);
    fixture.clock.advance(89_000);
    assert_eq!(fixture.settled("a").await.presence.status, Status::Online);
    fixture.pass(2_000, is_presence).await;
    assert_eq!(fixture.settled("a").await.presence.status, Status::Offline);
}

/// The store has the time at which it was heard from a clock that was wrong, and the next start is told nothing of that.
#[actix::test]
async fn a_device_that_was_heard_by_a_clock_ahead_is_silent_in_time_after_a_restart() {
    let is_presence = |recorded: &Recorded| matches!(recorded.event.body, EventBody::Presence { .. });
    let mut fixture = CommandsFixture::new().await;
    fixture.set_clock(24 * HOUR).await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;
    fixture.set("a", r#"{"settings": {"heartbeat": "90s"}}"#).await; // its row is written with it
    fixture.set_clock(-24 * HOUR).await;
    fixture.say("b", "data", r#"{"t": 1}"#).await; // the last that is stored is dated by the right time
    let ahead = fixture.settled("a").await.presence.last_seen;
    assert_eq!(ahead, Some(Timestamp::from_millis(NEW_YEAR + 24 * HOUR)));
    let mut fixture = fixture.down_for(60_000).await;
    fixture.pass(90_000, is_presence).await;
    assert_eq!(fixture.settled("a").await.presence.status, Status::Offline);
}

#[actix::test]
async fn what_is_due_in_a_moment_does_not_wait_for_the_next_second() {
    let mut fixture = CommandsFixture::new().await;
    fixture.clock.advance(250);
    fixture.say("a", "status", "online").await;
    let id = fixture.asked("a", GO).await;
    fixture.pass(10_000, comes_to(id, CommandStatus::Pending)).await;
}

/// Also where that was while the hub was down.
#[actix::test]
async fn a_clock_that_is_set_back_stops_no_schedule_and_ends_no_command() {
    for while_down in [false, true] {
        for by in [-2 * HOUR, -24 * HOUR, -400 * 24 * HOUR] {
            let mut fixture = CommandsFixture::new().await;
            fixture.say("a", "status", "online").await;
            fixture.say("a", "data", r#"{"t": 1}"#).await;
            fixture.set("a", r#"{"schedule": [{"cron": "* * * * *", "set": {"power": "on"}}]}"#).await;
            fixture.say("b", "status", "offline").await;
            let id = fixture.asked("b", r#"{"command_type": "go", "ttl": "10m"}"#).await;
            fixture.pass(61_000, is_change("scheduled")).await;
            if while_down {
                fixture = fixture.down_for(by).await;
            } else {
                fixture.set_clock(by).await;
            }
            let now = fixture.clock.now();
            let next = |twin: &Twin| twin.plan().unwrap().next().unwrap();
            // It is told as soon as the hub is up.
            until_found("the schedule goes on from the new time", async || {
                (next(fixture.settled("a").await.as_ref()) <= now.plus_millis(60_000)).then_some(())
            })
            .await;
            fixture.say("a", "data", r#"{"t": 2}"#).await;
            fixture.pass(60_000, is_change("scheduled")).await;
            let twin = fixture.settled("a").await;
            assert_eq!(twin.reported.get("t").unwrap().value.to_string(), "2", "{by} {while_down}");
            assert_eq!(twin.presence.last_seen, Some(now), "{by} {while_down}");
            let left = fixture.command(id).await.expires_at.millis() - now.millis();
            assert!(
                (530_000..545_000).contains(&left),
                "{left} ms are left of ten minutes: {by} {while_down}"
            );
            fixture.pass(left + 1_000, comes_to(id, CommandStatus::Expired)).await;
        }
    }
}

#[actix::test]
async fn a_clock_that_is_set_forward_by_years_ends_nothing_early() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("b", "status", "offline").await;
    let id = fixture.asked("b", r#"{"command_type": "go", "ttl": "10m"}"#).await;
    fixture.set_clock(20_000 * 24 * HOUR).await;
    fixture.settled("b").await;
    assert_eq!(fixture.command(id).await.status, CommandStatus::Pending);
    fixture.pass(601_000, comes_to(id, CommandStatus::Expired)).await;
}

#[actix::test]
async fn a_clock_that_leaps_ahead_deletes_nothing_for_a_day() {
    let store = FailingStore::around(Arc::new(MemoryStore::keeping_journal(Duration::from_hours(7 * 24))));
    let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let settings = Settings { maintain_every: Duration::from_millis(1), ..Settings::default() };
    let mut fixture = CommandsFixture::with(store, clock, settings).await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;
    let is_pruned = async |fixture: &CommandsFixture| {
        let past = Replay { after: 0, up_to: 1, limit: 1 };
        ask(&fixture.hub.archive, past).await.unwrap().pruned
    };
    fixture.set_clock(400 * 24 * HOUR).await;
    for _ in 0..50 {
        assert!(!is_pruned(&fixture).await);
        fixture.say("a", "data", r#"{"t": 2}"#).await; // a commit takes its time
    }
    fixture.clock.advance(24 * HOUR);
    until_found("the journal is pruned", async || (is_pruned(&fixture).await).then_some(())).await;
}

/// An operator who sees a wrong time may well start the hub again before setting it right.
#[actix::test]
async fn a_leap_of_the_clock_is_doubted_by_the_next_start_too() {
    let store = FailingStore::around(Arc::new(MemoryStore::keeping_journal(Duration::from_hours(7 * 24))));
    let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let settings = || Settings { maintain_every: Duration::from_millis(1), ..Settings::default() };
    let mut fixture = CommandsFixture::with(store, clock, settings()).await;
    fixture.say("a", "data", r#"{"t": 1}"#).await;
    fixture.set_clock(40 * 24 * HOUR).await;
    fixture.say("a", "data", r#"{"t": 2}"#).await; // dated by the wrong time
    close(&fixture.hub).await;
    let fixture = CommandsFixture::with(fixture.store, fixture.clock, settings()).await;
    let is_pruned = async |fixture: &CommandsFixture| {
        let past = Replay { after: 0, up_to: 1, limit: 1 };
        ask(&fixture.hub.archive, past).await.unwrap().pruned
    };
    for _ in 0..50 {
        assert!(!is_pruned(&fixture).await);
        fixture.say("a", "data", r#"{"t": 3}"#).await; // a commit takes its time
    }
    fixture.clock.advance(24 * HOUR);
    until_found("the journal is pruned", async || (is_pruned(&fixture).await).then_some(())).await;
}

/// While the store fails, due commands are not forgotten.
#[actix::test]
async fn a_failing_store_delays_what_is_due() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    let id = fixture.asked("a", GO).await;
    fixture.store.break_commits(CommitFault::Failed);
    fixture.clock.advance(10_000);
    fixture.tick().await;
    assert_eq!(fixture.command(id).await.status, CommandStatus::Sent);
    fixture.store.heal();
    fixture.until(comes_to(id, CommandStatus::Pending)).await;
}

#[actix::test]
async fn a_watch_of_one_command_gets_that_one_alone() {
    let fixture = CommandsFixture::new().await;
    fixture.say("a", "status", "online").await;
    let mine = CommandId(Uuid::now_v7());
    let (tell, mut told) = mpsc::unbounded_channel();
    let watch = WatchCommands { device: id("a"), command: Some(mine), tell };
    ask(&fixture.hub.feed, watch).await;
    let other = fixture.asked("a", GO).await;
    fixture.answer("a", other, CommandResultStatus::Executed).await.unwrap();
    let request = Box::new(CommandRequest::new("go", payload::object(b"{}").unwrap()));
    fixture.deliver("a", Input::Command { id: mine, request, known: None, is_new: false }).await.unwrap();
    let first = within("the command's first change", told.recv()).await.unwrap();
    assert!(comes_to(mine, CommandStatus::Pending)(&first), "{first:?}");
}
