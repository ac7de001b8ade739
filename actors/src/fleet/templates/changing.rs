//! A change of the templates, from the request to the job that brings it to the devices.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{FleetDeps, RecordRepository, TemplateActors, template_devices};
use crate::backoff::until_answered;
use crate::mailbox::try_send_unbounded;
use crate::messages::automation::TemplateRules;
use crate::messages::jobs::{JobView, MakeJob};
use crate::messages::templates::{
    DeleteTemplateReply, PutMode, PutTemplateReply, TemplateRefusal, TemplateRequest, TryTemplateReply,
};
use twinhub_domain::fleet::{JobAction, JobId, RecordChange};
use twinhub_domain::{Cause, Json, Object, Versions};
use twinhub_mqtt::receipt;
use twinhub_rules::analysis::leaves_devices;
use twinhub_rules::device_template::{BadDeviceTemplate, DeviceTemplate};
use twinhub_rules::file::parse_rule_with;

/// The member of a record whose change has not come to the devices.
const UNFINISHED: &str = "unfinished";
const ROLL_OUT: &str = "roll_out";
const REMOVE: &str = "remove";

/// A change of the templates under way.
pub(super) struct TemplateChanger {
    pub repository: RecordRepository,
    pub deps: Arc<FleetDeps>,
    pub actors: Option<TemplateActors>,
}

/// The job that brings a change to the devices.
struct BringingJob {
    /// The number of devices that have the template.
    devices: u64,
    /// None where no device has it.
    job: Option<JobId>,
    /// Told when the job cannot be lost any more.
    prepared: Option<oneshot::Receiver<JobView>>,
}

/// The rest of a change that is durable, and that its devices are not sure to come to yet.
pub(super) struct RemainingChange {
    left: UnfinishedChange,
    prepared: Option<oneshot::Receiver<JobView>>,
    cause: Cause,
}

/// A change that is durable, and the job for it not yet.
pub(super) enum UnfinishedChange {
    /// Its devices are to take it as it is now.
    RollOut(Arc<DeviceTemplate>),
    /// It is to go, from its devices first.
    Remove(Arc<DeviceTemplate>),
}

impl UnfinishedChange {
    /// The change that the record says.
    pub fn of(template: Arc<DeviceTemplate>, body: &Object) -> Option<Self> {
        match body.get(UNFINISHED).and_then(Json::as_str)? {
            REMOVE => Some(Self::Remove(template)),
            _ => Some(Self::RollOut(template)),
        }
    }

    /// Can devices have it?
    pub fn is_there(&self) -> bool {
        matches!(self, Self::RollOut(_))
    }

    fn template(&self) -> &Arc<DeviceTemplate> {
        let (Self::RollOut(template) | Self::Remove(template)) = self;
        template
    }
}

