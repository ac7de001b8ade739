//! Dialects that are put in from outside.

use super::*;
use twinhub_domain::fleet::Lifecycle;
use twinhub_domain::{Object, Publish};
use twinhub_mqtt::dialects::{
    AddedDialects, Binding, BindingId, DecodeError, Decoded, Dialect, DialectEvent, Effects, StatefulDialect,
};

/// A dialect in which one message has the reports of several devices: `{"a": {"t": 1}, "b": {"t": 2}}`. Devices whose
/// id begins with `x-` get their messages in it.
struct RowsDialect;

impl Dialect for RowsDialect {
    fn filters(&self) -> Vec<String> {
        vec!["rows".into()]
    }

    fn takes(&self, topic: &str) -> bool {
        topic == "rows"
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        self.takes(topic).then(|| {
            let rows = payload::object(payload)?;
            let mut decoded = Decoded::default();
            for (device, row) in rows.iter() {
                let Json::Object(report) = row else { return Err(DecodeError::BadTopic) };
                decoded.inputs.push((DeviceId::parse(device)?, Input::Report(report.clone())));
            }
            Ok(decoded)
        })
    }

    fn speaks_to(&self, device: &DeviceId) -> bool {
        device.as_str().starts_with("x-")
    }

    fn encode(&self, device: &DeviceId, _: &Publish) -> Vec<Outgoing> {
        let message = |n: u8| Outgoing {
            id: 0,
            topic: format!("rows/{device}"),
            payload: format!("{device} {n}").into(),
            retain: false,
            until: None,
            purpose: None,
        };
        vec![message(1), message(2)]
    }
}

fn speaking() -> Settings {
    Settings { dialects: AddedDialects::default().with(RowsDialect), ..Settings::default() }
}

impl HubFixture {
    fn rows(&self, payload: &str) -> Receiver<InputOutcome> {
        self.arrive_on("rows", payload)
    }

