//! The audit: who did what to people, secrets and devices.

mod export;
mod follow;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_access::{Action, AuditRecord};
use twinhub_actors::messages::accounts::AuditFilter;
use twinhub_domain::{Object as JsonObject, ReadingTime, Timestamp};
use utoipa::ToSchema;

use crate::api::events::wants_stream;
use crate::api::schema::words;
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::{MOST, limit, link};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;
use crate::live::audit_tail::entries;

routes! {
    Users: self::list_audit,
    Users: export::export_audit,
}

/// Entries of a page when nothing is said.
const USUAL: u64 = 100;

/// An entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditItem {
    seq: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The caller: `user:ann`, `key:ci`; empty for one without a name.
    #[schema(example = "user:ann")]
    who: Box<str>,
    /// Null for the hub itself, and for the command line.
    address: Option<String>,
    #[schema(value_type = words::AuditAction)]
    action: &'static str,
    /// The user, key, device or rule that it was done to: `user:bob`.
    #[schema(example = "user:bob")]
    target: Box<str>,
    #[schema(value_type = words::AuditOutcome)]
    outcome: &'static str,
    #[schema(value_type = Object)]
    detail: JsonObject,
}

/// Entries of the audit, the newest first, or from `since` on. `Link` with `rel="next"` goes on from there.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "users",
    params(
        ("before" = Option<u64>, Query, description = "Only entries before this place"),
        ("who" = Option<String>, Query, description = "Only entries by this caller: `user:ann`"),
        ("action" = Option<String>, Query, description = "Only entries of this action: `user.signed_in`"),
        ("target" = Option<String>, Query, description = "Only entries about this user, key, device or other thing: `group:hall-2`"),
        ("from" = Option<String>, Query, description = "Only entries from this moment on: a time, or a date"),
        ("to" = Option<String>, Query, description = "Only entries from before this moment"),
        ("since" = Option<u64>, Query, description = "Only entries after this place; then the oldest come first"),
        ("limit" = Option<u64>, Query, description = "100 by default, 1,000 at most"),
        ("Last-Event-ID" = Option<u64>, Header, description = "A stream goes on after this entry"),
    ),
    responses(
        (status = 200, description = "A page of entries; for who accepts `text/event-stream` all entries from there on \
            and as they come, as events `audit`", content(
            ([AuditItem] = "application/json"),
            (String = "text/event-stream"),
        ), headers(("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_audit(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let query = audit_filter(&mut params)?;
    params.finish()?;
    if wants_stream(&request) {
        return follow::open(&request, access, query).await;
    }
    let (most, place) = (query.limit, if query.oldest_first { "since" } else { "before" });
    let entries = entries(&access.grant(), query).await?;
    let mut response = HttpResponse::Ok();
    if let Some(last) = entries.last().filter(|_| entries.len() as u64 == most) {
        let next = link("next", request.path(), &all, &[place], &[(place, &last.seq.to_string())]);
        response.insert_header((header::LINK, next));
    }
    let items: Vec<_> = entries.into_iter().map(AuditItem::of).collect();
    Ok(reply::json_with(response, &items))
}

/// The filter of a list, without the check for further parameters.
fn audit_filter(params: &mut Params) -> Result<AuditFilter, FieldError> {
    let since = params.value("since", "a place in the audit")?;
    Ok(AuditFilter {
        before: params.value("before", "a place in the audit")?,
        who: params.text("who")?.map(Into::into),
        action: params.read("action", "an action such as user.signed_in", Action::parse)?,
        target: params.text("target")?.map(Into::into),
        from: params.start_time("from")?.map(ReadingTime::ceil),
        to: params.end_time("to")?.map(ReadingTime::ceil),
        since,
        oldest_first: since.is_some(),
        limit: limit(params, USUAL, MOST)?,
    })
}

impl AuditItem {
    /// The entry as it is shown.
    pub(crate) fn of(AuditRecord { seq, entry }: AuditRecord) -> Self {
        Self {
            seq,
            at: entry.at,
            who: entry.who,
            address: entry.address.map(|address| address.to_string()),
            action: entry.action.as_str(),
            target: entry.target,
            outcome: entry.outcome.as_str(),
            detail: entry.detail,
        }
    }
}
