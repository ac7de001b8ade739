//! Sending inside the house.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message, WeakAddr};

/// Puts `message` into the mailbox of `to`, past its bound, and gives it back if the actor is gone.
///
/// Past the bound on purpose: what is in flight is bounded once, at the door, so a mailbox cannot pile
/// up beyond that; and between two actors that send to each other a felt bound would be a deadlock.
///
/// # Errors
/// The actor has stopped; `message` comes back.
pub fn post<A, M>(to: &Addr<A>, message: M) -> Result<(), M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    Context<A>: ToEnvelope<A, M>,
{
    put(&to.clone(), message)
}

/// The same for an address that does not keep its actor.
///
/// # Errors
/// The actor has stopped; `message` comes back.
pub fn post_weak<A, M>(to: &WeakAddr<A>, message: M) -> Result<(), M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    Context<A>: ToEnvelope<A, M>,
{
    match to.upgrade() {
        Some(fresh) => put(&fresh, message),
        None => Err(message),
    }
}

/// A fresh address has a place of its own, whatever the bound says.
fn put<A, M>(fresh: &Addr<A>, message: M) -> Result<(), M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    Context<A>: ToEnvelope<A, M>,
{
    match fresh.try_send(message) {
        Ok(()) => Ok(()),
        Err(actix::prelude::SendError::Full(message) | actix::prelude::SendError::Closed(message)) => {
            Err(message)
        }
    }
}
