//! For all streams of events: kills and extra ticks of the clock change nothing, and a backtest finds the runs that
//! the live engine made.

use proptest::prelude::*;

use super::*;
use crate::backtest::{Backtest, difference};

/// Rules of many kinds.
const RULES: &str = r#"
  a-hot: { triggers: { numeric: "s-*.t", above: 5, release: 3, for: 20s }, conditions: [ home.x < 8 ], cooldown: 5s, actions: [ { desired: trigger.device, set: { on: true } }, { alarm: hot } ], on_release: [ { desired: trigger.device, set: { on: false } }, { clear: hot } ] }
  b-seq: { mode: queued, max: 2, triggers: { changed: home.x }, actions: [ { log: "{{ trigger.value }}" }, { delay: 7s }, { log: end } ] }
  c-again: { mode: restart, triggers: { changed: s-1.t }, actions: [ { delay: 9s }, { command: fan, type: set, parameters: { t: "{{ trigger.value }}" } } ] }
  d-side: { mode: parallel, max: 3, triggers: { event: telemetry, device: s-2 }, actions: [ { wait: home.x == 1, timeout: 11s, on_error: continue }, { publish: a/b } ] }
  e-gone: { triggers: { presence: "s-*", becomes: offline, for: 5s }, actions: [ { mode: fan, to: manual, for: 10s } ], on_release: { log: back } }
  f-fan: { priority: 3, triggers: { changed: fan.mode }, actions: [ { desired: fan, set: { p: 1 } }, { run: g-called } ] }
  g-called: { triggers: { alarm: hot }, actions: { desired: fan, set: { p: 2 } } }
  h-clock: { triggers: [ { every: 13s }, { cron: "*/30 * * * * *", missed: run_all, missed_within: 60s } ], conditions: [ home.x > 2 ], actions: { log: tick } }
  i-sent: { triggers: { command: fan, type: set, status: executed }, actions: { desired: home, set: { seen: "{{ trigger.command.command_id }}" } } }
  j-loop: { triggers: { changed: home.desired.seen }, actions: [ { choose: [ { when: home.x > 4, do: { log: much } } ], else: { log: little } } ] }
"#;

#[derive(Clone, Debug)]
enum RandomInput {
    Reading(u8, u8),
    /// A reading that was taken so many ms ago: the twin may be past it.
    Late(u8, u8, i64),
    Home(u8),
    Gone(u8),
    Down(i64),
}

fn happens() -> impl Strategy<Value = (i64, RandomInput)> {
    let what = prop_oneof![
        4 => (1u8..3, 0u8..9).prop_map(|(device, value)| RandomInput::Reading(device, value)),
        1 => (1u8..3, 0u8..9, 1i64..40_000).prop_map(|(device, value, ago)| RandomInput::Late(device, value, ago)),
        3 => (0u8..9).prop_map(RandomInput::Home),
        1 => (1u8..3).prop_map(RandomInput::Gone),
    ];
    (0i64..15_000, what)
}

fn with_downs() -> impl Strategy<Value = (i64, RandomInput)> {
    prop_oneof![
        6 => happens(),
        1 => (0i64..15_000, (0i64..90_000).prop_map(RandomInput::Down)),
    ]
}

/// Where the hub dies: before what happens, and within the work that an event makes.
#[derive(Clone, Debug, Default)]
struct Kills {
    between: Vec<usize>,
    within: Vec<u64>,
}

fn kills() -> impl Strategy<Value = Kills> {
    (prop::collection::vec(0usize..40, 0..6), prop::collection::vec(1u64..200, 0..12))
        .prop_map(|(between, within)| Kills { between, within })
}

/// Lets all this happen; the hub dies at `kills`, and `ticks` says how often it looks at the clock.
fn live(all: &[(i64, RandomInput)], kills: &Kills, ticks: i64) -> Sim {
    let mut sim = world(RULES);
    sim.dies_within = kills.within.iter().copied().collect();
    for device in ["s-1", "s-2", "home", "fan"] {
        sim.make(&id(device));
    }
    sim.begin();
    for (index, (after, what)) in all.iter().enumerate() {
        let until = sim.now.plus_millis(*after);
        while ticks > 0 && sim.now.plus_millis(ticks) < until {
            let next = sim.now.plus_millis(ticks);
            sim.go_to(next);
        }
        if kills.between.contains(&index) {
            sim.restart();
        }
        sim.go_to(until);
        match what {
            RandomInput::Reading(n, value) => sim.reports(&format!("s-{n}"), "t", f64::from(*value)),
            RandomInput::Late(n, value, ago) => {
                let at = sim.now.plus_millis(-ago);
                let late = readings(&[("t", i64::from(*value).into())], Some(at));
                sim.tell(&id(&format!("s-{n}")), late, &device()).unwrap();
            }
            RandomInput::Home(value) => sim.reports("home", "x", f64::from(*value)),
            RandomInput::Gone(n) => {
                let gone = Input::Presence { online: false, details: Object::default() };
                sim.tell(&id(&format!("s-{n}")), gone, &device()).unwrap();
            }
            RandomInput::Down(ms) => sim.down(*ms),
        }
    }
    sim.pass(60_000);
    sim
}

fn ids(sim: &Sim) -> Vec<(String, String)> {
    sim.entries.iter().map(|entry| (entry.id.to_string(), line(entry))).collect()
}

/// The effects done, by time: a hub that died of its work takes that up in another order.
fn acts(sim: &Sim) -> Vec<String> {
    let mut acts: Vec<_> =
        sim.done.iter().map(|done| format!("{} {:?} {:?}", done.at, done.effect, done.failed)).collect();
    acts.sort();
    acts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn kills_and_ticks_change_nothing(
        all in prop::collection::vec(with_downs(), 1..40),
        kills in kills(),
        ticks in prop_oneof![Just(0i64), 100i64..5_000],
    ) {
        let plain = live(&all, &Kills::default(), 0);
        let other = live(&all, &kills, ticks);
        prop_assert_eq!(ids(&plain), ids(&other));
        prop_assert_eq!(acts(&plain), acts(&other));
    }

    #[test]
    fn a_backtest_finds_the_runs_of_the_live_engine(all in prop::collection::vec(with_downs(), 1..40)) {
        let sim = live(&all, &Kills::default(), 0);
        let mut engine = Engine::new(noon());
        engine.exchange(rules(RULES));
        let fresh = {
            let mut fresh = world(RULES);
            for device in ["s-1", "s-2", "home", "fan"] {
                fresh.make(&id(device));
            }
            fresh
        };
        fresh.each_twin(&mut |twin| engine.know(twin.clone()));
        let end = sim.now.plus_millis(1);
        let mut backtest = Backtest::new(engine, noon(), end);
        for recorded in &sim.log {
            backtest.observe(recorded);
        }
        let runs = backtest.finish();
        let found = difference(&sim.entries, &runs);
        let lines = |runs: &[RunEntry]| runs.iter().map(line).collect::<Vec<_>>();
        prop_assert_eq!(lines(&found.only_first), Vec::<String>::new(), "only live");
        prop_assert_eq!(lines(&found.only_second), Vec::<String>::new(), "only in the backtest");
        let sorted = |runs: &[RunEntry]| {
            let mut ids: Vec<_> = runs.iter().map(|run| run.id).collect();
            ids.sort();
            ids
        };
        prop_assert_eq!(sorted(&sim.entries), sorted(&runs));
    }
}
