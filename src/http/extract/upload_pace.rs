//! Large bodies that are read as they come: one whose client sends too little is given up, for it holds a connection
//! all the while.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout};

/// A client must send [`LEAST`] bytes in each such time of waiting for it. Slow mobile links manage ten times that.
const WITHIN: Duration = Duration::from_secs(30);
const LEAST: usize = 64 << 10;

/// The steadiness of a body. Only waiting for its client counts, not the handling of its bytes meanwhile.
#[derive(Debug, Default)]
pub struct Steady {
    waited: Duration,
    received: usize,
}

/// A client sends too little.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("fewer than {} KiB came in {} s", LEAST >> 10, WITHIN.as_secs())]
pub struct TooSlow;

impl Steady {
    /// The next piece of `body`; none at its end. The time waited counts also where this is dropped before it is done.
    ///
    /// # Errors
    /// The client sends too little.
    pub async fn next<E>(
        &mut self,
        body: &mut (impl Stream<Item = Result<bytes::Bytes, E>> + Unpin),
    ) -> Result<Option<Result<bytes::Bytes, E>>, TooSlow> {
        let left = WITHIN.saturating_sub(self.waited);
        let waiting = WaitingTime { waited: &mut self.waited, since: Instant::now() };
        let next = timeout(left, body.next()).await.map_err(|_| TooSlow)?;
        drop(waiting);
        if let Some(Ok(piece)) = &next {
            self.received += piece.len();
            if self.received >= LEAST {
                *self = Self::default();
            }
        }
        Ok(next)
    }
}

/// Counts as waited when it is dropped.
struct WaitingTime<'a> {
    waited: &'a mut Duration,
    since: Instant,
}

impl Drop for WaitingTime<'_> {
    fn drop(&mut self) {
        *self.waited += self.since.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    /// Pieces of so many bytes, each after so many seconds.
    fn body(
        pieces: usize,
        bytes: usize,
        seconds: u64,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
        Box::pin(stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(Bytes::from(vec![0; bytes]))
        }))
    }

    /// The number of pieces that come, and whether reading was given up.
    async fn read(mut body: impl Stream<Item = Result<Bytes, Infallible>> + Unpin) -> (usize, bool) {
        let (mut steady, mut count) = (Steady::default(), 0);
        loop {
            match steady.next(&mut body).await {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, false),
                Err(TooSlow) => return (count, true),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_byte_now_and_then_is_given_up() {
        assert_eq!(read(body(1_000, 1, 8)).await, (3, true));
        assert_eq!(read(body(1_000, 1, 31)).await, (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_slowly_and_steadily_is_waited_for() {
        assert_eq!(read(body(1_000, 64 << 10, 29)).await, (1_000, false));
        assert_eq!(read(body(1_000, 16 << 10, 7)).await, (1_000, false));
        assert_eq!(read(body(3, 1, 9)).await, (3, false), "a small body needs no rate");
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_hub_needs_does_not_count() {
        let (mut steady, mut body) = (Steady::default(), body(100, 1_000, 0));
        for _ in 0..100 {
            assert!(steady.next(&mut body).await.unwrap().is_some());
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_that_are_broken_off_count() {
        let (mut steady, mut never) = (Steady::default(), stream::pending::<Result<Bytes, Infallible>>());
        for _ in 0..3 {
            let broken_off = timeout(Duration::from_secs(9), steady.next(&mut never)).await;
            assert!(broken_off.is_err());
        }
        let rest = Instant::now();
        assert_eq!(steady.next(&mut never).await, Err(TooSlow));
        assert_eq!(rest.elapsed().as_secs(), 3);
    }
}
