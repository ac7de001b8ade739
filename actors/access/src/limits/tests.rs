use proptest::prelude::*;

use super::*;

const NOON: i64 = 1_767_268_800_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOON + ms)
}

/// An address on the network.
fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

/// A failure, or the wait before it.
fn fail(limits: &mut LoginLimits, from: u32, login: &str, now: Timestamp) -> Result<(), Limited> {
    limits.begin(address(from), login, false, now).map(drop)
}

fn wait(wait_ms: i64) -> Result<(), Limited> {
    Err(Limited::Wait { wait_ms })
}

#[test]
fn an_address_fails_ten_times_a_minute() {
    let mut limits = LoginLimits::default();
    for n in 0..10 {
        assert_eq!(fail(&mut limits, 1, &format!("user-{n}"), at(n * 1_000)), Ok(()));
    }
    assert_eq!(fail(&mut limits, 1, "other", at(10_000)), wait(50_000));
    assert_eq!(fail(&mut limits, 2, "other", at(10_000)), Ok(()));
    assert_eq!(fail(&mut limits, 1, "other", at(60_000)), Ok(()), "the first is a minute old");
    assert_eq!(fail(&mut limits, 1, "other", at(60_000)), wait(1_000), "the second is not");
}

#[test]
fn waits_for_an_account_double_up_to_a_quarter_of_an_hour() {
    let mut limits = LoginLimits::default();
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..20 {
        while let Err(Limited::Wait { wait_ms }) = fail(&mut limits, 1, "ann", at(now)) {
            waits.push(wait_ms / 1_000);
            now += wait_ms;
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900]);
    assert_eq!(fail(&mut limits, 1, "ann", at(now + FORGET_MS)), Ok(()), "a day later it begins anew");
    assert_eq!(fail(&mut limits, 1, "ann", at(now + FORGET_MS)), Ok(()));
}

#[test]
fn success_ends_a_row_and_counts_for_nothing() {
    let mut limits = LoginLimits::default();
    for n in 0..100 {
        assert_eq!(fail(&mut limits, 1, "ann", at(n * 10_000)), Ok(()), "{n}");
        let tried = limits.begin(address(1), "ann", false, at(n * 10_000 + 1)).unwrap();
        limits.succeeded(tried, at(n * 10_000 + 50));
    }
    for n in 0..50 {
        let tried = limits.begin(address(2), "bob", false, at(n)).unwrap();
        limits.succeeded(tried, at(n));
    }
}

/// A hub that is too busy to look at passwords closes no account by it, and forgets no guess either.
#[test]
fn a_try_that_was_not_judged_counts_for_nothing() {
    let mut limits = LoginLimits::default();
    for n in 0..100 {
        let tried = limits.begin(address(1), "ann", false, at(n)).unwrap();
        limits.take_back(tried);
    }
    assert!(limits.pairs.is_empty() && limits.accounts.is_empty());
    for n in 0..5 {
        assert_eq!(fail(&mut limits, 1, "ann", at(n)), Ok(()));
        let tried = limits.begin(address(1), "bob", false, at(n)).unwrap();
        limits.take_back(tried);
    }
    assert_eq!(fail(&mut limits, 1, "ann", at(5)), wait(999), "those before it stay");
    assert_eq!(fail(&mut limits, 1, "ann", at(1_004)), Ok(()));
    let tried = limits.begin(address(1), "ann", false, at(3_004)).unwrap();
    limits.take_back(tried);
    assert_eq!(fail(&mut limits, 1, "ann", at(3_004)), Ok(()), "the wait is by the failure before");
    assert_eq!(fail(&mut limits, 1, "ann", at(3_004)), wait(4_000));
}

#[test]
fn tries_at_once_count_before_they_have_failed() {
    let mut limits = LoginLimits::default();
    let open: Vec<_> = (0..20).map(|_| limits.begin(address(1), "ann", false, at(0))).collect();
    assert_eq!(open.iter().filter(|tried| tried.is_ok()).count(), 5);
}

/// A thousand wrong passwords from one address do not keep out who comes from another.
#[test]
fn one_address_locks_out_nobody_else() {
    let mut limits = LoginLimits::default();
    for n in 0..1_000 {
        let _ = fail(&mut limits, 1, "ann", at(n * 10_000));
    }
    let now = at(10_000_000);
    assert!(fail(&mut limits, 1, "ann", now).is_err());
    let honest = limits.begin(address(2), "ann", false, now).unwrap();
    limits.succeeded(honest, now);
}

