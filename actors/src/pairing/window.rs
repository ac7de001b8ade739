//! The pairing window itself: since when it is open, until when, and the devices that came through it. It is in memory
//! alone, so a restart of the hub closes it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinhub_domain::{Clock, DeviceId, Timestamp};

/// A client that has just been given a token stays for this long, in ms: long enough to take the answer.
const STAYS_MS: u64 = 10_000;

/// Tokens given to one device that are remembered.
const MOST_GIVEN: usize = 8;

/// The window, open or not.
pub struct PairingWindow {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<OpenWindow>>,
}

/// A window that was opened.
struct OpenWindow {
    number: u64,
    opened_by: Box<str>,
    opened_at: Timestamp,
    until: Timestamp,
    /// The end by the clock that is never set: nobody keeps the window open by setting the other one.
    ends_at_ms: u64,
    is_stopped: bool,
    newcomers: BTreeMap<DeviceId, Newcomer>,
}

struct Newcomer {
    address: IpAddr,
    came_at: Timestamp,
    /// It is registered.
    has_joined: bool,
    /// The last tokens that it was given, [`MOST_GIVEN`] at most, the newest last. Which of them counts, its twin knows: a
    /// request for one may have failed.
    given: VecDeque<NewcomerToken>,
}

/// A token that a device was given through the window.
struct NewcomerToken {
    hash: Box<str>,
    /// By [`Clock::uptime_ms`].
    at_ms: u64,
}

/// A client's pass through one window. It counts from its address, and until that window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPass {
    number: u64,
    pub address: IpAddr,
}

/// The outcome of a newcomer's claim to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewcomerClaim {
    /// The id is the client's until the window ends.
    First,
    /// It was already.
    Again,
    /// Another address came with it first.
    Others,
    /// [`PairingWindow::MOST`] devices came already, or [`PairingWindow::MOST_OF_ADDRESS`] from the client's address.
    Full,
    /// The window of the pass has ended.
    Closed,
}

/// The window as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingView {
    pub is_open: bool,
    pub opened_by: Box<str>,
    pub opened_at: Timestamp,
    /// The end, also where that has passed.
    pub until: Timestamp,
    /// Devices that came through it, in order of their ids.
    pub newcomers: Vec<NewcomerView>,
}

/// A device that came through the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewcomerView {
    pub device: DeviceId,
    pub address: IpAddr,
    pub came_at: Timestamp,
}

impl PairingWindow {
    /// The length of a window for which nobody says another, in ms.
    pub const USUAL_MS: i64 = 10 * 60 * 1_000;
    /// The longest that it may be, in ms.
    pub const LONGEST_MS: i64 = 60 * 60 * 1_000;
    /// The most devices that come through one window.
    pub const MOST: usize = 1_000;
    /// The most of them from one address, so that nobody uses the window up for all others.
    pub const MOST_OF_ADDRESS: usize = 50;

    /// A window that is not open.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// Opens it for `for_ms`, [`PairingWindow::LONGEST_MS`] at most. One that is open goes on until then, with the devices
    /// that came through it.
    pub fn open(&self, for_ms: i64, by: &str) -> PairingView {
        let for_ms = for_ms.clamp(1, Self::LONGEST_MS);
        let (now, uptime) = (self.clock.now(), self.clock.uptime_ms());
        let mut last = self.lock();
        let mut window = match last.take() {
            Some(window) if window.is_open(uptime) => window,
            before => OpenWindow {
                number: before.map_or(0, |before| before.number + 1),
                opened_by: by.into(),
                opened_at: now,
                until: now,
                ends_at_ms: uptime,
                is_stopped: false,
                newcomers: BTreeMap::new(),
            },
        };
        window.until = now.plus_millis(for_ms);
        window.ends_at_ms = uptime + for_ms.unsigned_abs();
        last.insert(window).view(uptime)
    }

    /// Closes it. True where it was open.
    pub fn close(&self) -> bool {
        let (now, uptime) = (self.clock.now(), self.clock.uptime_ms());
        let mut last = self.lock();
        let open = last.as_mut().filter(|window| window.is_open(uptime));
        let was_open = open.is_some();
        if let Some(window) = open {
            (window.is_stopped, window.until) = (true, now);
        }
        was_open
    }

    /// The window that is open, or the last one that was; none since the hub started.
    #[must_use]
    pub fn view(&self) -> Option<PairingView> {
        self.lock().as_ref().map(|window| window.view(self.clock.uptime_ms()))
    }

    /// A pass for a client at this address; none while the window is not open.
    #[must_use]
    pub fn pass(&self, address: IpAddr) -> Option<WindowPass> {
        let last = self.lock();
        let open = last.as_ref().filter(|window| window.is_open(self.clock.uptime_ms()))?;
        Some(WindowPass { number: open.number, address })
    }

    /// Does a pass still count?
    #[must_use]
    pub fn counts(&self, pass: &WindowPass) -> bool {
        self.with(pass, |_, _| ()).is_some()
    }

