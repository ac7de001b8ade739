//! The meaning of a twin's outcomes to the jobs that are behind them: its part of each job's record, made with what it
//! is about, so that both become durable together.

use super::{Input, Outcome};
use crate::cause::Cause;
use crate::command::{Command, CommandId, CommandStatus, CommandStep};
use crate::event::EventBody;
use crate::fleet::{JobId, JobStep, StepState};

/// The job whose turn an input is, and the note to be made of it.
pub(super) enum JobTurn {
    /// No job's.
    None,
    /// It is done with the input, also where that changed nothing.
    Whole(JobId),
    /// It is done when the device has carried out the command, which has this id where it is a new one.
    Command(JobId, CommandId),
}

impl JobTurn {
    pub(super) fn of(input: &Input, cause: &Cause) -> Self {
        match (input, cause.job()) {
            // A task of firmware says by itself how far it has come.
            (Input::Update(_) | Input::WithdrawUpdate { .. }, _) => Self::None,
            (Input::Command { id, .. }, Some(job)) => Self::Command(job, *id),
            (_, Some(job)) => Self::Whole(job),
            (_, None) => Self::None,
        }
    }

    /// Adds the steps that jobs have come to with this outcome.
    pub(super) fn note_steps(&self, outcome: &mut Outcome) {
        match *self {
            Self::None => {}
            Self::Whole(job) => outcome.steps.push(JobStep::new(job, StepState::Done)),
            Self::Command(job, id) => {
                let repeated = outcome.repeated;
                let asked = outcome.commands.iter().find(|command| repeated || command.id == id);
                outcome.steps.extend(asked.map(|command| step_of(job, command)));
            }
        }
        let ended = outcome.events.iter().filter_map(|event| match &event.body {
            EventBody::Command(change) => match change.step {
                CommandStep::Answered(_) | CommandStep::Ended { .. } => Some(change.id),
                CommandStep::Queued(_)
                | CommandStep::Sent { .. }
                | CommandStep::Returned { .. }
                | CommandStep::Late(_) => None, // its end was noted then
            },
            _ => None,
        });
        let ended: Vec<CommandId> = ended.collect();
        let commands = outcome.commands.iter().filter(|command| ended.contains(&command.id));
        let steps = commands.filter(|command| command.status.is_final());
        let steps = steps.filter_map(|command| Some(step_of(command.cause.job()?, command)));
        outcome.steps.extend(steps);
    }
}

/// The step that a job has come to with the device that has this command to carry out.
fn step_of(job: JobId, command: &Command) -> JobStep {
    let step = match command.status {
        CommandStatus::Pending | CommandStatus::Sent | CommandStatus::Delivered => {
            JobStep::new(job, StepState::Asked)
        }
        CommandStatus::Executed => JobStep::new(job, StepState::Done),
        CommandStatus::Failed
        | CommandStatus::Rejected
        | CommandStatus::Expired
        | CommandStatus::TimedOut
        | CommandStatus::Canceled
        | CommandStatus::Superseded => {
            let (status, reason) = (command.status.as_str(), command.reason.as_deref());
            let detail = reason.map_or_else(|| status.to_owned(), |reason| format!("{status}: {reason}"));
            JobStep::new(job, StepState::Failed).because(detail)
        }
    };
    JobStep { command: Some(command.id), ..step }
}
