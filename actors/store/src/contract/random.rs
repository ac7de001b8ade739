//! Random doings: the durable store answers like the simple one, whenever compaction runs, whenever it is
//! opened again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::query_dump::{dump_all, dump_order};
use super::random_automation::{AutomationWrite, any_automation, write_automation};
use super::support::*;
use chrono_tz::Tz;
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::series::{Aggregate, CalendarUnit, HistoryQuery, Interval};
use twinhub_domain::{CommandId, CommandRequest, DeviceNumber, Mode, Object, ReadingTime, Scalar, Timestamp};

#[derive(Clone, Debug)]
enum RandomStep {
    /// A device sends a value; its own time is this far in the past, or none.
    Tell(u8, i16, Option<u32>),
    /// A device that is always believed sends a value of this moment.
    TellAt(u8, i16, i64),
    Change(u8, u8),
    Remove(u8),
    /// A device sends as a reading a value that may be a desired one.
    Obey(u8, u8),
    Presence(u8, bool),
    /// A person takes over, for this many ms or until the schedule may again.
    Mode(u8, Option<u16>),
    Ask(u8, QueryCase),
    /// The device answers one of the commands, or it is called back.
    Answer(prop::sample::Index, u8),
    Cancel(prop::sample::Index),
    Wake(u8),
    /// Automation has something to say, of a device that there is or was, or of none.
    Say(prop::sample::Index, AutomationWrite),
    Wait(u32),
    Commit,
    Maintain,
    Reopen,
    /// Compaction is broken off after this many polls, as by a crash.
    Crash(u8),
}

fn any_step() -> impl Strategy<Value = RandomStep> {
    let device = || 0..5u8;
    prop_oneof![
        12 => (device(), any::<i16>(), prop::option::weighted(0.3, 0..200_000_000u32))
            .prop_map(|(device, value, age)| RandomStep::Tell(device, value, age)),
        3 => (device(), any::<i16>(), any_moment()).prop_map(|(device, value, at)| RandomStep::TellAt(device, value, at)),
        2 => (device(), any::<u8>()).prop_map(|(device, value)| RandomStep::Change(device, value % 4)),
        1 => device().prop_map(RandomStep::Remove),
        2 => (device(), 0..4u8).prop_map(|(device, value)| RandomStep::Obey(device, value)),
        2 => (device(), any::<bool>()).prop_map(|(device, online)| RandomStep::Presence(device, online)),
        1 => (device(), prop::option::of(any::<u16>())).prop_map(|(device, millis)| RandomStep::Mode(device, millis)),
        5 => (device(), any_query()).prop_map(|(device, asked)| RandomStep::Ask(device, asked)),
        5 => (any::<prop::sample::Index>(), 0..4u8).prop_map(|(which, answer)| RandomStep::Answer(which, answer)),
        1 => any::<prop::sample::Index>().prop_map(RandomStep::Cancel),
        2 => device().prop_map(RandomStep::Wake),
        6 => (any::<prop::sample::Index>(), any_automation()).prop_map(|(whose, said)| RandomStep::Say(whose, said)),
        3 => (0..40_000u32).prop_map(RandomStep::Wait),
        1 => (600_000..100_000_000u32).prop_map(RandomStep::Wait),
        4 => Just(RandomStep::Commit),
        2 => Just(RandomStep::Maintain),
        1 => Just(RandomStep::Reopen),
        2 => any::<u8>().prop_map(RandomStep::Crash),
    ]
}

/// Rare moments: before 1970, beyond 2100, at the ends of the range, and about noon.
fn any_moment() -> impl Strategy<Value = i64> {
    const ENDS: [i64; 2] = [-62_135_596_800_000, 253_402_300_799_999];
    prop_oneof![
        3 => NOON - 300_000_000..NOON + 300_000_000,
        2 => NOON - 2..NOON,
        2 => -3_000..3_000i64,
        2 => -2_000_000_000_000..0i64,
        2 => 4_102_444_800_000..6_000_000_000_000i64,
        1 => prop::sample::select(ENDS.to_vec()),
    ]
}

