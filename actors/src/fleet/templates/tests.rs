//! Templates in a hub, over a store that outlives it.

mod of_rules;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::oneshot;

use super::*;
use crate::HubError;
use crate::hub::{Hub, Settings};
use crate::ingress::IncomingMessage;
use crate::mailbox::try_send_unbounded;
use crate::messages::automation::{ReadRules, RuleCaller, RulesRead};
use crate::messages::feed::SubscribeFeed;
use crate::messages::jobs::{JobViewer, ListJobs, ShowJob};
use crate::messages::supervisor::IfUnknown;
use crate::messages::templates::{
    DeleteTemplateReply, PutMode, PutTemplateReply, TemplateRefusal, TemplateRequest, TryTemplateReply,
};
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

struct TemplatesFixture {
    hub: Arc<Hub>,
    memory: Arc<MemoryStore>,
    store: Arc<FailingStore>,
    live: Receiver<Arc<[Arc<Recorded>]>>,
}

impl TemplatesFixture {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    async fn over(memory: Arc<MemoryStore>) -> Self {
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        let clock = ManualClock::at(Timestamp::from_millis(NOON));
        let hub = Hub::start(store.clone(), clock, Settings::default()).await.unwrap();
        let live = ask(&hub.feed, SubscribeFeed).await.events;
        Self { hub, memory, store, live }
    }

    /// As after a crash: what was not committed is gone.
    async fn again(self) -> Self {
        self.store.die().await;
        Self::over(self.memory).await
    }

    fn request(&self, id: &str, said: &str, how: PutMode) -> TemplateRequest {
        TemplateRequest {
            id: id.into(),
            body: said_of(said),
            mode: how,
            by: RuleCaller::default(),
            if_version: None,
        }
    }

    async fn put(&self, id: &str, said: &str, how: PutMode) -> Result<PutTemplateReply, TemplateRefusal> {
        let (reply, stood) = oneshot::channel();
        let put = PutTemplate { request: self.request(id, said, how), cause: person(), reply };
        try_send_unbounded(&self.hub.templates, put).unwrap();
        within("what became of a template's change", stood).await.unwrap()
    }

    async fn try_out(&self, id: &str, said: &str, offset: usize, limit: usize) -> TryTemplateReply {
        let (reply, tried) = oneshot::channel();
        let asked = TryTemplate { request: self.request(id, said, PutMode::Merge), offset, limit, reply };
        try_send_unbounded(&self.hub.templates, asked).unwrap();
        within("what a template would do", tried).await.unwrap().unwrap()
    }

