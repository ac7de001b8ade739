//! Rules over the whole hub in virtual time: their effects, over restarts, crashes, reloads and a store that fails; and
//! a backtest that finds the runs.

use proptest::prelude::*;
use tempfile::TempDir;

use super::waiting::{CommandsFixture, NEW_YEAR};
use super::*;
use crate::automation::idle_check::CheckIdle;
use crate::messages::archive::{FindPastEvents, ListAlarms, ListCommands, ListRuns};
use crate::messages::automation::{PutRule, ReadRules, RuleCaller, RuleExistence, RuleRefusal, RulesRead};
use crate::messages::journal::Barrier;
use twinhub_domain::run::{AutomationSignal, RunEntry, RunOutcome};
use twinhub_domain::{EventBody, EventKind};
use twinhub_mqtt::receipt;
use twinhub_rules::Engine;
use twinhub_rules::backtest::Backtest;
use twinhub_rules::file::parse_rule;
use twinhub_store::{AlarmQuery, CommandQuery, RunQuery};

const MINUTE: i64 = 60_000;

impl CommandsFixture {
    async fn rule(&self, body: &str) {
        self.try_rule(body).await.unwrap();
    }

    async fn try_rule(&self, body: &str) -> Result<(), RuleRefusal> {
        let (reply, stood) = oneshot::channel();
        let body = payload::object(body.as_bytes()).unwrap();
        let expect = if self.stands(body.get("id").and_then(Json::as_str).unwrap()).await {
            RuleExistence::There
        } else {
            RuleExistence::New
        };
        let cause = Cause::new(Source::Rest, "user:ann");
        try_send_unbounded(
            &self.hub.automation,
            PutRule { body, by: RuleCaller::default(), expect, if_tag: None, cause, reply },
        )
        .ok()
        .unwrap();
        within("what became of a rule's change", stood).await.unwrap().map(drop)
    }

    async fn rules(&self) -> RulesRead {
        let (reply, read) = oneshot::channel();
        try_send_unbounded(&self.hub.automation, ReadRules { by: RuleCaller::default(), reply })
            .ok()
            .unwrap();
        within("the rules", read).await.unwrap()
    }

    async fn stands(&self, id: &str) -> bool {
        self.rules().await.rules.iter().any(|stands| stands.rule.id.as_str() == id)
    }

    /// Waits for the first event of a run that `fits`, from here on.
    async fn ran(&mut self, fits: impl Fn(&RunEntry) -> bool) -> RunEntry {
        let mut found = None;
        self.until(|recorded| match &recorded.event.body {
            EventBody::Rule(entry) if fits(entry) => {
                found = Some((**entry).clone());
                true
            }
            _ => false,
        })
        .await;
        found.unwrap()
    }

    async fn runs(&self) -> Vec<RunEntry> {
        let query = RunQuery { limit: 1_000, ..RunQuery::default() };
        ask(&self.hub.archive, ListRuns(query)).await.unwrap().runs
    }

    async fn commands(&self) -> Vec<String> {
        let query = CommandQuery { limit: 1_000, ..CommandQuery::default() };
        let page = ask(&self.hub.archive, ListCommands(query)).await.unwrap();
        page.commands.iter().map(|record| record.command.request.command_type.to_string()).collect()
    }

    /// Waits until every consequence of the events and of the time is done and stored.
    async fn settle(&self) {
        self.tick().await;
        let mut quiet = 0;
        until_found("the rules have done all that follows", async || {
            let (reply, committed) = oneshot::channel();
            try_send_unbounded(&self.hub.journal, Barrier { reply }).ok().unwrap();
            within("the commit", committed).await.unwrap();
            let (reply, is_idle) = oneshot::channel();
            try_send_unbounded(&self.hub.automation, CheckIdle { reply }).ok().unwrap();
            // The engine's acts may bring about more: quiet several times in a row.
            quiet = if within("what the rules say", is_idle).await.unwrap() { quiet + 1 } else { 0 };
            (quiet == 3).then_some(())
        })
        .await;
    }
}

fn is_done(entry: &RunEntry) -> bool {
    entry.outcome == RunOutcome::Done
}

const COOL: &str = r#"{"id": "cool",
    "triggers": [{"numeric": "greenhouse.temperature", "above": 28, "release": 26}],
    "actions": [{"command": "fan", "type": "set", "parameters": {"speed": 80}}],
    "on_release": [{"desired": "fan", "set": {"power": "off"}}]}"#;

fn cool_after_five_minutes(across: &str) -> String {
    format!(
        r#"{{"id": "cool", "triggers": [{{"numeric": "greenhouse.temperature", "above": 28, "for": "5m",
            "across_downtime": "{across}"}}], "actions": [{{"command": "fan", "type": "set"}}]}}"#
    )
}

