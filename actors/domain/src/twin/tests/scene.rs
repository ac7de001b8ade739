//! A twin with a clock, and words for what happens to it.

use std::sync::Arc;

use super::*;
use crate::command::{Command, CommandId, CommandRequest, CommandResult, CommandResultStatus, CommandStatus};
use crate::fleet::Layer;
use crate::json::Json;

/// A twin with a clock. Time is in seconds from the start.
pub struct Scene {
    pub twin: Twin,
    pub now: i64,
    /// The hub hears since then.
    pub heard_since: i64,
    /// The listeners to what the device is told.
    pub audience: Audience,
    pub templates: Vec<Arc<Layer>>,
    made: u32,
    /// The events, all of them: the twin must be their fold.
    pub events: Vec<Event>,
    /// Commands as the store would have them.
    pub stored: Vec<Command>,
}

pub fn mqtt() -> Cause {
    Cause::new(Source::Mqtt, "iot/devices/pump-1/data")
}

pub fn id(number: u32) -> CommandId {
    CommandId(uuid::Uuid::from_u128(u128::from(number) << 16))
}

impl Listeners for Audience {
    fn audience(&self, _: &DeviceId, _: Downlink, _: Audience) -> Audience {
        *self
    }
}

impl LayerLookup for Vec<Arc<Layer>> {
    fn layer(&self, id: &str) -> Option<Arc<Layer>> {
        self.iter().find(|layer| *layer.template == *id).cloned()
    }
}

impl Scene {
    pub fn new() -> Self {
        let (events, stored, audience, templates) = (Vec::new(), Vec::new(), Audience::Unknown, Vec::new());
        Self { twin: twin(), now: 0, heard_since: 0, audience, templates, made: 0, events, stored }
    }

    fn hearing(&self) -> SilenceRule {
        SilenceRule { since: at(self.heard_since), first_silence_ms: crate::twin::presence::FIRST_SILENCE_MS }
    }

    /// A scene whose device has just said that it is online.
    pub fn online() -> Self {
        let mut scene = Self::new();
        scene.say(true);
        scene
    }

    pub fn try_input(&mut self, input: Input, cause: &Cause) -> Result<Outcome, Refusal> {
        let input = self.with_known(input);
        let before = self.twin.clone();
        let applied = self.twin.apply_before(&self.audience, &self.templates, input, at(self.now), cause);
        assert!(applied.is_ok() || self.twin == before, "a refusal changes nothing: {applied:?}");
        let outcome = applied?;
        self.events.extend(outcome.events.iter().cloned());
        outcome.events.iter().for_each(check_form);
        if !outcome.repeated {
            for command in &outcome.commands {
                self.stored.retain(|stored| stored.id != command.id);
                self.stored.push(command.clone());
            }
        }
        let mut again = twin();
        self.events.iter().for_each(|event| again.redo(event));
        assert_eq!(again, self.twin, "a twin is the fold of its events");
        Ok(outcome)
    }

    pub fn input(&mut self, input: Input, cause: &Cause) -> Outcome {
        self.try_input(input, cause).unwrap()
    }

    /// The input with what a twin's actor looks up before it takes it.
    fn with_known(&self, mut input: Input) -> Input {
        let stored = |wanted: &dyn Fn(&&Command) -> bool| {
            self.stored.iter().filter(wanted).max_by_key(|command| command.id).cloned().map(Box::new)
        };
        match &mut input {
            Input::Command { request, known, .. } => {
                if let Some(key) = &request.idempotency_key {
                    *known = stored(&|command| command.request.idempotency_key.as_ref() == Some(key));
                }
            }
            Input::CommandResult { id, known, .. } | Input::Cancel { id, known }
                if self.twin.command(*id).is_none() =>
            {
                *known = stored(&|command| command.id == *id);
            }
            _ => {}
        }
        input
    }

    pub fn say(&mut self, online: bool) -> Outcome {
        self.input(Input::Presence { online, details: Object::default() }, &mqtt())
    }

    pub fn report(&mut self, patch: &str) -> Outcome {
        self.input(Input::Report(object(patch)), &mqtt())
    }

