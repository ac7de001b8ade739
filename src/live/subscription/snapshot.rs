//! Twins in their present state, page by page, for subscriptions that begin with a snapshot.

use std::collections::HashSet;

use tracing::warn;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::{ListDevices, LoadTwins};
use twinhub_domain::{DeviceId, DeviceNumber, Twin};
use twinhub_store::{DeviceQuery, StoreError};

use super::filter::EventFilter;

/// Twins read, and sent, at once.
const PAGE: usize = 200;

/// The progress of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    offset: u64,
    /// The last twin sent. Devices that are removed meanwhile shift the pages: no twin is sent twice.
    last: Option<DeviceNumber>,
    total: u64,
}

/// A page of it.
pub(super) struct SnapshotPage {
    pub twins: Vec<Twin>,
    pub last: bool,
}

impl Snapshot {
    /// The next page; none when the store failed, and is to be asked again.
    pub(super) async fn page(
        &mut self,
        hub: &Grant,
        filter: &EventFilter,
    ) -> Result<Option<SnapshotPage>, HubError> {
        let page = match filter.named() {
            Some(ids) => self.named(hub, ids, filter).await?,
            None => self.listed(hub, filter).await?,
        };
        Ok(page.inspect_err(|error| warn!(%error, "reading a snapshot failed, trying again")).ok())
    }

    async fn named(
        &mut self,
        hub: &Grant,
        ids: &HashSet<DeviceId>,
        filter: &EventFilter,
    ) -> Result<Result<SnapshotPage, StoreError>, HubError> {
        let ids = ids.iter().cloned().collect(); // bounded by the filter
        Ok(hub.ask(LoadTwins(ids)).await?.map(|mut twins| {
            twins.retain(|twin| filter.takes_twin(twin));
            SnapshotPage { twins, last: true }
        }))
    }

    async fn listed(
        &mut self,
        hub: &Grant,
        filter: &EventFilter,
    ) -> Result<Result<SnapshotPage, StoreError>, HubError> {
        let query = DeviceQuery {
            groups: filter.groups(),
            offset: self.offset,
            limit: PAGE as u64,
            ..DeviceQuery::default()
        };
        let page = match hub.ask(ListDevices(query)).await? {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let gone = self.total.saturating_sub(page.total);
        self.total = page.total;
        if gone > 0 && self.offset > 0 {
            // Some went: step back by as many, twins that were sent already are passed over below.
            self.offset = self.offset.saturating_sub(gone);
            return Ok(Ok(SnapshotPage { twins: Vec::new(), last: false }));
        }
        let last = (page.twins.len() as u64) < PAGE as u64;
        self.offset += page.twins.len() as u64;
        let sent = self.last;
        self.last = page.twins.iter().map(|twin| twin.number).max().max(sent);
        let mut twins = page.twins;
        twins.retain(|twin| Some(twin.number) > sent && filter.takes_twin(twin));
        Ok(Ok(SnapshotPage { twins, last }))
    }
}
