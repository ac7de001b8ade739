//! The rights of one caller at the hub.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Context, MailboxError};
use tokio::sync::oneshot;
use tracing::error;
use twinhub_access::user::UserSource;
use twinhub_access::{Action, AuditEntry, AuditOutcome, DeviceReach, Reach, Role, Scopes, SessionId, UserId};

use super::confinement::{Confinement, DeviceKey};
use super::messages::Addresses;
use super::{Caller, HubRequest, Permission, Permissions};
use crate::HubError;
use crate::accounts::directory::{DialectAccount, Identity};
use crate::counters::Counters;
use crate::hub::{ActorHealth, Hub, Settings};
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::accounts::Asker;
use crate::messages::audit::{AppendAudit, NoteRefusal};
use crate::pairing::Pairing;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::{Cause, DeviceId, Input, Json, Object, Timestamp, Twin};
use twinhub_mqtt::Intake as _;
use twinhub_mqtt::dialects::Dialects;
use twinhub_mqtt::rejections::Rejections;
use twinhub_mqtt::unread_topics::UnreadTopics;
use twinhub_rules::Catalog;
use twinhub_store::RuleAuthor;

/// The longest that an answer waits for its entry. The entry is kept, and written when the store takes it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The hub, as one caller may use it.
#[derive(Clone)]
pub struct Grant {
    pub(super) hub: Arc<Hub>,
    caller: Caller,
    /// The way by which the caller came.
    source: Source,
    permissions: Permissions,
    /// The devices that they count for.
    scopes: Scopes,
    /// The most devices that the user may own; none: as many as they like.
    pub(super) quota: Option<u32>,
    /// The caller as the author of rules; none: what they make acts as the hub.
    author: Option<RuleAuthor>,
    /// The user that the caller is, and the session and the address that they came by, where these are known.
    user: Option<UserId>,
    session: Option<SessionId>,
    address: Option<IpAddr>,
}

impl Hub {
    /// The grant of `caller`, who came by way of `source`: all permissions, until it is confined.
    #[must_use]
    pub fn of(self: &Arc<Self>, caller: Caller, source: Source) -> Grant {
        Grant {
            hub: Arc::clone(self),
            caller,
            source,
            permissions: Permissions::all(),
            scopes: Scopes::all(),
            quota: None,
            author: None,
            user: None,
            session: None,
            address: None,
        }
    }

    /// The grant of a device: it speaks for itself, and a gateway for others.
    #[must_use]
    pub fn of_device(self: &Arc<Self>, reach: &DeviceReach, source: Source) -> Grant {
        Grant {
            permissions: Role::Device.permissions(),
            scopes: Scopes::from(&reach.scope()),
            ..self.of(Caller::Device(reach.own().clone()), source)
        }
    }

    /// The grant of a caller who is known by a credential: the permissions of their rights, for the devices in their
    /// scopes.
    #[must_use]
    pub fn of_identity(self: &Arc<Self>, identity: &Identity, source: Source) -> Grant {
        Grant {
            permissions: identity.rights.permissions_in_scope(),
            scopes: identity.rights.scopes.clone(),
            quota: identity.quota,
            // The key before its owner: it may give fewer rights than they have, and ends before they do.
            author: match &identity.key {
                Some(key) => Some(RuleAuthor::Key(key.clone())),
                None => identity.user.map(RuleAuthor::User),
            },
            user: identity.user,
            session: identity.session,
            address: Some(identity.address),
            ..self.of(identity.caller.clone(), source)
        }
    }

    /// The grant of a caller of the dialect of this name who has no credential; none where the dialect has no account.
    #[must_use]
    pub fn of_dialect(self: &Arc<Self>, name: &str, source: Source) -> Option<Grant> {
        let DialectAccount { name, rights } = self.directory.dialect(name)?;
        Some(Grant {
            permissions: rights.permissions_in_scope(),
            scopes: rights.scopes.clone(),
            author: Some(RuleAuthor::Dialect((**name).into())),
            ..self.of(Caller::Dialect(Arc::clone(name)), source)
        })
    }

    /// Appends entries to the audit. `reply` is told when they are durable.
    pub fn append_audit(&self, entries: Vec<AuditEntry>, reply: Option<oneshot::Sender<()>>) {
        if try_send_unbounded(&self.audit, AppendAudit { entries, reply }).is_err() {
            error!("an entry of the audit is lost: the hub is shutting down");
        }
    }

    /// Notes a refusal in the audit. It is written within a second; many of a kind are one entry.
    pub fn note_refusal(&self, entry: AuditEntry) {
        let _ = try_send_unbounded(&self.audit, NoteRefusal(entry)); // gone, nobody is let in any more
    }
}

impl Grant {
    /// The same with no more than `permissions`.
    #[must_use]
    pub fn confined_to(self, permissions: Permissions) -> Self {
        Self { permissions, ..self }
    }

