//! Turns for expensive requests: of each caller one of a kind goes on at a time, so that a caller that sends many of them
//! waits for its own alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use twinhub_access::limits::counted_address;
use twinhub_actors::HubError;

use super::admission::Holder;
use super::client;
use super::rate_limit::CountedCaller;
use crate::http::Access;
use crate::http::problem::ApiError;

/// The longest wait for earlier requests of the same caller, as long as one may take.
const LONGEST: Duration = Duration::from_secs(30);
/// With more turns than this, those that nobody has or waits for are forgotten.
const MANY: usize = 256;
/// The longest wait for a place among whole lists: pages that ask for one at the same moment have them one after the other.
const LONGEST_FOR_LIST: Duration = Duration::from_secs(5);
/// Whole lists at a time, of all callers together: each has some megabytes in memory, as long as its client takes to read it.
const WHOLE_LISTS: usize = 32;

/// A kind of expensive request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnKind {
    /// A search with a filter.
    Search,
    Export,
    Import,
    Backtest,
    /// The body of a signed request.
    Signed,
    /// A list of all devices.
    WholeList,
}

/// The turns, by kind and caller.
#[derive(Debug)]
pub struct CallerTurns {
    of_callers: Mutex<HashMap<(TurnKind, CountedCaller), Weak<Semaphore>>>,
    /// The places of whole lists, of all callers together.
    whole_lists: Arc<Semaphore>,
}

/// A turn, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Default for CallerTurns {
    fn default() -> Self {
        Self { of_callers: Mutex::default(), whole_lists: Arc::new(Semaphore::new(WHOLE_LISTS)) }
    }
}

impl CallerTurns {
    /// Waits for the turn of this request's caller.
    ///
    /// # Errors
    /// Others of the same caller take all the time there is.
    pub async fn wait(
        &self,
        kind: TurnKind,
        access: &Access,
        request: &HttpRequest,
    ) -> Result<Turn, ApiError> {
        self.wait_as(kind, caller(access.holder(), client::of(request).address)).await
    }

    /// Waits for the turn of whoever asks from this address.
    ///
    /// # Errors
    /// Others from there take all the time there is.
    pub async fn wait_at(&self, kind: TurnKind, address: IpAddr) -> Result<Turn, ApiError> {
        self.wait_as(kind, caller(&Holder::Anonymous, address)).await
    }

    async fn wait_as(&self, kind: TurnKind, caller: CountedCaller) -> Result<Turn, ApiError> {
        match tokio::time::timeout(LONGEST, self.of(kind, caller).acquire_owned()).await {
            Ok(permit) => Ok(Turn { _permits: permit.into_iter().collect() }), // it is never closed
            Err(_) => Err(HubError::Unavailable("requests of this caller take all the time there is").into()),
        }
    }

    /// Takes the turn of this request's caller, where no other one of this kind goes on. The command line of this machine,
    /// and whoever needs no name there, has as many as it likes.
    ///
    /// # Errors
    /// One goes on: 429.
    pub fn take(&self, kind: TurnKind, access: &Access, request: &HttpRequest) -> Result<Turn, ApiError> {
        let Some(caller) = counted(access.holder(), client::of(request).address) else {
            return Ok(Turn { _permits: Vec::new() });
        };
        match self.of(kind, caller).try_acquire_owned() {
            Ok(permit) => Ok(Turn { _permits: vec![permit] }),
            Err(_) => Err(ApiError::Busy(kind.refusal())),
        }
    }

    /// Takes a place for a list of all devices, among those of this request's caller and among those of all. Callers that
    /// [`CallerTurns::take`] does not count are counted among all alone.
    ///
    /// # Errors
    /// The caller's others take all the time there is: 429. All others do: 503.
    pub async fn whole_list(&self, access: &Access, request: &HttpRequest) -> Result<Turn, ApiError> {
        self.whole_list_of(counted(access.holder(), client::of(request).address)).await
    }

    async fn whole_list_of(&self, caller: Option<CountedCaller>) -> Result<Turn, ApiError> {
        let mut permits = Vec::new();
        if let Some(caller) = caller {
            let own = self.of(TurnKind::WholeList, caller).acquire_owned();
            let own = tokio::time::timeout(LONGEST_FOR_LIST, own).await;
            permits.extend(own.map_err(|_| ApiError::Busy(TurnKind::WholeList.refusal()))?);
        }
        let place =
            tokio::time::timeout(LONGEST_FOR_LIST, Arc::clone(&self.whole_lists).acquire_owned()).await;
        permits.extend(place.map_err(|_| HubError::Unavailable(NO_PLACE_FOR_LIST))?);
        Ok(Turn { _permits: permits })
    }

