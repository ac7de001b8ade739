//! Clients that send anything: frames near those that are described, parameters of event streams, and packets of MQTT that were
//! damaged. Nothing panics, and the hub goes on for everybody else.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::support::hub::Installation;
use crate::support::{HubProcess, MqttDevice, WebSocketSession, within};

/// Has the hub checked with what a strategy gives, so many times; the least that fails is shown.
fn each<S: Strategy>(cases: u32, strategy: &S, check: impl AsyncFn(S::Value)) {
    // A few steps towards the least: each of them is a talk with the program.
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let checked = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(strategy, |value| {
            Handle::current().block_on(check(value));
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The hub serves others still, and ends as it should. Nothing in it has panicked.
async fn is_sound(hub: HubProcess) {
    let mut device = within("MQTT", MqttDevice::connect(hub.mqtt.unwrap(), "good")).await.unwrap();
    device.say("iot/devices/good/data", r#"{"temperature": 21.5}"#).await;
    assert_eq!(hub.json("/api/devices/good/twin").await["reported"]["temperature"], 21.5);
    assert_eq!(hub.json("/health").await["status"], "healthy");
    assert_eq!(hub.metric("twinhub_twins_restarted_total").await, 0);
    hub.signal("TERM").await;
    let (status, log) = hub.ended().await;
    assert!(status.success() && !log.contains("panicked"), "{status}\n{log}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(&["pump-1", "*", "pump-[", "telemetry", "all", "", "a\u{0}b", "hall"][..])
            .prop_map(Value::from),
        (0_usize..3_000).prop_map(|length| Value::from("x".repeat(length))),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let members = vec(("[a-z_]{0,8}", inner.clone()), 0..6);
        prop_oneof![
            vec(inner, 0..6).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The frames that a client may send.
fn frames() -> Vec<Value> {
    vec![
        json!({ "type": "subscribe", "id": "s", "devices": ["pump-*"], "kinds": ["telemetry"], "since": 0 }),
        json!({ "type": "subscribe", "id": "t", "group": "hall", "snapshot": true }),
        json!({ "type": "unsubscribe", "id": "s" }),
        json!({ "type": "watch_audit", "id": "a", "since": 0 }),
        json!({ "type": "desired", "id": "d", "device_id": "pump-1", "desired": { "power": "on" }, "if_version": 1 }),
        json!({ "type": "command", "id": "c", "device_id": "pump-1", "command_type": "reboot",
            "parameters": { "in": 5 }, "priority": 3, "ttl": "1m" }),
        json!({ "type": "ping", "id": "p" }),
        json!({ "type": "auth", "id": "k", "token": "twh_pat_x" }),
    ]
}

/// A frame, some of whose members have other values, are missing, or are there besides.
fn near_frames() -> impl Strategy<Value = Value> {
    let names = [
        "type",
        "id",
        "devices",
        "kinds",
        "since",
        "group",
        "group_id",
        "snapshot",
        "device_id",
        "desired",
        "if_version",
        "command_type",
        "parameters",
        "priority",
        "ttl",
        "token",
        "what",
    ];
    let changes = vec((select(names.to_vec()), proptest::option::of(any_json())), 0..4);
    (select(frames()), changes).prop_map(|(mut frame, changes)| {
        let members = frame.as_object_mut().unwrap();
        for (name, value) in changes {
            match value {
                Some(value) => drop(members.insert(name.into(), value)),
                None => drop(members.remove(name)),
            }
        }
        frame
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_near_the_described_ones_are_answered() {
    let hub = Installation::new().start().await;
    let device = json!({ "device_id": "pump-1", "name": "Pump" });
    assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    let session = tokio::sync::Mutex::new(WebSocketSession::connect(hub.http).await);
    let frames = std::cell::Cell::new(0_u32);
    each(400, &near_frames(), async |mut frame: Value| {
        let mut session = session.lock().await;
        // Each has an id of its own, for some are answered later than the next one is sent.
        frames.set(frames.get() + 1);
        if let Some(id) = frame["id"].as_str().filter(|id| (1..100).contains(&id.len())) {
            frame["id"] = format!("{id}-{}", frames.get()).into();
        }
        session.send(&frame).await;
        session.send(&json!({ "type": "ping", "id": "probe" })).await;
        loop {
            let Some(answer) = session.next().await else {
                // It may end a session, as where a frame is too long; the next one is served.
                *session = WebSocketSession::connect(hub.http).await;
                return;
            };
            if answer["type"] == "pong" && answer["id"] == "probe" {
                return;
            }
        }
    });
    // And texts that are none.
    each(200, &"\\PC{0,60}|\\{\"type\": ?\\PC{0,40}", async |text: String| {
        let mut session = WebSocketSession::connect(hub.http).await;
        session.send_raw(text.into()).await;
        session.send(&json!({ "type": "ping", "id": "probe" })).await;
        while let Some(answer) = session.next().await {
            if answer["type"] == "pong" {
                return;
            }
        }
    });
    drop(session);
    is_sound(hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_event_streams_are_taken_or_refused() {
    let hub = Installation::new().start().await;
    let value = prop_oneof![
        "\\PC{0,20}",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        select(&["telemetry", "telemetry,twin", "pump-*", "2026-01-01", "-1h", "[", "%"][..])
            .prop_map(String::from),
        (0_usize..4_000).prop_map(|length| "x,".repeat(length)),
    ];
    let name = select(&["since", "kind", "device_id", "group_id", "limit", "from", "to", "before", "q"][..]);
    let parameters = vec((name, value.clone()), 0..4);
    let last =
        proptest::option::of(prop_oneof!["[ -~]{0,20}", any::<u64>().prop_map(|number| number.to_string())]);
    each(300, &(parameters, last), async |(parameters, last): (Vec<(&str, String)>, Option<String>)| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let path = format!("/api/events?{}", query.finish());
        let mut request = hub.request(Method::GET, &path).header("Accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        // Its status is one of those that are described, or the client of these tests fails.
        let status = request.send().await.unwrap().status();
        assert!(status == 200 || status.is_client_error(), "{path}: {status}");
    });
    is_sound(hub).await;
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut packet, mut length) = (vec![first], body.len());
    loop {
        let byte = u8::try_from(length % 128).unwrap();
        length /= 128;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// First packets of a client of MQTT 3.1.1 or 5, with all that can stand in them.
fn connects(v5: bool) -> Vec<Vec<u8>> {
    let properties: &[u8] = if v5 { &[5, 0x11, 0, 0, 0, 60] } else { &[] };
    let of_will: &[u8] = if v5 { &[5, 0x18, 0, 0, 0, 5] } else { &[] };
    let head = |flags: u8| [&text("MQTT")[..], &[4 + u8::from(v5), flags, 0, 60], properties].concat();
    let will = [of_will, &text("will/x"), &text("gone")].concat();
    vec![
        packet(0x10, &[head(0b10), text("fuzzed")].concat()),
        packet(0x10, &[head(0b10), text("")].concat()),
        packet(0x10, &[head(0b1110), text("fuzzed"), will].concat()),
        packet(0x10, &[head(0b1100_0010), text("fuzzed"), text("pump-1"), text("a password")].concat()),
    ]
}

/// Packets that may follow.
fn packets(v5: bool) -> Vec<Vec<u8>> {
    let none: &[u8] = if v5 { &[0] } else { &[] };
    let alias: &[u8] = if v5 { &[3, 0x23, 0, 1] } else { &[] };
    let data = text("iot/devices/fuzzed/data");
    vec![
        packet(0x30, &[&data, alias, br#"{"temperature": 1}"#].concat()),
        packet(0x32, &[&data[..], &[0, 1], none, br#"{"temperature": 1}"#].concat()),
        packet(0x34, &[&data[..], &[0, 2], none, b"1"].concat()),
        packet(0x62, &[0, 2]),
        packet(0x33, &[&text("iot/devices/fuzzed/status")[..], &[0, 3], none, b"online"].concat()),
        packet(0x82, &[&[0, 4], none, &text("iot/devices/+/data"), &[1], &text("#"), &[0]].concat()),
        packet(0x82, &[&[0, 5], none, &text("$share/g/a/#"), &[2]].concat()),
        packet(0xa2, &[&[0, 6], none, &text("#")].concat()),
        vec![0xc0, 0],
        vec![0xe0, 0],
    ]
}

/// A CONNECT, the packets behind it with their damage, the damage of the CONNECT, and whether that is left whole.
type FuzzedTalk = (Vec<u8>, Vec<(Vec<u8>, Vec<Damage>)>, Vec<Damage>, bool);

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Remove(Index),
    Insert(Index, Vec<u8>),
    Cut(Index),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            4 => (at(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            1 => at().prop_map(Self::Remove),
            1 => (at(), vec(any::<u8>(), 1..300)).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            1 => at().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_packets_end_their_own_connection_at_most() {
    let hub = Installation::new().start().await;
    let broker = hub.mqtt.unwrap();
    let session = any::<bool>().prop_flat_map(|v5| {
        let damages = || vec(Damage::any(), 0..4);
        (select(connects(v5)), vec((select(packets(v5)), damages()), 0..6), damages(), any::<bool>())
    });
    each(600, &session, async |(connect, packets, of_connect, is_good): FuzzedTalk| {
        let mut connect = connect;
        if !is_good {
            of_connect.iter().for_each(|damage| damage.apply(&mut connect));
        }
        let mut bytes = connect;
        for (mut packet, damages) in packets {
            damages.iter().for_each(|damage| damage.apply(&mut packet));
            bytes.extend(packet);
        }
        let mut stream = within("a connection", TcpStream::connect(broker)).await.unwrap();
        // The broker may have closed it by then.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = within("it ends the connection", stream.read_to_end(&mut answer)).await;
    });
    is_sound(hub).await;
}
