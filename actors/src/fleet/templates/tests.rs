//! Templates in a hub, over a store that outlives it.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::oneshot;

use super::*;
use crate::HubError;
use crate::door::Arrived;
use crate::hub::{Hub, Settings};
use crate::messages::automation::{DeleteRule, EnableRule, ReadRules, RuleRefusal, RulesRead};
use crate::messages::feed::Subscribe;
use crate::messages::jobs::{ListJobs, ShowJob};
use crate::messages::supervisor::IfUnknown;
use crate::messages::templates::{How, TemplateGone, TemplateRefusal, TemplateStood, Trial, Wish};
use crate::post::post;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::JobId;
use twinhub_domain::fleet::JobStatus;
use twinhub_domain::payload::object;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::{Cause, DeviceId, Input, Json, Object, Recorded, Refusal, Timestamp, Twin};
use twinhub_mqtt::receipt;
use twinhub_store::{JobDeviceQuery, JobOp, MemoryStore, Store};
use twinhub_testkit::{FailingStore, ManualClock, ask, until_found, within};

const NOON: i64 = 1_767_268_800_000;

struct House {
    hub: Arc<Hub>,
    memory: Arc<MemoryStore>,
    store: Arc<FailingStore>,
    live: Receiver<Arc<[Arc<Recorded>]>>,
}

impl House {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    async fn over(memory: Arc<MemoryStore>) -> Self {
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        let clock = ManualClock::at(Timestamp::from_millis(NOON));
        let hub = Hub::start(store.clone(), clock, Settings::default()).await.unwrap();
        let live = ask(&hub.feed, Subscribe).await.events;
        Self { hub, memory, store, live }
    }

    /// As after a crash: what was not committed is gone.
    async fn again(self) -> Self {
        self.store.die().await;
        Self::over(self.memory).await
    }

    fn wish(&self, id: &str, said: &str, how: How) -> Wish {
        Wish { id: id.into(), said: said_of(said), how, if_version: None }
    }

    async fn put(&self, id: &str, said: &str, how: How) -> Result<TemplateStood, TemplateRefusal> {
        let (reply, stood) = oneshot::channel();
        let put = PutTemplate { wish: self.wish(id, said, how), cause: person(), reply };
        post(&self.hub.templates, put).unwrap();
        within("what became of a template's change", stood).await.unwrap()
    }

    async fn try_out(&self, id: &str, said: &str, offset: usize, limit: usize) -> Trial {
        let (reply, tried) = oneshot::channel();
        let asked = TryTemplate { wish: self.wish(id, said, How::Merge), offset, limit, reply };
        post(&self.hub.templates, asked).unwrap();
        within("what a template would do", tried).await.unwrap().unwrap()
    }

    async fn delete(&self, id: &str, force: bool) -> Result<TemplateGone, TemplateRefusal> {
        let (reply, gone) = oneshot::channel();
        let delete = DeleteTemplate { id: id.into(), force, if_version: None, cause: person(), reply };
        post(&self.hub.templates, delete).unwrap();
        within("what became of a template's end", gone).await.unwrap()
    }

    async fn register(&self, device: &str, patch: &str) -> Result<Twin, HubError> {
        let input = Input::Register(Box::new(Registration { patch: said_of(patch) }));
        self.deliver(device, input, IfUnknown::Begin).await
    }

    async fn change(&self, device: &str, patch: &str) -> Result<Twin, HubError> {
        let change = Change { patch: said_of(patch) };
        self.deliver(device, Input::Change(Box::new(change)), IfUnknown::Refuse).await
    }

    async fn deliver(&self, device: &str, input: Input, if_unknown: IfUnknown) -> Result<Twin, HubError> {
        let taken = self.hub.deliver(id(device), input, person(), if_unknown, true).await?;
        Ok(*taken.twin.unwrap())
    }

