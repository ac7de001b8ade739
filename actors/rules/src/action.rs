//! The actions of rules. Each stands in a file of its own, with all that the program must know of it: its keys in rule
//! files and how they are read, what distinguishes it from another of its kind, what it refers to, what it writes, and
//! what it asks of the world.
//!
//! # A new action
//! An action such as `log` touches six files at most:
//! 1. `action/<name>.rs`: the action itself, a struct that implements [`Behaviour`],
//! 2. `action.rs`: its name in the list below,
//! 3. `engine/effect.rs`: what it has done, where nothing of that kind is done yet, and what a test may expect of it,
//! 4. `scenario/sim/perform.rs`: how the simulator does that,
//! 5. `actors/src/automation/perform.rs`: how it is done in earnest,
//! 6. a test of what it does, in `engine/tests/actions.rs`.

mod alarm;
mod choose;
mod clear;
mod command;
mod delay;
mod desired;
mod log;
mod mode;
mod publish;
mod run;
mod switch;
mod wait;
mod webhook;

use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::Setting;
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::MapShape;
use crate::model::{Condition, OnError, Selector};
use crate::template::{JsonTemplate, TextTemplate};
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceId, Object};

pub use self::alarm::AlarmAction;
pub use self::choose::ChooseAction;
pub use self::clear::ClearAction;
pub use self::command::CommandAction;
pub use self::delay::DelayAction;
pub use self::desired::DesiredAction;
pub use self::log::LogAction;
pub use self::mode::ModeAction;
pub use self::publish::PublishAction;
pub use self::run::RunAction;
pub use self::switch::{DisableAction, EnableAction};
pub use self::wait::WaitAction;
pub use self::webhook::WebhookAction;

pub(crate) use self::choose::BRANCH;
pub(crate) use self::wait::UNTIL;

/// Something that is done.
#[derive(Clone, Debug)]
pub struct Action {
    pub kind: ActionKind,
    /// The effect of a failure on the actions after it; none: the rule says.
    pub on_error: Option<OnError>,
}

/// The part of a kind of action that the rest of the program knows.
pub(crate) trait Behaviour {
    /// Writes down all that distinguishes it from another action of its kind. Kept state is found by that: what is
    /// written for an action of earlier versions never changes.
    fn fingerprint(&self, print: &mut FingerprintWriter);

    /// Calls `seen` with everything in it that refers to something beyond it.
    fn references<'a>(&'a self, _seen: &mut dyn FnMut(Reference<'a>)) {}

    /// Calls `seen` with every effect of it that another rule could meet, and with the devices that it reaches.
    fn writes<'a>(&'a self, _seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {}

    /// The longest time in ms that a run waits at it, as far as it says.
    fn longest_ms(&self) -> i64 {
        0
    }

    /// Fills it in: what it asks for, of each device.
    fn ask(&self, _context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        Ok(Vec::new())
    }

    /// The effect that it asked for of `device`, read from the journal of a run that a restart cut short.
    fn read_back(
        &self,
        _context: &ActionContext<'_>,
        _device: Option<DeviceId>,
        _data: &Object,
    ) -> Option<Effect> {
        None
    }
}

/// Something that an action refers to.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// The devices that it is for.
    Devices(&'a Selector),
    Text(&'a TextTemplate),
    Document(&'a JsonTemplate),
    Condition(&'a Condition),
    /// Actions within it.
    Actions(&'a [Action]),
    /// A rule that it runs.
    Runs(&'a RuleId),
    /// A rule that it enables or disables.
    Switches(&'a RuleId),
}

macro_rules! actions {
    ($($kind:ident($action:ident),)*) => {
        /// The kinds of actions.
        #[derive(Clone, Debug)]
        pub enum ActionKind {
            $($kind($action),)*
        }

        /// Their shapes in rule files, each with its key word first.
        pub(crate) static ACTIONS: &[&MapShape] = &[$($action::SHAPE,)*];

        impl ActionKind {
            /// Reads the action that `map` is by its key word.
            pub(crate) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
                let word = map.shape.word();
                $(if word == $action::SHAPE.word() {
                    return $action::read(c, map, setting).map(Self::$kind);
                })*
                None
            }

            /// Its key word in rule files, by which the journal of runs calls it too.
            #[must_use]
            pub fn word(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $action::SHAPE.word(),)*
                }
            }

            pub(crate) fn behaviour(&self) -> &dyn Behaviour {
                match self {
                    $(Self::$kind(action) => action,)*
                }
            }
        }
    };
}

actions! {
    Command(CommandAction),
    Desired(DesiredAction),
    Mode(ModeAction),
    Alarm(AlarmAction),
    Clear(ClearAction),
    Publish(PublishAction),
    Webhook(WebhookAction),
    Delay(DelayAction),
    Wait(WaitAction),
    Choose(ChooseAction),
    Run(RunAction),
    Enable(EnableAction),
    Disable(DisableAction),
    Log(LogAction),
}

impl ActionKind {
    /// Calls `seen` with everything in it that refers to something beyond it.
    pub fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        self.behaviour().references(seen);
    }
}

/// Calls `seen` with every action of a list, those within others too.
pub fn each_action<'a>(actions: &'a [Action], seen: &mut dyn FnMut(&'a Action)) {
    for action in actions {
        seen(action);
        action.kind.references(&mut |reference| {
            if let Reference::Actions(within) = reference {
                each_action(within, seen);
            }
        });
    }
}

/// The longest time in ms that a list of actions waits, as far as they say.
pub(crate) fn longest_ms(actions: &[Action]) -> i64 {
    actions.iter().map(|action| action.kind.behaviour().longest_ms()).fold(0, i64::saturating_add)
}