    pub fn desire(&mut self, patch: &str) -> Outcome {
        let patch = [("desired", Json::from(object(patch)))].into_iter().collect();
        self.input(Input::Change(Box::new(Change { patch })), &cause())
    }

    pub fn set(&mut self, patch: &str) -> Outcome {
        self.input(change(patch), &cause())
    }

    /// Asks for a command of the type `go`; `more` are further fields. Gives its id.
    pub fn ask(&mut self, more: &str) -> CommandId {
        self.try_ask(more, None).unwrap().commands.last().unwrap().id
    }

    pub fn try_ask(&mut self, more: &str, key: Option<&str>) -> Result<Outcome, Refusal> {
        self.made += 1;
        let mut fields = object(more);
        if fields.get("command_type").is_none() {
            fields.insert("command_type", "go".into());
        }
        let mut request = CommandRequest::parse(fields).unwrap();
        request.idempotency_key = key.map(Into::into);
        let input =
            Input::Command { id: id(self.made), request: Box::new(request), known: None, is_new: false };
        self.try_input(input, &cause())
    }

    pub fn answer(&mut self, id: CommandId, status: &str) -> Outcome {
        self.try_answer(id, status).unwrap()
    }

    pub fn try_answer(&mut self, id: CommandId, status: &str) -> Result<Outcome, Refusal> {
        let status = CommandResultStatus::parse(status).unwrap();
        let answer = Box::new(CommandResult { status, response: None, reason: None });
        self.try_input(Input::CommandResult { id, answer, known: None }, &mqtt())
    }

    /// Lets time pass, and wakes the twin whenever it asked to be.
    pub fn wait(&mut self, seconds: i64) -> Vec<Outcome> {
        let until = self.now + seconds;
        let mut outcomes = Vec::new();
        while let Some(due) = self.deadline().filter(|due| *due <= at(until)) {
            self.now = self.now.max((due.millis() + 999) / 1_000);
            outcomes.push(self.wake());
            assert!(outcomes.len() < 10_000, "it is woken for ever: {:?}", self.twin);
        }
        self.now = until;
        outcomes
    }

    pub fn wake(&mut self) -> Outcome {
        self.made += 1;
        let (hearing, first_id) = (self.hearing(), id(self.made));
        self.input(Input::Wake { hearing, first_id }, &Cause::hub())
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        let silent = self.twin.silent_at(self.hearing(), at(self.now));
        [self.twin.wake_at(at(self.now)), silent].into_iter().flatten().min()
    }

    /// The status that the store has.
    pub fn status(&self, id: CommandId) -> CommandStatus {
        self.command(id).status
    }

    pub fn command(&self, id: CommandId) -> &Command {
        self.stored.iter().find(|command| command.id == id).unwrap()
    }

    /// The command's way, as words.
    pub fn way(&self, id: CommandId) -> String {
        let words = self
            .command(id)
            .history
            .iter()
            .map(|line| format!("{}{}", if line.late { "late:" } else { "" }, line.status.as_str()));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The ids of the commands that an outcome publishes, in order.
pub fn published(outcome: &Outcome) -> Vec<CommandId> {
    let bodies = outcome.publishes.iter().filter_map(|publish| match publish {
        Publish::Command { body, .. } => body.as_object(),
        _ => None,
    });
    bodies.map(|body| CommandId::parse(body.get("id").unwrap().as_str().unwrap()).unwrap()).collect()
}

/// The delta that an outcome publishes last.
pub fn told(outcome: &Outcome) -> Option<String> {
    let mut bodies = outcome.publishes.iter().filter_map(|publish| match publish {
        Publish::Desired(body) => body.as_object(),
        _ => None,
    });
    bodies.next_back().map(|body| body.get("delta").unwrap().to_string())
}

/// An event as JSON is read as the event that it was, but for a template, which shows by its id.
fn check_form(event: &Event) {
    let EventBody::Twin(TwinChange { patch, .. }) = &event.body else { return };
    let mut read = Patch::read(patch.to_object());
    if let Some(layer) = patch.template() {
        read.set(Part::Template(layer.cloned()));
    }
    assert_eq!(&read, patch);
}
