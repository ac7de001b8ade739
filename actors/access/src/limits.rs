//! Limits on sign-ins that fail. Passwords cannot be guessed, and no guesser can lock out the owner of an account:
//!
//! | failures | then |
//! |---|---|
//! | 10 in a minute from one address, for whatever accounts | the address waits until the oldest is a minute old |
//! | 5 in a row from one address for one account | that address waits for that account: 1 s, 2 s, 4 s … 15 min |
//! | 5 in a row for one account, each address counted twice at most | the same for all addresses but known ones |
//! | 100 of those | the account is closed to addresses that are not known, but for the last admin |
//!
//! An address is known to an account that has signed in from it; this machine is known to all. So guesses from one
//! address hinder that address alone, and guesses from many hinder whoever comes from a new one. A try counts as a
//! failure as soon as it begins, so many at once gain nothing; success takes it back.

mod clients;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use twinhub_domain::Timestamp;

pub use self::clients::ClientLimits;
use crate::digest::sha256;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Failures of an address in [`MINUTE_MS`].
const AN_ADDRESS: usize = 10;
/// Failures in a row before the first wait.
const FREE: u32 = 5;
const LONGEST_WAIT_MS: i64 = 15 * MINUTE_MS;
/// Failures by which one address adds to what an account has of all.
const SHARE: u32 = 2;
/// Failures in a row that close an account.
const CLOSED: u32 = 100;
/// Failures are forgotten after a day without another: so guesses that wait for that are fewer than those that do not.
const FORGET_MS: i64 = DAY_MS;
const FORGET_KNOWN_MS: i64 = 90 * DAY_MS;
/// Entries of each table: all of them together are some MB.
const MOST: usize = 10_000;

/// The failures that count.
#[derive(Debug, Default)]
pub struct LoginLimits {
    addresses: BTreeMap<Network, Recent>,
    pairs: BTreeMap<(Account, Network), Streak>,
    accounts: BTreeMap<Account, Streak>,
    known: BTreeMap<(Account, Network), KnownAddress>,
}

/// A try that was let through.
#[derive(Debug)]
#[must_use]
pub struct Try {
    network: Network,
    account: Account,
    at: Timestamp,
}

/// Reasons not to let a try through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    #[error("too many tries: try again in {}", LoginWait(*wait_ms))]
    Wait { wait_ms: i64 },
    #[error(
        "too many tries: this account is closed to new addresses, a new password set on the hub's machine opens it"
    )]
    Closed,
}

/// An address as [`counted_address`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network(IpAddr);

/// An account, whether there is one or not: a part of the hash of the name, so that all take as little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Account([u8; 16]);

/// The last failures of an address, the oldest first.
#[derive(Debug, Default)]
struct Recent(Vec<Timestamp>);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    failures: u32,
    last: Timestamp,
}

/// An address from which an account has signed in.
#[derive(Clone, Copy, Debug)]
struct KnownAddress(Timestamp);

impl LoginLimits {
    /// Asks for a try from `address` for the account that signs in as `login`. `is_last_admin`: it is never closed.
    ///
    /// # Errors
    /// It has to wait.
    pub fn begin(
        &mut self,
        address: IpAddr,
        login: &str,
        is_last_admin: bool,
        now: Timestamp,
    ) -> Result<Try, Limited> {
        let (network, account) = (Network::of(address), Account::of(login));
        let pair = (account, network);
        let is_known =
            network.is_loopback() || self.known.get(&pair).is_some_and(|known| !known.is_over(now));
        let from_address = self.addresses.get(&network).map_or(0, |recent| recent.wait_ms(now));
        let from_pair = self.pairs.get(&pair).map_or(0, |streak| streak.wait_ms(now));
        let of_all = self.accounts.get(&account).filter(|streak| !is_known && !streak.is_over(now));
        if of_all.is_some_and(|streak| streak.failures >= CLOSED && !is_last_admin) {
            return Err(Limited::Closed);
        }
        let from_all = of_all.map_or(0, |streak| streak.wait_ms(now));
        let wait_ms = from_address.max(from_pair).max(from_all);
        if wait_ms > 0 {
            return Err(Limited::Wait { wait_ms });
        }
        make_room(&mut self.addresses, now);
        self.addresses.entry(network).or_default().add(now);
        make_room(&mut self.pairs, now);
        let own = self.pairs.entry(pair).or_default();
        own.add(now);
        if own.failures <= SHARE {
            make_room(&mut self.accounts, now);
            self.accounts.entry(account).or_default().add(now);
        }
        Ok(Try { network, account, at: now })
    }

    /// The try was right: it is no failure, and those before it are over.
    pub fn succeeded(&mut self, tried: Try, now: Timestamp) {
        let Try { network, account, at } = tried;
        if let Some(recent) = self.addresses.get_mut(&network) {
            recent.take_back(at);
        }
        self.forgive(account);
        make_room(&mut self.known, now);
        self.known.insert((account, network), KnownAddress(now));
    }