#[actix_rt::test]
async fn a_reading_becomes_a_command_and_says_why() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("fan", "status", "online").await;
    fixture.rule(COOL).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 27}"#).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
    let run = fixture.ran(is_done).await;
    assert_eq!(run.device, Some(id("greenhouse")));
    assert_eq!(run.trigger.data.get("value"), Some(&Json::from(29)));
    assert_eq!(&*run.actions[0].result, "ok");
    fixture.link.until(|said| said.iter().any(|text| text.contains("\"speed\":80"))).await;

    // The command knows the run, the journal knows the command.
    let record = fixture.hub.archive.send(ListCommands(CommandQuery { limit: 1, ..CommandQuery::default() }));
    let command = within("the command", record).await.unwrap().unwrap().commands.remove(0).command;
    assert_eq!(run.actions[0].made.as_deref(), Some(command.id.to_string().as_str()));
    let asked = fixture.seen.iter().find(|recorded| recorded.event.kind() == EventKind::Command).unwrap();
    assert_eq!(asked.event.cause.run.as_ref().map(|run| run.id), Some(run.id));
    assert_eq!(fixture.runs().await.len(), 1);

    // Not again before it is released; and then what it did is undone.
    fixture.say("greenhouse", "data", r#"{"temperature": 30}"#).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 25}"#).await;
    fixture.link.until(|said| said.iter().any(|text| text.contains("\"power\":\"off\""))).await;
    assert_eq!(fixture.commands().await, ["set"]);
}