/// The value beside: a text, a boolean or a number.
fn mixed(value: i16) -> String {
    match value.rem_euclid(5) {
        0 => "true".into(),
        1 => "false".into(),
        2 => format!(r#""word {value}""#),
        3 => format!("{value}.0"),
        _ => format!("{value}e-1"),
    }
}

/// A query, and its keys.
#[derive(Clone, Debug)]
struct QueryCase {
    priority: u8,
    ttl_ms: i64,
    timeout_ms: i64,
    attempts: u8,
    supersedes: bool,
    key: Option<u8>,
}

fn any_query() -> impl Strategy<Value = QueryCase> {
    (0..10u8, 1_000..90_000i64, 1_000..30_000i64, 1..4u8, any::<bool>(), prop::option::of(0..2u8)).prop_map(
        |(priority, ttl_ms, timeout_ms, attempts, supersedes, key)| QueryCase {
            priority,
            ttl_ms,
            timeout_ms,
            attempts,
            supersedes,
            key,
        },
    )
}

impl QueryCase {
    fn request(&self) -> CommandRequest {
        let Self { priority, ttl_ms, timeout_ms, attempts, supersedes, key } = self;
        let command_type = if *supersedes { "a" } else { "b" };
        CommandRequest {
            priority: *priority,
            ttl: GivenDuration::from_ms(*ttl_ms),
            timeout: GivenDuration::from_ms(*timeout_ms),
            max_attempts: *attempts,
            supersedes: supersedes.then(|| "s".into()),
            idempotency_key: key.map(|key| format!("k{key}").into()),
            ..CommandRequest::new(command_type, Object::default())
        }
    }
}

/// One of the commands that there are, as chance will have it.
fn one_of(world: &TestFleet, which: &prop::sample::Index) -> Option<CommandId> {
    let ids: Vec<CommandId> = world.commands.keys().copied().collect();
    (!ids.is_empty()).then(|| *which.get(&ids))
}

/// A time of a device, which may be finer than milliseconds: by a number of any kind.
fn finer(millis: i64, of: i64) -> ReadingTime {
    let nanos = [0, 1, 1_000, 999_999][usize::try_from(of.rem_euclid(4)).unwrap()];
    ReadingTime::new(Timestamp::from_millis(millis), nanos)
}

/// Runs `steps` on both stores; gives the world, both stores, and every device there ever was.
async fn run(steps: &[RandomStep]) -> (TestFleet, Fixture, Fixture, Vec<(String, DeviceNumber)>) {
    let (mut world, memory, mut sql) = (TestFleet::new(), Fixture::memory(), Fixture::sql().await);
    let mut devices = BTreeMap::new();
    for step in steps {
        match step {
            RandomStep::Tell(device, value, age) => {
                let quarter = f64::from(*value) / 4.0;
                let at = age.map_or_else(String::new, |age| {
                    let at = finer(world.now.millis() - i64::from(age), i64::from(age));
                    format!(r#", "timestamp": "{at}""#)
                });
                let mixed = mixed(*value);
                let payload = format!(r#"{{"v": {quarter}, "n": {value}, "mixed": {mixed}{at}}}"#);
                world.tell(&format!("d{device}"), &payload);
            }
            RandomStep::TellAt(device, value, at) => {
                let (mixed, at) = (mixed(*value), finer(*at, (*value).into()));
                let payload = format!(r#"{{"n": {value}, "mixed": {mixed}, "timestamp": "{at}"}}"#);
                world.tell_believed(&format!("d{device}"), &payload);
            }
            RandomStep::Obey(device, value) => {
                world.tell(&format!("d{device}"), &format!(r#"{{"x": {value}}}"#));
            }
            RandomStep::Presence(device, online) => world.presence(&format!("d{device}"), *online),
            RandomStep::Mode(device, millis) => {
                let until = millis.map(|millis| world.now.plus_millis(i64::from(millis)));
                world.set_mode(&format!("d{device}"), Mode::Manual, until);
            }
            RandomStep::Ask(device, asked) => {
                world.command(&format!("d{device}"), &asked.request());
            }
            RandomStep::Answer(which, answer) => {
                if let Some(command) = one_of(&world, which) {
                    let status = ["delivered", "executed", "failed", "rejected"][usize::from(*answer)];
                    world.answer(command, &format!(r#"{{"status": "{status}", "response": {{"n": 1.50}}}}"#));
                }
            }
            RandomStep::Cancel(which) => {
                if let Some(command) = one_of(&world, which) {
                    world.cancel(command);
                }
            }
            RandomStep::Wake(device) => {
                let id = format!("d{device}");
                if world.twins.contains_key(&id) {
                    world.wake(&id);
                }
            }
            RandomStep::Say(whose, said) => {
                let whose = *whose.get(&devices.iter().map(Some).chain([None]).collect::<Vec<_>>());
                write_automation(
                    &mut world,
                    whose.map(|(number, id): (&DeviceNumber, &String)| (id.as_str(), *number)),
                    said,
                );
            }
            RandomStep::Change(device, value) => {
                let id = format!("d{device}");
                if world.twins.contains_key(&id) {
                    world.change(
                        &id,
                        &format!(r#"{{"desired": {{"x": {value}}}, "tags": {{"t": {value}}}}}"#),
                    );
                }
            }
            RandomStep::Remove(device) => world.remove(&format!("d{device}")),
            // Not so long that anything is too old to be kept.
            RandomStep::Wait(millis) if world.now.millis() - NOON < 500_000_000 => {
                world.wait(i64::from(*millis));
            }
            RandomStep::Wait(_) => {}
            RandomStep::Commit => {
                let mut batch = world.batch();
                memory.commit(&mut batch.clone()).await;
                sql.commit(&mut batch).await;
            }
            RandomStep::Maintain => sql.store.maintain(world.now).await.unwrap(),
            RandomStep::Reopen => sql.reopen().await,
            RandomStep::Crash(polls) => {
                broken_off(sql.store.maintain(world.now), *polls).await;
                sql.reopen().await;
            }
        }
        devices.extend(world.twins.iter().map(|(id, twin)| (twin.number, id.clone())));
    }
    let mut batch = world.batch();
    memory.commit(&mut batch.clone()).await;
    sql.commit(&mut batch).await;
    let devices = devices.into_iter().map(|(number, id)| (id, number)).collect();
    (world, memory, sql, devices)
}

/// Polls `work` this often at most.
pub async fn broken_off<T>(work: impl Future<Output = T>, mut polls: u8) {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        if polls == 0 || work.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        polls -= 1;
        std::task::Poll::Pending
    })
    .await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn compaction_changes_no_answer(steps in prop::collection::vec(any_step(), 1..90)) {
        runtime().block_on(async {
            let (world, memory, mut sql, devices) = run(&steps).await;
            let expected = dump_all(&*memory.store, &devices, world.now).await;
            let answers = async |sql: &Fixture| dump_all(&*sql.store, &devices, world.now).await;
            prop_assert_eq!(&answers(&sql).await, &expected, "before order is made");
            sql.store.maintain(world.now).await.unwrap();
            prop_assert_eq!(&answers(&sql).await, &expected, "after order was made");
            let in_order = dump_order(&*memory.store, world.now).await;
            prop_assert_eq!(&dump_order(&*sql.store, world.now).await, &in_order, "what may be behind before");
            sql.reopen().await;
            prop_assert_eq!(&answers(&sql).await, &expected, "after it was opened again");
            prop_assert_eq!(&dump_order(&*sql.store, world.now).await, &in_order, "the same once more");
            Ok(())
        })?;
    }

    #[test]
    fn buckets_are_what_a_naive_computation_gives(
        steps in prop::collection::vec(any_step(), 1..60),
        interval in any_interval(),
        newest_first in any::<bool>(),
        limit in prop_oneof![Just(2usize), Just(1_000)],
        from in prop::option::of(any_moment()),
        to in prop::option::of(any_moment()),
        word in prop::sample::select(vec!["avg", "min", "max", "sum", "count", "first", "last", "p50", "p95"]),
    ) {
        runtime().block_on(async {
            let (_, _, sql, devices) = run(&steps).await;
            let aggregate = Aggregate::parse(word).unwrap();
            let (from, to) = (from.map(|at| finer(at, at / 7)), to.map(|at| finer(at, at / 5)));
            let is_asked = |at: ReadingTime| from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to);
            for (_, device) in devices {
                let query = HistoryQuery { from, to, interval: Some(interval), aggregate, newest_first, limit, ..history(device) };
                let raw = sql.store.raw_history(&history(device)).await.unwrap();
                let mut naive: BTreeMap<(i64, String), Vec<f64>> = BTreeMap::new();
                for reading in raw.into_iter().filter(|reading| is_asked(reading.timestamp)) {
                    let value = match &reading.value {
                        Scalar::Number(number) => number.as_f64(),
                        Scalar::Bool(is_true) => f64::from(u8::from(*is_true)),
                        Scalar::Text(_) => continue,
                    };
                    let start = interval.start_of(reading.timestamp.floor()).millis();
                    naive.entry((start, reading.sensor_type)).or_default().push(value);
                }
                let mut expected: Vec<_> = naive
                    .into_iter()
                    .map(|((start, sensor), values)| {
                        (Timestamp::from_millis(start), sensor, aggregate_of(word, &values), values.len() as u64)
                    })
                    .collect();
                if newest_first {
                    expected.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
                }
                expected.truncate(limit);
                let told = sql.store.bucket_history(&query).await.unwrap();
                prop_assert_eq!(told.len(), expected.len());
                for (bucket, (start, sensor, value, count)) in told.iter().zip(expected) {
                    prop_assert_eq!((bucket.timestamp, &bucket.sensor_type, bucket.count), (start, &sensor, count));
                    prop_assert!((bucket.value.as_f64() - value).abs() < 1e-6, "{bucket:?} is not {value}");
                }
            }
            Ok(())
        })?;
    }
}

fn any_interval() -> impl Strategy<Value = Interval> {
    let units = vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month];
    let zones = vec![Tz::UTC, Tz::Europe__Berlin, Tz::Asia__Kolkata, Tz::America__Sao_Paulo];
    let (unit, zone) = (prop::sample::select(units), prop::sample::select(zones));
    prop_oneof![
        prop_oneof![Just(1_000i64), Just(60_000), Just(86_400_000), 1..10_000_000i64]
            .prop_map(Interval::Fixed),
        (unit, zone).prop_map(|(unit, zone)| Interval::Local(unit, zone)),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few values, counted from 0"
)]
fn aggregate_of(word: &str, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let sum: f64 = values.iter().sum();
    let rank = |part: f64| {
        let place = (values.len() - 1) as f64 * part;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low * (1.0 - place.fract()) + high * place.fract()
    };
    match word {
        "avg" => sum / values.len() as f64,
        "sum" => sum,
        "min" => sorted[0],
        "max" => sorted[sorted.len() - 1],
        "count" => values.len() as f64,
        "first" => values[0],
        "last" => values[values.len() - 1],
        "p50" => rank(0.5),
        "p95" => rank(0.95),
        other => panic!("{other} is no aggregate"),
    }
}
