use twinhub_domain::Number;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn reading(id: u64, second: i64, sensor_type: &str, anomaly: bool) -> TimedReading {
    let json = format!("[{id}]");
    let reading = CloudReading {
        sensor_type: sensor_type.into(),
        sensor_id: "s".into(),
        value: Number::whole(id.into()),
        unit: "".into(),
        origin: if anomaly { "cloud" } else { "edge" }.into(),
        source_protocol: "mqtt".into(),
        anomaly,
        raw: Some(json.into()),
        topic: None,
    };
    TimedReading { id, at: at(second), reading }
}

fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

fn ids(readings: &[Arc<TimedReading>]) -> Vec<u64> {
    readings.iter().map(|reading| reading.id).collect()
}

fn book() -> SensorBook {
    let (mut book, now) = (SensorBook::default(), at(1_000));
    book.hear(&device("s"), reading(1, 900, "temperature", false), now);
    book.hear(&device("s"), reading(2, 800, "temperature", true), now);
    book.hear(&device("s"), reading(3, 950, "humidity", false), now);
    book.hear(&device("t"), reading(4, 700, "temperature", true), now);
    book
}

#[test]
fn one_that_comes_late_is_history_and_live_and_not_the_newest() {
    let book = book();
    assert_eq!(ids(&book.newest(None)), [3, 1, 4]);
    let live = book.live(None);
    let live: Vec<_> = live.iter().map(|(key, last)| (&**key, last.id)).collect();
    assert_eq!(live, [("humidity_s", 3), ("temperature_s", 4)]);
}

#[test]
fn a_caller_sees_the_sensors_in_reach() {
    let (mut book, reached) = (book(), HashSet::from([device("t")]));
    assert_eq!(ids(&book.newest(Some(&reached))), [4]);
    assert_eq!(book.stats(Some(&reached), at(0), at(1_000)).total.readings, 1);
    assert_eq!(ids(&book.anomalies(None, at(0), at(1_000), 9)), [2, 4]);
    assert_eq!(ids(&book.anomalies(None, at(0), at(1_000), 1)), [2]);
    assert_eq!(ids(&book.anomalies(None, at(0), at(750), 9)), [4]);
    assert!(book.anomalies(None, at(9), at(0), 9).is_empty());
    book.forget(&device("t"));
    assert_eq!(ids(&book.newest(None)), [3, 1]);
}

#[test]
fn counts_are_by_type_origin_and_protocol() {
    let stats = book().stats(None, at(0), at(1_000));
    let count = |readings, anomalies| ReadingCount { readings, anomalies };
    assert_eq!(stats.total, count(4, 2));
    assert_eq!(stats.by_type, [("humidity".into(), count(1, 0)), ("temperature".into(), count(3, 2))].into());
    assert_eq!(stats.by_origin, [("cloud".into(), count(2, 2)), ("edge".into(), count(2, 0))].into());
    assert_eq!(stats.by_protocol, [("mqtt".into(), count(4, 2))].into());
}

#[test]
fn what_senders_make_up_has_its_bounds() {
    let (mut book, now) = (SensorBook::default(), at(10_000));
    for id in 0..2_000_u32 {
        let mut made_up = reading(id.into(), i64::from(id), "t", true);
        made_up.reading.origin = format!("o{id}").into();
        made_up.reading.sensor_id = format!("s{id}").into();
        book.hear(&device("s"), made_up, now);
    }
    let stats = book.stats(None, at(0), now);
    assert_eq!((stats.total.readings, stats.by_origin.len()), (2_000, MOST_SOURCES + 2));
    assert_eq!(book.live(None).len(), MOST_TOPICS);
    let anomalies = book.anomalies(None, at(0), now, 10_000);
    assert_eq!((anomalies.len(), anomalies[0].id), (MOST_ANOMALIES, 1_999));
    assert_eq!(anomalies[0].reading.raw, None);

    for id in 2_000..3_000_u32 {
        let sensor_type = format!("t{id}");
        let mut made_up = reading(id.into(), i64::from(id), &sensor_type, true);
        made_up.reading.origin = format!("o{id}").into();
        book.hear(&device("s"), made_up, now);
    }
    assert_eq!(book.newest(None).len(), MOST_TYPES);
    assert_eq!(book.newest(None).last().unwrap().id, 3_000 - MOST_TYPES as u64, "those heard last");
    assert_eq!(book.live(None).len(), MOST_TOPICS);
    assert_eq!(book.anomalies(None, at(0), now, 10_000).len(), MOST_ANOMALIES);
    assert_eq!(book.anomalies.len(), MOST_ANOMALIES);
    book.forget(&device("s"));
    assert_eq!((book.anomalies.len(), book.payloads.messages.len(), book.payloads.bytes), (0, 0, 0));
}

#[test]
fn payloads_have_a_bound_of_their_own() {
    const BYTES: usize = 1 << 20;
    let (mut book, now, most) = (SensorBook::default(), at(10_000), MOST_PAYLOAD_BYTES / BYTES);
    for id in 0..3 * most as u64 {
        let mut large = reading(id, 1, "t", false);
        large.reading.sensor_id = format!("s{id}").into();
        large.reading.raw = Some("x".repeat(BYTES).into());
        book.hear(&device(&format!("d{}", id % 7)), large, now);
    }
    let live = book.live(None);
    let mut with_payload: Vec<u64> =
        live.values().filter(|last| last.payload_bytes() > 0).map(|last| last.id).collect();
    with_payload.sort_unstable();
    assert_eq!(live.len(), 3 * most, "the readings are all there");
    assert_eq!(with_payload, (2 * most as u64..3 * most as u64).collect::<Vec<_>>(), "those of the last");
    assert_eq!(book.payloads.bytes, MOST_PAYLOAD_BYTES);
}
