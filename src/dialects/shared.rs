//! Routes of the hub itself that clients of other systems ask for, too: a dialect's access holds on them.

use crate::config::DialectName::{self, FlaskDashboard, IotController};
use crate::http::routes::{Method, Operation};

/// Routes with the dialects whose clients ask for them: those that a system's description names, and no others.
const SHARED: [(Method, &str, &[DialectName]); 17] = {
    use Method::{Delete, Get, Post, Put};
    [
        (Get, "/api/devices", &[FlaskDashboard, IotController]),
        (Post, "/api/devices", &[FlaskDashboard, IotController]),
        (Get, "/api/devices/{id}", &[IotController]),
        (Put, "/api/devices/{id}", &[IotController]),
        (Delete, "/api/devices/{id}", &[IotController]),
        (Post, "/api/devices/{id}/commands", &[IotController]),
        (Get, "/api/devices/{id}/status", &[IotController]),
        (Get, "/api/devices/{id}/data", &[IotController]),
        (Post, "/api/devices/{id}/data", &[IotController]),
        (Get, "/api/commands", &[IotController]),
        (Get, "/api/automation/rules", &[IotController]),
        (Post, "/api/automation/rules", &[IotController]),
        (Put, "/api/automation/rules/{id}", &[IotController]),
        (Delete, "/api/automation/rules/{id}", &[IotController]),
        (Get, "/api/groups", &[IotController]),
        (Post, "/api/groups", &[IotController]),
        (Get, "/api/auth/user", &[IotController]),
    ]
};

/// The same route, as one of the dialects whose clients ask for it.
pub(crate) fn share(operation: Operation) -> Operation {
    let is_it =
        |(method, path, _): &&(Method, &str, _)| *method == operation.method && *path == operation.path;
    match SHARED.iter().find(is_it) {
        Some((_, _, dialects)) => operation.of(dialects),
        None => operation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shared_route_is_there() {
        let all = crate::http::all_operations();
        for (method, path, dialects) in SHARED {
            let found = all.iter().find(|operation| operation.method == method && operation.path == path);
            let found = found.unwrap_or_else(|| panic!("{method:?} {path}"));
            assert!(dialects.iter().all(|dialect| found.dialects.contains(dialect)), "{path}");
        }
        let shared = all.iter().filter(|operation| operation.dialects.contains(&IotController)).count();
        assert!(shared >= SHARED.len());
    }
}