    /// The user has a new password from an admin or from the command line: all failures of theirs are over.
    pub fn reset(&mut self, login: &str) {
        self.forgive(Account::of(login));
    }

    fn forgive(&mut self, account: Account) {
        self.accounts.remove(&account);
        let first = Network(IpAddr::V4(Ipv4Addr::UNSPECIFIED)); // before all others
        let own = self.pairs.range((account, first)..).map(|(pair, _)| *pair);
        for pair in own.take_while(|(of, _)| *of == account).collect::<Vec<_>>() {
            self.pairs.remove(&pair);
        }
    }
}

/// The address that limits count by: of IPv6 the /64 network, which one household has whole.
#[must_use]
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(counted_address(address))
    }

    fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

impl Account {
    fn of(login: &str) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&sha256(login.as_bytes())[..16]);
        Self(first)
    }
}

impl Recent {
    fn add(&mut self, now: Timestamp) {
        self.0.retain(|at| !is_past(*at, MINUTE_MS, now));
        self.0.push(now);
    }

    fn take_back(&mut self, at: Timestamp) {
        if let Some(place) = self.0.iter().rposition(|failed| *failed == at) {
            self.0.remove(place);
        }
    }

    fn wait_ms(&self, now: Timestamp) -> i64 {
        let waits = self.0.iter().filter(|at| !is_past(**at, MINUTE_MS, now));
        let waits: Vec<i64> = waits.map(|at| left_ms(*at, MINUTE_MS, now)).collect();
        // The oldest are in front: as many must go as there are too many.
        waits.len().checked_sub(AN_ADDRESS).map_or(0, |over| waits[over])
    }
}

impl Streak {
    fn add(&mut self, now: Timestamp) {
        let before = if self.is_over(now) { 0 } else { self.failures };
        *self = Self { failures: before.saturating_add(1), last: now };
    }

    fn wait_ms(&self, now: Timestamp) -> i64 {
        let Some(over) = self.failures.checked_sub(FREE) else { return 0 };
        let wait_ms =
            SECOND_MS.checked_shl(over.min(32)).map_or(LONGEST_WAIT_MS, |ms| ms.min(LONGEST_WAIT_MS));
        left_ms(self.last, wait_ms, now)
    }
}

/// A row of a table, which is let go when there are too many.
trait Row {
    /// It counts no more.
    fn is_over(&self, now: Timestamp) -> bool;

    /// Rows with the least go first: a flood of new names does not wash away the one that is guessed at.
    fn weight(&self) -> (u32, Timestamp);
}

impl Row for Recent {
    fn is_over(&self, now: Timestamp) -> bool {
        self.0.iter().all(|at| is_past(*at, MINUTE_MS, now))
    }

    fn weight(&self) -> (u32, Timestamp) {
        (u32::try_from(self.0.len()).unwrap_or(u32::MAX), self.0.last().copied().unwrap_or_default())
    }
}

impl Row for Streak {
    fn is_over(&self, now: Timestamp) -> bool {
        is_past(self.last, FORGET_MS, now)
    }

    fn weight(&self) -> (u32, Timestamp) {
        (self.failures, self.last)
    }
}

impl Row for KnownAddress {
    fn is_over(&self, now: Timestamp) -> bool {
        is_past(self.0, FORGET_KNOWN_MS, now)
    }

    fn weight(&self) -> (u32, Timestamp) {
        (0, self.0)
    }
}

/// Makes room for one more row. A quarter goes at a time, so that a flood does not sort the table at each try.
fn make_room<K: Copy + Ord, R: Row>(table: &mut BTreeMap<K, R>, now: Timestamp) {
    if table.len() < MOST {
        return;
    }
    table.retain(|_, row| !row.is_over(now));
    let Some(over) = table.len().checked_sub(MOST - MOST / 4) else { return };
    let mut weights: Vec<((u32, Timestamp), K)> =
        table.iter().map(|(key, row)| (row.weight(), *key)).collect();
    weights.sort_unstable();
    for (_, key) in weights.into_iter().take(over) {
        table.remove(&key);
    }
}

/// Has `span_ms` gone by since `at`? A clock that was set back is as one that stands still.
fn is_past(at: Timestamp, span_ms: i64, now: Timestamp) -> bool {
    left_ms(at, span_ms, now) <= 0
}

fn left_ms(at: Timestamp, span_ms: i64, now: Timestamp) -> i64 {
    span_ms - (now.millis() - at.millis()).max(0)
}

/// A wait, as people say it: rounded up.
struct LoginWait(i64);

impl fmt::Display for LoginWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.0 + SECOND_MS - 1).div_euclid(SECOND_MS);
        match seconds {
            ..=120 => write!(f, "{seconds} s"),
            _ => write!(f, "{} min", (seconds + 59).div_euclid(60)),
        }
    }
}

#[cfg(test)]
mod tests;
