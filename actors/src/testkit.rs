//! For tests.

use crate::hub::Hub;

/// Closes a hub in an orderly way. True when every message that it took in became durable.
///
/// # Panics
/// As [`twinhub_testkit::within`].
pub async fn close(hub: &Hub) -> bool {
    twinhub_testkit::within("the hub closes", hub.close()).await
}
