//! The firmware images that devices can be brought to.
//!
//! It holds the stored images; images on their way to the store count too where two compete for the same place.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;
use tracing::warn;

use super::{FleetDeps, RecordRepository};
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::firmware::{AddImage, FindImage, ImagePage, ImageRefusal, ListImages, RemoveImage};
use twinhub_domain::Cause;
use twinhub_domain::fleet::{Image, Job, JobId, RecordChange, RecordKind, Version};
use twinhub_domain::receipt::Receipt;
use twinhub_store::FleetRecord;

/// An image's arrival or removal is durable, or was lost.
#[derive(Message)]
#[rtype(result = "()")]
struct ImageChangeSettled {
    change: RecordChange,
    image: Image,
    done: bool,
    reply: ImageReply,
}

type ImageReply = oneshot::Sender<Result<Image, ImageRefusal>>;

/// The actor of the firmware images.
pub struct Firmware {
    repository: RecordRepository,
    deps: Arc<FleetDeps>,
    /// By their ids, which sort by time.
    images: BTreeMap<Box<str>, Image>,
    /// On their way to the store.
    coming: BTreeMap<Box<str>, Image>,
}

impl Firmware {
    /// They read their records from the store as they start.
    #[must_use]
    pub fn new(deps: Arc<FleetDeps>) -> Self {
        let repository = RecordRepository::new(RecordKind::Firmware, Arc::clone(&deps));
        Self { repository, deps, images: BTreeMap::new(), coming: BTreeMap::new() }
    }

    fn add(&mut self, AddImage { image, cause, reply }: AddImage, ctx: &Context<Self>) {
        let taken = self.images.values().chain(self.coming.values()).find(|other| image.is_like(other));
        if let Some(taken) = taken {
            let refusal = ImageRefusal::Taken { id: taken.id.clone(), version: taken.version.clone() };
            send_reply(reply, Err(refusal));
            return;
        }
        self.coming.insert(image.id.clone(), image.clone());
        self.put(RecordChange::Made, image, cause, reply, ctx);
    }

    /// Removes one that no roll-out uses, as far as the store knows.
    fn remove(&mut self, remove: RemoveImage, ctx: &mut Context<Self>) {
        let RemoveImage { id, if_hash, cause, reply } = remove;
        // An image that has been taken in never changes: the hash that is found here holds until it goes.
        let refusal = match (self.images.get(&id), if_hash) {
            (None, _) => Some(ImageRefusal::Unknown(id.clone())),
            (Some(image), Some(expected)) if !expected.contain(&image.sha256) => {
                Some(ImageRefusal::Version { current: image.sha256.clone(), expected })
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            send_reply(reply, Err(refusal));
            return;
        }
        let jobs = RecordRepository::new(RecordKind::Job, Arc::clone(&self.deps)).load();
        ctx.spawn(jobs.into_actor(self).map(move |jobs, this, ctx| {
            match (user_of(&id, &jobs), this.images.get(&id)) {
                (None, Some(image)) => this.put(RecordChange::Removed, image.clone(), cause, reply, ctx),
                (user, _) => {
                    let gone = || ImageRefusal::Unknown(id.clone());
                    let refusal = user.map_or_else(gone, |job| ImageRefusal::InUse { id: id.clone(), job });
                    send_reply(reply, Err(refusal));
                }
            }
        }));
    }

    fn put(&self, change: RecordChange, image: Image, cause: Cause, reply: ImageReply, ctx: &Context<Self>) {
        let (id, body, this) = (image.id.clone(), image.to_object(), ctx.address());
        let receipt = Receipt::new(move |settled| {
            // Without the actor the hub is shutting down, and the caller's reply is dropped.
            let _ =
                try_send_unbounded(&this, ImageChangeSettled { change, image, done: settled.is_ok(), reply });
        });
        self.repository.put(&id, change, body, Vec::new(), cause, receipt);
    }
}

/// The roll-out of this image that has not come to its end.
fn user_of(image: &str, jobs: &[FleetRecord]) -> Option<JobId> {
    let jobs = jobs.iter().filter_map(|record| Job::parse(record.body.as_ref()?).ok());
    let uses = |job: &Job| job.action.rollout().is_some_and(|rollout| &*rollout.image == image);
    jobs.filter(|job| !job.status.is_final()).find(uses).map(|job| job.id)
}

impl Actor for Firmware {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.repository.clone().load().into_actor(self).map(|records, this, _| {
            for record in records {
                match record.body.as_ref().map(Image::parse) {
                    Some(Ok(image)) => drop(this.images.insert(record.id, image)),
                    Some(Err(error)) => warn!(image = %record.id, %error, "a firmware image makes no sense"),
                    None => {}
                }
            }
        }));
    }
}

impl Handler<AddImage> for Firmware {
    type Result = ();

    fn handle(&mut self, add: AddImage, ctx: &mut Context<Self>) {
        self.add(add, ctx);
    }
}

impl Handler<RemoveImage> for Firmware {
    type Result = ();

    fn handle(&mut self, remove: RemoveImage, ctx: &mut Context<Self>) {
        self.remove(remove, ctx);
    }
}

impl Handler<ImageChangeSettled> for Firmware {
    type Result = ();

    fn handle(&mut self, settled: ImageChangeSettled, _: &mut Context<Self>) {
        let ImageChangeSettled { change, image, done, reply } = settled;
        self.coming.remove(&image.id);
        if done && change == RecordChange::Removed {
            self.images.remove(&image.id);
        } else if done {
            self.images.insert(image.id.clone(), image.clone());
        }
        send_reply(reply, if done { Ok(image) } else { Err(ImageRefusal::Lost) });
    }
}

impl Handler<FindImage> for Firmware {
    type Result = Option<Image>;

    fn handle(&mut self, FindImage(id): FindImage, _: &mut Context<Self>) -> Option<Image> {
        self.images.get(&id).cloned()
    }
}

impl Handler<ListImages> for Firmware {
    type Result = ImagePage;

    fn handle(&mut self, list: ListImages, _: &mut Context<Self>) -> ImagePage {
        let ListImages { model, version, offset, limit } = list;
        let is_wanted = |image: &&Image| {
            model.as_deref().is_none_or(|model| image.is_for(model))
                && version.as_deref().is_none_or(|version| Version::is_same(version, &image.version))
        };
        let found: Vec<&Image> = self.images.values().rev().filter(is_wanted).collect();
        let images = found.iter().skip(offset).take(limit).map(|image| (*image).clone()).collect();
        ImagePage { images, total: found.len() }
    }
}
