//! Clients with identities: what each may publish, subscribe to and leave as its will.

mod sessions;

use std::collections::HashSet;
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::watch;
use twinhub_domain::DeviceId;

use super::raw::{Raw, connect_as, packet, publish, subscribe, text};
use super::*;
use crate::identity::{
    Act, Allowance, Authenticator, ClientIdentity, ClientName, ConnectRefusal, ConnectRequest,
};

/// Says who clients are by a list: the user name is the principal, `right` its password.
struct Roster {
    /// The allowance of clients without a password; none: they are not let in.
    anonymous: Option<Allowance>,
    /// Principals whose rights have ended.
    ended: Arc<Mutex<HashSet<String>>>,
    changes: watch::Sender<u64>,
}

struct ListedIdentity {
    name: String,
    principal: String,
    allowance: Allowance,
    /// The devices that it reaches; `*` at the end stands for all that begin so.
    reaches: &'static [&'static str],
    ended: Arc<Mutex<HashSet<String>>>,
}

const DEVICES: [&str; 5] = ["pump-1", "fan", "gw", "gw-a", "free"];

impl Roster {
    fn with(anonymous: Option<Allowance>) -> Arc<Self> {
        Arc::new(Self { anonymous, ended: Arc::default(), changes: watch::Sender::new(0) })
    }

    /// The rights of a principal end, or are given anew.
    fn set_ended(&self, principal: &str, ended: bool) {
        match ended {
            true => self.ended.lock().unwrap().insert(principal.to_owned()),
            false => self.ended.lock().unwrap().remove(principal),
        };
        self.changes.send_modify(|changes| *changes += 1);
    }
}