    /// The same in these scopes alone.
    #[cfg(test)]
    pub(super) fn in_scopes(self, scopes: Scopes) -> Self {
        Self { scopes, ..self }
    }

    /// The same from an address.
    #[must_use]
    pub fn at_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same by another way.
    #[must_use]
    pub fn by_way_of(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Does the caller reach all devices?
    #[must_use]
    pub fn reaches_everywhere(&self) -> bool {
        self.scopes.are_all()
    }

    /// The confinement of the caller now.
    pub(super) fn confinement(&self) -> Confinement {
        let reach = match self.scopes.are_all() {
            true => Reach::everywhere(),
            false => Reach::of(&self.scopes, &self.hub.tree.now()),
        };
        Confinement {
            reach,
            places: Arc::clone(&self.hub.places),
            caller: self.caller.clone(),
            author: self.author.clone(),
            may_leave_devices: self.permissions.contain(Permission::Administer),
        }
    }

    /// The caller, as messages to the accounts name them.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker {
            name: self.caller.audit_name().into(),
            user: self.user,
            session: self.session,
            address: self.address,
            permissions: self.permissions,
            is_everywhere: self.scopes.are_all(),
            source: match self.caller {
                Caller::Program => UserSource::CommandLine,
                _ => UserSource::Admin,
            },
        }
    }

    /// An entry of what this caller did just now to `target`: `group:hall-2`.
    #[must_use]
    pub fn audit_entry(&self, action: Action, target: &str) -> AuditEntry {
        let entry = AuditEntry::new(self.now(), &self.caller.audit_name(), action).with_target(target);
        match self.address {
            Some(address) => entry.with_address(address),
            None => entry,
        }
    }

    /// Appends an entry of what this caller did to `target`, as [`Grant::audit`] does.
    pub async fn audit_done<'a>(
        &self,
        action: Action,
        target: &str,
        detail: impl IntoIterator<Item = (&'a str, Json)>,
    ) {
        self.audit(self.audit_entry(action, target).with_detail(detail.into_iter().collect())).await;
    }

    /// Appends an entry of a change that is made, and waits until it is durable. Of a store that does not take it in it
    /// is written later.
    pub async fn audit(&self, entry: AuditEntry) {
        let (reply, durable) = oneshot::channel();
        self.hub.append_audit(vec![entry], Some(reply));
        let _ = tokio::time::timeout(LONGEST_WAIT, durable).await; // it is written later, or the hub ends
    }

    /// Has `work` come to its end though who asked for it goes away meanwhile: a change, and the entry of it.
    ///
    /// # Errors
    /// It came to none: the hub is shutting down.
    pub async fn see_through<T: 'static>(work: impl Future<Output = T> + 'static) -> Result<T, HubError> {
        let (reply, answer) = oneshot::channel();
        actix_rt::spawn(async move { send_reply(reply, work.await) });
        answer.await.map_err(|_| HubError::ShuttingDown)
    }

    /// Notes that this caller was refused `target`. It is written within a second; many of a kind are one entry.
    pub fn audit_refusal(&self, action: Action, target: &str, detail: Object) {
        let entry = self.audit_entry(action, target).with_outcome(AuditOutcome::Refused);
        self.hub.note_refusal(entry.with_detail(detail));
    }

    /// The cause of the caller's actions.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.caller.cause(self.source)
    }

    /// Goes on where the caller has `permission`.
    ///
    /// # Errors
    /// They do not: [`HubError::Forbidden`].
    pub fn demand(&self, permission: Permission) -> Result<(), HubError> {
        match self.permissions.contain(permission) {
            true => Ok(()),
            false => Err(HubError::Forbidden(permission)),
        }
    }

    /// Sends `message` and waits for the actor's answer.
    ///
    /// # Errors
    /// The caller may not have it sent, or not for this device; or the actor is gone.
    pub async fn ask<M: HubRequest>(&self, mut message: M) -> Result<M::Result, HubError>
    where
        Context<M::Target>: ToEnvelope<M::Target, M>,
    {
        self.demand(M::PERMISSION)?;
        message.confine(&self.confinement())?;
        let answer = M::address(Addresses(&self.hub)).send(message).await;
        let answer = answer.map_err(|_: MailboxError| HubError::ShuttingDown)?;
        // By the places that are true after it: what the answer has was within reach at its end.
        Ok(M::judge(answer, &self.confinement()))
    }

    /// Hands `message` on to its actor, whose answer comes by a sender in it.
    ///
    /// # Errors
    /// As [`Grant::ask`].
    pub fn send<M: HubRequest>(&self, mut message: M) -> Result<(), HubError>
    where
        Context<M::Target>: ToEnvelope<M::Target, M>,
    {
        self.demand(M::PERMISSION)?;
        message.confine(&self.confinement())?;
        try_send_unbounded(M::address(Addresses(&self.hub)), message).map_err(|_| HubError::ShuttingDown)
    }

    /// Has an actor make a change, and gives its answer, which comes once the change is durable.
    ///
    /// # Errors
    /// As [`Grant::ask`]; the store does not take anything in; or no answer came in time, and the change may be made
    /// later all the same.
    pub async fn change<M: HubRequest, T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> M,
    ) -> Result<T, HubError>
    where
        Context<M::Target>: ToEnvelope<M::Target, M>,
    {
        self.demand(M::PERMISSION)?;
        self.check_store()?;
        let (reply, answer) = oneshot::channel();
        self.send(message(reply))?;
        self.answer(answer).await
    }

    /// The present twin, everything in it being durable; none if there is none.
    ///
    /// # Errors
    /// The caller may not read it, or the store does not answer in time.
    pub async fn read(&self, device: &DeviceId) -> Result<Option<Box<Twin>>, HubError> {
        self.demand(Permission::Twin)?;
        let is_within = || self.confinement().demand_device(DeviceKey::Id(device)).is_ok();
        if !is_within() {
            return Ok(None);
        }
        Ok(self.hub.read(device).await?.filter(|twin| self.confinement().has_twin(twin)))
    }

    /// The devices among these that the caller reaches.
    #[must_use]
    pub fn within_reach(&self, devices: Vec<DeviceId>) -> HashSet<DeviceId> {
        let within = self.confinement();
        let places = within.places.read();
        devices.into_iter().filter(|device| places.has(&within.reach, device)).collect()
    }

    /// See [`Hub::answer`].
    ///
    /// # Errors
    /// As there.
    pub async fn answer<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, HubError> {
        self.hub.answer(answer).await
    }

    /// See [`Hub::answer_in`].
    ///
    /// # Errors
    /// As there.
    pub async fn answer_in<T>(
        &self,
        patience: Duration,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, HubError> {
        self.hub.answer_in(patience, answer).await
    }

    /// True while commits fail.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.hub.is_failing()
    }

    /// Goes on where the store takes something in.
    ///
    /// # Errors
    /// Commits fail just now.
    pub fn check_store(&self) -> Result<(), HubError> {
        match self.is_failing() {
            true => Err(HubError::Unavailable("the store does not take anything in just now")),
            false => Ok(()),
        }
    }

    /// The time of the hub's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.hub.clock.now()
    }

    /// The uptime of the hub in ms, whatever its clock was set to meanwhile.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        self.hub.clock.uptime_ms()
    }

    /// The settings of the hub.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.hub.settings
    }

    /// The hub's counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.hub.counters)
    }

    /// The tree of groups as it was last committed, as far as the caller reaches: groups right under those beyond are
    /// at the top.
    #[must_use]
    pub fn tree(&self) -> Arc<GroupTree> {
        self.confinement().reach.part_of(self.hub.tree.now())
    }

    /// The templates as they are now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.hub.catalog.now()
    }

    /// The state of the hub's actors.
    #[must_use]
    pub fn alive(&self) -> ActorHealth {
        self.hub.alive()
    }

    /// The dialects that devices speak.
    #[must_use]
    pub fn dialects(&self) -> Arc<Dialects> {
        self.hub.ingress.dialects()
    }

    /// The pairing of devices, for whoever says who is let in.
    ///
    /// # Errors
    /// The caller is no admin, or not for all devices.
    pub fn pairing(&self) -> Result<&Pairing, HubError> {
        self.demand(Permission::Users)?;
        self.confinement().demand_everywhere()?;
        Ok(&self.hub.pairing)
    }

    /// Messages that were refused.
    #[must_use]
    pub fn rejections(&self) -> &Rejections {
        &self.hub.rejections
    }

    /// MQTT messages on topics without a reader.
    #[must_use]
    pub fn unread_topics(&self) -> &UnreadTopics {
        &self.hub.unread_topics
    }
}

/// The permission that `input` takes.
pub(super) fn permission_for(input: &Input) -> Permission {
    match input {
        Input::Telemetry(_)
        | Input::Batch(_)
        | Input::Report(_)
        | Input::Presence { .. }
        | Input::GetDesired
        | Input::CommandResult { .. }
        | Input::Poll
        | Input::DesiredFailed(_)
        | Input::Translate(_)
        | Input::Firmware(_) => Permission::Report,
        Input::Change(_)
        | Input::Command { .. }
        | Input::Cancel { .. }
        | Input::SetMode { .. }
        | Input::Update(_)
        | Input::WithdrawUpdate { .. } => Permission::Operate,
        Input::Register(_)
        | Input::Claim(_)
        | Input::Template { .. }
        | Input::Refresh(_)
        | Input::Import(_)
        | Input::SetToken(_)
        | Input::SetCertificate(_)
        | Input::SetLifecycle { .. }
        | Input::Delete => Permission::Manage,
        // Inputs of the hub alone.
        Input::Appear
        | Input::Subscribed(_)
        | Input::CommandUndelivered { .. }
        | Input::Undelivered(_)
        | Input::Wake { .. }
        | Input::ClockMoved { .. } => Permission::Administer,
    }
}