impl TemplateChanger {
    /// See [`crate::messages::templates::PutTemplate`]. The remainder is for [`TemplateChanger::wind_up`], after the
    /// answer.
    pub async fn put(
        &self,
        request: TemplateRequest,
        cause: Cause,
    ) -> Result<(PutTemplateReply, Option<RemainingChange>), TemplateRefusal> {
        let (template, before) = self.requested(request)?;
        let change = if before.is_some() { RecordChange::Changed } else { RecordChange::Made };
        // One that is new may be of a name that devices still have, from before.
        let same_layer = before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.layer, &template.layer));
        let mut body = template.document();
        if !same_layer {
            body.insert(UNFINISHED, ROLL_OUT.into());
        }
        self.commit(&template.id, change, body, cause.clone()).await?;
        info!(template = %template.id, version = template.version, by = %cause.by, "template stored");
        let catalog = &self.deps.catalog;
        catalog.set(catalog.now().with(Arc::clone(&template)));
        if before.as_ref().is_none_or(|before| before.rules != template.rules) {
            self.tell_rules().await;
        }
        if same_layer {
            let devices = self.count(&template.id).await?;
            return Ok((PutTemplateReply { template, devices, job: None }, None));
        }
        let bringing = self.bring(&template.id, "a template was changed", cause.clone()).await?;
        let BringingJob { devices, job, prepared } = bringing;
        let left = UnfinishedChange::RollOut(Arc::clone(&template));
        Ok((PutTemplateReply { template, devices, job }, Some(RemainingChange { left, prepared, cause })))
    }

    /// See [`crate::messages::templates::DeleteTemplate`]. The remainder is for [`TemplateChanger::wind_up`], after the
    /// answer.
    pub async fn delete(
        &self,
        id: Box<str>,
        force: bool,
        if_version: Option<Versions>,
        cause: Cause,
    ) -> Result<(DeleteTemplateReply, RemainingChange), TemplateRefusal> {
        let catalog = &self.deps.catalog;
        let before = catalog.now();
        let template = Arc::clone(before.get(&id).ok_or_else(|| TemplateRefusal::Unknown(id.clone()))?);
        check_version(&template, if_version)?;
        // As long as it may stay, devices that appear take it.
        self.check_free(&id, force).await?;
        // From now on nobody gets it; who has got it meanwhile is found.
        catalog.set(before.without(&id));
        let may_go = match self.check_free(&id, force).await {
            Ok(()) => {
                let mut body = template.document();
                body.insert(UNFINISHED, REMOVE.into());
                self.keep(&id, body).await
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = may_go {
            catalog.set(catalog.now().with(template));
            return Err(refusal);
        }
        let BringingJob { devices, job, prepared } =
            self.bring(&id, "a template was removed", cause.clone()).await?;
        info!(template = %id, by = %cause.by, "template removed");
        if !template.rules.is_empty() {
            self.tell_rules().await;
        }
        let left = UnfinishedChange::Remove(template);
        Ok((DeleteTemplateReply { devices, job }, RemainingChange { left, prepared, cause }))
    }

    /// See [`crate::messages::templates::TryTemplate`].
    pub async fn try_out(
        &self,
        request: TemplateRequest,
        offset: usize,
        limit: usize,
    ) -> Result<TryTemplateReply, TemplateRefusal> {
        let (template, _) = self.requested(request)?;
        let now = self.deps.clock.now();
        let mut trial = TryTemplateReply { template, devices: 0, changed: 0, changes: Vec::new() };
        let (layer, id) = (Arc::clone(&trial.template.layer), trial.template.id.clone());
        template_devices::each(&self.deps, &id, |twin| {
            trial.devices += 1;
            let difference = twin.setup.difference(Some(Arc::clone(&layer)), now);
            if difference.is_empty() {
                return;
            }
            trial.changed += 1;
            let place = usize::try_from(trial.changed).unwrap_or(usize::MAX);
            if place > offset && trial.changes.len() < limit {
                trial.changes.push((twin.id, difference));
            }
        })
        .await?;
        Ok(trial)
    }

    /// Goes on with what was under way when the hub stopped.
    pub async fn finish(&self, left: UnfinishedChange) {
        let template = Arc::clone(left.template());
        info!(template = %template.id, "going on with a template's change");
        let cause = Cause::hub();
        // If not, the hub is shutting down.
        if let Ok(BringingJob { prepared, .. }) =
            self.bring(&template.id, "a template was changed", cause.clone()).await
        {
            self.wind_up(RemainingChange { left, prepared, cause }).await;
        }
    }

    /// Waits until the job cannot be lost any more, and only then strikes out that there is something to be gone on
    /// with. No other change is made before that: it would overwrite the word for it.
    pub async fn wind_up(&self, RemainingChange { left, prepared, cause }: RemainingChange) {
        if let Some(prepared) = prepared
            && prepared.await.is_err()
        {
            return; // the hub is shutting down; the change goes on after the next start
        }
        match left {
            UnfinishedChange::RollOut(template) => self.settle(&template).await,
            UnfinishedChange::Remove(template) => {
                let gone = self.commit(&template.id, RecordChange::Removed, template.document(), cause).await;
                if gone.is_err() {
                    warn!(template = %template.id, "a template is still to be removed");
                }
            }
        }
    }

    /// Has automation run the rules of the templates there are, and no others of templates.
    pub async fn tell_rules(&self) {
        let Some(actors) = &self.actors else { return };
        let catalog = self.deps.catalog.now();
        let rules = catalog.iter().flat_map(|template| template.whole_rules().collect::<Vec<_>>()).collect();
        let (reply, answer) = oneshot::channel();
        // Without automation the hub is shutting down.
        let _ = try_send_unbounded(&actors.automation, TemplateRules { rules, reply });
        match answer.await {
            Ok(Ok(())) => {}
            // They are sent again with the next change, or start.
            Ok(Err(error)) => warn!(%error, "the rules of templates were not taken"),
            Err(_) => warn!("the rules of templates were not taken"),
        }
    }

    /// The template that comes of a request, and the one that stands in its place.
    fn requested(
        &self,
        request: TemplateRequest,
    ) -> Result<(Arc<DeviceTemplate>, Option<Arc<DeviceTemplate>>), TemplateRefusal> {
        let TemplateRequest { id, body, mode, by, if_version } = request;
        let catalog = self.deps.catalog.now();
        let before = catalog.get(&id).cloned();
        let body = match (&before, mode) {
            (Some(_), PutMode::Make) => return Err(TemplateRefusal::Taken(id)),
            (None, PutMode::Replace | PutMode::Merge) => {
                return Err(TemplateRefusal::Unknown(id));
            }
            (_, PutMode::Make | PutMode::Replace) => body,
            (Some(before), PutMode::Merge) => {
                let mut merged = before.specification();
                merged.merge(&body);
                merged
            }
        };
        if let Some(before) = &before {
            check_version(before, if_version)?;
        }
        if let Some(other) = body.get("id")
            && other.as_str() != Some(&*id)
        {
            let detail = format!("the template is called `{id}`, and stays so");
            return Err(BadDeviceTemplate::Field { field: "id".into(), detail }.into());
        }
        let (now, secrets) = (self.deps.clock.now(), &self.deps.secrets);
        let template = DeviceTemplate::read_with(&id, &body, before.as_deref(), now, secrets)?;
        if !by.may_leave_devices
            && let Some(fault) = self.leaves_devices(&template)
        {
            return Err(TemplateRefusal::Beyond(fault));
        }
        Ok((Arc::new(template), before))
    }

    /// The action by which a rule of the template reaches beyond devices, in words. The rules have no author whose
    /// rights would be looked at when they act.
    fn leaves_devices(&self, template: &DeviceTemplate) -> Option<String> {
        template.whole_rules().find_map(|(_, body)| {
            let (rule, _) = parse_rule_with(&body, &self.deps.secrets).ok()?;
            leaves_devices(&rule)
        })
    }

    /// Makes the job that brings a template as it is now, or that it is no more, to the devices that have it. The
    /// change itself is durable, so this is tried for as long as it takes.
    async fn bring(&self, id: &str, why: &str, cause: Cause) -> Result<BringingJob, TemplateRefusal> {
        let devices = until_answered("who has a template", || async {
            match template_devices::of(&self.deps, id).await {
                Err(TemplateRefusal::Lost) => Ok(Err(TemplateRefusal::Lost)), // the hub is shutting down
                read => read.map(Ok),
            }
        })
        .await?;
        let count = devices.len() as u64;
        let Some(actors) = self.actors.as_ref().filter(|_| count > 0) else {
            return Ok(BringingJob { devices: count, job: None, prepared: None });
        };
        let ((reply, answer), (prepared, is_prepared)) = (oneshot::channel(), oneshot::channel());
        let make = MakeJob {
            action: JobAction::Refresh(id.into()),
            description: format!("{why}: {id}").into(),
            rate: None,
            devices,
            skipped: Vec::new(),
            unknown: Vec::new(),
            author: None,
            cause,
            reply,
            prepared,
        };
        let _ = try_send_unbounded(&actors.jobs, make); // without the jobs the hub is shutting down
        let answer = answer.await.map_err(|_| TemplateRefusal::Lost)?;
        Ok(BringingJob { devices: count, job: Some(answer.job.id), prepared: Some(is_prepared) })
    }

    /// May the template be removed? Without force only where no device has it.
    async fn check_free(&self, id: &str, force: bool) -> Result<(), TemplateRefusal> {
        if force {
            return Ok(());
        }
        match self.count(id).await? {
            0 => Ok(()),
            devices => Err(TemplateRefusal::InUse { id: id.into(), devices }),
        }
    }

    async fn count(&self, id: &str) -> Result<u64, TemplateRefusal> {
        Ok(template_devices::of(&self.deps, id).await?.len() as u64)
    }

    /// The job is whole: nothing is left to be gone on with.
    async fn settle(&self, template: &DeviceTemplate) {
        if self.keep(&template.id, template.document()).await.is_err() {
            warn!(template = %template.id, "a template's change is brought to its devices again at the next start");
        }
    }

    async fn commit(
        &self,
        id: &str,
        change: RecordChange,
        body: Object,
        cause: Cause,
    ) -> Result<(), TemplateRefusal> {
        let (receipt, settled) = receipt::channel();
        self.repository.put(id, change, body, Vec::new(), cause, receipt);
        match settled.await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(TemplateRefusal::Lost),
        }
    }

    /// The same without a word of it.
    async fn keep(&self, id: &str, body: Object) -> Result<(), TemplateRefusal> {
        let (receipt, settled) = receipt::channel();
        self.repository.put_silently(id, body, receipt);
        match settled.await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(TemplateRefusal::Lost),
        }
    }
}

/// Is the template at one of the versions that the change is for?
fn check_version(template: &DeviceTemplate, if_version: Option<Versions>) -> Result<(), TemplateRefusal> {
    match if_version {
        Some(expected) if !expected.contain(template.version) => {
            Err(TemplateRefusal::Version { current: template.version, expected })
        }
        _ => Ok(()),
    }
}