#[async_trait]
impl Authenticator for Roster {
    async fn identify(
        &self,
        request: &ConnectRequest<'_>,
    ) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        use Allowance::{Everything, SpeakForDevices, WatchDevices};
        let named = ConnectRefusal::ALL.into_iter().find(|one| Some(one.reason()) == request.username);
        if let Some(refusal) = named {
            return Err(refusal);
        }
        let (name, allowance, reaches): (_, _, &[&str]) = match (request.username, request.password) {
            (_, None) => ("", self.anonymous.ok_or(ConnectRefusal::NoCredentials)?, &["free"]),
            (Some("gw"), Some(b"right")) => ("device:gw", SpeakForDevices, &["gw", "gw-*"]),
            (Some("pump-1"), Some(b"right")) => ("device:pump-1", SpeakForDevices, &["pump-1"]),
            (Some("fan"), Some(b"right")) => ("device:fan", SpeakForDevices, &["fan"]),
            (Some("viewer"), Some(b"right")) => ("key:viewer", WatchDevices, &["pump-1"]),
            (Some("namesake"), Some(b"right")) => ("key:viewer", WatchDevices, &["pump-1"]),
            (Some("watcher"), Some(b"right")) => ("key:watcher", WatchDevices, &["*"]),
            (Some("admin"), Some(b"right")) => ("key:admin", Everything, &["*"]),
            _ => return Err(ConnectRefusal::BadCredentials),
        };
        let principal = request.username.filter(|_| !name.is_empty()).unwrap_or_default().to_owned();
        let (name, ended) = (name.to_owned(), Arc::clone(&self.ended));
        Ok(Arc::new(ListedIdentity { name, principal, allowance, reaches, ended }))
    }

    async fn standing_of(&self, client_id: &str, identity: &dyn ClientIdentity) -> ClientName {
        match identity.name().strip_prefix("device:") {
            Some(own) if own == client_id => ClientName::Own,
            Some(_) if DEVICES.contains(&client_id) => ClientName::AnotherDevice,
            _ => ClientName::Free,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[async_trait]
impl ClientIdentity for ListedIdentity {
    fn name(&self) -> &str {
        &self.name
    }

    fn principal(&self) -> &str {
        &self.principal
    }

    fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn lasts(&self) -> bool {
        !self.ended.lock().unwrap().contains(&self.name)
    }

    async fn reaches(&self, device: &DeviceId, _: Option<&str>, _: Act) -> bool {
        self.reaches.iter().any(|one| match one.strip_suffix('*') {
            Some(start) => device.as_str().starts_with(start),
            None => device.as_str() == *one,
        })
    }

    fn reaches_all(&self) -> bool {
        self.reaches == ["*"]
    }
}

/// A broker with a list of principals, whose intake stores everything at once.
struct Guarded {
    intake: TestIntake,
    roster: Arc<Roster>,
    broker: Arc<EmbeddedBroker>,
}

const OPEN: Option<Allowance> = Some(Allowance::Everything);
const KNOWN: Option<Allowance> = Some(Allowance::SpeakForDevices);
const STRICT: Option<Allowance> = None;

impl Guarded {
    async fn start(anonymous: Option<Allowance>) -> Self {
        let roster = Roster::with(anonymous);
        let intake = TestIntake::with_room(1_000).with_authenticator(Arc::clone(&roster) as _);
        intake.rule_topics.set(vec!["rules/#".into()]);
        let broker = start(&intake).await;
        intake.settle_all();
        Self { intake, roster, broker }
    }

    /// Connects, with the answer of the broker: whether it goes on with a session, and the code.
    async fn connect(&self, v5: bool, id: &str, user: &str, clean: bool) -> (Raw, bool, u8) {
        let user = Some((user, "right")).filter(|(user, _)| !user.is_empty());
        self.send_connect(&connect_as(v5, id, clean, user, None)).await
    }

    async fn send_connect(&self, packet: &[u8]) -> (Raw, bool, u8) {
        let mut raw = Raw::open(&self.broker).await;
        raw.send(packet).await;
        let connack = raw.read().await;
        assert_eq!(connack[0], 0x20, "{connack:x?}");
        (raw, connack[2] == 1, connack[3])
    }

    async fn admitted(&self, v5: bool, id: &str, user: &str, clean: bool) -> Raw {
        let (raw, _, code) = self.connect(v5, id, user, clean).await;
        assert_eq!(code, 0, "{user} as {id}");
        raw
    }

    /// The refusals that were noted since the last call.
    fn take_denials(&self) -> Vec<String> {
        let mut notes = self.intake.notes.lock().unwrap();
        let notes = std::mem::take(&mut *notes);
        notes.into_iter().filter(|note| !note.starts_with("unread") && !note.contains(" hears ")).collect()
    }
}

/// Publishes at QoS 1; the code in the PUBACK, 0 where it has none.
async fn publishes(raw: &mut Raw, v5: bool, retain: bool, topic: &str, payload: &str) -> u8 {
    let properties: &[u8] = if v5 { &[0] } else { &[] };
    let sent = publish(2 | u8::from(retain), topic, Some(7), properties, payload.as_bytes());
    raw.send(&sent).await;
    loop {
        let answer = raw.read().await;
        if answer[0] == 0x40 {
            assert_eq!(answer[2..4], [0, 7]);
            return answer.get(4).copied().unwrap_or_default();
        }
    }
}

/// Subscribes to one filter; the code in the SUBACK.
async fn subscribes(raw: &mut Raw, v5: bool, filter: &str) -> u8 {
    raw.send(&subscribe(v5, 9, &[(filter, 1)])).await;
    loop {
        let answer = raw.read().await;
        if answer[0] == 0x90 {
            return *answer.last().unwrap();
        }
    }
}

const COMMAND: &str = "iot/devices/pump-1/commands/01980000-0000-7000-8000-000000000000";
const ESTADO: &str = "dispositivos/estado";

/// Topics, and what is said there.
const TOPICS: [(&str, &str); 16] = [
    ("iot/devices/pump-1/data", r#"{"t": 1}"#),
    ("iot/devices/pump-1/state", "{}"),
    ("iot/devices/pump-1/status", "online"),
    ("iot/devices/pump-1/get", ""),
    ("iot/devices/pump-1/desired/failed", "{}"),
    ("iot/devices/pump-1/firmware", "{}"),
    (COMMAND, "{}"),
    ("iot/devices/fan/data", r#"{"t": 1}"#),
    ("iot/devices/gw-a/data", r#"{"t": 1}"#),
    ("iot/devices/gwx/data", r#"{"t": 1}"#),
    ("iot/devices/free/data", r#"{"t": 1}"#),
    (ESTADO, r#"{"serial_number": "pump-1"}"#),
    (ESTADO, r#"{"serial_number": "fan"}"#),
    (ESTADO, r#"{"serial_number": "gw-a"}"#),
    ("rules/x", "1"),
    ("home/lamp", "1"),
];

/// Topics on which nobody but the hub publishes.
const HUBS: [&str; 4] = [
    "iot/devices/pump-1/desired",
    "iot/devices/pump-1/commands",
    "iot/devices/pump-1/configuration",
    "iot/devices/pump-1/firmware/update",
];

const FILTERS: [&str; 23] = [
    "iot/devices/pump-1/#",
    "iot/devices/pump-1/+",
    "iot/devices/pump-1/commands",
    "iot/devices/pump-1/desired",
    "iot/devices/pump-1/configuration",
    "iot/devices/pump-1/firmware/update",
    "iot/devices/pump-1/data",
    "$share/g/iot/devices/pump-1/commands",
    "$share/g/iot/devices/pump-1/data",
    "iot/devices/fan/desired",
    "iot/devices/fan/data",
    "iot/devices/gw-a/desired",
    "iot/devices/free/desired",
    "iot/devices/+/data",
    "iot/devices/+/commands",
    "iot/devices/#",
    "+/devices/pump-1/data",
    "#",
    "$share/g/#",
    ESTADO,
    "rules/#",
    "home/lamp",
    "$share/g/iot/devices/free/desired",
];

/// A principal, and the places of the topics and filters that are its own; none: all of them.
struct PrincipalRow {
    user: &'static str,
    anonymous: Option<Allowance>,
    publishes: Option<&'static [usize]>,
    subscribes: Option<&'static [usize]>,
}

const ROWS: [PrincipalRow; 8] = [
    PrincipalRow {
        user: "pump-1",
        anonymous: STRICT,
        publishes: Some(&[0, 1, 2, 3, 4, 5, 6, 11]),
        subscribes: Some(&[0, 1, 2, 3, 4, 5, 6, 7, 8]),
    },
    PrincipalRow { user: "fan", anonymous: OPEN, publishes: Some(&[7, 12]), subscribes: Some(&[9, 10]) },
    PrincipalRow { user: "gw", anonymous: STRICT, publishes: Some(&[8, 13]), subscribes: Some(&[11]) },
    PrincipalRow { user: "viewer", anonymous: STRICT, publishes: Some(&[]), subscribes: Some(&[6]) },
    PrincipalRow { user: "watcher", anonymous: STRICT, publishes: Some(&[]), subscribes: Some(&[6, 10, 13]) },
    PrincipalRow { user: "admin", anonymous: STRICT, publishes: None, subscribes: None },
    PrincipalRow { user: "", anonymous: OPEN, publishes: None, subscribes: None },
    PrincipalRow { user: "", anonymous: KNOWN, publishes: Some(&[10]), subscribes: Some(&[12]) },
];

#[tokio::test]
async fn each_principal_has_its_topics_and_no_others() {
    for PrincipalRow { user, anonymous, publishes: own_topics, subscribes: own_filters } in ROWS {
        let guarded = Guarded::start(anonymous).await;
        for v5 in [false, true] {
            let case = format!("`{user}` under {anonymous:?}, MQTT 5: {v5}");
            let mut raw = guarded.admitted(v5, "client", user, true).await;
            let denied = if v5 { 0x87 } else { 0 }; // 3.1.1 has no word for it
            for (place, (topic, payload)) in TOPICS.into_iter().enumerate() {
                let may = own_topics.is_none_or(|own| own.contains(&place));
                let code = publishes(&mut raw, v5, false, topic, payload).await;
                assert_eq!(code, if may { 0 } else { denied }, "{topic} {payload}, {case}");
                let expected = if may { vec![] } else { vec![format!("not_authorized {topic} {payload}")] };
                assert_eq!(guarded.take_denials(), expected, "{case}");
            }
            for topic in HUBS {
                let code = publishes(&mut raw, v5, false, topic, "{}").await;
                assert_eq!(code, denied, "{topic}, {case}");
                assert_eq!(guarded.take_denials(), [format!("hub_only_topic {topic} {{}}")], "{case}");
            }
            for (place, filter) in FILTERS.into_iter().enumerate() {
                let may = own_filters.is_none_or(|own| own.contains(&place));
                let code = subscribes(&mut raw, v5, filter).await;
                let refused = if v5 { 0x87 } else { 0x80 };
                assert_eq!(code, if may { 1 } else { refused }, "{filter}, {case}");
                let expected = if may { vec![] } else { vec![format!("not_authorized {filter} ")] };
                assert_eq!(guarded.take_denials(), expected, "{case}");
            }
            raw.send(&[0xe0, 0]).await;
        }
    }
}

#[tokio::test]
async fn a_payload_that_names_no_device_is_for_nobody() {
    let guarded = Guarded::start(STRICT).await;
    let mut raw = guarded.admitted(true, "client", "pump-1", true).await;
    for payload in ["{", "{}", r#"{"serial_number": ["pump-1", "fan"]}"#] {
        assert_eq!(publishes(&mut raw, true, false, ESTADO, payload).await, 0x87, "{payload}");
        assert_eq!(guarded.take_denials().len(), 1);
    }
}

#[tokio::test]
async fn of_a_device_the_status_alone_is_retained() {
    for (v5, data) in [(false, 0), (true, 0x87)] {
        let guarded = Guarded::start(STRICT).await;
        let mut pump = guarded.admitted(v5, "pump-1", "pump-1", true).await;
        assert_eq!(publishes(&mut pump, v5, true, "iot/devices/pump-1/status", "online").await, 0);
        assert_eq!(publishes(&mut pump, v5, true, "iot/devices/pump-1/data", "1").await, data);
        assert_eq!(guarded.take_denials(), ["retain_not_authorized iot/devices/pump-1/data 1"]);
        let mut admin = guarded.admitted(v5, "admin", "admin", true).await;
        admin.send(&subscribe(v5, 1, &[("#", 0)])).await;
        let retained: Vec<_> =
            admin.all().await.into_iter().filter(|packet| packet[0] & 0xf0 == 0x30).collect();
        assert_eq!(retained.len(), 1, "{retained:x?}");
        assert_eq!(publishes(&mut admin, v5, true, "home/lamp", "on").await, 0);
    }
}

#[tokio::test]
async fn a_will_is_where_its_client_may_publish() {
    let guarded = Guarded::start(STRICT).await;
    for (user, topic, retain, may) in [
        ("pump-1", "iot/devices/pump-1/status", true, true),
        ("pump-1", "iot/devices/pump-1/data", false, true),
        ("pump-1", "iot/devices/pump-1/data", true, false),
        ("pump-1", "iot/devices/fan/status", false, false),
        ("pump-1", "iot/devices/pump-1/commands", false, false),
        ("pump-1", "home/lamp", false, false),
        ("pump-1", ESTADO, false, false),
        ("gw", "iot/devices/gw-a/status", true, true),
        ("viewer", "iot/devices/pump-1/status", false, false),
        ("admin", "home/lamp", true, true),
        ("admin", "iot/devices/pump-1/commands", false, false),
    ] {
        for (v5, refused) in [(false, 5), (true, 0x87)] {
            let packet = connect_as(v5, "client", true, Some((user, "right")), Some((topic, b"{}", retain)));
            let (mut raw, _, code) = guarded.send_connect(&packet).await;
            assert_eq!(code, if may { 0 } else { refused }, "{user} {topic} {retain}");
            raw.send(&[0xe0, 0]).await;
        }
    }
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let guarded = Guarded::start(STRICT).await;
    for (user, password, before_5, in_5) in [
        ("pump-1", "wrong", 4, 0x86),
        ("nobody", "right", 4, 0x86),
        ("bad_credentials", "x", 4, 0x86),
        ("no_credentials", "x", 5, 0x87),
        ("out_of_service", "x", 5, 0x87),
        ("client_id", "x", 2, 0x85),
        ("too_many_failures", "x", 3, 0x9f),
        ("unavailable", "x", 3, 0x88),
    ] {
        for (v5, expected) in [(false, before_5), (true, in_5)] {
            let packet = connect_as(v5, "client", true, Some((user, password)), None);
            let (mut raw, present, code) = guarded.send_connect(&packet).await;
            assert_eq!((present, code), (false, expected), "{user}");
            assert!(raw.read_to_end().await.is_empty());
        }
    }
    let (_, _, code) = guarded.connect(false, "client", "", true).await;
    assert_eq!(code, 5);
    assert!(guarded.take_denials().iter().all(|note| note.starts_with("client ")));
}

#[tokio::test]
async fn filters_that_are_refused_do_not_count() {
    let guarded = Guarded::start(STRICT).await;
    let mut pump = guarded.admitted(true, "pump-1", "pump-1", true).await;
    for place in 0..2 * wildcards::MOST_OF_ONE {
        assert_eq!(subscribes(&mut pump, true, &format!("home/{place}/#")).await, 0x87);
    }
    assert_eq!(subscribes(&mut pump, true, "iot/devices/pump-1/#").await, 1);
    assert_eq!(guarded.broker.sessions.wildcards(), 1);
}

#[tokio::test]
async fn a_broken_connect_harms_nobody() {
    let guarded = Guarded::start(STRICT).await;
    let whole = connect_as(true, "pump-1", true, Some(("pump-1", "right")), None);
    // Every byte set to others, and the packet cut behind it.
    for place in 2..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = whole.clone();
            bad[place] = byte;
            let mut raw = Raw::open(&guarded.broker).await;
            raw.send(&bad).await;
            raw.send(&[0xe0, 0]).await;
        }
        let mut raw = Raw::open(&guarded.broker).await;
        raw.send(&packet(0x10, &[&whole[2..place]])).await;
        raw.send(&text("x")).await;
    }
    let (_, _, code) = guarded.send_connect(&whole).await;
    assert_eq!(code, 0);
}
