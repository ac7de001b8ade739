//! The suite that every store passes.

use std::collections::HashSet;

use super::support::*;
use crate::{DeviceQuery, DeviceSort, EventQuery, Store};
use twinhub_domain::series::{HistoryQuery, Interval};
use twinhub_domain::twin::{CertificateChange, TokenChange};
use twinhub_domain::{DeviceId, DeviceNumber, EventKind, Input, Mode, Status, Timestamp, payload};

#[tokio::test]
async fn what_is_committed_is_there_and_stays() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("pump", r#"{"name": "Pump", "serial_number": "S-1"}"#);
        world.tell("pump", r#"{"t": 23.50, "units": {"t": "°C"}}"#);
        world.send("iot/devices/pump/desired");
        fixture.commit(&mut world.batch()).await;
        world.wait(1_000);
        world.tell("pump", r#"{"t": 24}"#);
        fixture.commit(&mut world.batch()).await;

        let ids = [DeviceId::parse("pump").unwrap(), DeviceId::parse("nobody").unwrap()];
        for _ in 0..2 {
            let head = fixture.store.head().await.unwrap();
            assert_eq!((head.seq, head.number, head.outgoing), (world.seq, 1, 1));
            assert_eq!(fixture.store.load(&ids).await.unwrap(), [world.twins["pump"].clone()]);
            let readings = fixture.store.raw_history(&history(world.number("pump"))).await.unwrap();
            let told: Vec<_> = readings.iter().map(|r| format!("{}={}", r.sensor_type, r.value)).collect();
            assert_eq!(told, ["t=23.50", "t=24"]);
            assert_eq!(readings[0].unit.as_deref(), Some("°C"));
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_batch_that_comes_again_does_nothing() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        world.send("x");
        let first = world.batch();
        world.tell("a", r#"{"t": 2}"#);
        let mut batches = [first, world.batch()];
        for batch in [0, 0, 1, 0, 1] {
            fixture.commit(&mut batches[batch]).await;
        }
        assert_eq!(fixture.store.raw_history(&history(world.number("a"))).await.unwrap().len(), 2);
        assert_eq!(fixture.store.outgoing().await.unwrap().len(), 1);
        assert_eq!(fixture.store.head().await.unwrap().seq, world.seq);
    }
}

#[tokio::test]
async fn replays_any_stretch() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for round in 0..6 {
            world.tell("a", &format!(r#"{{"t": {round}}}"#));
            world.tell("b", &format!(r#"{{"t": {round}}}"#));
            fixture.commit(&mut world.batch()).await;
            if round == 3 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        for _ in 0..2 {
            for after in 0..=world.seq + 1 {
                for up_to in [0, 5, 9, world.seq, u64::MAX] {
                    for limit in [0, 1, 3, 100] {
                        let replayed = fixture.store.replay(after, up_to, limit).await.unwrap();
                        let expected: Vec<u64> = (after + 1..=up_to.min(world.seq)).take(limit).collect();
                        assert_eq!(seqs(&replayed.events), expected, "{after} {up_to} {limit}");
                        assert!(!replayed.pruned);
                    }
                }
            }
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn knows_a_message_by_its_time_and_content() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let message = |minute: i64| format!(r#"{{"t": 1, "timestamp": {}}}"#, NOON + minute * 60_000);
        for minute in [5, 1, 9, -30 * 60, 3] {
            world.tell("a", &message(minute));
            world.tell("b", r#"{"t": 1}"#);
        }
        fixture.commit(&mut world.batch()).await;
        let device = world.number("a");
        for _ in 0..3 {
            let (mut asked, mut expected) = (Vec::new(), HashSet::new());
            for minute in [5, 1, 9, -30 * 60, 3, 2, 10] {
                let telemetry = payload::telemetry(message(minute).as_bytes()).unwrap();
                let identity = telemetry.identity(true).unwrap();
                let at = telemetry.at.unwrap().written.at;
                asked.push((at, identity));
                let store = &fixture.store;
                let has = |device, message| async move {
                    !store.has_messages(device, &[message]).await.unwrap().is_empty()
                };
                let is_there = has(device, (at, identity)).await;
                assert_eq!(is_there, ![2, 10].contains(&minute), "{minute}");
                if is_there {
                    expected.insert(identity);
                }
                assert!(!has(device, (at, identity ^ 1)).await);
                assert!(!has(device, (at.plus_millis(1), identity)).await);
                assert!(!has(device, (at.next(), identity)).await);
                assert!(!has(world.number("b"), (at, identity)).await);
            }
            assert_eq!(fixture.store.has_messages(device, &asked).await.unwrap(), expected, "together");
            assert!(fixture.store.has_messages(device, &[]).await.unwrap().is_empty());
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn ids_and_names_sort_by_the_numbers_in_them() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for (id, name) in
            [("climate-10", "B\u{fc}ro 10"), ("climate-2", "Bu\u{308}ro 9"), ("climate-1", "B\u{fc}ro 2")]
        {
            world.register(id, &format!(r#"{{"name": "{name}"}}"#));
        }
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        let check = async |query: DeviceQuery, expected: &[&str]| {
            let page = fixture.store.devices(&query).await.unwrap();
            let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
            assert_eq!(ids, expected, "{query:?}");
        };
        let by = |sort| DeviceQuery { sort, ..list() };
        check(by(DeviceSort::Id), &["climate-1", "climate-2", "climate-10"]).await;
        check(DeviceQuery { descending: true, limit: 1, ..by(DeviceSort::Id) }, &["climate-10"]).await;
        check(DeviceQuery { offset: 1, limit: 1, ..by(DeviceSort::Id) }, &["climate-2"]).await;
        check(by(DeviceSort::Name), &["climate-1", "climate-2", "climate-10"]).await;
        for q in ["b\u{fc}ro 9", "BU\u{308}RO 9"] {
            check(DeviceQuery { q: Some(q.into()), ..list() }, &["climate-2"]).await;
        }
    }
}

#[tokio::test]
async fn a_device_is_found_by_its_token() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("pump", r#"{"token_hash": "ab12"}"#);
        world.register("fan", "{}");
        fixture.commit(&mut world.batch()).await;
        let found = async |hash: &str| fixture.store.find_token(hash).await.unwrap();
        assert_eq!(found("ab12").await.unwrap().as_str(), "pump");
        assert_eq!((found("ab1").await, found("").await), (None, None));
        // Two count at most, and each is found.
        for (hash, counting) in [("cd34", ["ab12", "cd34"]), ("ef56", ["cd34", "ef56"])] {
            let old_until = Some(world.now.plus_millis(60_000));
            world.input(
                "pump",
                Input::SetToken(TokenChange::Make { hash: hash.into(), broker_hash: "".into(), old_until }),
            );
            fixture.commit(&mut world.batch()).await;
            for token in ["ab12", "cd34", "ef56"] {
                let holder = found(token).await.map(|id| id.to_string());
                assert_eq!(holder.is_some(), counting.contains(&token), "{token} after {hash}");
            }
        }
        world.remove("pump");
        fixture.commit(&mut world.batch()).await;
        assert_eq!(found("ab12").await, None);
    }
}

#[tokio::test]
async fn a_device_is_found_by_its_certificate() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for device in ["pump", "fan", "lamp"] {
            world.register(device, "{}");
        }
        let end = |seconds: i64| Some(Timestamp::from_millis(seconds * 1_000));
        let mut bind = |device: &str, fingerprint: &str, expires| {
            let change = CertificateChange::Bind { fingerprint: fingerprint.into(), expires };
            world.input(device, Input::SetCertificate(change));
        };
        bind("pump", "sha256:ab", end(20));
        bind("fan", "sha256:cd", end(10));
        bind("lamp", "sha256:ef", None);
        fixture.commit(&mut world.batch()).await;
        let found = async |fingerprint: &str| fixture.store.find_certificate(fingerprint).await.unwrap();
        let ending = async |seconds: i64, limit: u64| {
            let before = Timestamp::from_millis(seconds * 1_000);
            let ending = fixture.store.certificates_ending(before, limit).await.unwrap();
            ending.iter().map(|end| format!("{} {}", end.device, end.at.millis() / 1_000)).collect::<Vec<_>>()
        };
        assert_eq!(found("sha256:ab").await.unwrap().as_str(), "pump");
        assert_eq!(found("sha256:ef").await.unwrap().as_str(), "lamp");
        assert_eq!((found("sha256:a").await, found("").await), (None, None));
        assert_eq!(ending(21, 9).await, ["fan 10", "pump 20"]);
        assert_eq!(ending(20, 9).await, ["fan 10"]);
        assert_eq!(ending(21, 1).await, ["fan 10"]);
        world.input("fan", Input::SetCertificate(CertificateChange::Remove));
        world.remove("pump");
        fixture.commit(&mut world.batch()).await;
        assert_eq!((found("sha256:ab").await, found("sha256:cd").await), (None, None));
        assert_eq!(ending(99, 9).await, [""; 0]);
    }
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("p-1", r#"{"name": "Zebra", "type": "pump", "tags": {"floor": 2, "wet": true}}"#);
        world.wait(1_000);
        world.register(
            "p-2",
            r#"{"name": "alpha_100%", "type": "pump", "group_id": "g", "serial_number": "SN7"}"#,
        );
        world.register("f-1", r#"{"name": "Übung", "type": "fan", "tags": {"floor": "2", "wet": null}}"#);
        world.tell("x", r#"{"t": 1}"#);
        world.tell("p-2", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        world.change("p-1", r#"{"tags": {"wet": false}}"#);
        world.change("x", "{\"type\": \"Ku\u{308}hler\", \"tags\": {\"ho\u{308}he\": \"B\u{fc}ro\"}}");
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();

        let check = async |query: DeviceQuery, expected: &[&str], total: u64| {
            let page = fixture.store.devices(&query).await.unwrap();
            let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
            assert_eq!((&ids[..], page.total), (expected, total), "{query:?}");
            let by_number = DeviceQuery { sort: DeviceSort::Number, descending: false, ..query.clone() };
            let all = DeviceQuery { offset: 0, limit: u64::MAX, ..by_number };
            let all = fixture.store.devices(&all).await.unwrap().twins;
            let numbers: Vec<DeviceNumber> = all.iter().map(|twin| twin.number).collect();
            assert_eq!(fixture.store.numbers(&query).await.unwrap(), numbers, "{query:?}");
            let unknown = [DeviceNumber(99_999)];
            let mut twins = fixture.store.twins(&[&numbers[..], &unknown].concat()).await.unwrap();
            twins.sort_by_key(|twin| twin.number);
            assert_eq!(twins, all, "{query:?}");
        };
        check(list(), &["p-1", "p-2", "f-1", "x"], 4).await;
        check(DeviceQuery { limit: 2, offset: 1, ..list() }, &["p-2", "f-1"], 4).await;
        check(DeviceQuery { offset: 9, ..list() }, &[], 4).await;
        check(DeviceQuery { offset: u64::MAX, limit: u64::MAX, ..list() }, &[], 4).await;
        check(DeviceQuery { offset: 3, limit: u64::MAX, ..list() }, &["x"], 4).await;
        check(DeviceQuery { limit: 0, ..list() }, &[], 4).await;
        let numbers =
            |first: &str, last| DeviceQuery { numbers: Some((world.number(first), last)), ..list() };
        check(numbers("f-1", world.number("f-1")), &["f-1"], 1).await;
        check(numbers("p-2", DeviceNumber(i64::MAX)), &["p-2", "f-1", "x"], 3).await;
        check(numbers("x", world.number("p-1")), &[], 0).await;
        check(DeviceQuery { descending: true, ..list() }, &["x", "f-1", "p-2", "p-1"], 4).await;
        let by = |sort| DeviceQuery { sort, ..list() };
        check(by(DeviceSort::Id), &["f-1", "p-1", "p-2", "x"], 4).await;
        check(by(DeviceSort::Name), &["p-1", "p-2", "x", "f-1"], 4).await;
        check(by(DeviceSort::Type), &["x", "f-1", "p-1", "p-2"], 4).await;
        check(by(DeviceSort::CreatedAt), &["p-1", "p-2", "f-1", "x"], 4).await;
        check(by(DeviceSort::LastSeen), &["p-1", "f-1", "p-2", "x"], 4).await;
        check(by(DeviceSort::Status), &["p-1", "f-1", "p-2", "x"], 4).await;
        let typed = DeviceQuery { device_type: Some("pump".into()), ..list() };
        check(DeviceQuery { limit: 1, ..typed.clone() }, &["p-1"], 2).await;
        check(DeviceQuery { status: vec![Status::Online], ..typed }, &["p-2"], 1).await;
        check(DeviceQuery { claimed: Some(false), ..list() }, &["x"], 1).await;
        check(DeviceQuery { groups: vec!["g".into()], ..list() }, &["p-2"], 1).await;
        check(DeviceQuery { groups: vec!["x".into(), "g".into()], ..list() }, &["p-2"], 1).await;
        check(DeviceQuery { groups: vec!["x".into()], ..list() }, &[], 0).await;
        check(DeviceQuery { grouped: Some(true), ..list() }, &["p-2"], 1).await;
        check(DeviceQuery { mode: Some(Mode::Manual), ..list() }, &[], 0).await;
        let tagged = |tags: &[(&str, &str)]| DeviceQuery {
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..list()
        };
        check(tagged(&[("floor", "2")]), &["p-1", "f-1"], 2).await;
        check(tagged(&[("floor", "2"), ("wet", "false")]), &["p-1"], 1).await;
        check(tagged(&[("wet", "true")]), &[], 0).await;
        // However each was typed: as one character, or with the dots above behind it.
        for (kind, room) in [("K\u{fc}hler", "B\u{fc}ro"), ("Ku\u{308}hler", "Bu\u{308}ro")] {
            check(DeviceQuery { device_type: Some(kind.into()), ..list() }, &["x"], 1).await;
            check(tagged(&[("h\u{f6}he", room)]), &["x"], 1).await;
            check(tagged(&[("ho\u{308}he", room)]), &["x"], 1).await;
            check(tagged(&[("ho\u{308}he", "Buro")]), &[], 0).await;
        }
        let search = |part: &str| DeviceQuery { q: Some(part.into()), ..list() };
        check(search("ZEB"), &["p-1"], 1).await;
        check(search("p-"), &["p-1", "p-2"], 2).await;
        check(search("sn7"), &["p-2"], 1).await;
        check(search("üBU"), &["f-1"], 1).await;
        check(search("a_1"), &["p-2"], 1).await;
        check(search("0%"), &["p-2"], 1).await;
        check(search("%"), &["p-2"], 1).await;
        check(search("!"), &[], 0).await;
    }
}

#[tokio::test]
async fn finds_by_serial_number_and_by_id_without_one() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", r#"{"serial_number": "b"}"#);
        world.register("b", "{}");
        world.register("c", r#"{"serial_number": "S"}"#);
        let long = "x".repeat(500);
        world.register("d", &format!(r#"{{"serial_number": "{long}"}}"#));
        fixture.commit(&mut world.batch()).await;
        let find = async |serial: &str| {
            fixture.store.find_serial(serial).await.unwrap().map(|twin| twin.id.to_string())
        };
        assert_eq!(find("b").await.as_deref(), Some("a"));
        assert_eq!(find("S").await.as_deref(), Some("c"));
        assert_eq!(find("c").await, None);
        assert_eq!(find("a").await, None);
        assert_eq!(find(&long).await.as_deref(), Some("d"));
        assert_eq!(find(&long[1..]).await, None);
    }
}

#[tokio::test]
async fn a_removed_device_is_gone_with_all_it_had() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        world.tell("b", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        world.tell("a", r#"{"t": 2}"#);
        fixture.commit(&mut world.batch()).await;
        let (gone, stays) = (world.number("a"), world.number("b"));
        world.tell("a", r#"{"t": 3}"#);
        world.remove("a");
        let removal = world.seq;
        world.register("a", r#"{"name": "again"}"#);
        fixture.commit(&mut world.batch()).await;

        for round in 0..3 {
            let store: &dyn Store = &*fixture.store;
            assert_eq!(store.raw_history(&history(gone)).await.unwrap(), []);
            assert_eq!(store.raw_history(&history(stays)).await.unwrap().len(), 1);
            let told = store.replay(0, u64::MAX, 100).await.unwrap().events;
            let of_gone: Vec<_> = told.iter().filter(|e| e.event.number == gone).map(|e| e.seq).collect();
            assert_eq!(of_gone, [removal], "only its removal is told, round {round}");
            let query = EventQuery { device: Some(gone), ..log() };
            assert_eq!(seqs(&store.events(&query).await.unwrap()), [removal]);
            let all = store.events(&log()).await.unwrap();
            assert!(all.iter().all(|e| e.event.number != gone || e.seq == removal));
            let page = store.devices(&list()).await.unwrap();
            assert_eq!(page.total, 2);
            let again = store.load(&[DeviceId::parse("a").unwrap()]).await.unwrap();
            assert_eq!(again, [world.twins["a"].clone()]);
            assert_ne!(again[0].number, gone);
            assert_eq!(store.head().await.unwrap().number, 3);
            store.maintain(world.now).await.unwrap();
            if round == 1 {
                fixture.reopen().await;
            }
        }
    }
}

#[tokio::test]
async fn the_outbox_holds_what_was_not_sent() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let (one, two) = (world.send("1"), world.send("2"));
        fixture.commit(&mut world.batch()).await;
        world.sent(one);
        let three = world.send("3");
        let mut batch = world.batch();
        assert!(batch.events.is_empty());
        fixture.commit(&mut batch).await;
        fixture.commit(&mut batch).await;
        fixture.reopen().await;
        let left = fixture.store.outgoing().await.unwrap();
        assert_eq!(
            left.iter().map(|m| (m.id, m.topic.as_str())).collect::<Vec<_>>(),
            [(two, "2"), (three, "3")]
        );
        assert!(left[0].retain && left[0].payload == "{}");
        for id in [two, three] {
            world.sent(id);
        }
        fixture.commit(&mut world.batch()).await;
        fixture.reopen().await;
        assert_eq!(fixture.store.outgoing().await.unwrap(), []);
        assert_eq!(fixture.store.head().await.unwrap().outgoing, three, "ids are not given again");
    }
}

#[tokio::test]
async fn the_log_is_filtered() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for minute in 0..5 {
            world.tell("a", &format!(r#"{{"t": {minute}, "timestamp": {}}}"#, NOON - minute * 60_000));
            world.tell("b", r#"{"t": 1}"#);
            fixture.commit(&mut world.batch()).await;
        }
        for _ in 0..2 {
            let find = async |query: EventQuery| seqs(&fixture.store.events(&query).await.unwrap());
            let a = Some(world.number("a"));
            // 1 to 3: a appears, is there, tells; 4 to 6: so does b; then they tell in turn.
            assert_eq!(find(log()).await, (1..=world.seq).collect::<Vec<_>>());
            assert_eq!(find(EventQuery { limit: usize::MAX, device: a, ..log() }).await.len(), 7);
            assert_eq!(find(EventQuery { device: a, ..log() }).await, [1, 2, 3, 7, 9, 11, 13]);
            let newest = EventQuery { device: a, newest_first: true, limit: 2, ..log() };
            assert_eq!(find(newest.clone()).await, [13, 11]);
            assert_eq!(find(EventQuery { device: None, ..newest.clone() }).await, [14, 13]);
            for (offset, left) in [(1, &[11, 9][..]), (6, &[1]), (7, &[])] {
                assert_eq!(find(EventQuery { offset, ..newest.clone() }).await, left);
            }
            let few = EventQuery {
                kinds: vec![EventKind::Twin, EventKind::Presence],
                limit: 1,
                device: a,
                ..log()
            };
            assert_eq!(find(EventQuery { offset: 1, ..few.clone() }).await, [2]);
            assert_eq!(find(EventQuery { offset: 1, newest_first: true, ..few.clone() }).await, [1]);
            assert_eq!(find(EventQuery { offset: 1, device: None, limit: 2, ..few }).await, [2, 4]);
            assert_eq!(find(EventQuery { offset: 12, ..log() }).await, [13, 14]);
            let kinds = |kinds: &[EventKind]| EventQuery { kinds: kinds.to_vec(), ..log() };
            assert_eq!(find(kinds(&[EventKind::Twin])).await, [1, 4]);
            assert_eq!(find(kinds(&[EventKind::Twin, EventKind::Presence])).await, [1, 2, 4, 5]);
            let presence = EventQuery { newest_first: true, limit: 1, ..kinds(&[EventKind::Presence]) };
            assert_eq!(find(presence).await, [5]);
            assert_eq!(
                find(EventQuery { device: a, ..kinds(&[EventKind::Telemetry]) }).await,
                [3, 7, 9, 11, 13]
            );
            let at = |minute: i64| Some(Timestamp::from_millis(NOON - minute * 60_000).into());
            assert_eq!(find(EventQuery { from: at(3), to: at(1), ..log() }).await, [9, 11]);
            assert_eq!(find(EventQuery { device: a, from: at(3), to: at(1), ..log() }).await, [9, 11]);
            assert_eq!(find(EventQuery { device: a, since: Some(9), ..log() }).await, [11, 13]);
            assert_eq!(find(EventQuery { since: Some(9), limit: 2, ..log() }).await, [10, 11]);
            fixture.store.maintain(world.now).await.unwrap();
        }
    }
}

#[tokio::test]
async fn history_filters_and_limits() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for second in 0..40 {
            world.wait(1_000);
            world.tell("a", &format!(r#"{{"t": {second}, "h": {second}.5, "on": true, "s": "text"}}"#));
            fixture.commit(&mut world.batch()).await;
            if second % 7 == 0 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        let query = HistoryQuery { sensors: vec!["t".into()], limit: 3, ..history(world.number("a")) };
        let values = async |query: HistoryQuery| -> Vec<String> {
            let readings = fixture.store.raw_history(&query).await.unwrap();
            readings.into_iter().map(|reading| reading.value.to_string()).collect()
        };
        assert_eq!(values(query.clone()).await, ["0", "1", "2"]);
        assert_eq!(values(HistoryQuery { newest_first: true, ..query.clone() }).await, ["39", "38", "37"]);
        let second = |second: i64| Some(Timestamp::from_millis(NOON + 1_000 + second * 1_000).into());
        let part = HistoryQuery { from: second(10), to: second(12), ..query.clone() };
        assert_eq!(values(part.clone()).await, ["10", "11"]);
        assert_eq!(values(HistoryQuery { newest_first: true, ..part }).await, ["11", "10"]);
        let every = HistoryQuery { sensors: vec![], limit: 4, ..query.clone() };
        assert_eq!(values(every).await, ["0.5", "true", "text", "0"]);
        let nobody = HistoryQuery { device: DeviceNumber(99), ..query.clone() };
        assert_eq!(values(nobody).await, Vec::<String>::new());

        let buckets =
            HistoryQuery { interval: Some(Interval::Fixed(10_000)), newest_first: true, limit: 2, ..query };
        let told = fixture.store.bucket_history(&buckets).await.unwrap();
        let told: Vec<_> =
            told.iter().map(|b| (b.timestamp.millis() - NOON, b.value.as_f64(), b.count)).collect();
        assert_eq!(told, [(40_000, 39.0, 1), (30_000, 33.5, 10)]);
    }
}
