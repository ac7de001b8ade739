//! Roll-outs of firmware: a job whose devices have their turns stage by stage, as long as it goes well.
//!
//! A device that is away has its task all the same, and gets it when it returns; its row says `queued` till then. So a
//! roll-out that is called off has to call those tasks back, before what is queued is called canceled, and so has one
//! that is paused.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use crate::backoff::until_answered;
use crate::fleet::{FleetDeps, deliver};
use crate::messages::supervisor::IfUnknown;
use twinhub_domain::fleet::{JobId, StepState};
use twinhub_domain::{Cause, Input};
use twinhub_store::{JobDevice, JobDeviceQuery};

/// Tasks that are called back at once.
const AT_ONCE: usize = 64;
/// Devices read from the store with one query.
const PAGE: u64 = 1_000;

/// Calls back what devices up to this place have not begun with.
pub(super) async fn withdraw(deps: Arc<FleetDeps>, job: JobId, reach: u64, input: Input) {
    let (deps, input, cause) = (&*deps, &input, &Cause::of_job(job));
    let mut from = 0;
    loop {
        let states = [StepState::Queued, StepState::Notified];
        let query = JobDeviceQuery::stretch(job, &states, (from, reach), PAGE);
        let page =
            until_answered("the devices that a roll-out calls back", || deps.store.job_devices(&query)).await;
        let Some(last) = page.devices.last() else { return };
        from = last.place + 1;
        let call_back = |JobDevice { device, number, .. }| async move {
            // One that refuses is gone, and its task with it.
            let _ = deliver(deps, &device, input, cause, IfUnknown::RefuseUnless(number)).await;
        };
        stream::iter(page.devices).for_each_concurrent(AT_ONCE, call_back).await;
    }
}
