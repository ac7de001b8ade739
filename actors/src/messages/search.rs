//! Messages to the search.

use actix::Message;

use crate::HubError;
use twinhub_domain::{DeviceId, DeviceNumber};
use twinhub_rules::{SortField, TwinFilter};
use twinhub_store::{DevicePage, DeviceQuery};

/// A page of the twins that `query` asks for and that `filter` is true of, each and all as of the last commit.
#[derive(Clone, Debug, Default, Message)]
#[rtype(result = "Result<FoundDevices, HubError>")]
pub struct FindDevices {
    pub query: DeviceQuery,
    pub filter: Option<TwinFilter>,
    /// The order, in place of the query's own; in its direction. What is missing comes last in both.
    pub sort: Option<SortField>,
}

/// All such twins, by number; the query's order and page are ignored.
#[derive(Clone, Debug, Default, Message)]
#[rtype(result = "Result<AllFoundDevices, HubError>")]
pub struct FindAllDevices {
    pub query: DeviceQuery,
    pub filter: Option<TwinFilter>,
}

/// All such twins, in the order of the query; its page is ignored.
#[derive(Clone, Debug, Default, Message)]
#[rtype(result = "Result<AllFoundDevices, HubError>")]
pub struct OrderDevices(pub FindDevices);

/// A page, with warnings for its asker.
#[derive(Clone, Debug, Default)]
pub struct FoundDevices {
    pub page: DevicePage,
    pub warnings: Vec<SearchWarning>,
}

/// All twins found, with warnings for their asker.
#[derive(Clone, Debug, Default)]
pub struct AllFoundDevices {
    pub devices: Vec<(DeviceId, DeviceNumber)>,
    pub warnings: Vec<SearchWarning>,
}

/// A question that is allowed, and probably not meant so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchWarning {
    /// `unknown_name`: no device has this name. `quotes_missing`: nor this one, which is where a text may be.
    pub code: &'static str,
    /// `filter` or `sort`.
    pub field: &'static str,
    /// A sentence without its full stop.
    pub detail: String,
}

impl FindAllDevices {
    /// Does it ask for nothing, so that all are meant?
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.filter.is_none() && self.query.is_all()
    }
}
