//! Waits for the events of commands, without polling.

use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::Instant;
use twinhub_actors::messages::archive::FindCommand;
use twinhub_actors::messages::feed::WatchCommands;
use twinhub_domain::event::EventBody;
use twinhub_domain::{CommandId, CommandStatus, DeviceId, Recorded};
use twinhub_store::CommandRecord;

use crate::http::Access;
use crate::http::problem::ApiError;

/// A watch of a client that waits. The feed forgets it when it is dropped, so a client that gives up leaves nothing
/// behind.
pub struct CommandWatch {
    heard: UnboundedReceiver<Arc<Recorded>>,
    /// No client is kept waiting when the hub shuts down.
    closing: watch::Receiver<bool>,
}

impl CommandWatch {
    /// Watches `command`, or all commands of `device`, from now on: no event of a later request is missed.
    ///
    /// # Errors
    /// The hub is shutting down.
    pub fn begin(access: &Access, device: &DeviceId, command: Option<CommandId>) -> Result<Self, ApiError> {
        let (tell, heard) = mpsc::unbounded_channel();
        access.send(WatchCommands { device: device.clone(), command, tell })?;
        Ok(Self { heard, closing: access.state.closing() })
    }

    /// Waits for the next event. None when `until` has come first, or the hub shuts down.
    pub async fn next(&mut self, until: Instant) -> Option<Arc<Recorded>> {
        let Self { heard, closing } = self;
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => None,
            recorded = heard.recv() => recorded,
            () = tokio::time::sleep_until(until) => None,
        }
    }

    /// Skips the events so far.
    pub fn forget(&mut self) {
        while self.heard.try_recv().is_ok() {}
    }

    /// True when there is nothing to wait for any more: the hub shuts down.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the command `id`, which was `status` when it was last seen, is final.
    ///
    /// # Errors
    /// The command is not final by `until`: [`ApiError::CommandNotFinished`]. Or the store does not answer.
    pub async fn until_final(
        mut self,
        access: &Access,
        id: CommandId,
        mut status: CommandStatus,
        until: Instant,
    ) -> Result<CommandRecord, ApiError> {
        loop {
            if status.is_final() {
                let found = access.ask(FindCommand(id)).await??;
                return found.ok_or_else(|| ApiError::no_command(id)); // its device was removed
            }
            let Some(recorded) = self.next(until).await else {
                return Err(ApiError::CommandNotFinished { id, status });
            };
            if let EventBody::Command(change) = &recorded.event.body
                && change.id == id
            {
                status = change.step.status();
            }
        }
    }
}
