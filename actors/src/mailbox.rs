//! Sending inside the hub.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message, Recipient, WeakAddr};
use tokio::sync::oneshot;

/// Puts `message` into the mailbox of `to`, past its bound, and gives it back if the actor is gone.
///
/// Past the bound on purpose: the messages in flight are bounded once, where they come in, so a mailbox cannot pile up
/// beyond that; and between two actors that send to each other a felt bound would be a deadlock.
///
/// # Errors
/// The actor has stopped; `message` comes back.
pub fn try_send_unbounded<M>(to: &impl Mailbox<M>, message: M) -> Result<(), M> {
    to.put(message)
}

/// Replies to a request. A caller that is gone, because its connection ended or it waited too long, needs no reply.
pub fn send_reply<T>(to: oneshot::Sender<T>, reply: T) {
    let _ = to.send(reply);
}

/// A mailbox for a message: an actor's address, or a recipient of this message alone.
pub trait Mailbox<M> {
    /// See [`try_send_unbounded`].
    ///
    /// # Errors
    /// The actor has stopped; `message` comes back.
    fn put(&self, message: M) -> Result<(), M>;
}

impl<A, M> Mailbox<M> for Addr<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    Context<A>: ToEnvelope<A, M>,
{
    fn put(&self, message: M) -> Result<(), M> {
        given_back(self.clone().try_send(message)) // a fresh address has a place of its own, whatever the bound says
    }
}

/// An address that does not keep its actor.
impl<A, M> Mailbox<M> for WeakAddr<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    Context<A>: ToEnvelope<A, M>,
{
    fn put(&self, message: M) -> Result<(), M> {
        match self.upgrade() {
            Some(fresh) => given_back(fresh.try_send(message)),
            None => Err(message),
        }
    }
}

impl<M> Mailbox<M> for Recipient<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn put(&self, message: M) -> Result<(), M> {
        given_back(self.clone().try_send(message)) // as of an address: a fresh one has a place of its own
    }
}

fn given_back<M>(sent: Result<(), actix::prelude::SendError<M>>) -> Result<(), M> {
    sent.map_err(|error| match error {
        actix::prelude::SendError::Full(message) | actix::prelude::SendError::Closed(message) => message,
    })
}
