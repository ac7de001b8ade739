//! Files that are exported and imported: `/api/devices/export`, `/api/devices/import`, and the same of groups and
//! templates.

pub(in crate::api) mod export;
pub(crate) mod import;
pub mod schema;

use self::export::records;
use crate::http::routes::routes;

routes! {
    Export(stream): export::export_devices,
    Manage: import::import_devices,
    Export(stream): records::export_groups,
    Administer: import::import_groups,
    Export(stream): records::export_templates,
    Automate: import::import_templates,
}
