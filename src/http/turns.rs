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
}

/// The turns, by kind and caller.
#[derive(Debug, Default)]
pub struct CallerTurns(Mutex<HashMap<(TurnKind, CountedCaller), Weak<Semaphore>>>);

/// A turn, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
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
            Ok(permit) => Ok(Turn { _permit: permit.ok() }), // it is never closed
            Err(_) => Err(HubError::Unavailable("requests of this caller take all the time there is").into()),
        }
    }

    /// Takes the turn of this request's caller, where no other one of this kind goes on. The command line of this machine,
    /// and whoever needs no name there, has as many as it likes.
    ///
    /// # Errors
    /// One goes on: 429.
    pub fn take(&self, kind: TurnKind, access: &Access, request: &HttpRequest) -> Result<Turn, ApiError> {
        let address = client::of(request).address;
        match access.holder() {
            Holder::Program => return Ok(Turn { _permit: None }),
            Holder::Anonymous if address.is_loopback() => return Ok(Turn { _permit: None }),
            Holder::Anonymous | Holder::Known(_) | Holder::Device(_) => {}
        }
        match self.of(kind, caller(access.holder(), address)).try_acquire_owned() {
            Ok(permit) => Ok(Turn { _permit: Some(permit) }),
            Err(_) => Err(ApiError::Busy(kind.refusal())),
        }
    }

    fn of(&self, kind: TurnKind, caller: CountedCaller) -> Arc<Semaphore> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, caller);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= MANY {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl TurnKind {
    fn refusal(self) -> &'static str {
        match self {
            Self::Search => "another search of this caller goes on: try again",
            Self::Export => "another export of this caller goes on: try again",
            Self::Import => "another import of this caller goes on: try again",
            Self::Backtest => "another backtest of this caller goes on: try again",
            Self::Signed => "another signed request of this caller goes on: try again",
        }
    }
}

/// A caller as turns count it: one without a name by address, on this machine too.
fn caller(holder: &Holder, address: IpAddr) -> CountedCaller {
    match holder {
        Holder::Known(identity) => CountedCaller::Name(identity.caller.name().into()),
        Holder::Device(reach) => CountedCaller::Name(format!("device:{}", reach.own()).into()),
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
        assert!(turns.0.lock().unwrap().len() <= MANY);
    }
}
