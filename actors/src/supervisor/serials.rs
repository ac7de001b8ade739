//! Devices that say their serial number and not their id: an id is made of it, and nobody need have heard of
//! that one, because the device was registered under another.

use std::collections::HashMap;

use twinhub_domain::{DeviceId, Twin};
use twinhub_store::{Store, StoreError};

use super::TwinRequest;

/// The owners of the serial numbers that were looked up, by the ids that were made of them; none: nobody's.
pub(super) type Owners = HashMap<DeviceId, Option<DeviceId>>;

/// The messages that wait for an id that the store does not know, by where they belong.
pub(super) struct Sorted {
    /// For a device of another id.
    pub elsewhere: Option<(DeviceId, Vec<TwinRequest>)>,
    /// For this id.
    pub here: Vec<TwinRequest>,
}

/// The serial number that one of these messages goes by; none where all name the device by its id.
pub(super) fn of(waiting: &[TwinRequest]) -> Option<Box<str>> {
    waiting.iter().find_map(serial)
}

/// Looks up those of `serials` whose id is not among the `loaded` ones. A query each, and only for devices
/// that are not in memory.
pub(super) async fn owners(
    store: &dyn Store,
    loaded: &[Twin],
    serials: Vec<(DeviceId, Box<str>)>,
) -> Result<Owners, StoreError> {
    let mut owners = Owners::new();
    for (made, serial) in serials {
        if loaded.iter().all(|twin| twin.id != made) {
            let owner = store.find_serial(&serial).await?.map(|twin| twin.id);
            let owner = owner.filter(|owner| *owner != made);
            owners.insert(made, owner);
        }
    }
    Ok(owners)
}

/// Sorts what waits for `made`.
///
/// # Errors
/// Gives the messages back where one goes by a serial number that was not looked up: it came too late.
pub(super) fn sort(
    made: &DeviceId,
    waiting: Vec<TwinRequest>,
    owners: &mut Owners,
) -> Result<Sorted, Vec<TwinRequest>> {
    match owners.remove(made) {
        Some(Some(owner)) => {
            let (elsewhere, here) = waiting.into_iter().partition(|message| serial(message).is_some());
            Ok(Sorted { elsewhere: Some((owner, elsewhere)), here })
        }
        Some(None) => Ok(Sorted { elsewhere: None, here: waiting }),
        None if of(&waiting).is_some() => Err(waiting),
        None => Ok(Sorted { elsewhere: None, here: waiting }),
    }
}

fn serial(message: &TwinRequest) -> Option<Box<str>> {
    match message {
        TwinRequest::Deliver(deliver) => deliver.input.serial().map(Into::into),
        TwinRequest::ReadTwin(_) => None,
    }
}
