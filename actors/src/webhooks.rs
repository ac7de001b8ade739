//! The sender of webhooks.

use actix::{Actor, Context, Handler};

use crate::messages::webhooks::Send;

/// See the module.
pub struct Webhooks;

impl Actor for Webhooks {
    type Context = Context<Self>;
}

impl Handler<Send> for Webhooks {
    type Result = ();
    fn handle(&mut self, _: Send, _: &mut Context<Self>) {}
}
