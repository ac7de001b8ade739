//! The jobs that a caller sees: those whose devices are all within their reach, and that have some there or are their
//! own. Devices that were removed count neither way.

use std::collections::HashSet;
use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};

use super::Jobs;
use crate::backoff::until_answered;
use crate::messages::jobs::JobViewer;
use twinhub_domain::fleet::JobId;

impl Jobs {
    /// Goes on with those of `jobs` that the caller sees: at once where they reach all devices.
    pub(super) fn when_seen(
        &mut self,
        jobs: Vec<JobId>,
        viewer: JobViewer,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, HashSet<JobId>, &mut Context<Self>) + 'static,
    ) {
        let JobViewer { reach, name } = viewer;
        if reach.is_everywhere() {
            return then(self, jobs.into_iter().collect(), ctx);
        }
        let store = Arc::clone(&self.deps.store);
        let places = async move {
            until_answered("the places of jobs' devices", || store.job_places(&jobs, &reach)).await
        };
        ctx.spawn(places.into_actor(self).map(move |places, this, ctx| {
            let is_own = |id: &JobId| this.table.jobs.get(id).is_some_and(|job| job.by == name);
            let seen =
                places.iter().filter(|(id, place)| !place.has_beyond && (place.has_within || is_own(id)));
            let seen = seen.map(|(id, _)| *id).collect();
            then(this, seen, ctx);
        }));
    }
}
