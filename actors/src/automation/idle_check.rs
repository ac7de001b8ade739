//! For tests: is everything done that was to be done?

use actix::{Context, Handler, Message};
use tokio::sync::oneshot;

use super::{Automation, AutomationPhase};
use crate::counters::get;

/// Answers true when the engine has seen all that is committed, and has nothing under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CheckIdle {
    pub reply: oneshot::Sender<bool>,
}

impl Handler<CheckIdle> for Automation {
    type Result = ();

    fn handle(&mut self, CheckIdle { reply }: CheckIdle, ctx: &mut Context<Self>) {
        let ready = matches!(self.phase, AutomationPhase::Running);
        if ready {
            self.after(ctx);
            self.save();
        }
        let seen_all = self.following.cursor >= get(&self.deps.counters.seq);
        let idle = ready
            && self.following.under_way == 0
            && !self.following.comes_due
            && self.following.due.is_none()
            && self.following.queue.is_empty()
            && self.pending.written == self.following.cursor;
        reply.send(idle && seen_all).unwrap();
    }
}
