//! `POST /api/devices/bulk`: one action on many devices, as a job.

pub(crate) mod action;
mod preview;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::Action;
use twinhub_actors::messages::jobs::MakeJob;
use twinhub_domain::fleet::{GroupTree, JobAction};
use twinhub_domain::{Json, Timestamp};

use crate::api::jobs;
use crate::api::jobs::request::{NewBulk, checked_description, checked_rate};
use crate::api::jobs::schema::{BulkPreview, JobItem};
use crate::api::jobs::selection::{DeviceSelection, SelectedDevices};
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;
use crate::http::warnings;

/// The action that is wanted, and its devices.
#[derive(Debug)]
struct BulkRequest {
    choice: DeviceSelection,
    action: JobAction,
    dry_run: bool,
    rate: Option<f64>,
    description: Box<str>,
    confirm_count: Option<u64>,
}

/// Does one thing to many devices: to those whose ids are given, or to all that fit. It is a job, which goes on by
/// itself; with `dry_run` it is only said whom it would be done to.
#[utoipa::path(
    post,
    path = "/api/devices/bulk",
    tag = "jobs",
    request_body = NewBulk,
    responses(
        (status = 202, description = "The job is stored, and runs. `unknown`: ids that are no device's; the job has \
            failed with them. A large one may be `preparing` still: should the hub go down before it runs, it is \
            `failed`, and nothing was done", body = JobItem, headers(("Location" = String, description = "Where the job is"))),
        (status = 200, description = "With `dry_run`: how many devices, and the first ten with what would change",
            body = BulkPreview),
        (status = 409, description = "As many devices match as were not confirmed: none is removed", body = Problem),
        (status = 422, description = "A field makes no sense, a removal is not confirmed, or nothing matched a filter \
            that names what no device has", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_bulk(
    request: HttpRequest,
    params: Params,
    Body(bulk): Body<NewBulk>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let wanted = bulk_request(bulk, &access.tree(), access.now())?;
    if let JobAction::Template(Some(id)) = &wanted.action
        && access.catalog().get(id).is_none()
    {
        return Err(FieldError::bad("action.template_id", format!("there is no template `{id}`")).into());
    }
    if let JobAction::Group(Some(id)) = &wanted.action
        && !access.tree().contains(id)
    {
        return Err(FieldError::bad("action.group_id", format!("there is no group `{id}`")).into());
    }
    let matched = wanted.choice.devices(&request, &access).await?;
    if wanted.dry_run {
        return preview::preview(&access, &wanted.action, matched).await;
    }
    refuse_slips(&matched)?;
    if wanted.action == JobAction::Delete {
        confirm(wanted.confirm_count, matched.devices.len() as u64)?;
    }
    access.check_store()?;
    let SelectedDevices { devices, unknown, warnings } = matched;
    let count = i64::try_from(devices.len()).unwrap_or(i64::MAX);
    let told = jobs::make(&access, |reply, prepared| MakeJob {
        action: wanted.action,
        description: wanted.description,
        rate: wanted.rate,
        devices,
        skipped: Vec::new(),
        unknown: unknown.clone(),
        author: None,
        cause: access.cause(),
        reply,
        prepared,
    })
    .await?;
    if told.job.action == JobAction::Delete {
        let target = format!("job:{}", told.job.id);
        access.audit_done(Action::DeviceRemoved, &target, [("devices", Json::from(count))]).await;
    }
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, format!("/api/jobs/{}", told.job.id)));
    let mut shown = told.document();
    if !unknown.is_empty() {
        let unknown = unknown.iter().map(|id| Json::from(id.as_str())).collect();
        shown.insert("unknown", Json::Array(unknown));
    }
    warnings::add(&mut shown, &warnings);
    Ok(Document::of(&shown).send(response))
}

fn bulk_request(bulk: NewBulk, tree: &GroupTree, now: Timestamp) -> Result<BulkRequest, FieldError> {
    let action = bulk.action.action().map_err(|error| error.within("action"))?;
    Ok(BulkRequest {
        choice: DeviceSelection::of(bulk.ids, bulk.filter.as_deref(), bulk.r#where, tree, now)?,
        action,
        dry_run: bulk.dry_run.unwrap_or_default(),
        rate: checked_rate(bulk.rate)?,
        description: checked_description(bulk.description)?,
        confirm_count: bulk.confirm_count,
    })
}

/// Refuses what found nobody by a filter that names what no device has: nobody means that.
pub(crate) fn refuse_slips(chosen: &SelectedDevices) -> Result<(), FieldError> {
    match chosen.warnings.first() {
        Some(warning) if chosen.devices.is_empty() => Err(FieldError {
            field: warning.field.into(),
            detail: format!("no device matched: {}", warning.detail),
            code: "bad_filter",
        }),
        _ => Ok(()),
    }
}

/// Checks the confirmed number, so that no more, and no fewer, are removed than meant.
fn confirm(confirmed: Option<u64>, matched: u64) -> Result<(), ApiError> {
    match confirmed {
        Some(count) if count == matched => Ok(()),
        Some(count) => Err(ApiError::NotConfirmed { confirmed: count, matched }),
        None => {
            let detail =
                format!("must be given: {matched}, as many devices would be removed, with all they have");
            Err(FieldError { field: "confirm_count".into(), detail, code: "missing_field" }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BulkRequest, FieldError> {
        let bulk = crate::http::extract::read::read(text.parse::<Json>().unwrap())?;
        bulk_request(bulk, &GroupTree::default(), Timestamp::from_millis(0))
    }

    #[test]
    fn reads_what_is_wanted() {
        let body = r#"{"ids": ["a"], "action": {"desired": {"n": 1.50}}, "rate": 2.5, "description": "d"}"#;
        let wanted = read(body).unwrap();
        assert_eq!((wanted.rate, &*wanted.description, wanted.dry_run), (Some(2.5), "d", false));
        let wanted = read(r#"{"where": {}, "action": {"delete": true}, "confirm_count": 3}"#).unwrap();
        assert_eq!((wanted.action, wanted.confirm_count), (JobAction::Delete, Some(3)));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |more: &str, field: &str| {
            let text = format!(r#"{{"ids": ["a"], {more}}}"#);
            assert_eq!(read(&text).unwrap_err().field, field, "{more}");
        };
        check(r#""action": {"delete": true}, "colour": 1"#, "colour");
        check(r#""rate": 1"#, "action");
        check(r#""action": {}"#, "action");
        check(r#""action": {"delete": true, "group": "a"}"#, "action");
        for rate in ["0", "-1", "1e99", r#""10/s""#, "true"] {
            check(&format!(r#""action": {{"delete": true}}, "rate": {rate}"#), "rate");
        }
        check(r#""action": {"delete": true}, "dry_run": "yes""#, "dry_run");
        check(r#""action": {"delete": true}, "confirm_count": -1"#, "confirm_count");
        check(r#""action": {"command": {"command_type": "x", "ttl": "soon"}}"#, "action.command.ttl");
        check(r#""action": {"delete": true}, "where": {}"#, "ids");
    }

    #[test]
    fn a_removal_is_confirmed_by_its_count() {
        assert!(confirm(Some(3), 3).is_ok());
        assert_eq!(confirm(Some(2), 3).unwrap_err().code(), "count_differs");
        let missing = confirm(None, 3).unwrap_err();
        assert!(missing.to_string().contains("3, as many devices would be removed"), "{missing}");
    }
}
