//! Messages to automation.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use twinhub_access::Reach;
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_domain::{Cause, EntityTags, Json, Object, Timestamp};
use twinhub_rules::analysis::Warning;
use twinhub_rules::{FileProblem, Rule, RuleFile, redaction};
use twinhub_store::{RuleAuthor, StoreError};

/// The present rule files, whole: a file that is not in here any more is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LoadFiles {
    pub files: Vec<RuleFileRead>,
    /// Answered when the rules run.
    pub done: Option<oneshot::Sender<()>>,
}

/// A rule file as it was read.
#[derive(Clone, Debug)]
pub struct RuleFileRead {
    /// Below the rules folder, with `/`.
    pub path: Arc<str>,
    /// The rules, or the errors: then the version that ran before goes on.
    pub read: Result<RuleFile, Vec<FileProblem>>,
}

/// The caller that rules are shown to, or changed by. Rules that are not within their reach are unknown to them. By
/// default it is one who may do everything.
#[derive(Clone, Debug)]
pub struct RuleCaller {
    pub reach: Reach,
    /// Their rules may reach beyond devices, by `publish` and `webhook`.
    pub may_leave_devices: bool,
    /// Their rules act with their rights; none: as the hub.
    pub author: Option<RuleAuthor>,
}

impl Default for RuleCaller {
    fn default() -> Self {
        Self { reach: Reach::everywhere(), may_leave_devices: true, author: None }
    }
}

/// Asks for the present rules and files.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadRules {
    pub by: RuleCaller,
    pub reply: oneshot::Sender<RulesRead>,
}

/// The present rules.
#[derive(Clone, Debug, Default)]
pub struct RulesRead {
    /// In the order of their names.
    pub rules: Vec<RuleView>,
    /// Files that do not check out, and their errors.
    pub broken: Vec<(Arc<str>, Vec<FileProblem>)>,
    pub warnings: Vec<Warning>,
}

/// A rule and its present state.
#[derive(Clone, Debug)]
pub struct RuleView {
    pub rule: Arc<Rule>,
    /// As it was sent, where it was made over the API: perhaps in another form than `rule.source`.
    pub sent: Option<Object>,
    pub enabled: bool,
    /// The reason why it was stopped, where the breaker or a panic did.
    pub stopped: Option<Box<str>>,
    /// The next deadline of its time triggers.
    pub next_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

impl RuleView {
    /// The entity tag of people's changes to it, another with each. It is made of public fields and the time of the
    /// change, so that it reveals nothing of secrets.
    #[must_use]
    pub fn tag(&self) -> Box<str> {
        let written = self.sent.clone().unwrap_or_else(|| self.rule.source.object());
        let shown = Json::from(redaction::hide(&written)).to_string();
        let said_at = self.updated_at.map_or_else(String::new, |at| at.to_string());
        Fingerprint::default().field(shown.as_bytes()).field(said_at.as_bytes()).tag()
    }
}

/// Makes or changes a rule over the API. Answered after the commit, when it runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PutRule {
    /// As it was sent, with its `id` in it.
    pub body: Object,
    pub by: RuleCaller,
    pub expect: RuleExistence,
    /// Only if its tag is one of these.
    pub if_tag: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<PutRuleReply, RuleRefusal>>,
}

/// The precondition on the rule's existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleExistence {
    New,
    There,
}

/// The reply to a change of a rule: the stored rule, and its warnings.
#[derive(Debug)]
pub struct PutRuleReply {
    pub stands: RuleView,
    /// The warnings about this rule.
    pub warnings: Vec<Warning>,
}

/// Removes a rule that was made over the API, with all it keeps. Its runs stay.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteRule {
    pub id: RuleId,
    pub by: RuleCaller,
    /// Only if its tag is one of these.
    pub if_tag: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<(), RuleRefusal>>,
}

/// The present rules of the templates, all of them: a rule that is not in here any more goes, and a changed one is
/// replaced. Answered after the commit, when they run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TemplateRules {
    /// As rules of the API, by the names that are templates' alone.
    pub rules: BTreeMap<RuleId, Object>,
    pub reply: oneshot::Sender<Result<(), RuleRefusal>>,
}

/// Says whether a rule runs. Also starts one anew that was stopped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EnableRule {
    pub id: RuleId,
    pub by: RuleCaller,
    pub enabled: bool,
    /// Only if its tag is one of these.
    pub if_tag: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<PutRuleReply, RuleRefusal>>,
}

/// Sends a signal from outside of the twins: `Run` or `Webhook`. Answered after the commit with its `seq`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendSignal {
    pub signal: AutomationSignal,
    pub by: RuleCaller,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<u64, RuleRefusal>>,
}

/// Sends a request for a webhook that brings no credential but is signed by a secret of a rule that has it; it counts as
/// one of the author of that rule. Answered as [`SendSignal`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendSigned {
    /// The webhook's.
    pub name: Box<str>,
    /// The body as it came, of which the signature is.
    pub body: Bytes,
    /// The same as JSON.
    pub payload: Json,
    pub signature: BodySignature,
    /// The sender's name for the request, by which one that comes again is known.
    pub delivery: Option<Box<str>>,
    pub reply: oneshot::Sender<Result<u64, RuleRefusal>>,
}

/// A signature of a body, an HMAC-SHA256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySignature {
    pub mac: [u8; 32],
    /// The Unix seconds that were signed with it, in front of the body and with a full stop between.
    pub signed_at: Option<i64>,
}

/// Commits all pending changes now: the hub shuts down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush {
    pub reply: oneshot::Sender<()>,
}

/// A deadline of automation has come.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AutomationDue;

/// The reason why a rule was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleRefusal {
    #[error("there is no rule `{0}`")]
    Unknown(RuleId),
    #[error("there is a rule `{0}` already")]
    Taken(RuleId),
    /// The rule is in a file, and is to be changed there.
    #[error("rule `{id}` is in the file {path}: change it there; here it can only be enabled and disabled")]
    InFile { id: RuleId, path: Arc<str> },
    /// The rule is a template's, and changes with that.
    #[error(
        "rule `{id}` is of the template `{template}`: change it there; here it can only be enabled and disabled"
    )]
    OfTemplate { id: RuleId, template: Box<str> },
    #[error("the rule is at version {current}, not {expected}")]
    Version { current: Box<str>, expected: EntityTags },
    /// Another change is under way: whichever version was required, the rule has another in a moment.
    #[error("rule `{0}` is being changed")]
    Changing(RuleId),
    #[error("the rule does not check out")]
    Problems(Vec<FileProblem>),
    /// Something in it is not the caller's to say.
    #[error("{0}")]
    Beyond(String),
    #[error("no rule has a webhook `{0}`")]
    NoWebhook(String),
    /// A request is not signed as it should be.
    #[error("{0}")]
    Signature(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the change was lost on its way")]
    Lost,
}

/// A count of the engine's work, for metrics.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EngineWork {
    pub rules: u64,
    pub evaluations: u64,
    pub runs: u64,
}