    fn arrive_on(&self, topic: &str, payload: &str) -> Receiver<InputOutcome> {
        let (receipt, settled) = receipt::channel();
        let message = IncomingMessage {
            topic: topic.into(),
            payload: payload.to_owned().into(),
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.ingress.accept(message, receipt, None);
        settled
    }
}

#[actix::test]
async fn a_message_for_several_twins_is_settled_when_all_of_them_are_durable() {
    let fixture = HubFixture::with(speaking()).await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    fixture.store.block();
    let mut settled = fixture.rows(r#"{"a": {"p": 1}, "b": {"p": 2}, "c": {"p": 3}}"#);
    assert!(settled.try_recv().is_err(), "nothing is durable");
    fixture.store.unblock();
    let taken = within("the receipt", settled).await.unwrap().unwrap();
    assert_eq!(taken.seq, fixture.events().await.last().map(|event| event.seq), "of the last of them");
    for (device, value) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(fixture.value(device, "p").await, Json::from(value), "{device}");
    }
    assert_eq!(get(&fixture.hub.counters.inputs_in_flight), 0);
}

#[actix::test]
async fn of_a_message_for_several_twins_what_is_refused_is_counted_and_what_is_lost_is_tried_again() {
    let fixture = HubFixture::with(speaking()).await;
    for device in ["a", "b", "c"] {
        fixture.taken(device, r#"{"t": 1}"#).await;
    }
    let suspend = Input::SetLifecycle { state: Lifecycle::Suspended, reason: "broken".into() };
    fixture.deliver("b", suspend, IfUnknown::Refuse).await.unwrap();
    fixture.clock.kill_next(1);
    let settled = fixture.rows(r#"{"a": {"p": 1}, "b": {"p": 2}, "c": {"p": 3}}"#);
    within("the receipt", settled).await.unwrap().unwrap();
    assert_eq!(get(&fixture.hub.counters.twins_restarted), 1);
    assert_eq!(fixture.hub.rejections.by_reason().into_iter().collect::<Vec<_>>(), [("suspended", 1)]);
    for (device, value) in [("a", Json::from(1)), ("b", Json::Null), ("c", Json::from(3))] {
        assert_eq!(fixture.value(device, "p").await, value, "{device}");
    }
    within("the receipt", fixture.rows("{}")).await.unwrap().unwrap(); // which means nothing
    within("the receipt", fixture.rows(r#"{"a": 1}"#)).await.unwrap().unwrap();
    assert_eq!(get(&fixture.hub.counters.messages_rejected), 2);
}

#[actix::test]
async fn a_device_is_told_things_in_the_dialect_that_it_speaks() {
    let fixture = HubFixture::with(speaking()).await;
    let link = Arc::new(Scripted::default());
    fixture.hub.connect(link.clone());
    for device in ["x-1", "y-1"] {
        fixture.taken(device, r#"{"t": 1}"#).await;
        fixture.change(device, r#"{"desired": {"power": "on"}}"#, None).await.unwrap();
    }
    let published = link.until(|published| published.len() == 3).await;
    assert_eq!(published[..2], ["x-1 1", "x-1 2"]);
    let native = payload::object(published[2].as_bytes()).unwrap();
    assert_eq!(native.get("delta").unwrap().to_string(), r#"{"power":"on"}"#);
}

/// Counts its messages, which one device reports, and keeps the count. It panics on `boom`.
#[derive(Default)]
struct CountingDialect(i64);

impl StatefulDialect for CountingDialect {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn filters(&self) -> Vec<String> {
        vec!["count".into()]
    }

    fn take(&mut self, event: DialectEvent, _: Timestamp) -> Result<Effects, DecodeError> {
        let mut effects = Effects::default();
        match event {
            DialectEvent::Started(kept) => {
                let kept = kept.into_iter().next().and_then(|binding| binding.body);
                self.0 = kept.map_or(0, |body| body.get("count").unwrap().to_string().parse().unwrap());
            }
            DialectEvent::Message(message) => {
                self.0 += 1;
                assert_ne!(&*message.payload, b"boom", "the test says so");
                let count: Object = [("count", self.0.into())].into_iter().collect();
                effects.inputs.push((id("counter"), Input::Report(count.clone())));
                effects.keep.push(Binding { id: BindingId::parse("all").unwrap(), body: Some(count) });
            }
            _ => {}
        }
        Ok(effects)
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

#[actix::test]
async fn a_dialect_that_panics_begins_again_with_what_it_kept() {
    let dialects = AddedDialects::default().with_stateful(CountingDialect::default);
    let fixture = HubFixture::with(Settings { dialects, ..Settings::default() }).await;
    for payload in ["one", "boom", "two"] {
        within("the receipt", fixture.arrive_on("count", payload)).await.unwrap().unwrap();
    }
    assert_eq!(fixture.hub.rejections.by_reason().into_iter().collect::<Vec<_>>(), [("poison", 1)]);
    assert_eq!(fixture.value("counter", "count").await, Json::from(2));
    let fixture = fixture.again().await;
    within("the receipt", fixture.arrive_on("count", "three")).await.unwrap().unwrap();
    assert_eq!(fixture.value("counter", "count").await, Json::from(3), "after a crash, too");
}

/// A dialect's binding is durable no later than the effects that depend on it, however the store fails.
#[actix::test]
async fn a_binding_is_there_wherever_what_depends_on_it_is() {
    for fault in [CommitFault::Failed, CommitFault::UnknownDone, CommitFault::UnknownNotDone] {
        let dialects = AddedDialects::default().with_stateful(CountingDialect::default);
        let fixture = HubFixture::with(Settings { dialects, most_in_commit: 1, ..Settings::default() }).await;
        fixture.store.fail_next(2, fault);
        within("the receipt", fixture.arrive_on("count", "one")).await.unwrap().unwrap();
        fixture.store.break_after(|batch| !batch.fleet.is_empty());
        let mut second = fixture.arrive_on("count", "two");
        until("the binding is durable and nothing else", async || fixture.hub.is_failing()).await;
        assert!(second.try_recv().is_err(), "{fault:?}: not acknowledged");
        let fixture = fixture.again().await;
        assert_eq!(fixture.value("counter", "count").await, Json::from(1), "{fault:?}");
        within("the receipt", fixture.arrive_on("count", "two")).await.unwrap().unwrap();
        assert_eq!(fixture.value("counter", "count").await, Json::from(3), "{fault:?}");
    }
}
