//! Turns for expensive requests: of each caller one goes on at a time, so that a caller that sends many of them waits for
//! its own alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use twinhub_actors::HubError;

use crate::http::problem::ApiError;

/// The longest wait for earlier requests of the same address, as long as one may take.
const LONGEST: Duration = Duration::from_secs(30);
/// With more addresses than this, those that wait for nothing are forgotten.
const MANY: usize = 256;

/// The turns, by address.
#[derive(Debug, Default)]
pub struct SearchLimiter(Mutex<HashMap<IpAddr, Weak<Semaphore>>>);

/// A turn, until this is dropped.
#[derive(Debug)]
pub struct SearchPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl SearchLimiter {
    /// Waits for the turn of this request's caller.
    ///
    /// # Errors
    /// Others from the same address take all the time there is.
    pub async fn take(&self, request: &HttpRequest) -> Result<SearchPermit, ApiError> {
        let Some(address) = request.peer_addr() else { return Ok(SearchPermit { _permit: None }) };
        let turn = self.of(address.ip()).acquire_owned();
        match tokio::time::timeout(LONGEST, turn).await {
            Ok(permit) => Ok(SearchPermit { _permit: permit.ok() }), // it is never closed
            Err(_) => {
                Err(HubError::Unavailable("searches from this address take all the time there is").into())
            }
        }
    }

    fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&address).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= MANY {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(address, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(address: &str) -> HttpRequest {
        TestRequest::default().peer_addr(address.parse().unwrap()).to_http_request()
    }

    #[actix_rt::test]
    async fn one_address_waits_for_itself_alone() {
        let turns = SearchLimiter::default();
        let first = turns.take(&request("10.0.0.1:1")).await.unwrap();
        let again = request("10.0.0.1:2");
        let mut again = std::pin::pin!(turns.take(&again));
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        let other = request("10.0.0.2:1");
        assert!(futures_util::poll!(std::pin::pin!(turns.take(&other))).is_ready());
        drop(first);
        assert!(futures_util::poll!(again.as_mut()).is_ready());
    }

    #[test]
    fn addresses_that_wait_for_nothing_are_forgotten() {
        let turns = SearchLimiter::default();
        for n in 0..2_000_u32 {
            turns.of(IpAddr::from(n.to_be_bytes()));
        }
        assert!(turns.0.lock().unwrap().len() <= MANY);
    }
}
