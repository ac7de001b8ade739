//! The commands of one twin that are not final, in the order in which they were asked for.

use serde::{Deserialize, Serialize};

use super::{Command, CommandChange, CommandId, CommandStatus, CommandStep};
use crate::cause::Cause;
use crate::clock::Timestamp;

/// The commands of one device that are not final.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenCommands(Vec<Command>);

impl OpenCommands {
    /// The commands, the oldest first.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.0
    }

    /// The command with this id, while it is not final.
    #[must_use]
    pub fn get(&self, id: CommandId) -> Option<&Command> {
        self.0.iter().find(|command| command.id == id)
    }

    /// The command that carried this idempotency key, while it is not final.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Option<&Command> {
        self.0.iter().find(|command| command.request.idempotency_key.as_deref() == Some(key))
    }

    /// The number of commands in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.iter().filter(|command| command.status.is_in_flight()).count()
    }

    /// The one whose turn is next: of those that may go now the highest priority, then the oldest.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<&Command> {
        self.0
            .iter()
            .filter(|command| command.status == CommandStatus::Pending)
            .filter(|command| command.due.is_none_or(|due| due <= now) && now < command.expires_at)
            .rev() // of equal ones `max_by_key` takes the last
            .max_by_key(|command| command.request.priority)
    }

    /// The earliest deadline of its commands.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|command| command.deadline(now)).min()
    }

    /// Moves all deadlines by `by_ms`: the hub's clock was set.
    pub fn shift(&mut self, by_ms: i64) {
        for command in &mut self.0 {
            command.expires_at = command.expires_at.plus_millis(by_ms);
            command.due = command.due.map(|due| due.plus_millis(by_ms));
        }
    }

    /// Takes a step of a command, and gives the command as it is after it. A final one leaves the queue.
    pub fn redo(&mut self, change: &CommandChange, now: Timestamp, cause: &Cause) -> Option<Command> {
        let CommandChange { id, step } = change;
        if let CommandStep::Queued(request) = step {
            self.0.push(Command::new(*id, (**request).clone(), now, cause));
            return self.0.last().cloned();
        }
        // A late answer is for one that has left.
        let index = self.0.iter().position(|command| command.id == *id)?;
        self.0[index].redo(step, now, cause);
        if self.0[index].status.is_final() { Some(self.0.remove(index)) } else { Some(self.0[index].clone()) }
    }
}
