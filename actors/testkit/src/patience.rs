//! Waits that come to an end: a test of a broken program fails with the name of what it waited for.

use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};

use crate::ManualClock;

/// The wait of a test for what comes at once in a program that works, in real time: more than a slow machine needs that
/// builds something beside.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The result of `soon`.
///
/// # Panics
/// After [`PATIENCE`], naming `what` it waited for.
pub async fn within<T>(what: &str, soon: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, soon).await {
        Ok(came) => came,
        Err(_) => panic!("waited {} s in vain for this: {what}", PATIENCE.as_secs()),
    }
}

/// Waits until it `is_so`, and lets others go on meanwhile.
///
/// # Panics
/// As [`within`].
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    until_found(what, async || is_so().await.then_some(())).await;
}

/// Waits until `look` finds something, and lets others go on meanwhile.
///
/// # Panics
/// As [`within`].
pub async fn until_found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    within(what, looking).await
}

/// Ms that pass on the clock of a test in each ms that it waits. Actors that look at their work several times a second see
/// seconds pass between two looks; a machine that takes a minute lets no device fall silent meanwhile.
const PASSING: i64 = 8;

/// Waits until `look` finds something, while time passes on `clock`.
///
/// # Panics
/// As [`within`].
pub async fn until_found_in_time<T>(
    what: &str,
    clock: &ManualClock,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let (began, mut passed) = (Instant::now(), 0);
    until_found(what, async || {
        let found = look().await;
        if found.is_none() {
            let due = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX).saturating_mul(PASSING);
            clock.advance(due - passed);
            passed = due;
        }
        found
    })
    .await
}

/// The answer of an actor to `message`.
///
/// # Panics
/// As [`within`], naming the message; and where the actor is gone.
pub async fn ask<A, M>(actor: &Addr<A>, message: M) -> M::Result
where
    A: Actor<Context: ToEnvelope<A, M>> + Handler<M>,
    M: Message<Result: Send> + Send + 'static,
{
    let name = std::any::type_name::<M>();
    match within(&format!("the answer to {name}"), actor.send(message)).await {
        Ok(answer) => answer,
        Err(problem) => panic!("no answer to {name}: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In virtual time, so that it takes none.
    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60 s in vain for this: the bus")]
    async fn what_never_comes_is_named() {
        within("the bus", std::future::pending::<()>()).await;
    }

    #[tokio::test]
    async fn what_comes_is_handed_on() {
        let mut looks = 0;
        until("three looks", async || {
            looks += 1;
            looks == 3
        })
        .await;
        assert_eq!(within("an answer", async { looks }).await, 3);
    }
}
