//! The search against a plain scan: devices that did anything, some of them in memory, some away, some removed;
//! and any filter, order and page. The scan reads documents as people see them, by code of its own.

use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use twinhub_domain::text::order_key;
use twinhub_domain::{Mode, Status};

const DEVICES: usize = 12;

/// The changes of a device.
#[derive(Clone, Debug)]
enum RandomAction {
    Register(&'static str, &'static str),
    Report(&'static str, &'static str),
    Measure(&'static str, i32),
    Desire(&'static str, &'static str),
    Remove,
}

/// A filter, and its meaning.
#[derive(Clone, Debug)]
enum RandomQuery {
    Compare(&'static str, &'static str, &'static str),
    Has(&'static str),
    Not(Box<RandomQuery>),
    All(Box<RandomQuery>, Box<RandomQuery>),
    Any(Box<RandomQuery>, Box<RandomQuery>),
}

/// As a filter names them, and where they are in a document.
const PLACES: [(&str, &str); 14] = [
    ("battery", "/reported/battery"),
    ("reported.state", "/reported/state"),
    ("device.motor.rpm", "/reported/motor/rpm"),
    ("tag.floor", "/tags/floor"),
    ("tags.wet", "/tags/wet"),
    ("desired.battery", "/desired/battery"),
    ("delta.battery", "/delta/battery"),
    ("status", "/status"),
    ("type", "/type"),
    ("number", "/number"),
    ("name", "/name"),
    ("model", "/model"),
    ("id", "/id"),
    ("mode", "/mode"),
];

const LITERALS: [&str; 10] =
    ["0", "20", "7.5", "'2'", "'on'", "'online'", "'pump'", "true", "false", "'d-05'"];

const VALUES: [&str; 9] = ["0", "20", "7.5", "-3", r#""on""#, r#""2""#, "true", "false", "[1]"];

fn deed() -> impl Strategy<Value = RandomAction> {
    let value = || prop::sample::select(&VALUES[..]);
    let name = || prop::sample::select(&["battery", "state"][..]);
    prop_oneof![
        1 => (
            prop::sample::select(&["pump", "fan", ""][..]),
            prop::sample::select(&[r#"{"floor": "2"}"#, r#"{"floor": 2, "wet": true}"#, "{}"][..]),
        ).prop_map(|(kind, tags)| RandomAction::Register(kind, tags)),
        4 => (name(), value()).prop_map(|(name, value)| RandomAction::Report(name, value)),
        2 => (prop::sample::select(&["battery", "motor.rpm"][..]), -3..25).prop_map(|(name, value)| RandomAction::Measure(name, value)),
        1 => (name(), value()).prop_map(|(name, value)| RandomAction::Desire(name, value)),
        1 => Just(RandomAction::Remove),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<(usize, RandomAction)>> {
    prop::collection::vec((0..DEVICES, deed()), 0..40)
}

fn filter() -> impl Strategy<Value = RandomQuery> {
    let place = || prop::sample::select(&PLACES[..]).prop_map(|(name, _)| name);
    let sign = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let literal = prop::sample::select(&LITERALS[..]);
    let leaf = prop_oneof![
        4 => (place(), sign, literal).prop_map(|(place, sign, literal)| RandomQuery::Compare(place, sign, literal)),
        1 => place().prop_map(RandomQuery::Has),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let pair = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.clone().prop_map(|of| RandomQuery::Not(Box::new(of))),
            pair().prop_map(|(one, other)| RandomQuery::All(one, other)),
            pair().prop_map(|(one, other)| RandomQuery::Any(one, other)),
        ]
    })
}

/// Part of the page: filters of lists, a filter, an order, and where it begins and how long it is.
type RandomQuestion = (u8, Option<RandomQuery>, Option<usize>, bool, u64, u64);

fn asked() -> impl Strategy<Value = RandomQuestion> {
    let sort = prop::option::of(0..PLACES.len());
    (0_u8..7, prop::option::weighted(0.8, filter()), sort, any::<bool>(), 0_u64..6, 0_u64..20)
}

impl RandomQuery {
    fn text(&self) -> String {
        match self {
            Self::Compare(place, sign, literal) => format!("{place} {sign} {literal}"),
            Self::Has(place) => format!("has({place})"),
            Self::Not(of) => format!("!({})", of.text()),
            Self::All(one, other) => format!("({}) && ({})", one.text(), other.text()),
            Self::Any(one, other) => format!("({}) || ({})", one.text(), other.text()),
        }
    }

    /// As Kleene has it.
    fn holds(&self, document: &Value) -> Option<bool> {
        match self {
            Self::Has(place) => Some(at(document, place).is_some()),
            Self::Not(of) => of.holds(document).map(|holds| !holds),
            Self::All(one, other) => match (one.holds(document), other.holds(document)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Any(one, other) => match (one.holds(document), other.holds(document)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Compare(place, sign, literal) => {
                let literal: Value = serde_json::from_str(&literal.replace('\'', "\"")).unwrap();
                let mut found = at(document, place)?.clone();
                let equates = matches!(*sign, "==" | "!=");
                if *place == "tag.floor" && equates && literal.is_string() && found.is_number() {
                    found = found.to_string().into(); // a tag, compared with a text, is compared by its text
                }
                let order = order(&found, &literal)?;
                Some(match *sign {
                    "==" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        }
    }
}

/// The value of a name; an empty text is none.
fn at<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, pointer) = PLACES.iter().find(|(known, _)| *known == name).unwrap();
    let dotted = || document.get("reported")?.get("motor.rpm").filter(|_| name == "device.motor.rpm");
    dotted().or_else(|| document.pointer(pointer)).filter(|value| !value.is_null() && *value != "")
}

/// None for values that do not go together.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// The order of two, where the second of each is its number.
fn sorted(one: (Option<&Value>, i64), other: (Option<&Value>, i64), descending: bool) -> Ordering {
    let kind = |value: Option<&Value>| match value {
        Some(Value::Number(_)) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::String(_)) => 2,
        Some(_) => 3,
        None => 4,
    };
    let turned = |order: Ordering| if descending { order.reverse() } else { order };
    let in_order = |one: &Value, other: &Value| match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => Some(order_key(one, 190).cmp(&order_key(other, 190))),
        _ => order(one, other),
    };
    let values = one.0.zip(other.0).and_then(|(one, other)| in_order(one, other)).unwrap_or(Ordering::Equal);
    kind(one.0).cmp(&kind(other.0)).then(turned(values)).then(turned(one.1.cmp(&other.1)))
}

/// A filter of lists, and the same of a document.
fn listed(which: u8) -> (DeviceQuery, fn(&Value) -> bool) {
    let query = DeviceQuery::default();
    match which {
        0 => (DeviceQuery { status: vec![Status::Online], ..query }, |d| d["status"] == "online"),
        1 => (DeviceQuery { device_type: Some("pump".into()), ..query }, |d| d["type"] == "pump"),
        2 => (DeviceQuery { tags: vec![("floor".into(), "2".into())], ..query }, |d| {
            d["tags"]["floor"] == "2" || d["tags"]["floor"] == 2
        }),
        3 => (DeviceQuery { q: Some("D-0".into()), mode: Some(Mode::Schedule), ..query }, |d| {
            d["id"].as_str().unwrap().contains("d-0")
        }),
        4 => {
            (DeviceQuery { groups: vec!["attic".into(), "fan".into()], ..query }, |d| d["group_id"] == "fan")
        }
        _ => (query, |_| true),
    }
}

impl SearchFixture {
    async fn does(&self, deeds: &[(usize, RandomAction)]) {
        for (n, deed) in deeds {
            let id = format!("d-{n:02}");
            let known = self.hub.read(&device(&id)).await.unwrap();
            let input = match deed {
                RandomAction::Register(kind, tags)
                    if known.as_ref().is_none_or(|twin| !twin.control.claimed) =>
                {
                    let patch =
                        object(&format!(r#"{{"type": "{kind}", "group_id": "{kind}", "tags": {tags}}}"#));
                    Input::Register(Box::new(Registration { patch }))
                }
                RandomAction::Register(..) => continue,
                RandomAction::Report(name, value) => {
                    Input::Report(object(&format!(r#"{{"{name}": {value}}}"#)))
                }
                RandomAction::Measure(name, value) => {
                    let text =
                        format!(r#"{{"sensor_readings": [{{"sensor_type": "{name}", "value": {value}}}]}}"#);
                    Input::Telemetry(payload::telemetry(text.as_bytes()).unwrap())
                }
                RandomAction::Desire(name, value) => {
                    let patch = object(&format!(r#"{{"desired": {{"{name}": {value}}}}}"#));
                    Input::Change(Box::new(Change { patch }))
                }
                RandomAction::Remove if known.is_none() => continue,
                RandomAction::Remove => Input::Delete,
            };
            self.take(&id, input).await;
        }
    }

    async fn documents(&self) -> Vec<Value> {
        let mut documents = Vec::new();
        for n in 0..DEVICES {
            if let Some(twin) = self.hub.read(&device(&format!("d-{n:02}"))).await.unwrap() {
                let document = twinhub_domain::Json::from(twin.document(self.clock.now())).to_string();
                documents.push(serde_json::from_str(&document).unwrap());
            }
        }
        documents
    }

    async fn holds_against_a_scan(&self, documents: &[Value], asked: &[RandomQuestion]) {
        for (which, filter, place, descending, offset, limit) in asked {
            let (query, is_listed) = listed(*which);
            let place = place.map(|place| PLACES[place].0);
            let find = FindDevices {
                query: DeviceQuery { descending: *descending, offset: *offset, limit: *limit, ..query },
                filter: filter.as_ref().map(|filter| TwinFilter::compile(&filter.text()).unwrap()),
                sort: place.map(|place| SortField::compile(place).unwrap()),
            };
            let holds = |document: &&Value| {
                is_listed(document)
                    && filter.as_ref().is_none_or(|filter| filter.holds(document) == Some(true))
            };
            let mut expected: Vec<_> = documents.iter().filter(holds).collect();
            let key = |document: &Value| document["number"].as_i64().unwrap();
            expected.sort_by(|one, other| {
                let value = |document| place.and_then(|place| at(document, place));
                sorted((value(one), key(one)), (value(other), key(other)), *descending)
            });
            let shown = format!("{find:?}");
            let (ask_all, page) = (find.clone(), self.page(find).await.unwrap());
            let found: Vec<i64> = page.twins.iter().map(|twin| twin.number.0).collect();
            let numbers: Vec<i64> = expected.iter().map(|document| key(document)).collect();
            let on_page = numbers.iter().copied().skip(count(*offset)).take(count(*limit));
            assert_eq!((found, page.total), (on_page.collect(), numbers.len() as u64), "{shown}");

            let all = FindAllDevices { query: ask_all.query, filter: ask_all.filter };
            let all = ask(&self.hub.search, all).await.unwrap().devices;
            let mut by_number = numbers;
            by_number.sort_unstable();
            assert_eq!(all.iter().map(|(_, number)| number.0).collect::<Vec<_>>(), by_number, "{shown}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_a_plain_scan_finds(
        before in deeds(),
        after in deeds(),
        asked in prop::collection::vec(asked(), 1..12),
    ) {
        actix::System::new().block_on(async {
            let settings = || Settings { arbiters: 1, ..Settings::default() };
            let fixture = SearchFixture::new(settings()).await;
            fixture.does(&before).await;
            fixture.holds_against_a_scan(&fixture.documents().await, &asked).await;
            // Now all are away; those that do something come back. Documents are read last: that brings all back.
            let fixture = fixture.again().await;
            fixture.does(&after).await;
            let twin = SearchFixture::new(settings()).await; // the same by itself, for the documents
            twin.does(&before).await;
            twin.does(&after).await;
            fixture.holds_against_a_scan(&twin.documents().await, &asked).await;
            actix::System::current().stop();
        });
    }
}
