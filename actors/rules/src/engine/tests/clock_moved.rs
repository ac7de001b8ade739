//! The hub's clock is set while rules run: what measures time that passes goes on doing so, what goes by the clock
//! goes by the new one.

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// By so much the clock is set: what is told of in the issue, and a first fix of a clock that began in 1970.
const MOVES: [i64; 7] = [-2 * HOUR, -DAY, -400 * DAY, -20_512 * DAY, 2 * HOUR, 400 * DAY, 20_512 * DAY];

/// The effects done, in seconds after the clock was set, or before with a minus.
fn deeds_since(sim: &Sim, set_at: Timestamp, after: usize) -> Vec<String> {
    let seconds = |at: Timestamp| (at.millis() - set_at.millis()).div_euclid(1_000);
    sim.done[after..]
        .iter()
        .map(|done| match &done.effect {
            Effect::Log { message, .. } => format!("{} {message}", seconds(done.at)),
            other => format!("{other:?}"),
        })
        .collect()
}

/// Lives for `before` ms, has the clock set by `by`, lives for `after` ms, and tells what was done since.
fn life(text: &str, before: i64, by: i64, after: i64) -> (Vec<String>, Sim) {
    let mut sim = world(text);
    sim.reports("a", "x", 5.0);
    sim.pass(before);
    let done = sim.done.len();
    sim.set_clock(by);
    let set_at = sim.now;
    sim.pass(after);
    (deeds_since(&sim, set_at, done), sim)
}

#[test]
fn a_for_measures_time_that_passes() {
    let text = "  r: { triggers: { numeric: a.x, above: 1, for: 5m }, actions: { log: fired } }";
    for by in MOVES {
        let (deeds, _) = life(text, 3 * MINUTE, by, 119_000);
        assert_eq!(deeds, [] as [&str; 0], "moved by {by}: not early");
        let (deeds, _) = life(text, 3 * MINUTE, by, 10 * MINUTE);
        assert_eq!(deeds, ["120 fired"], "moved by {by}");
    }
}

#[test]
fn delays_timeouts_and_cooldowns_measure_time_that_passes() {
    let text = r#"
  d: { triggers: { changed: a.x }, actions: [ { delay: 5m }, { log: delayed } ] }
  w: { triggers: { changed: a.x }, actions: [ { wait: b.x == 1, timeout: 6m, on_error: continue }, { log: waited } ] }
  c: { cooldown: 4m, triggers: { changed: a.x }, actions: { log: rare } }"#;
    for by in MOVES {
        let mut sim = world(text);
        sim.reports("a", "x", 5.0);
        sim.pass(3 * MINUTE);
        let done = sim.done.len();
        sim.set_clock(by);
        let set_at = sim.now;
        sim.pass(30_000);
        sim.reports("a", "x", 6.0);
        sim.pass(60_000);
        sim.reports("a", "x", 7.0);
        sim.pass(2 * MINUTE);
        let rare: Vec<String> =
            deeds_since(&sim, set_at, done).into_iter().filter(|d| d.contains("rare")).collect();
        assert_eq!(rare, ["90 rare"], "moved by {by}: it rests for the minute that is left");
        let first = |word: &str| deeds_since(&sim, set_at, done).into_iter().find(|d| d.contains(word));
        assert_eq!(first("delayed").as_deref(), Some("120 delayed"), "moved by {by}");
        assert_eq!(first("waited").as_deref(), Some("180 waited"), "moved by {by}");
    }
}

#[test]
fn clocks_go_by_the_new_time_within_seconds() {
    let text = "  e: { triggers: { every: 10s }, actions: { log: e } }\n  c: { triggers: { cron: \"* * * * *\" }, actions: { log: c } }";
    for by in MOVES {
        let (deeds, _) = life(text, 25_000, by, 2 * MINUTE);
        let of = |word: &str| deeds.iter().filter(|effect| effect.ends_with(word)).count();
        assert!((11..=12).contains(&of(" e")), "moved by {by}: every ten seconds in two minutes: {deeds:?}");
        assert!((2..=3).contains(&of(" c")), "moved by {by}: each minute, for two: {deeds:?}");
    }
}

#[test]
fn what_ran_once_in_the_time_that_comes_again_does_not_run_twice() {
    // Noon was just now.
    let text = "  r: { triggers: { cron: \"0 12 * * *\" }, actions: { log: noon } }";
    let run = |by: i64| {
        let mut sim = Sim::new(&rules(text), &[], CommandStatus::Executed, noon().plus_millis(-MINUTE));
        sim.begin();
        sim.pass(2 * MINUTE);
        sim.set_clock(by);
        sim.pass(25 * HOUR);
        sim.done.iter().map(|done| done.at.to_string()).collect::<Vec<_>>()
    };
    let noons = |days: &[&str]| days.iter().map(|day| format!("{day}T12:00:00.000Z")).collect::<Vec<_>>();
    assert_eq!(run(-10_000), noons(&["2026-06-01", "2026-06-02"]), "a step of ten seconds");
    assert_eq!(run(-2 * HOUR), noons(&["2026-06-01"]), "until eleven of the day after: not again");
    assert_eq!(run(-400 * DAY), noons(&["2026-06-01", "2025-04-28"]), "a clock that was plainly wrong");
}

