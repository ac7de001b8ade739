//! The word at the start about dialects whose callers need no credential, to the log and to the audit.

use std::sync::Arc;

use tracing::warn;
use twinhub_access::{Action, AuditEntry};
use twinhub_actors::Hub;
use twinhub_actors::access::Caller;
use twinhub_domain::Json;
use twinhub_domain::cause::Source;

use crate::config::DialectAccess;

/// Tells of each dialect that was given access, and of a scope that is no group of this hub.
pub(super) fn tell(hub: &Arc<Hub>, given: &[DialectAccess]) {
    if given.is_empty() {
        return;
    }
    let tree = hub.of(Caller::Program, Source::Hub).tree();
    for access in given {
        let (dialect, name, role) = (access.dialect.number(), access.dialect.as_str(), access.role);
        let scope = access.group.as_ref().map_or("all devices", |group| group.as_str());
        warn!(dialect, name, %role, scope, "callers of a dialect need no credential");
        if let Some(group) = &access.group
            && tree.get(group.as_str()).is_none()
        {
            warn!(dialect, %group, "there is no such group, so these callers see no device until there is");
        }
    }
    let all = given.iter().map(|access| Json::from(&*access.to_string())).collect();
    let detail = [("dialect_access", Json::Array(all))].into_iter().collect();
    let entry = AuditEntry::new(hub.clock.now(), "", Action::HubConfigured);
    hub.append_audit(vec![entry.with_detail(detail)], None);
}

/// The same for a person who has just started the hub; empty where no dialect was given access.
pub(super) fn line(given: &[DialectAccess]) -> String {
    let each = given.iter().map(|access| {
        let scope = access.group.as_ref().map(|group| format!(" in the group {group}")).unwrap_or_default();
        format!("  {} ({}) as {}{scope}\n", access.dialect.number(), access.dialect.as_str(), access.role)
    });
    let all: String = each.collect();
    match all.is_empty() {
        true => all,
        false => format!("whoever reaches the page needs no credential for the routes of\n\n{all}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_which_routes_ask_for_nothing() {
        let given = ["002=viewer", "004=operator@hall"].map(|text| text.parse().unwrap());
        let told = line(&given);
        assert!(told.contains("  002 (cloud-backend) as viewer\n"), "{told}");
        assert!(told.contains("  004 (iot-controller) as operator in the group hall\n"), "{told}");
        assert_eq!(line(&[]), "");
    }
}
