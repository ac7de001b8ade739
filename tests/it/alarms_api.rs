//! Alarms, as people meet them: over REST, in the log, live. What raises them stands in for a rule, inside the
//! program: the same program, started here.

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::{Context, Handler};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use twinhub::config::{Config, Options};
use twinhub::startup::{Application, RunningHub};
use twinhub_actors::access::{Caller, HubRequest};
use twinhub_actors::messages::alarms::{ClearType, Raise};
use twinhub_actors::messages::webhooks::SendWebhook;
use twinhub_domain::alarm::{AlarmId, Originator, Severity};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::run::{RuleId, RunId};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Json};
use twinhub_rules::engine::Delivery;
use twinhub_store::{DeliveryRecord, DeliveryStatus};

use crate::support::hub::Installation;
use crate::support::{WebSocketSession, eventually, within};

const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The program, started within the test.
struct InProcessHub {
    running: RunningHub,
    client: reqwest::Client,
    _folder: TempDir,
}

impl InProcessHub {
    async fn start() -> Self {
        let folder = TempDir::with_prefix("twinhub-test-").unwrap();
        let options = Options {
            listen: "127.0.0.1:0".parse().ok(),
            mqtt_listen: "127.0.0.1:0".parse().ok(),
            data_dir: Some(folder.path().join("data")),
            ..Options::default()
        };
        let running = Application::start(Config::resolve(options).unwrap()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { running, client, _folder: folder }
    }

    async fn ask(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.running.http);
        let response = within("an answer", self.client.request(method, url).send()).await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, json) = self.ask(Method::GET, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        json
    }

    /// Registers a device; its number.
    async fn device(&self, name: &str) -> DeviceNumber {
        let url = format!("http://{}/api/devices", self.running.http);
        let body = json!({ "name": name, "device_id": name });
        assert_eq!(self.client.post(url).json(&body).send().await.unwrap().status(), StatusCode::CREATED);
        DeviceNumber(self.json(&format!("/api/devices/{name}")).await["number"].as_i64().unwrap())
    }

    async fn raise(
        &self,
        of: Originator,
        number: DeviceNumber,
        alarm_type: &str,
        severity: Severity,
    ) -> AlarmId {
        let (reply, told) = oneshot::channel();
        let raise = Raise {
            of,
            number,
            alarm_type: alarm_type.into(),
            severity,
            message: "Greenhouse 29.5 °C".into(),
            rule: Some(cool()),
            cause: cause(),
            reply,
        };
        post(&self.running, raise);
        within("a commit", told).await.unwrap().alarm.unwrap().id
    }
}

fn cool() -> RuleId {
    RuleId::parse("cool").unwrap()
}

/// Has an actor do something, as the program itself does.
fn post<M: HubRequest>(running: &RunningHub, message: M)
where
    M::Target: Handler<M>,
    Context<M::Target>: ToEnvelope<M::Target, M>,
{
    running.hub.of(Caller::Program, Source::Hub).send(message).unwrap();
}

fn cause() -> Cause {
    let run = RunCause { id: RunId::parse(RUN).unwrap(), depth: 0, even_in_manual: false };
    Cause { run: Some(Arc::new(run)), ..Cause::new(Source::Rule, "cool") }
}

fn of(device: &str) -> Originator {
    Originator::Device(DeviceId::parse(device).unwrap())
}