    fn of(&self, kind: TurnKind, caller: CountedCaller) -> Arc<Semaphore> {
        let mut turns = self.of_callers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, caller);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= MANY {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Semaphore::new(kind.at_once()));
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl TurnKind {
    /// The turns of one caller at a time.
    fn at_once(self) -> usize {
        match self {
            Self::WholeList => 2, // two windows of a page
            Self::Search | Self::Export | Self::Import | Self::Backtest | Self::Signed => 1,
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Search => "another search of this caller goes on: try again",
            Self::Export => "another export of this caller goes on: try again",
            Self::Import => "another import of this caller goes on: try again",
            Self::Backtest => "another backtest of this caller goes on: try again",
            Self::Signed => "another signed request of this caller goes on: try again",
            Self::WholeList => {
                "other lists of all devices of this caller go on: try again, or ask for pages by `limit`"
            }
        }
    }
}

const NO_PLACE_FOR_LIST: &str =
    "lists of all devices take all the room there is for them: try again, or ask for pages by `limit`";

/// The caller as turns that are taken count it. None: the command line of this machine, and whoever needs no name there.
fn counted(holder: &Holder, address: IpAddr) -> Option<CountedCaller> {
    match holder {
        Holder::Program => None,
        Holder::Anonymous if address.is_loopback() => None,
        Holder::Anonymous | Holder::Known(_) | Holder::Device(_) | Holder::Dialect(_) => {
            Some(caller(holder, address))
        }
    }
}

/// A caller as turns count it: one without a name by address, on this machine too.
fn caller(holder: &Holder, address: IpAddr) -> CountedCaller {
    match holder {
        Holder::Known(identity) => CountedCaller::Name(identity.caller.name().into()),
        Holder::Device(reach) => CountedCaller::Name(format!("device:{}", reach.own()).into()),
        Holder::Dialect(caller) => {
            CountedCaller::Dialect(caller.name.as_str().into(), counted_address(address))
        }
        Holder::Anonymous | Holder::Program => CountedCaller::Address(counted_address(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> CountedCaller {
        CountedCaller::Address([10, 0, 0, last].into())
    }

    #[actix_rt::test]
    async fn one_caller_waits_for_itself_alone() {
        let turns = CallerTurns::default();
        let first = turns.of(TurnKind::Search, at(1)).try_acquire_owned().unwrap();
        assert!(turns.of(TurnKind::Search, at(1)).try_acquire_owned().is_err());
        assert!(turns.of(TurnKind::Export, at(1)).try_acquire_owned().is_ok());
        assert!(turns.of(TurnKind::Search, at(2)).try_acquire_owned().is_ok());
        drop(first);
        assert!(turns.of(TurnKind::Search, at(1)).try_acquire_owned().is_ok());
    }

    #[test]
    fn callers_that_wait_for_nothing_are_forgotten() {
        let turns = CallerTurns::default();
        for n in 0..2_000_u32 {
            turns.of(TurnKind::Search, CountedCaller::Address(IpAddr::from(n.to_be_bytes())));
        }
        assert!(turns.of_callers.lock().unwrap().len() <= MANY);
    }

    #[actix_rt::test]
    async fn whole_lists_have_a_bound_for_each_caller_and_for_all() {
        tokio::time::pause(); // its waits take no time
        let (turns, mut all) = (CallerTurns::default(), Vec::new());
        for _ in 0..TurnKind::WholeList.at_once() {
            all.push(turns.whole_list_of(Some(at(1))).await.unwrap());
        }
        let refused = turns.whole_list_of(Some(at(1))).await.unwrap_err();
        assert!(matches!(refused, ApiError::Busy(_)), "{refused:?}");
        let mut others = 2..;
        while all.len() < WHOLE_LISTS {
            all.push(turns.whole_list_of(others.next().map(at)).await.unwrap());
        }
        for caller in [Some(at(200)), None] {
            let refused = turns.whole_list_of(caller).await.unwrap_err();
            assert!(matches!(refused, ApiError::Hub(HubError::Unavailable(_))), "{refused:?}");
        }
        drop(all.pop());
        assert!(turns.whole_list_of(None).await.is_ok(), "a list that is over leaves its place");
    }
}
