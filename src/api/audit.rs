//! The audit: who did what to people, secrets and devices.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_access::{Action, AuditRecord};
use twinhub_actors::messages::accounts::{AuditFilter, ListAudit};
use twinhub_domain::{Object as JsonObject, Timestamp};
use utoipa::ToSchema;

use crate::api::auth::asked;
use crate::api::schema::words;
use crate::http::Access;
use crate::http::extract::paging::{MOST, limit, link};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

routes! {
    Users: self::list_audit,
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

/// Entries of the audit, the newest first. `Link` with `rel="next"` leads to older ones.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "users",
    params(
        ("before" = Option<u64>, Query, description = "Only entries before this place"),
        ("who" = Option<String>, Query, description = "Only entries by this caller: `user:ann`"),
        ("action" = Option<String>, Query, description = "Only entries of this action: `user.signed_in`"),
        ("limit" = Option<u64>, Query, description = "100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "A page of entries", body = [AuditItem], headers(("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_audit(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let query = AuditFilter {
        before: params.value("before", "a place in the audit")?,
        who: params.text("who")?.map(Into::into),
        action: params.read("action", "an action such as user.signed_in", Action::parse)?,
        limit: limit(&mut params, USUAL, MOST)?,
    };
    params.finish()?;
    let most = query.limit;
    let entries = asked(&access, |reply| ListAudit { query, reply }).await??;
    let mut response = HttpResponse::Ok();
    if let Some(last) = entries.last().filter(|_| entries.len() as u64 == most) {
        let before = last.seq.to_string();
        let next = link("next", request.path(), &all, &["before"], &[("before", &before)]);
        response.insert_header((header::LINK, next));
    }
    let items: Vec<_> = entries.into_iter().map(AuditItem::of).collect();
    Ok(reply::json_with(response, &items))
}

impl AuditItem {
    fn of(AuditRecord { seq, entry }: AuditRecord) -> Self {
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