#[test]
fn times_that_a_clock_jumped_over_are_missed_ones() {
    let run = |missed: &str, by: i64| {
        let text = format!(
            "  r: {{ mode: queued, triggers: {{ cron: \"0 * * * *\", missed: {missed} }}, actions: {{ log: x }} }}"
        );
        let (deeds, sim) = life(&text, 30 * MINUTE, by, MINUTE);
        let missed: Vec<&str> = sim
            .entries
            .iter()
            .filter_map(|entry| match &entry.outcome {
                RunOutcome::NotRun { detail, .. } => Some(&**detail),
                _ => None,
            })
            .collect();
        (deeds.len(), missed.join("; "))
    };
    let told = |text: &str| {
        format!("{text} passed when the clock was set forward, the last at 2026-06-01T14:00:00.000Z")
    };
    assert_eq!(run("skip", 2 * HOUR), (0, told("2 times")));
    assert_eq!(run("run_once", 2 * HOUR).0, 1);
    assert_eq!(run("run_all", 2 * HOUR), (2, String::new()));
    // A first fix, 56 years ahead, is dealt with at once, and makes up for no more than ever.
    for (missed, runs) in [("skip", 0), ("run_once", 1), ("run_all", 100)] {
        let (ran, detail) = run(missed, 20_512 * DAY);
        assert_eq!(ran, runs, "{missed}");
        assert!(detail.contains(" times passed when the clock was set forward"), "{missed}: {detail}");
    }
}

#[test]
fn an_undated_reading_is_seen_although_the_clock_went_back() {
    let text = "  r: { triggers: { numeric: a.x, above: 10 }, actions: { log: hot } }";
    for by in MOVES {
        let mut sim = world(text);
        sim.reports("a", "x", 5.0);
        sim.pass(MINUTE);
        sim.set_clock(by);
        sim.reports("a", "x", 50.0);
        assert_eq!(sim.done.len(), 1, "moved by {by}");
    }
}

/// An event that came in with the old time, and stands behind the move in the sequence, moves nothing forward again.
#[test]
fn an_event_that_was_on_its_way_is_taken_along() {
    let text = "  r: { triggers: { numeric: a.x, above: 1, for: 5m }, actions: { log: fired } }";
    let mut sim = world(text);
    sim.pass(MINUTE);
    let before = sim.now;
    sim.set_clock(-2 * HOUR);
    let set_at = sim.now;
    sim.now = before.plus_millis(40);
    sim.reports("a", "x", 5.0);
    sim.now = set_at.plus_millis(100);
    assert!(sim.engine_now() < set_at.plus_millis(1_000), "{}", sim.engine_now());
    sim.pass(6 * MINUTE);
    assert_eq!(deeds_since(&sim, set_at, 0), ["300 fired"]);
}

#[test]
fn a_clock_set_back_while_the_hub_was_down_lets_holds_go_on_or_begin_again() {
    let run = |across: &str| {
        let text = format!(
            "  r: {{ triggers: {{ numeric: a.x, above: 1, for: 5m, across_downtime: {across} }}, actions: {{ log: fired }} }}"
        );
        let mut sim = world(&text);
        sim.reports("a", "x", 5.0);
        sim.pass(3 * MINUTE);
        sim.restart();
        let from = sim.now;
        sim.now = from.plus_millis(-400 * DAY);
        let set_at = sim.now;
        sim.signal(AutomationSignal::ClockMoved { from, to: set_at, while_down: true }, &Cause::hub());
        sim.pass(30 * MINUTE);
        deeds_since(&sim, set_at, 0)
    };
    assert_eq!(run("hold"), ["120 fired"]);
    assert_eq!(run("restart"), ["300 fired"]);
}

#[test]
fn an_every_keeps_to_its_round_times() {
    let text = "  r: { triggers: { every: 1h }, actions: { log: tick } }";
    let check = |before: i64, by: i64, expected: &[i64]| {
        let (deeds, _) = life(text, before, by, 2 * HOUR);
        let expected: Vec<String> = expected.iter().map(|at| format!("{at} tick")).collect();
        assert_eq!(deeds, expected, "after {before} moved by {by}");
    };
    for by in [6_000, 37_000, -6_000] {
        let first = (30 * MINUTE - by) / 1_000;
        check(30 * MINUTE, by, &[first, first + 3_600]);
    }
    for by in [-2 * HOUR, 2 * HOUR, DAY] {
        check(30 * MINUTE, by, &[1_800, 5_400]);
    }
    check(HOUR - 2_000, 6_000, &[0, 3_596, 7_196]); // over one o'clock
    check(HOUR - 2_000, -6_000, &[8, 3_608]);
    check(HOUR - 2_000, 2 * HOUR + 6_000, &[0, 3_596, 7_196]);
    check(HOUR + 2_000, -6_000, &[3_604]); // one o'clock was just now
    let text = "  r: { triggers: { every: 24h }, actions: { log: tick } }";
    assert_eq!(life(text, HOUR, 6_000, 30 * HOUR).0, [format!("{} tick", 11 * 3_600 - 6)]);
}

#[test]
fn what_comes_hours_after_a_clock_was_set_back_is_of_the_new_time() {
    for meanwhile in [false, true] {
        let mut sim =
            world("  r: { triggers: { numeric: a.x, above: 1, for: 5m }, actions: { log: fired } }");
        sim.pass(MINUTE);
        let from = sim.now;
        sim.set_clock(-2 * HOUR);
        let after = if meanwhile { 2 * HOUR } else { 90 * MINUTE };
        if meanwhile {
            sim.now = from.plus_millis(-HOUR);
            sim.reports("a", "x", 0.0);
        }
        sim.now = from.plus_millis(after - 2 * HOUR + 100);
        sim.reports("a", "x", 5.0);
        assert_eq!(sim.engine_now(), sim.now, "{meanwhile}");
    }
}