    /// Claims an id for the client with this pass. So within a window nobody else speaks as a device that came.
    pub fn claim(&self, pass: &WindowPass, device: &DeviceId) -> NewcomerClaim {
        let now = self.clock.now();
        let claimed = self.with(pass, |window, _| match window.newcomers.get(device) {
            Some(newcomer) if newcomer.address == pass.address => NewcomerClaim::Again,
            Some(_) => NewcomerClaim::Others,
            None if window.newcomers.len() >= Self::MOST => NewcomerClaim::Full,
            None if window.newcomers_of(pass.address) >= Self::MOST_OF_ADDRESS => NewcomerClaim::Full,
            None => {
                let (address, came_at) = (pass.address, now);
                let newcomer = Newcomer { address, came_at, has_joined: false, given: VecDeque::new() };
                window.newcomers.insert(device.clone(), newcomer);
                NewcomerClaim::First
            }
        });
        claimed.unwrap_or(NewcomerClaim::Closed)
    }

    /// The device, which is registered, joins by this pass. True for the first time.
    pub fn joins(&self, pass: &WindowPass, device: &DeviceId) -> bool {
        let joined = self.with(pass, |window, _| {
            let newcomer = window.newcomers.get_mut(device);
            newcomer.is_some_and(|newcomer| !std::mem::replace(&mut newcomer.has_joined, true))
        });
        joined.unwrap_or(false)
    }

    /// Takes a claim back of which nothing came.
    pub fn take_back(&self, pass: &WindowPass, device: &DeviceId) {
        self.with(pass, |window, _| {
            let came = window.newcomers.get(device);
            if came.is_some_and(|newcomer| newcomer.address == pass.address && !newcomer.has_joined) {
                window.newcomers.remove(device);
            }
        });
    }

    /// The device is being given the token of this hash: its client stays for a moment, to take it.
    pub fn gives_token(&self, pass: &WindowPass, device: &DeviceId, hash: &str) {
        self.with(pass, |window, uptime| {
            if let Some(newcomer) = window.newcomers.get_mut(device) {
                if newcomer.given.len() == MOST_GIVEN {
                    newcomer.given.pop_front();
                }
                newcomer.given.push_back(NewcomerToken { hash: hash.into(), at_ms: uptime });
            }
        });
    }

    /// The hashes of the tokens that the client with this pass was given for the device.
    #[must_use]
    pub fn given_tokens(&self, pass: &WindowPass, device: &DeviceId) -> Vec<Box<str>> {
        let given = self.with(pass, |window, _| {
            let own = window.newcomers.get(device).filter(|newcomer| newcomer.address == pass.address)?;
            Some(own.given.iter().map(|given| given.hash.clone()).collect())
        });
        given.flatten().unwrap_or_default()
    }

    /// Was the device given a token a moment ago?
    #[must_use]
    pub fn has_just_given_token(&self, pass: &WindowPass, device: &DeviceId) -> bool {
        let has_just = self.with(pass, |window, uptime| {
            let given = window.newcomers.get(device).and_then(|newcomer| newcomer.given.back());
            given.is_some_and(|given| uptime.saturating_sub(given.at_ms) < STAYS_MS)
        });
        has_just.unwrap_or(false)
    }