#[actix::test]
async fn people_see_what_is_wrong_and_say_so() {
    let inside = InProcessHub::start().await;
    let number = inside.device("greenhouse").await;
    let hot = inside.raise(of("greenhouse"), number, "hot", Severity::Minor).await;
    assert_eq!(inside.raise(of("greenhouse"), number, "hot", Severity::Major).await, hot);
    let dry = inside.raise(of("greenhouse"), number, "dry", Severity::Warning).await;
    let stopped =
        inside.raise(Originator::Rule(cool()), DeviceNumber(0), "rule-stopped", Severity::Critical).await;

    let path = format!("/api/alarms/{hot}");
    let alarm = inside.json(&path).await;
    let told = [
        "device_id",
        "rule_id",
        "type",
        "severity",
        "status",
        "acknowledged",
        "count",
        "last_rule_id",
        "last_run_id",
    ];
    assert_eq!(
        told.map(|field| alarm[field].clone()),
        [
            json!("greenhouse"),
            json!(null),
            json!("hot"),
            json!("major"),
            json!("active"),
            json!(false),
            json!(2),
            json!("cool"),
            json!(RUN)
        ]
    );
    assert_eq!((&alarm["message"], &alarm["cleared_at"]), (&json!("Greenhouse 29.5 °C"), &json!(null)));

    let (status, seen) = inside.ask(Method::POST, &format!("{path}/acknowledge")).await;
    assert_eq!(
        (status, &seen["acknowledged"], &seen["status"]),
        (StatusCode::OK, &json!(true), &json!("active"))
    );
    assert_eq!((&seen["acknowledged_by"], &seen["acknowledged_at"].is_string()), (&json!("rest"), &true));
    let (status, over) = inside.ask(Method::POST, &format!("{path}/clear")).await;
    assert_eq!(
        (status, &over["status"], &over["cleared_by"]),
        (StatusCode::OK, &json!("cleared"), &json!("rest"))
    );
    let (status, again) = inside.ask(Method::POST, &format!("{path}/clear")).await;
    assert_eq!((status, again), (StatusCode::OK, over.clone()));
    assert_eq!(inside.json(&path).await, over);

    let ids = async |path: &str| -> Vec<String> {
        let list = inside.json(path).await;
        list.as_array().unwrap().iter().map(|alarm| alarm["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = [stopped, dry, hot].map(|id| id.to_string());
    let (only_stopped, only_dry, only_hot) = (&all[..1], &all[1..2], &all[2..]);
    assert_eq!(ids("/api/alarms").await, all, "the newest first");
    assert_eq!(ids("/api/alarms?active=true").await, all[..2]);
    assert_eq!(ids("/api/alarms?active=false").await, only_hot);
    assert_eq!(ids("/api/alarms?acknowledged=false&severity=major").await, only_stopped);
    assert_eq!(ids("/api/alarms?severity=major").await, [&*all[0], &*all[2]]);
    assert_eq!(ids("/api/alarms?type=dry&rule=cool").await, only_dry);
    assert_eq!(ids("/api/alarms?device=greenhouse").await, all[1..]);
    assert_eq!(ids("/api/devices/greenhouse/alarms?active=true").await, only_dry);
    assert_eq!(ids("/api/alarms?to=2020-01-01").await, [""; 0]);
    assert_eq!(ids("/api/alarms?limit=1&page=2").await, only_dry);
    let url = format!("http://{}/api/alarms?limit=2", inside.running.http);
    let page = inside.client.get(url).send().await.unwrap();
    assert_eq!(page.headers()["x-total-count"], "3");
    assert!(page.headers()["link"].to_str().unwrap().contains(r#"</api/alarms?page=2&limit=2>; rel="next""#));

    let steps_of = async |path: &str| -> Vec<Value> {
        let events = inside.json(path).await;
        events.as_array().unwrap().iter().map(|event| event["data"]["step"].clone()).collect()
    };
    let steps = ["cleared", "acknowledged", "raised", "raised", "repeated", "raised"];
    assert_eq!(steps_of("/api/events?kind=alarm").await, steps);
    assert_eq!(steps_of("/api/events?severity=critical").await, ["raised"]);
    assert_eq!(steps_of("/api/events?severity=major&order=asc&limit=2").await, ["repeated", "raised"]);
    assert_eq!(steps_of("/api/events?severity=major&kind=telemetry").await, [""; 0]);
    assert_eq!(
        steps_of("/api/devices/greenhouse/events?severity=major").await,
        ["cleared", "acknowledged", "repeated"]
    );
}

#[actix::test]
async fn an_alarm_is_heard_live_by_who_cares_for_its_device() {
    let inside = InProcessHub::start().await;
    let (one, other) = (inside.device("greenhouse").await, inside.device("cellar").await);
    let mut live = WebSocketSession::connect(inside.running.http).await;
    for (id, more) in [("all", json!({})), ("mine", json!({ "devices": ["green*"] }))] {
        let mut frame = json!({ "type": "subscribe", "id": id, "kinds": ["alarm"] });
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        live.send(&frame).await;
        assert_eq!(within("a frame", live.next()).await.unwrap()["type"], "subscribed");
    }
    inside.raise(Originator::Rule(cool()), DeviceNumber(0), "rule-stopped", Severity::Major).await;
    inside.raise(of("cellar"), other, "wet", Severity::Info).await;
    inside.raise(of("greenhouse"), one, "hot", Severity::Major).await;
    for (device, heard_by) in [
        (json!(null), json!(["all"])),
        (json!("cellar"), json!(["all"])),
        (json!("greenhouse"), json!(["all", "mine"])),
    ] {
        let event = within("a frame", live.next()).await.unwrap();
        assert_eq!((&event["device_id"], &event["sub"]), (&device, &heard_by));
        assert_eq!(
            (&event["data"]["step"], &event["data"]["alarm"]["device_id"]),
            (&json!("raised"), &device)
        );
        assert_eq!((&event["cause"]["by"], &event["cause"]["run_id"]), (&json!("cool"), &json!(RUN)));
    }
    let (reply, told) = oneshot::channel();
    let clear = ClearType { of: of("greenhouse"), alarm_type: "hot".into(), cause: cause(), reply };
    post(&inside.running, clear);
    let told = within("a commit", told).await.unwrap();
    let event = within("a frame", live.next()).await.unwrap();
    assert_eq!((&event["data"]["step"], event["seq"].as_u64()), (&json!("cleared"), told.seq));
    assert_eq!(event["data"]["alarm"]["cleared_by"], "rule:cool");
}

#[actix::test]
async fn webhooks_are_listed_with_what_became_of_them() {
    let inside = InProcessHub::start().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let now = inside.running.hub.clock.now();
    let delivery = Delivery {
        url: format!("http://ann:s3cret@{free}/hook"),
        method: "POST".into(),
        headers: vec![("Authorization".into(), "Bearer s3cret".into())],
        body: Json::from("29.5 °C"),
        signed_by: None,
        step: 0,
        timeout_ms: 1_000,
        max_attempts: 1,
    };
    let delivery = DeliveryRecord {
        id: uuid::Uuid::now_v7(),
        rule: cool(),
        run: RunId::parse(RUN).unwrap(),
        delivery,
        status: DeliveryStatus::Waiting,
        attempts: 0,
        next_at: now,
        detail: "".into(),
        created_at: now,
        ended_at: None,
    };
    let id = delivery.id.to_string();
    post(&inside.running, SendWebhook { delivery });
    let path = format!("/api/automation/webhooks/deliveries?status=failed&run={RUN}");
    let failed = eventually("it is given up", async || inside.json(&path).await.get(0).cloned()).await;
    assert_eq!(
        (&failed["id"], &failed["rule_id"], &failed["body"]),
        (&json!(id), &json!("cool"), &json!("29.5 °C"))
    );
    assert_eq!((&failed["attempts"], &failed["next_at"]), (&json!(1), &json!(null)));
    assert_eq!(failed["url"], format!("http://{free}/hook"));
    assert!(!failed.to_string().contains("s3cret"), "{failed}");
    let others = "/api/automation/webhooks/deliveries?status=waiting,";
    assert_eq!(inside.ask(Method::GET, others).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(inside.json("/api/automation/webhooks/deliveries?status=delivered").await, json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let hub =
        Installation::new().with("--webhook-private-redirects=true", "--open-to-network=false").start().await;
    assert_eq!(hub.json("/api/alarms").await, json!([]));
    for (path, status, named) in [
        ("/api/alarms?severity=high", 422, "severity"),
        ("/api/alarms?active=maybe", 422, "active"),
        ("/api/alarms?colour=red", 422, "colour"),
        ("/api/alarms?device=a/b", 422, "device_id"),
        ("/api/alarms?limit=0", 422, "limit"),
        ("/api/events?severity=high", 422, "severity"),
        ("/api/automation/webhooks/deliveries?run=5", 422, "run_id"),
    ] {
        let refused = hub.get(path).await;
        assert_eq!(refused.status().as_u16(), status, "{path}");
        assert_eq!(refused.json::<Value>().await.unwrap()["field"], named, "{path}");
    }
    for path in ["/api/alarms/5", "/api/alarms/01890a5d-ac96-774b-bcce-b302099a8057"] {
        let missing = hub.get(path).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(missing.json::<Value>().await.unwrap()["code"], "alarm_not_found");
        for change in ["clear", "acknowledge"] {
            let missing = hub.post(&format!("{path}/{change}"), &json!({})).await;
            assert_eq!(missing.status(), StatusCode::NOT_FOUND, "{path}/{change}");
        }
    }
    assert_eq!(hub.get("/api/alarms?device=nobody").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/api/devices/nobody/alarms").await.status(), StatusCode::NOT_FOUND);
    let refused = hub.request(Method::DELETE, "/api/alarms").send().await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap())
    );
}
