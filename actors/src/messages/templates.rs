//! Messages to the templates.

use std::sync::Arc;

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::automation::{RuleCaller, TemplateRules};
use super::jobs::MakeJob;
use twinhub_domain::fleet::JobId;
use twinhub_domain::{Cause, DeviceId, Object, Versions};
use twinhub_rules::device_template::{BadDeviceTemplate, DeviceTemplate};
use twinhub_store::StoreError;

/// The hub has started. Changes that were under way at its shutdown go on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartTemplates {
    pub automation: Recipient<TemplateRules>,
    pub jobs: Recipient<MakeJob>,
    /// Answered when the templates are known.
    pub known: oneshot::Sender<()>,
}

/// Makes a template, or changes one. Answered after the commit; a job brings the change to the devices.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PutTemplate {
    pub request: TemplateRequest,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<PutTemplateReply, TemplateRefusal>>,
}

/// Asks for the effects of a change. Nothing is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TryTemplate {
    pub request: TemplateRequest,
    /// The first of the devices to show of those that it would change.
    pub offset: usize,
    pub limit: usize,
    pub reply: oneshot::Sender<Result<TryTemplateReply, TemplateRefusal>>,
}

/// Removes a template. Answered after the commit; a job takes it off the devices.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteTemplate {
    pub id: Box<str>,
    /// Also where devices have it.
    pub force: bool,
    /// Only if it is at one of these versions.
    pub if_version: Option<Versions>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<DeleteTemplateReply, TemplateRefusal>>,
}

/// A requested change of a template.
#[derive(Clone, Debug)]
pub struct TemplateRequest {
    pub id: Box<str>,
    pub body: Object,
    pub mode: PutMode,
    pub by: RuleCaller,
    /// Only if it is at one of these versions.
    pub if_version: Option<Versions>,
}

/// The way in which a specification becomes a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// The template must not exist.
    Make,
    /// The template must exist; members that are left out get their defaults.
    Replace,
    /// The template must exist; the specification is a merge patch.
    Merge,
}

/// The reply to a change of a template: its state after the commit.
#[derive(Debug)]
pub struct PutTemplateReply {
    pub template: Arc<DeviceTemplate>,
    /// The number of its devices.
    pub devices: u64,
    /// The job that brings it to them as it is now, where there is something to be brought.
    pub job: Option<JobId>,
}

/// The reply to a trial: the effects that a change would have.
#[derive(Debug)]
pub struct TryTemplateReply {
    /// As it would be.
    pub template: Arc<DeviceTemplate>,
    /// The number of its devices.
    pub devices: u64,
    /// The number of them that would be changed.
    pub changed: u64,
    /// Some of these, with the change of each.
    pub changes: Vec<(DeviceId, Object)>,
}

/// The reply to the removal of a template.
#[derive(Debug)]
pub struct DeleteTemplateReply {
    /// The number of devices that had it.
    pub devices: u64,
    /// The job that takes it off them.
    pub job: Option<JobId>,
}

/// The reason why a template was not taken or removed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateRefusal {
    #[error("there is no template `{0}`")]
    Unknown(Box<str>),
    #[error("there is a template `{0}` already")]
    Taken(Box<str>),
    #[error("the template is at version {current}, not {expected}")]
    Version { current: u64, expected: Versions },
    #[error(transparent)]
    Bad(#[from] BadDeviceTemplate),
    /// One of its rules is not the caller's to make.
    #[error("{0}")]
    Beyond(String),
    #[error("the template `{id}` is in use (devices: {devices}): with force=true it is removed from them")]
    InUse { id: Box<str>, devices: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was done.
    #[error("{0}")]
    Unavailable(&'static str),
    #[error("the change was lost on its way")]
    Lost,
}