    /// Does `work` with the window of the pass, while that is open, and the uptime.
    fn with<T>(&self, pass: &WindowPass, work: impl FnOnce(&mut OpenWindow, u64) -> T) -> Option<T> {
        let uptime = self.clock.uptime_ms();
        let mut last = self.lock();
        let window = last.as_mut().filter(|window| window.number == pass.number && window.is_open(uptime))?;
        Some(work(window, uptime))
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenWindow>> {
        // Nothing panics while holding the lock.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenWindow {
    fn is_open(&self, uptime: u64) -> bool {
        !self.is_stopped && uptime < self.ends_at_ms
    }

    fn newcomers_of(&self, address: IpAddr) -> usize {
        self.newcomers.values().filter(|newcomer| newcomer.address == address).count()
    }

    fn view(&self, uptime: u64) -> PairingView {
        let newcomers = self.newcomers.iter().map(|(device, newcomer)| NewcomerView {
            device: device.clone(),
            address: newcomer.address,
            came_at: newcomer.came_at,
        });
        PairingView {
            is_open: self.is_open(uptime),
            opened_by: self.opened_by.clone(),
            opened_at: self.opened_at,
            until: self.until,
            newcomers: newcomers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use twinhub_testkit::ManualClock;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 168, 1, last).into()
    }

    fn device(id: &str) -> DeviceId {
        DeviceId::parse(id).unwrap()
    }

    fn window() -> (Arc<ManualClock>, PairingWindow) {
        let clock = ManualClock::at(Timestamp::from_millis(1_767_268_800_000));
        (Arc::clone(&clock), PairingWindow::new(clock))
    }

    #[test]
    fn it_is_open_for_its_time_whatever_the_clock_is_set_to() {
        let (clock, window) = window();
        assert!(window.view().is_none() && window.pass(address(1)).is_none() && !window.close());
        let opened = window.open(60_000, "user:ann");
        assert!(opened.is_open && opened.until == clock.now().plus_millis(60_000));
        let pass = window.pass(address(1)).unwrap();
        clock.follow(-3_600_000);
        clock.advance(59_999);
        assert!(window.counts(&pass));
        clock.advance(1);
        assert!(!window.counts(&pass) && window.pass(address(1)).is_none());
        assert!(!window.view().unwrap().is_open && !window.close());
        assert_eq!(window.claim(&pass, &device("pump")), NewcomerClaim::Closed);

        window.open(i64::MAX, "");
        let next = window.pass(address(1)).unwrap();
        assert!(!window.counts(&pass), "a pass is for one window");
        clock.advance(PairingWindow::LONGEST_MS);
        assert!(!window.counts(&next));
    }

    #[test]
    fn an_id_is_the_address_that_came_with_it_first() {
        let (clock, window) = window();
        window.open(60_000, "");
        let (one, other) = (window.pass(address(1)).unwrap(), window.pass(address(2)).unwrap());
        for (pass, expected) in
            [(one, NewcomerClaim::First), (one, NewcomerClaim::Again), (other, NewcomerClaim::Others)]
        {
            assert_eq!(window.claim(&pass, &device("pump")), expected);
        }
        clock.advance(30_000);
        let longer = window.open(60_000, "user:bob");
        assert_eq!((&*longer.opened_by, longer.newcomers.len()), ("", 1), "the same window goes on");
        clock.advance(59_999);
        assert_eq!(window.claim(&other, &device("pump")), NewcomerClaim::Others);
        assert!(window.close() && !window.counts(&one));
        window.open(60_000, "");
        let later = window.pass(address(2)).unwrap();
        assert_eq!(window.claim(&later, &device("pump")), NewcomerClaim::First);
    }

    #[test]
    fn a_window_lets_so_many_in_and_no_more() {
        let (_, window) = window();
        window.open(60_000, "");
        let most_of_address = PairingWindow::MOST_OF_ADDRESS;
        let pass =
            |number: usize| window.pass(address(u8::try_from(number / most_of_address).unwrap())).unwrap();
        let claim = |number: usize, id: &str| window.claim(&pass(number), &device(id));
        for number in 0..PairingWindow::MOST {
            assert_eq!(claim(number, &format!("d{number}")), NewcomerClaim::First);
            if number == most_of_address - 1 {
                assert_eq!(claim(0, "one-more-of-it"), NewcomerClaim::Full, "others come, too");
            }
        }
        assert_eq!(claim(PairingWindow::MOST, "one-more"), NewcomerClaim::Full);
        assert_eq!(claim(0, "d0"), NewcomerClaim::Again);
    }

    #[test]
    fn a_claim_is_taken_back_until_its_device_has_joined() {
        let (_, window) = window();
        window.open(60_000, "");
        let (one, other) = (window.pass(address(1)).unwrap(), window.pass(address(2)).unwrap());
        window.claim(&one, &device("pump"));
        window.take_back(&other, &device("pump"));
        assert_eq!(window.claim(&other, &device("pump")), NewcomerClaim::Others, "it is not theirs");
        window.take_back(&one, &device("pump"));
        assert!(window.view().unwrap().newcomers.is_empty());
        assert!(!window.joins(&one, &device("pump")), "it did not come");
        assert_eq!(window.claim(&other, &device("pump")), NewcomerClaim::First);
        assert!(window.joins(&other, &device("pump")));
        assert!(!window.joins(&other, &device("pump")), "it is told of once");
        window.take_back(&other, &device("pump"));
        assert_eq!(window.claim(&other, &device("pump")), NewcomerClaim::Again);
    }

    #[test]
    fn who_is_given_a_token_stays_to_take_it() {
        let (clock, window) = window();
        window.open(60_000, "");
        let pass = window.pass(address(1)).unwrap();
        window.claim(&pass, &device("pump"));
        assert!(!window.has_just_given_token(&pass, &device("pump")));
        window.gives_token(&pass, &device("pump"), "hash");
        let elsewhere = window.pass(address(2)).unwrap();
        assert_eq!(window.given_tokens(&pass, &device("pump")), [Box::<str>::from("hash")]);
        assert!(window.given_tokens(&elsewhere, &device("pump")).is_empty());
        assert!(window.has_just_given_token(&pass, &device("pump")));
        assert!(!window.has_just_given_token(&pass, &device("fan")));
        clock.advance(STAYS_MS.cast_signed());
        assert!(!window.has_just_given_token(&pass, &device("pump")));
    }

    #[test]
    fn tokens_that_were_given_before_are_known_beside_the_last() {
        let (_, window) = window();
        window.open(60_000, "");
        let pass = window.pass(address(1)).unwrap();
        window.claim(&pass, &device("pump"));
        let hash = |number: usize| format!("hash {number}");
        for number in 0..=MOST_GIVEN {
            window.gives_token(&pass, &device("pump"), &hash(number));
        }
        let expected: Vec<Box<str>> = (1..=MOST_GIVEN).map(|number| hash(number).into()).collect();
        assert_eq!(window.given_tokens(&pass, &device("pump")), expected);
    }
}
