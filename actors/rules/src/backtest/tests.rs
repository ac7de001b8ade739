//! The comparison of runs; that a backtest is the live run is shown in the engine's own tests.

use super::*;
use crate::RuleFile;
use crate::model::RuleOrigin;
use twinhub_domain::{Cause, Event, EventBody, Reading, Scalar, Twin};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_780_000_000_000 + ms)
}

fn engine(above: i64) -> Engine {
    let text = format!(
        "version: 1\nrules:\n  r: {{ triggers: {{ numeric: a.x, above: {above} }}, actions: {{ desired: b, set: {{ p: 1 }} }} }}"
    );
    let mut engine = Engine::new(at(0));
    engine.exchange(RuleFile::parse(&text, &RuleOrigin::Api).unwrap().rules);
    for (number, id) in [(1, "a"), (2, "b")] {
        engine.know(Twin::new(DeviceId::parse(id).unwrap(), DeviceNumber(number), at(0)));
    }
    engine
}

fn reading(seq: u64, value: i64) -> Recorded {
    let at = at(i64::try_from(seq).unwrap() * 1_000);
    let value = Scalar::Number(value.into());
    let readings = vec![Reading { name: "x".into(), value, unit: None, quality_score: None }];
    Recorded::new(
        seq,
        Event {
            device: DeviceId::parse("a").unwrap(),
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body: EventBody::Telemetry { readings, identity: None, claimed: None, payload: None },
            cause: Cause::hub(),
        },
    )
}

fn runs(above: i64, from: Timestamp, to: Timestamp) -> Vec<RunEntry> {
    let mut backtest = Backtest::new(engine(above), from, to);
    for (seq, value) in [(1, 6), (2, 0), (3, 3), (4, 0), (5, 9), (6, 0), (7, 4)] {
        backtest.observe(&reading(seq, value));
    }
    backtest.finish()
}

#[test]
fn what_lies_before_only_warms_up() {
    let times = |runs: Vec<RunEntry>| runs.iter().map(|run| run.at).collect::<Vec<_>>();
    assert_eq!(times(runs(2, at(0), at(10_000))), [at(1_000), at(3_000), at(5_000), at(7_000)]);
    assert_eq!(times(runs(2, at(3_000), at(7_000))), [at(3_000), at(5_000)]);
    assert!(runs(2, at(0), at(10_000)).iter().all(|run| run.outcome == RunOutcome::Done));
}

#[test]
fn two_versions_are_compared() {
    let difference = difference(&runs(2, at(0), at(10_000)), &runs(5, at(0), at(10_000)));
    let times = |runs: &[RunEntry]| runs.iter().map(|run| run.at).collect::<Vec<_>>();
    assert_eq!(
        (difference.same, times(&difference.only_first), times(&difference.only_second)),
        (2, vec![at(3_000), at(7_000)], vec![])
    );
}
