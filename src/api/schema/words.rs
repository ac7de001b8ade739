//! Words that stand in answers, as the description lists them: taken from the types that write them.

use twinhub_access::{Action, AuditOutcome as Outcome, Role as UserRole};
use twinhub_actors::access;
use twinhub_domain as domain;
use twinhub_domain::{alarm, event, fleet, run, twin};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::auth;
use crate::api::automation::{deliveries, journal, view};
use crate::api::jobs;

/// Describes types of words: `Name: words`, of which each is a text.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident: $words:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let text = concat!($($doc),+).trim();
                    let words: Vec<&str> = $words.into_iter().collect();
                    ObjectBuilder::new().schema_type(Type::String).description(Some(text)).enum_values(Some(words)).into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

/// The words of these variants, which are all: one more does not compile until it stands here.
macro_rules! every {
    ($of:path: $($variant:ident),+ $(,)?) => {{
        type Of = $of;
        let _all = |value: Of| match value {
            $(Of::$variant => {}),+
        };
        [$(Of::$variant.as_str()),+]
    }};
}

words! {
    /// The door that something came in by.
    Source: every!(domain::Source: Mqtt, Rest, WebSocket, Rule, Schedule, Hub, Job);
    /// How a command stands.
    CommandStatus: domain::CommandStatus::ALL.map(domain::CommandStatus::as_str);
    /// Who drives a twin.
    Mode: domain::Mode::ALL.map(domain::Mode::as_str);
    /// Whether a device is there. One that was never heard is offline, and its `last_seen` is null.
    Presence: domain::Status::ALL.map(domain::Status::as_str);
    /// Where a device stands in its life.
    Lifecycle: fleet::Lifecycle::ALL.map(fleet::Lifecycle::as_str);
    /// How good a value is.
    Quality: every!(domain::Quality: Good, Uncertain, Bad);
    /// How far a device has come with a desired property.
    Sync: every!(twin::SyncState: Pending, Sent, Applied, Failed, Stale);
    /// How far a device has come with its firmware.
    FirmwareState: fleet::FirmwareState::ALL.map(fleet::FirmwareState::as_str);
    /// How bad an alarm is.
    Severity: alarm::Severity::ALL.map(alarm::Severity::as_str);
    /// Whether an alarm holds.
    AlarmStatus: ["active", "cleared"];
    /// What an event tells of. `fleet`: groups, templates, firmware; `hub`: its clock was set.
    EventKind: event::EventKind::ALL.map(event::EventKind::as_str);
    /// What a job does; `refresh`: devices take their template as it is now; `firmware`: a roll-out.
    JobKind: fleet::JobAction::KINDS;
    /// How a job stands.
    JobStatus: fleet::JobStatus::ALL.map(fleet::JobStatus::as_str);
    /// How a device of a job stands; of a roll-out `updated` where others are `done`.
    JobDeviceState: fleet::StepState::ALL.map(fleet::StepState::as_str).into_iter().chain([jobs::UPDATED]);
    /// Why a rule's actions were looked at: a trigger, the end of what set it off, a person, or another rule.
    RunKind: ["trigger", "release", "manual", "called"];
    /// What came of a run.
    RunOutcome: journal::OUTCOMES;
    /// Why a rule did not run.
    WhyNot: every!(run::WhyNot: Condition, Unknown, Stale, StillRunning, TooMany, Cooldown, Stopped, Depth, Missed, Panic);
    /// What a device had to do with a run: it set it off; an action was done to it, or tried; or the rule has an action for
    /// it that was not done.
    RunRole: ["fired", "acted_on", "left_alone"];
    /// Whether a rule runs; `stopped`: by the breaker or a fault.
    RuleStatus: ["running", "disabled", "stopped"];
    /// Where a rule stands.
    RuleOrigin: ["file", "api", "template"];
    /// What becomes of a run while the one before goes on.
    RuleMode: ["single", "restart", "queued", "parallel"];
    /// What sets a rule off.
    TriggerKind: view::TRIGGERS;
    /// How a webhook that a rule sent stands.
    DeliveryStatus: deliveries::STATUSES.map(deliveries::word);
    /// What becomes of a run of a schedule that was missed.
    Missed: ["skip", "run_once"];
    /// How the hub is: well, or some part of it is not.
    HubStatus: ["ok", "degraded"];
    /// How a part is.
    PartStatus: ["ok", "down"];
    /// How the store is; `conflict`: another program writes to the database.
    StoreStatus: ["ok", "failing", "conflict"];
    /// How the link to the devices is; `full`: the embedded broker lets nobody in any more.
    MqttStatus: ["ok", "down", "full"];
    /// How many ask over HTTP; `crowded`: nine tenths of as many as may.
    HttpStatus: ["ok", "crowded"];
    /// How the rules are; `broken`: rule files do not check out, and what they said before goes on.
    AutomationStatus: ["ok", "broken", "down"];
    /// A role of people and of keys.
    Role: UserRole::OF_PEOPLE.map(UserRole::as_str);
    /// A permission.
    Permission: access::Permission::ALL.map(access::Permission::as_str);
    /// The way by which a user was made.
    UserSource: auth::view::SOURCES;
    /// The kind of a key.
    KeyKind: auth::view::KINDS;
    /// An action that is audited.
    AuditAction: Action::ALL.iter().map(|action| action.as_str());
    /// What came of an action.
    AuditOutcome: every!(Outcome: Done, Refused, Failed);
}
