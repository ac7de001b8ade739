//! Refusals of the hub's actors, each with its status code and its stable word.

use actix_web::http::StatusCode;
use twinhub_actors::HubError;
use twinhub_actors::messages::automation::RuleRefusal;
use twinhub_actors::messages::firmware::ImageRefusal;
use twinhub_actors::messages::groups::GroupRefusal;
use twinhub_actors::messages::templates::TemplateRefusal;
use twinhub_domain::Refusal;
use twinhub_domain::fleet::TreeRefusal;
use twinhub_rules::device_template::BadDeviceTemplate;
use twinhub_store::StoreError;

pub(crate) fn of_hub(error: &HubError) -> (StatusCode, &'static str) {
    match error {
        HubError::Refused(refusal) => of_refusal(refusal),
        HubError::Store(error) => of_store(error),
        HubError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        HubError::Scoped | HubError::OutOfScope(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
        HubError::QuotaReached { .. } => (StatusCode::CONFLICT, "quota_reached"),
        HubError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "going_down"),
        HubError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}

pub(crate) fn of_refusal(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::Version { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
        Refusal::Registered(_) => (StatusCode::CONFLICT, "device_exists"),
        Refusal::Claimed(_) => (StatusCode::CONFLICT, "device_claimed"),
        Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "device_not_found"),
        Refusal::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_field"),
        Refusal::TooLarge { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "document_too_large"),
        Refusal::NoZone(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_timestamp"),
        Refusal::NotAccepted(_) => (StatusCode::FORBIDDEN, "device_not_accepted"),
        Refusal::NoCommand(_) => (StatusCode::NOT_FOUND, "command_not_found"),
        Refusal::CommandFinal { .. } => (StatusCode::CONFLICT, "command_final"),
        Refusal::KeyTaken { .. } => (StatusCode::CONFLICT, "idempotency_key_taken"),
        Refusal::QueueFull(_) => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
        Refusal::ManualMode => (StatusCode::CONFLICT, "manual_mode"),
        Refusal::Suspended => (StatusCode::CONFLICT, "suspended"),
        Refusal::Retired => (StatusCode::CONFLICT, "retired"),
        Refusal::ClaimCode => (StatusCode::FORBIDDEN, "wrong_claim_code"),
        Refusal::UpdateUnderWay(_) => (StatusCode::CONFLICT, "update_under_way"),
    }
}

pub(crate) fn of_rule_refusal(refusal: &RuleRefusal) -> (StatusCode, &'static str) {
    match refusal {
        RuleRefusal::Unknown(_) => (StatusCode::NOT_FOUND, "rule_not_found"),
        RuleRefusal::Taken(_) => (StatusCode::CONFLICT, "rule_exists"),
        RuleRefusal::InFile { .. } => (StatusCode::CONFLICT, "rule_in_file"),
        RuleRefusal::OfTemplate { .. } => (StatusCode::CONFLICT, "rule_of_template"),
        RuleRefusal::Version { .. } | RuleRefusal::Changing(_) => {
            (StatusCode::PRECONDITION_FAILED, "version_mismatch")
        }
        RuleRefusal::Problems(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_rule"),
        RuleRefusal::Beyond(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
        RuleRefusal::Signature(_) => (StatusCode::UNAUTHORIZED, "bad_signature"),
        RuleRefusal::NoWebhook(_) => (StatusCode::NOT_FOUND, "webhook_not_found"),
        RuleRefusal::Store(error) => of_store(error),
        RuleRefusal::Lost => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}

pub(crate) fn of_template_refusal(refusal: &TemplateRefusal) -> (StatusCode, &'static str) {
    match refusal {
        TemplateRefusal::Unknown(_) => (StatusCode::NOT_FOUND, "template_not_found"),
        TemplateRefusal::Taken(_) => (StatusCode::CONFLICT, "template_exists"),
        TemplateRefusal::Version { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
        TemplateRefusal::Bad(BadDeviceTemplate::Field { .. }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "bad_field")
        }
        TemplateRefusal::Bad(BadDeviceTemplate::Rules(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_rule"),
        TemplateRefusal::Beyond(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
        TemplateRefusal::InUse { .. } => (StatusCode::CONFLICT, "template_in_use"),
        TemplateRefusal::Store(error) => of_store(error),
        TemplateRefusal::Unavailable(_) | TemplateRefusal::Lost => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    }
}

pub(crate) fn of_group_refusal(refusal: &GroupRefusal) -> (StatusCode, &'static str) {
    match refusal {
        GroupRefusal::Unknown(_) | GroupRefusal::Misplaced(TreeRefusal::Unknown(_)) => {
            (StatusCode::NOT_FOUND, "group_not_found")
        }
        GroupRefusal::Misplaced(TreeRefusal::Taken(_)) => (StatusCode::CONFLICT, "group_exists"),
        GroupRefusal::Misplaced(TreeRefusal::NoName) => (StatusCode::UNPROCESSABLE_ENTITY, "missing_field"),
        GroupRefusal::Misplaced(TreeRefusal::NoParent(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_field"),
        GroupRefusal::Misplaced(TreeRefusal::Circle(_)) => (StatusCode::CONFLICT, "group_circle"),
        GroupRefusal::Version { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
        GroupRefusal::NotEmpty { .. } => (StatusCode::CONFLICT, "group_not_empty"),
        GroupRefusal::Beyond(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
        GroupRefusal::TooMany(_) => (StatusCode::CONFLICT, "quota_reached"),
        GroupRefusal::Leaving(_) => (StatusCode::CONFLICT, "group_leaving"),
        GroupRefusal::Stuck { .. } => (StatusCode::CONFLICT, "group_stuck"),
    }
}

pub(crate) fn of_image_refusal(refusal: &ImageRefusal) -> (StatusCode, &'static str) {
    match refusal {
        ImageRefusal::Unknown(_) => (StatusCode::NOT_FOUND, "firmware_not_found"),
        ImageRefusal::Taken { .. } => (StatusCode::CONFLICT, "firmware_exists"),
        ImageRefusal::Version { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
        ImageRefusal::InUse { .. } => (StatusCode::CONFLICT, "firmware_in_use"),
        ImageRefusal::Lost => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}

pub(crate) fn of_store(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Failed { .. } | StoreError::Unknown { .. } | StoreError::Conflict { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
        }
        StoreError::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "store_damaged"),
    }
}
