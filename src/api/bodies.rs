//! Each body is one struct: what is described of it is read, and nothing else is.

use serde::de::DeserializeOwned;
use serde_json::Value;
use twinhub_domain::Json;
use twinhub_domain::json::fields_of;

use super::{
    automation, bridges, commands, devices, firmware, groups, jobs, pairing, provisioning, templates, twin,
};
use crate::http::extract::read::read;

/// Names by which fields are read that are not described: words of earlier versions and of others.
const OTHER_NAMES: [&str; 11] = [
    "template",
    "group",
    "parent_id",
    "rate",
    "enabled_status",
    "is_enabled",
    "id",
    "start_date",
    "end_date",
    "devices",
    "rule",
];

fn check<T: DeserializeOwned>(document: &Value, name: &str) {
    let described = document["components"]["schemas"][name]["properties"].as_object();
    let described = described.unwrap_or_else(|| panic!("{name} is not described"));
    assert!(!described.is_empty(), "{name}");
    for field in described.keys() {
        assert!(fields_of::<T>().contains(&&**field), "{name}.{field} is described and not read");
    }
    for field in fields_of::<T>() {
        let is_known = described.contains_key(*field) || OTHER_NAMES.contains(field);
        assert!(is_known, "{name}.{field} is read and not described");
    }
    let unknown = r#"{"colour": "red"}"#.parse::<Json>().unwrap();
    let error = read::<T>(unknown).err().unwrap_or_else(|| panic!("{name} takes whatever comes"));
    assert_eq!((&*error.field, error.code), ("colour", "unknown_field"), "{name}");
}

#[test]
fn bodies_are_described_as_they_are_read() {
    let document = serde_json::to_value(super::openapi()).unwrap();
    check::<devices::request::NewDevice>(&document, "NewDevice");
    check::<devices::request::DeviceChange>(&document, "DeviceChange");
    check::<devices::request::Claim>(&document, "Claim");
    check::<devices::request::NewLifecycle>(&document, "NewLifecycle");
    check::<twin::request::TwinPatch>(&document, "TwinPatch");
    check::<twin::request::NewMode>(&document, "NewMode");
    check::<commands::request::NewCommand>(&document, "NewCommand");
    check::<commands::request::CommandAnswer>(&document, "CommandAnswer");
    check::<groups::request::NewGroup>(&document, "NewGroup");
    check::<groups::request::GroupChange>(&document, "GroupChange");
    check::<templates::request::NewTemplate>(&document, "NewTemplate");
    check::<templates::request::TemplateChange>(&document, "TemplateChange");
    check::<jobs::request::NewBulk>(&document, "NewBulk");
    check::<jobs::bulk::action::BulkAction>(&document, "BulkAction");
    check::<firmware::request::NewFirmware>(&document, "NewFirmware");
    check::<firmware::request::NewRollout>(&document, "NewRollout");
    check::<firmware::request::NewAbort>(&document, "NewAbort");
    check::<provisioning::request::NewProvisioningKey>(&document, "NewProvisioningKey");
    check::<provisioning::request::NewProvisioned>(&document, "NewProvisioned");
    check::<bridges::NewBridge>(&document, "NewBridge");
    check::<pairing::NewPairing>(&document, "NewPairing");
    check::<automation::webhook_keys::NewWebhookKey>(&document, "NewWebhookKey");
    check::<automation::request::RuleSwitch>(&document, "RuleSwitch");
    check::<automation::request::RunRequest>(&document, "RunRequest");
    check::<automation::request::NewBacktest>(&document, "NewBacktest");
}
