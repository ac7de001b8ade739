//! Words of answers, as the description lists them: taken from the types that write them.

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

/// The words of these variants, which are all: one more does not compile until it is here.
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
    /// The source of a change.
    Source: every!(domain::Source: Mqtt, Rest, WebSocket, Rule, Schedule, Hub, Job, Import);
    /// The status of a command.
    CommandStatus: domain::CommandStatus::ALL.map(domain::CommandStatus::as_str);
    /// The mode of a twin, which says who drives it.
    Mode: domain::Mode::ALL.map(domain::Mode::as_str);
    /// Whether a device is there. One that was never heard is offline, and its `last_seen` is null.
    Presence: domain::Status::ALL.map(domain::Status::as_str);
    /// The stage of a device's life.
    Lifecycle: fleet::Lifecycle::ALL.map(fleet::Lifecycle::as_str);
    /// The quality of a value.
    Quality: every!(domain::Quality: Good, Uncertain, Bad);
    /// The progress of a device with a desired property.
    Sync: every!(twin::SyncState: Pending, Sent, Applied, Failed, Stale);
    /// The progress of a device with its firmware.
    FirmwareState: fleet::FirmwareState::ALL.map(fleet::FirmwareState::as_str);
    /// The severity of an alarm.
    Severity: alarm::Severity::ALL.map(alarm::Severity::as_str);
    /// The state of the disk with the data.
    DiskStatus: ["ok", "filling", "full"];
    /// Whether an alarm holds.
    AlarmStatus: ["active", "cleared"];
    /// The subject of an event. `fleet`: groups, templates, firmware, layouts; `hub`: its clock was set.
    EventKind: event::EventKind::ALL.map(event::EventKind::as_str);
    /// The action of a job; `refresh`: devices take their template as it is now; `firmware`: a roll-out.
    JobKind: fleet::JobAction::KINDS;
    /// The status of a job.
    JobStatus: fleet::JobStatus::ALL.map(fleet::JobStatus::as_str);
    /// The state of a device of a job; of a roll-out `updated` where others are `done`.
    JobDeviceState: fleet::StepState::ALL.map(fleet::StepState::as_str).into_iter().chain([jobs::UPDATED]);
    /// The reason why a rule's actions were looked at: a trigger, the end of what set it off, a person, or
    /// another rule.
    RunKind: ["trigger", "release", "manual", "called"];
    /// The outcome of a run.
    RunOutcome: journal::OUTCOMES;
    /// The reason why a rule did not run.
    WhyNot: every!(run::WhyNot: Condition, Unknown, Stale, StillRunning, TooMany, Cooldown, Stopped, Depth, Missed, Panic);
    /// The role of a device in a run: it set it off; an action was done to it, or tried; or the rule has an action
    /// for it that was not done.
    RunRole: ["fired", "acted_on", "left_alone"];
    /// Whether a rule runs; `stopped`: by the breaker or a fault.
    RuleStatus: ["running", "disabled", "stopped"];
    /// The origin of a rule.
    RuleOrigin: ["file", "api", "template"];
    /// The treatment of a run while the one before goes on.
    RuleMode: ["single", "restart", "queued", "parallel"];
    /// The kind of a rule's trigger.
    TriggerKind: view::TRIGGERS;
    /// The status of a webhook that a rule sent.
    DeliveryStatus: deliveries::STATUSES.map(deliveries::word);
    /// The treatment of a run of a schedule that was missed.
    Missed: ["skip", "run_once"];
    /// The health of the hub: `degraded` while a part is not well.
    HubStatus: ["healthy", "degraded"];
    /// The health of a part.
    PartStatus: ["ok", "down"];
    /// The health of the store; `conflict`: another program writes to the database.
    StoreStatus: ["ok", "failing", "conflict"];
    /// The health of the link to the devices; `full`: the embedded broker accepts no more clients.
    MqttStatus: ["ok", "down", "full"];
    /// The load over HTTP; `crowded`: nine tenths of the connections that there may be.
    HttpStatus: ["ok", "crowded"];
    /// The health of the TLS certificate; `expiring`: within two weeks; `broken`: its files could not be taken over.
    TlsStatus: ["ok", "expiring", "expired", "broken"];
    /// The state of a device's certificate; `expiring`: within two weeks.
    CertificateStatus: ["ok", "expiring", "expired"];
    /// The health of the rules; `broken`: rule files do not check out, and their last good version goes on.
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
    /// The outcome of an action.
    AuditOutcome: every!(Outcome: Done, Refused, Failed);
}