    async fn delete(&self, id: &str, force: bool) -> Result<DeleteTemplateReply, TemplateRefusal> {
        let (reply, gone) = oneshot::channel();
        let delete = DeleteTemplate { id: id.into(), force, if_version: None, cause: person(), reply };
        try_send_unbounded(&self.hub.templates, delete).unwrap();
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
        let message = IncomingMessage {
            topic: format!("iot/devices/{device}/{topic}").into(),
            payload: payload.to_owned().into(),
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.ingress.accept(message, receipt, None);
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
                try_send_unbounded(&self.hub.jobs, ShowJob { id, viewer: JobViewer::default(), reply })
                    .unwrap();
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
        let list = ListJobs {
            status: Vec::new(),
            kinds: Vec::new(),
            viewer: JobViewer::default(),
            offset: 0,
            limit: usize::MAX,
            reply,
        };
        try_send_unbounded(&self.hub.jobs, list).unwrap();
        within("what an actor tells", told).await.unwrap().jobs.into_iter().map(|told| told.job.id).collect()
    }

    async fn rules(&self) -> RulesRead {
        let (reply, read) = oneshot::channel();
        try_send_unbounded(&self.hub.automation, ReadRules { by: RuleCaller::default(), reply }).unwrap();
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
    let fixture = TemplatesFixture::new().await;
    fixture.put("pump", r#"{"configuration": {"interval": 60}}"#, PutMode::Make).await.unwrap();
    let refused = fixture.register("a", r#"{"template": "fan"}"#).await;
    let Err(HubError::Refused(Refusal::Invalid { field, detail })) = refused else { panic!("{refused:?}") };
    assert_eq!((&*field, &*detail), ("template_id", "there is no template `fan`"));
    assert!(fixture.hub.read(&id("a")).await.unwrap().is_none(), "nothing came of it");
    fixture.register("a", r#"{"template": "pump", "configuration": {"own": 1}}"#).await.unwrap();
    assert_eq!(
        fixture.shown("a").await,
        (r#"{"id":"pump","version":1}"#.into(), r#"{"interval":60,"own":1}"#.into())
    );
    let twin = fixture.change("a", r#"{"template": null}"#).await.unwrap();
    assert_eq!(
        (twin.template_id(), Json::from(twin.setup.configuration.clone()).to_string()),
        (None, r#"{"own":1}"#.into())
    );
    for wrong in
        [r#"{"template": "fan"}"#, r#"{"template": 5}"#, r#"{"template": {"id": "pump", "version": 1}}"#]
    {
        let refused = fixture.change("a", wrong).await;
        assert!(
            matches!(refused, Err(HubError::Refused(Refusal::Invalid { field, .. })) if field == "template_id")
        );
    }
}

#[actix::test]
async fn a_device_that_appears_takes_the_template_that_is_meant_for_it() {
    let mut fixture = TemplatesFixture::new().await;
    fixture
        .put("hall", r#"{"applies_to": {"id": "hall-*"}, "tags": {"room": "hall"}}"#, PutMode::Make)
        .await
        .unwrap();
    fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
    fixture.appear("hall-1").await;
    fixture.appear("x").await;
    assert_eq!(fixture.twin("hall-1").await.template_id(), Some("hall"));
    assert_eq!(fixture.twin("x").await.template_id(), None);

    // In one commit: a follower never sees it without.
    let mut kinds = Vec::new();
    while kinds.is_empty() {
        let batch = within("an event of the device", fixture.live.recv()).await.unwrap();
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
    let claimed = fixture.deliver("x", claim(r#"{"type": "pump"}"#), IfUnknown::Refuse).await.unwrap();
    assert_eq!(claimed.template_id(), Some("pump"));
    fixture.appear("y").await;
    let claimed = fixture
        .deliver("y", claim(r#"{"type": "pump", "template": null}"#), IfUnknown::Refuse)
        .await
        .unwrap();
    assert_eq!(claimed.template_id(), None);
    assert_eq!(fixture.change("y", r#"{"name": "Y"}"#).await.unwrap().template_id(), None);
    assert_eq!(fixture.change("y", r#"{"type": "pump"}"#).await.unwrap().template_id(), Some("pump"));
    // The device says it itself.
    fixture.say("z", "status", r#"{"status": "online", "type": "pump"}"#).await;
    assert_eq!(fixture.twin("z").await.template_id(), Some("pump"));
    // One that has a template keeps it.
    assert_eq!(fixture.change("hall-1", r#"{"type": "pump"}"#).await.unwrap().template_id(), Some("hall"));

    // After a restart it is as it was, from the first message on.
    let fixture = fixture.again().await;
    fixture.appear("hall-2").await;
    assert_eq!(fixture.twin("hall-2").await.template_id(), Some("hall"));
    let (one, other) = (fixture.twin("hall-1").await, fixture.twin("hall-2").await);
    assert!(Arc::ptr_eq(one.layer().unwrap(), other.layer().unwrap()), "one layer for both");
}

#[actix::test]
async fn a_change_is_shown_first_and_comes_to_the_devices_by_a_job() {
    let mut fixture = TemplatesFixture::new().await;
    fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
    for n in 0..5 {
        fixture.register(&format!("p{n}"), r#"{"type": "pump"}"#).await.unwrap();
    }
    fixture.change("p0", r#"{"configuration": {"interval": 5}}"#).await.unwrap();
    fixture.register("other", "{}").await.unwrap();

    let change = r#"{"configuration": {"interval": 30}}"#;
    let trial = fixture.try_out("pump", change, 1, 2).await;
    assert_eq!((trial.devices, trial.changed, trial.template.version), (5, 4, 2), "p0 says its own");
    let names: Vec<&str> = trial.changes.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!(names, ["p2", "p3"]);
    let difference = Json::from(trial.changes[0].1.clone()).to_string();
    assert_eq!(difference, r#"{"configuration":{"interval":{"from":60,"to":30}}}"#);
    assert_eq!(fixture.shown("p1").await.1, r#"{"interval":60,"unit":"l"}"#, "nothing was done");

    let stood = fixture.put("pump", change, PutMode::Merge).await.unwrap();
    assert_eq!((stood.devices, stood.template.version), (5, 2));
    fixture.done(stood.job).await;
    let second = r#"{"id":"pump","version":2}"#;
    assert_eq!(fixture.shown("p1").await, (second.into(), r#"{"interval":30,"unit":"l"}"#.into()));
    assert_eq!(fixture.shown("p0").await, (second.into(), r#"{"interval":5,"unit":"l"}"#.into()));
    assert_eq!(fixture.shown("other").await.0, "null");

    // A change that devices do not see is no job, and their layer's version stays behind the template's.
    let renamed = fixture.put("pump", r#"{"name": "Pumps"}"#, PutMode::Merge).await.unwrap();
    assert_eq!((renamed.job, renamed.template.version, renamed.template.layer.version), (None, 3, 2));
    let request =
        TemplateRequest { if_version: Some(2.into()), ..fixture.request("pump", "{}", PutMode::Merge) };
    let (reply, stood) = oneshot::channel();
    try_send_unbounded(&fixture.hub.templates, PutTemplate { request, cause: person(), reply }).unwrap();
    assert!(matches!(
        within("what became of it", stood).await.unwrap(),
        Err(TemplateRefusal::Version { current: 3, .. })
    ));
    assert!(matches!(fixture.put("pump", PUMP, PutMode::Make).await, Err(TemplateRefusal::Taken(_))));
    assert!(matches!(fixture.put("fan", PUMP, PutMode::Replace).await, Err(TemplateRefusal::Unknown(_))));
    assert!(matches!(
        fixture.put("pump", r#"{"tags": 5}"#, PutMode::Merge).await,
        Err(TemplateRefusal::Bad(_))
    ));
}

#[actix::test]
async fn who_takes_a_template_while_it_changes_takes_the_change_too() {
    let mut fixture = TemplatesFixture::new().await;
    fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
    let (mut names, mut job) = (Vec::new(), None);
    for round in 0..6 {
        let new: Vec<String> = (0..15).map(|n| format!("p{round}-{n}")).collect();
        let change = format!(r#"{{"configuration": {{"interval": {round}}}}}"#);
        let registered = new.iter().map(|id| fixture.register(id, r#"{"type": "pump"}"#));
        let (stood, registered) =
            tokio::join!(fixture.put("pump", &change, PutMode::Merge), join_all(registered));
        assert!(registered.iter().all(Result::is_ok));
        job = stood.unwrap().job.or(job);
        names.extend(new);
    }
    fixture.done(job).await;
    for name in names {
        assert_eq!(fixture.shown(&name).await.1, r#"{"interval":5,"unit":"l"}"#, "{name}");
    }
}

#[actix::test]
async fn a_change_whose_job_was_not_made_is_gone_on_with() {
    let fixture = TemplatesFixture::new().await;
    fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
    for n in 0..3 {
        fixture.register(&format!("p{n}"), r#"{"type": "pump"}"#).await.unwrap();
    }
    let jobs = fixture.jobs().await.len();
    // The hub dies between the commit of the template and that of the job.
    let catalog = fixture.hub.catalog.now();
    let before = catalog.get("pump").unwrap();
    let mut said = before.specification();
    said.merge(&said_of(r#"{"configuration": {"interval": 1}}"#));
    let after = DeviceTemplate::read("pump", &said, Some(before), Timestamp::from_millis(NOON)).unwrap();
    let mut body = after.document();
    body.insert("unfinished", "roll_out".into());
    let (receipt, settled) = receipt::channel();
    let deps = FleetDeps {
        store: fixture.memory.clone(),
        clock: fixture.hub.clock.clone(),
        journal: fixture.hub.journal.clone(),
        feed: fixture.hub.feed.clone(),
        supervisor: fixture.hub.supervisor.clone(),
        search: fixture.hub.search.clone(),
        counters: fixture.hub.counters.clone(),
        directory: fixture.hub.directory.clone(),
        tree: fixture.hub.tree.clone(),
        places: fixture.hub.places.clone(),
        catalog: fixture.hub.catalog.clone(),
        longest_rest: std::time::Duration::ZERO,
        secrets: fixture.hub.settings.secrets.clone(),
    };
    RecordRepository::new(RecordKind::Template, Arc::new(deps)).put_silently("pump", body, receipt);
    within("it is settled", settled).await.unwrap().unwrap();

    let mut fixture = fixture.again().await;
    let job = loop {
        match fixture.jobs().await[..] {
            [job, ..] if fixture.jobs().await.len() > jobs => break job,
            _ => drop(within("one job more", fixture.live.recv()).await),
        }
    };
    fixture.done(Some(job)).await;
    assert_eq!(
        fixture.shown("p2").await,
        (r#"{"id":"pump","version":2}"#.into(), r#"{"interval":1,"unit":"l"}"#.into())
    );
    // And that is that.
    let made = fixture.jobs().await.len();
    let fixture = fixture.again().await;
    fixture.put("other", "{}", PutMode::Make).await.unwrap();
    assert_eq!(fixture.jobs().await.len(), made);
}

#[actix::test]
async fn a_change_whose_job_was_not_whole_is_gone_on_with() {
    for is_removed in [false, true] {
        let fixture = TemplatesFixture::new().await;
        fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
        let many: Vec<String> = (0..1_600).map(|n| format!("p{n}")).collect();
        join_all(many.iter().map(|device| fixture.register(device, r#"{"type": "pump"}"#))).await;
        // The hub dies when three of the four parts of the job are written down.
        fixture.store.break_after(|batch| {
            let holds = |op: &JobOp| matches!(op, JobOp::Devices(rows) if rows[0].place == 1_000);
            batch.fleet.jobs.iter().any(holds)
        });
        let broken = if is_removed {
            fixture.delete("pump", true).await.unwrap().job
        } else {
            fixture.put("pump", r#"{"configuration": {"interval": 1}}"#, PutMode::Merge).await.unwrap().job
        };
        let all = JobDeviceQuery::of(broken.unwrap());
        until_found("three parts of the job are written down", async || {
            (fixture.memory.job_devices(&all).await.unwrap().total >= 1_500).then_some(())
        })
        .await;

        let mut fixture = fixture.again().await;
        let job = loop {
            match fixture.jobs().await.into_iter().find(|job| Some(*job) > broken) {
                Some(job) => break job,
                None => drop(within("a job that goes on", fixture.live.recv()).await),
            }
        };
        fixture.done(Some(job)).await;
        let stands = if is_removed {
            ("null".into(), "{}".into())
        } else {
            (r#"{"id":"pump","version":2}"#.into(), r#"{"interval":1,"unit":"l"}"#.into())
        };
        assert_eq!(fixture.shown("p1599").await, stands);
    }
}

#[actix::test]
async fn a_template_that_devices_have_goes_by_force_alone() {
    let mut fixture = TemplatesFixture::new().await;
    fixture.put("pump", PUMP, PutMode::Make).await.unwrap();
    fixture.put("free", PUMP, PutMode::Make).await.unwrap();
    assert_eq!(fixture.delete("free", false).await.unwrap().devices, 0);
    assert!(matches!(fixture.delete("free", true).await, Err(TemplateRefusal::Unknown(_))));
    for n in 0..3 {
        fixture.register(&format!("p{n}"), r#"{"type": "pump", "configuration": {"own": 1}}"#).await.unwrap();
    }
    let refused = fixture.delete("pump", false).await;
    assert!(matches!(refused, Err(TemplateRefusal::InUse { devices: 3, .. })), "{refused:?}");
    fixture.register("p3", r#"{"template": "pump"}"#).await.unwrap();
    for n in 0..20 {
        // A device that appears while it is refused to go takes it.
        let id = format!("late{n}");
        let (refused, registered) =
            tokio::join!(fixture.delete("pump", false), fixture.register(&id, r#"{"type": "pump"}"#));
        assert!(matches!(refused, Err(TemplateRefusal::InUse { .. })), "{refused:?}");
        assert_eq!(registered.unwrap().template_id(), Some("pump"), "{id}");
    }

    let gone = fixture.delete("pump", true).await.unwrap();
    assert_eq!(gone.devices, 24);
    fixture.done(gone.job).await;
    assert_eq!(fixture.shown("p1").await, ("null".into(), r#"{"own":1}"#.into()));
    let fixture = fixture.again().await;
    assert_eq!(fixture.hub.catalog.now().iter().count(), 0);
    assert!(fixture.register("p4", r#"{"template": "pump"}"#).await.is_err());
    assert_eq!(fixture.shown("p1").await, ("null".into(), r#"{"own":1}"#.into()));
}
