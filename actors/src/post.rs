//! Sending inside the house.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};

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
    // A fresh clone has a place of its own, whatever the bound says.
    match to.clone().try_send(message) {
        Ok(()) => Ok(()),
        Err(actix::prelude::SendError::Full(message) | actix::prelude::SendError::Closed(message)) => {
            Err(message)
        }
    }
}
