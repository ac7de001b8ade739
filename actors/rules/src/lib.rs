//! Automation, pure: rules from text to effects, and device templates with their rules. In reading order.
//!
//! A rule file is read into checked [`Rule`]s ([`file`]); its conditions are expressions ([`expression`]) and its
//! messages templates ([`template`]). The [`engine`] takes the events of the one sequence and the time, and gives back
//! effects, each with its reason, and the reasons for runs that were left out: no clock, no input or output. So a test
//! in a rule file ([`scenario`]) and a backtest ([`backtest`]) run the very code that runs live.

pub mod action;
pub mod analysis;
pub mod backtest;
pub mod condition;
pub mod device_template;
pub mod engine;
pub mod expression;
pub mod file;
pub mod model;
pub mod redaction;
pub mod scenario;
pub mod selector;
pub mod template;

pub use action::{Action, ActionKind};
pub use device_template::{BadDeviceTemplate, Catalog, DeviceTemplate};
pub use engine::{Effect, EffectId, EffectRequest, EffectResult, Engine, EngineOutput, ScopeSnapshot};
pub use expression::{BadExpression, EvaluationScope, Expression, SortField, SortKey, TwinFilter, Twins};
pub use file::{FileProblem, RuleFile};
pub use model::Rule;
pub use selector::{Placed, Selector};