#[test]
fn many_addresses_lock_out_new_ones_alone_and_never_the_last_admin() {
    let mut limits = LoginLimits::default();
    let home = limits.begin(address(1), "ann", false, at(0)).unwrap();
    limits.succeeded(home, at(0));
    let (mut from, mut now, mut closed) = (1_000, 0, false);
    while !closed {
        match fail(&mut limits, from, "ann", at(now)) {
            Ok(()) => from += 1, // a new address for each guess
            Err(Limited::Wait { wait_ms }) => now += wait_ms,
            Err(Limited::Closed) => closed = true,
        }
    }
    assert_eq!(from, 1_000 + CLOSED);
    assert!(now > 20 * 60 * MINUTE_MS, "a hundred guesses took them most of a day: {now}");
    assert_eq!(fail(&mut limits, 2, "ann", at(now)), Err(Limited::Closed));
    let loopback = "::ffff:127.0.0.1".parse().unwrap();
    assert!(limits.begin(loopback, "ann", false, at(now)).is_ok(), "this machine");
    assert!(limits.begin(address(1), "ann", false, at(now)).is_ok(), "from where she has signed in before");
    let later = at(now + LONGEST_WAIT_MS);
    assert!(limits.begin(address(3), "ann", true, later).is_ok(), "where she is the last admin");
    limits.reset("ann");
    assert_eq!(fail(&mut limits, 2, "ann", later), Ok(()));
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let mut limits = LoginLimits::default();
    let of = |text: &str| text.parse::<IpAddr>().unwrap();
    for n in 0..10 {
        let address = of(&format!("2001:db8:1:2::{n}"));
        assert!(limits.begin(address, &format!("user-{n}"), false, at(0)).is_ok());
    }
    assert!(limits.begin(of("2001:db8:1:2:ffff::1"), "x", false, at(0)).is_err());
    assert!(limits.begin(of("2001:db8:1:3::1"), "x", false, at(0)).is_ok());
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    let mut limits = LoginLimits::default();
    for _ in 0..5 {
        assert_eq!(fail(&mut limits, 1, "ann", at(0)), Ok(()));
    }
    assert_eq!(fail(&mut limits, 1, "ann", at(-10 * DAY_MS)), wait(1_000));
    assert_eq!(fail(&mut limits, 1, "ann", at(1_000)), Ok(()));
}

#[test]
fn memory_is_bounded_and_the_guessed_account_is_not_washed_away() {
    let mut limits = LoginLimits::default();
    for n in 0..5 {
        assert_eq!(fail(&mut limits, 1, "ann", at(n)), Ok(()));
    }
    for n in 0..30_000 {
        let _ = fail(&mut limits, 1_000 + n, &format!("user-{n}"), at(10));
        let tables = [limits.addresses.len(), limits.pairs.len(), limits.accounts.len()];
        assert!(tables.into_iter().all(|len| len <= MOST), "{tables:?}");
    }
    assert_eq!(fail(&mut limits, 1, "ann", at(10)), wait(994));
    for n in 0..15_000 {
        let tried = limits.begin(address(100_000 + n), "bob", true, at(20)).unwrap();
        limits.succeeded(tried, at(20));
    }
    assert!(limits.known.len() <= MOST);
}

#[test]
fn waits_are_said_as_people_say_them() {
    for (wait_ms, text) in
        [(1, "1 s"), (1_000, "1 s"), (1_001, "2 s"), (120_000, "120 s"), (900_000, "15 min")]
    {
        let said = Limited::Wait { wait_ms }.to_string();
        assert_eq!(said, format!("too many tries: try again in {text}"));
    }
}

proptest! {
    /// Guesses of one guesser at one account are few in a day, at whatever pace; and after the wait that was told a try is
    /// let through.
    #[test]
    fn guesses_are_few_and_waits_are_true(pauses in prop::collection::vec(0_i64..2_000_000, 1..400)) {
        let mut limits = LoginLimits::default();
        let (mut now, mut guesses) = (0, Vec::new());
        for pause in pauses {
            now += pause;
            match fail(&mut limits, 1, "ann", at(now)) {
                Ok(()) => guesses.push(now),
                Err(Limited::Wait { wait_ms }) => {
                    prop_assert!((1..=LONGEST_WAIT_MS).contains(&wait_ms));
                    prop_assert!(fail(&mut limits, 1, "ann", at(now + wait_ms - 1)).is_err());
                    now += wait_ms;
                    prop_assert_eq!(fail(&mut limits, 1, "ann", at(now)), Ok(()));
                    guesses.push(now);
                }
                Err(Limited::Closed) => prop_assert!(false, "one address closes nothing"),
            }
        }
        for (first, from) in guesses.iter().enumerate() {
            let in_a_day = guesses[first..].iter().take_while(|at| *at - from < DAY_MS).count();
            // Fifteen up to the longest wait, and four an hour.
            prop_assert!(in_a_day <= 15 + 24 * 4 + 1, "{}", in_a_day);
            let in_a_minute = guesses[first..].iter().take_while(|at| *at - from < MINUTE_MS).count();
            prop_assert!(in_a_minute <= AN_ADDRESS);
        }
    }
}
