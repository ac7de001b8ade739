//! Operations: how the hub is, and why a device is not heard.

mod certificate;
mod diagnostics;
mod disk_part;
mod health;
pub(crate) mod metrics;
pub mod schema;
mod tls_part;

use crate::http::routes::routes;

routes! {
    Public: certificate::get_authority,
    Administer: diagnostics::list_rejected,
    Administer: diagnostics::list_unread,
    Public: health::get_health,
    Public: health::get_ready,
    Monitor: metrics::get_metrics,
}