    async fn appear(&self, device: &str) {
        self.say(device, "data", r#"{"t": 1}"#).await;
    }

    async fn say(&self, device: &str, topic: &str, payload: &str) {
        let (receipt, settled) = receipt::channel();
        let message = Arrived {
            topic: format!("iot/devices/{device}/{topic}").into(),
            payload: payload.to_owned().into(),
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.door.take(message, receipt, None);
        within("it is settled", settled).await.unwrap().unwrap();
    }

    async fn twin(&self, device: &str) -> Twin {
        *self.hub.read(&id(device)).await.unwrap().unwrap()
    }

    /// The template and the configuration of a device, as texts.
    async fn shown(&self, device: &str) -> (String, String) {
        let document = self.twin(device).await.document(Timestamp::from_millis(NOON));
        let text = |name: &str| document.get(name).unwrap().to_string();
        (text("template"), text("configuration"))
    }

    /// Waits until the job is done, as its events tell.
    async fn done(&mut self, job: Option<JobId>) {
        let id = job.unwrap();
        let done = async {
            loop {
                let (reply, told) = oneshot::channel();
                post(&self.hub.jobs, ShowJob { id, reply }).unwrap();
                if within("what an actor tells", told).await.unwrap().unwrap().job.status == JobStatus::Done {
                    return;
                }
                self.live.recv().await.unwrap();
            }
        };
        within("the job is done", done).await;
    }

    async fn jobs(&self) -> Vec<JobId> {
        let (reply, told) = oneshot::channel();
        let list = ListJobs { status: Vec::new(), kinds: Vec::new(), offset: 0, limit: usize::MAX, reply };
        post(&self.hub.jobs, list).unwrap();
        within("what an actor tells", told).await.unwrap().jobs.into_iter().map(|told| told.job.id).collect()
    }

    async fn rules(&self) -> RulesRead {
        let (reply, read) = oneshot::channel();
        post(&self.hub.automation, ReadRules { reply }).unwrap();
        within("the answer to a read", read).await.unwrap()
    }

    async fn rule_names(&self) -> Vec<String> {
        let rules = self.rules().await.rules;
        rules.iter().map(|stands| format!("{} {}", stands.rule.id, stands.enabled)).collect()
    }
}

fn id(device: &str) -> DeviceId {
    DeviceId::parse(device).unwrap()
}

fn person() -> Cause {
    Cause::new(Source::Rest, "user:ann")
}

fn said_of(text: &str) -> Object {
    object(text.as_bytes()).unwrap()
}

const PUMP: &str = r#"{"applies_to": {"type": "pump"}, "configuration": {"interval": 60, "unit": "l"}}"#;

#[actix::test]
async fn a_template_is_given_by_name_and_an_unknown_one_is_refused() {
    let house = House::new().await;
    house.put("pump", r#"{"configuration": {"interval": 60}}"#, How::Make).await.unwrap();
    let refused = house.register("a", r#"{"template": "fan"}"#).await;
    let Err(HubError::Refused(Refusal::Invalid { field, detail })) = refused else { panic!("{refused:?}") };
    assert_eq!((&*field, &*detail), ("template_id", "there is no template `fan`"));
    assert!(house.hub.read(&id("a")).await.unwrap().is_none(), "nothing came of it");
    house.register("a", r#"{"template": "pump", "configuration": {"own": 1}}"#).await.unwrap();
    assert_eq!(
        house.shown("a").await,
        (r#"{"id":"pump","version":1}"#.into(), r#"{"interval":60,"own":1}"#.into())
    );
    let twin = house.change("a", r#"{"template": null}"#).await.unwrap();
    assert_eq!(
        (twin.template_id(), Json::from(twin.setup.configuration.clone()).to_string()),
        (None, r#"{"own":1}"#.into())
    );
    for wrong in
        [r#"{"template": "fan"}"#, r#"{"template": 5}"#, r#"{"template": {"id": "pump", "version": 1}}"#]
    {
        let refused = house.change("a", wrong).await;
        assert!(
            matches!(refused, Err(HubError::Refused(Refusal::Invalid { field, .. })) if field == "template_id")
        );
    }
}

#[actix::test]
async fn a_device_that_appears_takes_the_template_that_is_meant_for_it() {
    let mut house = House::new().await;
    house
        .put("hall", r#"{"applies_to": {"id": "hall-*"}, "tags": {"room": "hall"}}"#, How::Make)
        .await
        .unwrap();
    house.put("pump", PUMP, How::Make).await.unwrap();
    house.appear("hall-1").await;
    house.appear("x").await;
    assert_eq!(house.twin("hall-1").await.template_id(), Some("hall"));
    assert_eq!(house.twin("x").await.template_id(), None);

    // In one commit: whoever follows never sees it without.
    let mut kinds = Vec::new();
    while kinds.is_empty() {
        let batch = within("an event of the device", house.live.recv()).await.unwrap();
        let of_device = batch.iter().filter(|recorded| recorded.event.device == id("hall-1"));
        kinds = of_device.map(|recorded| recorded.event.kind().as_str()).collect();
    }
    assert_eq!(
        kinds,
        ["twin", "twin", "presence", "telemetry"],
        "it appears, takes its template, and speaks"
    );

    // It becomes known what it is: by a claim, or a change; unless it is said that it is to have none.
    let claim = |patch: &str| Input::Claim(Box::new(Registration { patch: said_of(patch) }));
    let claimed = house.deliver("x", claim(r#"{"type": "pump"}"#), IfUnknown::Refuse).await.unwrap();
    assert_eq!(claimed.template_id(), Some("pump"));
    house.appear("y").await;
    let claimed =
        house.deliver("y", claim(r#"{"type": "pump", "template": null}"#), IfUnknown::Refuse).await.unwrap();
    assert_eq!(claimed.template_id(), None);
    assert_eq!(house.change("y", r#"{"name": "Y"}"#).await.unwrap().template_id(), None);
    assert_eq!(house.change("y", r#"{"type": "pump"}"#).await.unwrap().template_id(), Some("pump"));
    // The device says it itself.
    house.say("z", "status", r#"{"status": "online", "type": "pump"}"#).await;
    assert_eq!(house.twin("z").await.template_id(), Some("pump"));
    // One that has a template keeps it.
    assert_eq!(house.change("hall-1", r#"{"type": "pump"}"#).await.unwrap().template_id(), Some("hall"));

    // After a restart it is as it was, from the first message on.
    let house = house.again().await;
    house.appear("hall-2").await;
    assert_eq!(house.twin("hall-2").await.template_id(), Some("hall"));
    let (one, other) = (house.twin("hall-1").await, house.twin("hall-2").await);
    assert!(Arc::ptr_eq(one.layer().unwrap(), other.layer().unwrap()), "one layer for both");
}

#[actix::test]
async fn a_change_is_shown_first_and_comes_to_the_devices_by_a_job() {
    let mut house = House::new().await;
    house.put("pump", PUMP, How::Make).await.unwrap();
    for n in 0..5 {
        house.register(&format!("p{n}"), r#"{"type": "pump"}"#).await.unwrap();
    }
    house.change("p0", r#"{"configuration": {"interval": 5}}"#).await.unwrap();
    house.register("other", "{}").await.unwrap();

    let change = r#"{"configuration": {"interval": 30}}"#;
    let trial = house.try_out("pump", change, 1, 2).await;
    assert_eq!((trial.devices, trial.changed, trial.template.version), (5, 4, 2), "p0 says its own");
    let names: Vec<&str> = trial.changes.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!(names, ["p2", "p3"]);
    let difference = Json::from(trial.changes[0].1.clone()).to_string();
    assert_eq!(difference, r#"{"configuration":{"interval":{"from":60,"to":30}}}"#);
    assert_eq!(house.shown("p1").await.1, r#"{"interval":60,"unit":"l"}"#, "nothing was done");

    let stood = house.put("pump", change, How::Merge).await.unwrap();
    assert_eq!((stood.devices, stood.template.version), (5, 2));
    house.done(stood.job).await;
    let second = r#"{"id":"pump","version":2}"#;
    assert_eq!(house.shown("p1").await, (second.into(), r#"{"interval":30,"unit":"l"}"#.into()));
    assert_eq!(house.shown("p0").await, (second.into(), r#"{"interval":5,"unit":"l"}"#.into()));
    assert_eq!(house.shown("other").await.0, "null");

    // What devices do not see is no job, and a version behind the template's.
    let renamed = house.put("pump", r#"{"name": "Pumps"}"#, How::Merge).await.unwrap();
    assert_eq!((renamed.job, renamed.template.version, renamed.template.layer.version), (None, 3, 2));
    let wish = Wish { if_version: Some(2.into()), ..house.wish("pump", "{}", How::Merge) };
    let (reply, stood) = oneshot::channel();
    post(&house.hub.templates, PutTemplate { wish, cause: person(), reply }).unwrap();
    assert!(matches!(
        within("what became of it", stood).await.unwrap(),
        Err(TemplateRefusal::Version { current: 3, .. })
    ));
    assert!(matches!(house.put("pump", PUMP, How::Make).await, Err(TemplateRefusal::Taken(_))));
    assert!(matches!(house.put("fan", PUMP, How::Replace).await, Err(TemplateRefusal::Unknown(_))));
    assert!(matches!(house.put("pump", r#"{"tags": 5}"#, How::Merge).await, Err(TemplateRefusal::Bad(_))));
}

#[actix::test]
async fn who_takes_a_template_while_it_changes_takes_the_change_too() {
    let mut house = House::new().await;
    house.put("pump", PUMP, How::Make).await.unwrap();
    let (mut names, mut job) = (Vec::new(), None);
    for round in 0..6 {
        let new: Vec<String> = (0..15).map(|n| format!("p{round}-{n}")).collect();
        let change = format!(r#"{{"configuration": {{"interval": {round}}}}}"#);
        let registered = new.iter().map(|id| house.register(id, r#"{"type": "pump"}"#));
        let (stood, registered) = tokio::join!(house.put("pump", &change, How::Merge), join_all(registered));
        assert!(registered.iter().all(Result::is_ok));
        job = stood.unwrap().job.or(job);
        names.extend(new);
    }
    house.done(job).await;
    for name in names {
        assert_eq!(house.shown(&name).await.1, r#"{"interval":5,"unit":"l"}"#, "{name}");
    }
}

#[actix::test]
async fn a_change_whose_job_was_not_made_is_gone_on_with() {
    let house = House::new().await;
    house.put("pump", PUMP, How::Make).await.unwrap();
    for n in 0..3 {
        house.register(&format!("p{n}"), r#"{"type": "pump"}"#).await.unwrap();
    }
    let jobs = house.jobs().await.len();
    // The hub dies between the commit of the template and that of the job.
    let catalog = house.hub.catalog.now();
    let before = catalog.get("pump").unwrap();
    let mut said = before.said();
    said.merge(&said_of(r#"{"configuration": {"interval": 1}}"#));
    let after = Template::read("pump", &said, Some(before), Timestamp::from_millis(NOON)).unwrap();
    let mut body = after.document();
    body.insert("unfinished", "roll_out".into());
    let (receipt, settled) = receipt::channel();
    let around = Around {
        store: house.memory.clone(),
        clock: house.hub.clock.clone(),
        journal: house.hub.journal.clone(),
        feed: house.hub.feed.clone(),
        supervisor: house.hub.supervisor.clone(),
        search: house.hub.search.clone(),
        counters: house.hub.counters.clone(),
        catalog: house.hub.catalog.clone(),
        longest_rest: std::time::Duration::ZERO,
        secrets: house.hub.settings.secrets.clone(),
    };
    Shelf::new(RecordKind::Template, Arc::new(around)).keep("pump", body, receipt);
    within("it is settled", settled).await.unwrap().unwrap();

    let mut house = house.again().await;
    let job = loop {
        match house.jobs().await[..] {
            [job, ..] if house.jobs().await.len() > jobs => break job,
            _ => drop(within("one job more", house.live.recv()).await),
        }
    };
    house.done(Some(job)).await;
    assert_eq!(
        house.shown("p2").await,
        (r#"{"id":"pump","version":2}"#.into(), r#"{"interval":1,"unit":"l"}"#.into())
    );
    // And that is that.
    let made = house.jobs().await.len();
    let house = house.again().await;
    house.put("other", "{}", How::Make).await.unwrap();
    assert_eq!(house.jobs().await.len(), made);
}

#[actix::test]
async fn a_change_whose_job_was_not_whole_is_gone_on_with() {
    for is_removed in [false, true] {
        let house = House::new().await;
        house.put("pump", PUMP, How::Make).await.unwrap();
        let many: Vec<String> = (0..1_600).map(|n| format!("p{n}")).collect();
        join_all(many.iter().map(|device| house.register(device, r#"{"type": "pump"}"#))).await;
        // The hub dies when three of the four parts of the job are written down.
        house.store.break_after(|batch| {
            let holds = |op: &JobOp| matches!(op, JobOp::Devices(rows) if rows[0].place == 1_000);
            batch.fleet.jobs.iter().any(holds)
        });
        let broken = if is_removed {
            house.delete("pump", true).await.unwrap().job
        } else {
            house.put("pump", r#"{"configuration": {"interval": 1}}"#, How::Merge).await.unwrap().job
        };
        let all = JobDeviceQuery::of(broken.unwrap());
        until_found("three parts of the job are written down", async || {
            (house.memory.job_devices(&all).await.unwrap().total >= 1_500).then_some(())
        })
        .await;

        let mut house = house.again().await;
        let job = loop {
            match house.jobs().await.into_iter().find(|job| Some(*job) > broken) {
                Some(job) => break job,
                None => drop(within("a job that goes on", house.live.recv()).await),
            }
        };
        house.done(Some(job)).await;
        let stands = if is_removed {
            ("null".into(), "{}".into())
        } else {
            (r#"{"id":"pump","version":2}"#.into(), r#"{"interval":1,"unit":"l"}"#.into())
        };
        assert_eq!(house.shown("p1599").await, stands);
    }
}

#[actix::test]
async fn a_template_that_devices_have_goes_by_force_alone() {
    let mut house = House::new().await;
    house.put("pump", PUMP, How::Make).await.unwrap();
    house.put("free", PUMP, How::Make).await.unwrap();
    assert_eq!(house.delete("free", false).await.unwrap().devices, 0);
    assert!(matches!(house.delete("free", true).await, Err(TemplateRefusal::Unknown(_))));
    for n in 0..3 {
        house.register(&format!("p{n}"), r#"{"type": "pump", "configuration": {"own": 1}}"#).await.unwrap();
    }
    let refused = house.delete("pump", false).await;
    assert!(matches!(refused, Err(TemplateRefusal::InUse { devices: 3, .. })), "{refused:?}");
    house.register("p3", r#"{"template": "pump"}"#).await.unwrap();
    for n in 0..20 {
        // Whoever appears while it is refused to go takes it.
        let id = format!("late{n}");
        let (refused, registered) =
            tokio::join!(house.delete("pump", false), house.register(&id, r#"{"type": "pump"}"#));
        assert!(matches!(refused, Err(TemplateRefusal::InUse { .. })), "{refused:?}");
        assert_eq!(registered.unwrap().template_id(), Some("pump"), "{id}");
    }

    let gone = house.delete("pump", true).await.unwrap();
    assert_eq!(gone.devices, 24);
    house.done(gone.job).await;
    assert_eq!(house.shown("p1").await, ("null".into(), r#"{"own":1}"#.into()));
    let house = house.again().await;
    assert_eq!(house.hub.catalog.now().iter().count(), 0);
    assert!(house.register("p4", r#"{"template": "pump"}"#).await.is_err());
    assert_eq!(house.shown("p1").await, ("null".into(), r#"{"own":1}"#.into()));
}

#[actix::test]
async fn rules_come_change_and_go_with_their_template() {
    let rules = |rules: &str| format!(r#"{{"rules": {rules}}}"#);
    let hot = |above: u32| {
        format!(
            r#""hot": {{"triggers": {{"numeric": "t", "above": {above}}}, "actions": [{{"alarm": "hot"}}]}}"#
        )
    };
    let log =
        r#""log": {"triggers": {"becomes": "offline"}, "actions": [{"log": "gone"}], "enabled": false}"#;
    let house = House::new().await;
    house.put("pump", &rules(&format!("{{{}, {log}}}", hot(40))), How::Make).await.unwrap();
    assert_eq!(house.rule_names().await, ["template:pump:hot true", "template:pump:log false"]);

    // Nobody else changes them; but they are switched, and stay so when they change.
    let hot_id = twinhub_domain::run::RuleId::parse("template:pump:hot").unwrap();
    let (reply, told) = oneshot::channel();
    let delete = DeleteRule { id: hot_id.clone(), if_tag: None, cause: person(), reply };
    post(&house.hub.automation, delete).unwrap();
    assert!(
        matches!(within("what an actor tells", told).await.unwrap(), Err(RuleRefusal::OfTemplate { template, .. }) if &*template == "pump")
    );
    let (reply, told) = oneshot::channel();
    let enable = EnableRule { id: hot_id, enabled: false, if_tag: None, cause: person(), reply };
    post(&house.hub.automation, enable).unwrap();
    within("what an actor tells", told).await.unwrap().unwrap();
    house.put("pump", &rules(&format!("{{{}, \"log\": null}}", hot(50))), How::Merge).await.unwrap();
    assert_eq!(house.rule_names().await, ["template:pump:hot false"]);
    let source = house.rules().await.rules[0].sent.clone().unwrap();
    assert!(Json::from(source).to_string().contains(r#""above":50"#));

    let wrong = rules(r#"{"hot": {"triggers": [{"numeric": "t"}], "actions": [{"alarm": "hot"}]}}"#);
    let refused = house.put("pump", &wrong, How::Replace).await;
    let Err(TemplateRefusal::Bad(twinhub_rules::device_template::BadTemplate::Rules(problems))) = refused
    else {
        panic!("{refused:?}")
    };
    assert!(problems[0].pointer.starts_with("/rules/hot/triggers/0"), "{problems:?}");

    let house = house.again().await;
    assert_eq!(house.rule_names().await, ["template:pump:hot false"]);
    house.delete("pump", false).await.unwrap();
    assert_eq!(house.rule_names().await, [""; 0]);
}
