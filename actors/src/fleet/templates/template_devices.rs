//! The devices that have a template. The search looks at each under its lock: one that took the template a moment ago
//! is among them, and one that is about to take it finds it as it is now.

use super::FleetDeps;
use crate::HubError;
use crate::messages::search::FindAllDevices;
use crate::messages::templates::TemplateRefusal;
use twinhub_domain::{DeviceId, DeviceNumber, Twin};
use twinhub_store::DeviceQuery;

/// Twins read at once.
const PAGE: usize = 1_000;

/// The devices that have it, by their numbers, as is durable by now.
pub(super) async fn of(deps: &FleetDeps, id: &str) -> Result<Vec<(DeviceId, DeviceNumber)>, TemplateRefusal> {
    let query = DeviceQuery { template: Some(id.to_owned()), ..DeviceQuery::default() };
    let found = deps.search.send(FindAllDevices { query, filter: None }).await;
    let found = found.map_err(|_| TemplateRefusal::Lost)?.map_err(|error| match error {
        HubError::Store(error) => TemplateRefusal::Store(error),
        HubError::Unavailable(why) => TemplateRefusal::Unavailable(why),
        // A search refuses nothing.
        HubError::Refused(_)
        | HubError::Forbidden(_)
        | HubError::Scoped
        | HubError::OutOfScope(_)
        | HubError::QuotaReached { .. }
        | HubError::ShuttingDown => TemplateRefusal::Lost,
    })?;
    Ok(found.devices)
}

/// Shows each of them to `look`, in the order of their numbers.
pub(super) async fn each(
    deps: &FleetDeps,
    id: &str,
    mut look: impl FnMut(Twin),
) -> Result<(), TemplateRefusal> {
    for some in of(deps, id).await?.chunks(PAGE) {
        let numbers: Vec<DeviceNumber> = some.iter().map(|(_, number)| *number).collect();
        let mut twins = deps.store.twins(&numbers).await?;
        twins.retain(|twin| twin.template_id() == Some(id)); // one may have lost it meanwhile
        twins.sort_unstable_by_key(|twin| twin.number);
        twins.into_iter().for_each(&mut look);
    }
    Ok(())
}
