//! The templates: what devices of a kind have in common. They are read by everybody as they are now
//! ([`CatalogNow`](crate::catalog::CatalogNow)); changes come here, one after the other.
//!
//! The effects of a change on the devices are a job's to do, and the rules of templates are automation's. A template
//! whose change became durable, and the job for it not yet, says so in its record: after a crash the job is made.

mod changing;
mod template_devices;

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use tracing::error;

use self::changing::{TemplateChanger, UnfinishedChange};
use super::{FleetDeps, RecordRepository};
use crate::mailbox::send_reply;
use crate::messages::automation::TemplateRules;
use crate::messages::jobs::MakeJob;
use crate::messages::templates::{DeleteTemplate, PutTemplate, StartTemplates, TryTemplate};
use twinhub_domain::fleet::RecordKind;
use twinhub_rules::device_template::{Catalog, DeviceTemplate};
use twinhub_store::FleetRecord;

/// The actor that keeps the templates.
pub struct Templates {
    repository: RecordRepository,
    deps: Arc<FleetDeps>,
    /// The changes under way when the hub stopped, until they go on.
    unfinished: Vec<UnfinishedChange>,
    actors: Option<TemplateActors>,
}

/// The actors that do what templates mean.
#[derive(Clone)]
pub(super) struct TemplateActors {
    pub automation: Recipient<TemplateRules>,
    pub jobs: Recipient<MakeJob>,
}

impl Templates {
    /// They read what the store knows of them as they start.
    #[must_use]
    pub fn new(deps: Arc<FleetDeps>) -> Self {
        let repository = RecordRepository::new(RecordKind::Template, Arc::clone(&deps));
        Self { repository, deps, unfinished: Vec::new(), actors: None }
    }

    fn load(&mut self, records: &[FleetRecord]) {
        let mut templates = Vec::new();
        for FleetRecord { id, body, .. } in records {
            let Some(body) = body else { continue };
            let template = match DeviceTemplate::of_document(id, body) {
                Ok(template) => Arc::new(template),
                Err(problem) => {
                    error!(template = %id, ?problem, "cannot read a template, skipping it");
                    continue;
                }
            };
            let unfinished = UnfinishedChange::of(Arc::clone(&template), body);
            if unfinished.as_ref().is_none_or(UnfinishedChange::is_there) {
                templates.push(template);
            }
            self.unfinished.extend(unfinished);
        }
        self.deps.catalog.set(Catalog::new(templates));
    }

    fn changing(&self) -> TemplateChanger {
        TemplateChanger {
            repository: self.repository.clone(),
            deps: Arc::clone(&self.deps),
            actors: self.actors.clone(),
        }
    }
}

impl Actor for Templates {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.repository.clone().load().into_actor(self).map(|records, this, _| this.load(&records)));
    }
}

impl Handler<StartTemplates> for Templates {
    type Result = ();

    fn handle(
        &mut self,
        StartTemplates { automation, jobs, known }: StartTemplates,
        ctx: &mut Context<Self>,
    ) {
        self.actors = Some(TemplateActors { automation, jobs });
        send_reply(known, ());
        let (changing, unfinished) = (self.changing(), std::mem::take(&mut self.unfinished));
        let go_on = async move {
            changing.tell_rules().await;
            for left in unfinished {
                changing.finish(left).await;
            }
        };
        ctx.wait(go_on.into_actor(self));
    }
}

impl Handler<PutTemplate> for Templates {
    type Result = ();

    fn handle(&mut self, PutTemplate { request, cause, reply }: PutTemplate, ctx: &mut Context<Self>) {
        // One change after the other: each finds what the one before it has made.
        let changing = self.changing();
        let put = async move {
            let (answer, remainder) = match changing.put(request, cause).await {
                Ok((stored, remainder)) => (Ok(stored), remainder),
                Err(refusal) => (Err(refusal), None),
            };
            send_reply(reply, answer);
            if let Some(remainder) = remainder {
                changing.wind_up(remainder).await;
            }
        };
        ctx.wait(put.into_actor(self));
    }
}

impl Handler<DeleteTemplate> for Templates {
    type Result = ();

    fn handle(&mut self, delete: DeleteTemplate, ctx: &mut Context<Self>) {
        let DeleteTemplate { id, force, if_version, cause, reply } = delete;
        let changing = self.changing();
        let delete = async move {
            match changing.delete(id, force, if_version, cause).await {
                Ok((gone, remainder)) => {
                    send_reply(reply, Ok(gone));
                    changing.wind_up(remainder).await;
                }
                Err(refusal) => drop(reply.send(Err(refusal))), // so may it
            }
        };
        ctx.wait(delete.into_actor(self));
    }
}

impl Handler<TryTemplate> for Templates {
    type Result = ();

    fn handle(&mut self, asked: TryTemplate, ctx: &mut Context<Self>) {
        let TryTemplate { request, offset, limit, reply } = asked;
        let changing = self.changing();
        // It changes nothing, so nobody waits for it.
        let tried = async move {
            send_reply(reply, changing.try_out(request, offset, limit).await);
        };
        ctx.spawn(tried.into_actor(self));
    }
}

#[cfg(test)]
mod tests;