#[actix_rt::test]
async fn for_five_minutes_over_a_crash_at_minute_three() {
    for (across, fires_after) in [("hold", MINUTE), ("restart", 5 * MINUTE)] {
        let fixture = CommandsFixture::new().await;
        fixture.rule(&cool_after_five_minutes(across)).await;
        fixture.say("fan", "data", r#"{"speed": 0}"#).await;
        fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
        fixture.settle().await;
        fixture.clock.advance(3 * MINUTE);
        // Down for a minute: at minute four it is back.
        let mut fixture = fixture.down_for(MINUTE).await;
        fixture.settle().await;
        fixture.clock.advance(fires_after - 1_000);
        fixture.settle().await;
        assert_eq!(fixture.commands().await, [""; 0], "{across}: too early");
        fixture.pass(1_000, |recorded| recorded.event.kind() == EventKind::Command).await;
        assert_eq!(fixture.commands().await, ["set"], "{across}");
    }
}

#[actix_rt::test]
async fn a_crash_before_anything_was_kept_does_nothing_twice() {
    let fixture = CommandsFixture::new().await;
    fixture.say("fan", "status", "online").await;
    fixture.rule(COOL).await;
    fixture.settle().await;
    fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
    fixture.link.until(|said| said.iter().any(|text| text.contains("\"speed\":80"))).await;
    // The command is durable, and what the engine remembers of it may not be.
    let fixture = fixture.again().await;
    fixture.say("greenhouse", "data", r#"{"temperature": 30}"#).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 25}"#).await;
    fixture.link.until(|said| said.iter().any(|text| text.contains("\"power\":\"off\""))).await;
    assert_eq!(fixture.commands().await, ["set"]);
    fixture.settle().await;
    let began = fixture.runs().await.into_iter().filter(|run| run.trigger.seq.is_some());
    let mut ids: Vec<_> = began.map(|run| run.id).collect();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "no run is written down twice");
}

#[actix_rt::test]
async fn a_store_that_fails_loses_no_run() {
    let mut fixture = CommandsFixture::new().await;
    fixture.rule(COOL).await;
    fixture.say("fan", "status", "online").await;
    fixture.settle().await;
    fixture.store.fail_next(5, CommitFault::UnknownDone);
    fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
    fixture.ran(is_done).await;
    assert_eq!(fixture.commands().await, ["set"]);
}

#[actix_rt::test]
async fn manual_mode_and_what_goes_through_it() {
    let mut fixture = CommandsFixture::new().await;
    fixture.say("fan", "data", r#"{"speed": 0}"#).await;
    fixture.deliver("fan", Input::SetMode { mode: twinhub_domain::Mode::Manual, until: None }).await.unwrap();
    fixture.rule(COOL).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
    let run = fixture.ran(|entry| entry.outcome.is_final()).await;
    assert!(matches!(run.outcome, RunOutcome::Failed { .. }), "{run:?}");
    assert_eq!(&*run.actions[0].result, "manual_mode");
    assert_eq!(fixture.commands().await, [""; 0]);

    fixture.rule(&COOL.replacen("{\"id\"", "{\"even_in_manual\": true, \"id\"", 1)).await;
    fixture.seen.clear();
    fixture.say("greenhouse", "data", r#"{"temperature": 25}"#).await;
    fixture.say("greenhouse", "data", r#"{"temperature": 29}"#).await;
    fixture.ran(is_done).await;
    assert_eq!(fixture.commands().await, ["set"]);
}

#[actix_rt::test]
async fn rules_in_a_circle_are_stopped_and_the_rest_goes_on() {
    let mut fixture = CommandsFixture::new().await;
    for device in ["a", "b", "c"] {
        fixture.say(device, "data", r#"{"n": 0}"#).await;
    }
    for (one, other) in [("a", "b"), ("b", "a")] {
        fixture
            .rule(&format!(
                r#"{{"id": "{one}-to-{other}", "triggers": [{{"changed": "{one}.desired.n"}}],
                    "actions": [{{"desired": "{other}", "set": {{"n": "{{{{ trigger.value + 1 }}}}"}}}}]}}"#
            ))
            .await;
    }
    fixture
        .rule(r#"{"id": "fine", "triggers": [{"numeric": "c.n", "above": 5}], "actions": [{"log": "fine"}]}"#)
        .await;
    assert!(fixture.rules().await.warnings.iter().any(|warning| warning.code == "circle"));
    fixture.set("a", r#"{"desired": {"n": 1}}"#).await;
    let alarm = |recorded: &Recorded| matches!(&recorded.event.body, EventBody::Alarm(_));
    fixture.until(alarm).await;
    let query = AlarmQuery { active: Some(true), limit: 10, ..AlarmQuery::default() };
    let alarms = ask(&fixture.hub.archive, ListAlarms(query)).await.unwrap().alarms;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(&*alarms[0].alarm_type, "rule-stopped");
    let stopped = fixture.rules().await.rules.iter().filter(|stands| stands.stopped.is_some()).count();
    assert_eq!(stopped, 1);
    fixture.seen.clear();
    fixture.say("c", "data", r#"{"n": 9}"#).await;
    fixture.ran(|entry| entry.rule.as_str() == "fine" && is_done(entry)).await;
}

#[actix_rt::test]
async fn topics_of_others_set_rules_off_and_kept_messages_do_not() {
    let mut fixture = CommandsFixture::new().await;
    fixture
        .rule(r#"{"id": "bell", "triggers": [{"mqtt": "house/+/bell"}], "actions": [{"log": "{{ trigger.topic }}"}]}"#)
        .await;
    let say = |retained| {
        let (receipt, settled) = receipt::channel();
        let (topic, payload) = ("house/front/bell".into(), r#"{"n": 1}"#.into());
        let (for_twins, for_rules) = (true, true);
        let message =
            IncomingMessage { topic, payload, fire_and_forget: false, retained, for_twins, for_rules };
        fixture.hub.ingress.accept(message, receipt, None);
        settled
    };
    assert_eq!(say(true).await.unwrap().unwrap().seq, None);
    assert!(say(false).await.unwrap().unwrap().seq.is_some(), "acknowledged once it is durable");
    let run = fixture.ran(is_done).await;
    assert_eq!(run.trigger.data.get("topic"), Some(&Json::from("house/front/bell")));
    assert_eq!(fixture.runs().await.len(), 1);
}

#[actix_rt::test]
async fn files_are_followed_and_a_broken_one_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.yaml");
    let text = |level: &str| {
        format!(
            "version: 1\nrules:\n  hot:\n    triggers:\n      - numeric: oven.temperature\n        above: {level}\n    \
             actions:\n      - log: hot\n"
        )
    };
    std::fs::write(&file, text("100")).unwrap();
    let clock = twinhub_testkit::ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let store = FailingStore::around(Arc::new(twinhub_store::MemoryStore::default()));
    let settings = Settings { rules: Some(folder.path().to_owned()), ..Settings::default() };
    let mut fixture = CommandsFixture::with(store, clock, settings).await;
    fixture.say("oven", "data", r#"{"temperature": 150}"#).await;
    fixture.ran(is_done).await;

    let changed = |what: &'static str| {
        move |recorded: &Recorded| match &recorded.event.body {
            EventBody::Signal(signal) => match &**signal {
                AutomationSignal::Rules { changed, gone, .. } => {
                    let said = if what == "changed" { changed } else { gone };
                    said.iter().any(|id| id.as_str() == "hot")
                }
                _ => false,
            },
            _ => false,
        }
    };
    fixture.seen.clear();
    std::fs::write(&file, text("200")).unwrap();
    fixture.until(changed("changed")).await;
    fixture.seen.clear();
    std::fs::write(&file, text("high")).unwrap();
    let broken = until_found("the file's problem", async || {
        let read = fixture.rules().await;
        let (path, problems) = read.broken.first()?;
        assert_eq!(read.rules.len(), 1, "what ran before goes on");
        Some((path.to_string(), problems[0].clone()))
    })
    .await;
    assert_eq!(broken.0, "a.yaml");
    assert_eq!((broken.1.line, broken.1.column), (6, 16), "{broken:?}");
    fixture.say("oven", "data", r#"{"temperature": 250}"#).await;
    fixture.ran(is_done).await;
    fixture.seen.clear();
    std::fs::remove_file(&file).unwrap();
    fixture.until(changed("gone")).await;
    assert!(fixture.rules().await.rules.is_empty());
}

/// The events of the life that is backtested.
#[derive(Clone, Debug)]
enum RuleTestEvent {
    Reading(u8, i64),
    Mode(bool),
    Passes(i64),
}

fn happens() -> impl Strategy<Value = RuleTestEvent> {
    prop_oneof![
        4 => (0..3_u8, 20..36_i64).prop_map(|(device, value)| RuleTestEvent::Reading(device, value)),
        1 => any::<bool>().prop_map(RuleTestEvent::Mode),
        3 => (1..400_i64).prop_map(|seconds| RuleTestEvent::Passes(seconds * 1_000)),
    ]
}

const LIFE: [&str; 3] = [
    r#"{"id": "hot", "triggers": [{"numeric": "room-*.temperature", "above": 28, "release": 26}],
        "conditions": ["twin['room-0'].temperature > 24"], "cooldown": "90s",
        "actions": [{"desired": "fan", "set": {"power": "on"}}, {"delay": "30s"}, {"log": "hot"}],
        "on_release": [{"desired": "fan", "set": {"power": "off"}}]}"#,
    r#"{"id": "long-hot", "mode": "restart",
        "triggers": [{"numeric": "room-1.temperature", "above": 27, "for": "2m", "max_age": "5m"}],
        "actions": [{"command": "fan", "type": "boost"}, {"delay": "3m"}, {"log": "over"}]}"#,
    r#"{"id": "beat", "triggers": [{"every": "4m"}],
        "conditions": ["twin['room-2'].temperature < 30"], "actions": [{"log": "beat"}]}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_backtest_finds_exactly_the_runs_that_were(life in prop::collection::vec(happens(), 1..40)) {
        actix_rt::System::new().block_on(live_and_backtest(life));
    }
}

#[test]
fn a_run_that_ends_while_nobody_looks_ends_at_its_own_time() {
    use RuleTestEvent::{Passes, Reading};
    let life = vec![
        Reading(0, 20),
        Reading(1, 28),
        Reading(0, 25),
        Passes(128_000),
        Reading(2, 29),
        Passes(120_000),
        Reading(2, 20),
        Reading(2, 29),
    ];
    actix_rt::System::new().block_on(live_and_backtest(life));
}

async fn live_and_backtest(life: Vec<RuleTestEvent>) {
    let fixture = CommandsFixture::new().await;
    for body in LIFE {
        fixture.rule(body).await;
    }
    fixture.say("fan", "status", "online").await;
    for happens in life {
        match happens {
            RuleTestEvent::Reading(room, value) => {
                fixture.say(&format!("room-{room}"), "data", &format!(r#"{{"temperature": {value}}}"#)).await;
            }
            RuleTestEvent::Mode(manual) => {
                let mode = if manual { twinhub_domain::Mode::Manual } else { twinhub_domain::Mode::Schedule };
                fixture.deliver("fan", Input::SetMode { mode, until: None }).await.unwrap();
            }
            RuleTestEvent::Passes(millis) => {
                fixture.clock.advance(millis);
                fixture.settle().await;
            }
        }
        fixture.settle().await;
    }
    fixture.settle().await;
    let end = fixture.clock.now();
    let ran: Vec<_> = fixture.runs().await.iter().map(told).collect();

    let mut engine = Engine::new(Timestamp::from_millis(NEW_YEAR));
    engine.exchange(
        LIFE.iter().map(|body| parse_rule(&payload::object(body.as_bytes()).unwrap()).unwrap().0).collect(),
    );
    let mut backtest = Backtest::new(engine, Timestamp::from_millis(NEW_YEAR), end.plus_millis(1));
    let mut after = 0;
    loop {
        let page =
            ask(&fixture.hub.archive, FindPastEvents { devices: None, after, limit: 100 }).await.unwrap();
        let Some(last) = page.events.last() else { break };
        after = last.seq;
        for recorded in &page.events {
            backtest.observe(recorded);
        }
    }
    let mut found: Vec<_> = backtest.finish().iter().map(told).collect();
    let mut ran = ran;
    ran.sort();
    found.sort();
    assert_eq!(found, ran);
}

/// The parts of a run that must be the same live and in a backtest.
fn told(entry: &RunEntry) -> (Timestamp, String, Option<String>, String) {
    let why = match &entry.outcome {
        RunOutcome::NotRun { why, .. } => format!("{why:?} {}", entry.count),
        _ => "ran".into(),
    };
    (entry.at, format!("{} {}", entry.rule, entry.id), entry.device.as_ref().map(ToString::to_string), why)
}
