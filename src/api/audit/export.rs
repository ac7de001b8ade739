//! `GET /api/audit/export`: the audit as a file.

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, stream};
use twinhub_access::{Action, AuditRecord};
use twinhub_actors::messages::accounts::AuditFilter;
use twinhub_domain::{Json, Object};

use super::audit_filter;
use crate::api::files::export::{broken_off, exported_as, file};
use crate::api::files::schema::AuditExporting;
use crate::http::Access;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::turns::TurnKind;
use crate::import_export::columns::AUDIT;
use crate::import_export::{Format, RowWriter, SectionKeys};
use crate::live::audit_tail::entries;

/// Entries that are read at once.
const PAGE: u64 = 1_000;

/// The audit as a file, the oldest entries first: all, or those that match.
#[utoipa::path(
    get,
    path = "/api/audit/export",
    tag = "users",
    params(AuditExporting),
    responses(
        (status = 200, description = "An entry a line", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn export_audit(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let format = params.read("format", "jsonl or csv", Format::parse)?.unwrap_or(Format::Jsonl);
    if params.has("limit") || params.has("before") {
        return Err(bad("limit", "an export is whole: `from`, `to` and `since` say of which time").into());
    }
    let filter = audit_filter(&mut params)?;
    params.finish()?;
    let turn = access.state.turns.take(TurnKind::Export, &access, &request)?;
    exported_as(&access, Action::AuditExported, &AUDIT, format).await;
    let mut filter = AuditFilter {
        since: Some(filter.since.unwrap_or_default()),
        oldest_first: true,
        limit: PAGE,
        ..filter
    };
    let writer = RowWriter::new(&AUDIT, format, false, &SectionKeys::default());
    let header = Bytes::from(writer.header());
    // A store that does not answer is told while that can still be told.
    let first = next(&access, &mut filter).await?;
    let rest = stream::try_unfold((first, writer, filter, turn), move |(page, writer, mut filter, turn)| {
        let access = access.clone();
        async move {
            if page.is_empty() {
                return Ok(None);
            }
            let mut text = Vec::with_capacity(page.len() * 256);
            for record in page {
                text.extend(writer.row(&row(record)).map_err(|error| broken_off(&error))?);
            }
            let ahead = next(&access, &mut filter).await.map_err(|error| broken_off(&error))?;
            Ok(Some((Bytes::from(text), (ahead, writer, filter, turn))))
        }
    });
    let body = stream::iter((!header.is_empty()).then_some(Ok::<_, ApiError>(header))).chain(rest);
    Ok(file(&AUDIT, format).streaming(body))
}

/// The next page, and the place behind it.
async fn next(access: &Access, filter: &mut AuditFilter) -> Result<Vec<AuditRecord>, ApiError> {
    let page = entries(&access.grant(), filter.clone()).await?;
    if let Some(last) = page.last() {
        filter.since = Some(last.seq);
    }
    Ok(page)
}

fn row(AuditRecord { seq, entry }: AuditRecord) -> Object {
    let mut row: Object = [
        ("seq", Json::from(i64::try_from(seq).unwrap_or(i64::MAX))),
        ("at", Json::from(entry.at.to_string())),
        ("who", Json::from(&*entry.who)),
        ("action", Json::from(entry.action.as_str())),
        ("target", Json::from(&*entry.target)),
        ("outcome", Json::from(entry.outcome.as_str())),
        ("detail", Json::Object(entry.detail)),
    ]
    .into_iter()
    .collect();
    if let Some(address) = entry.address {
        row.insert("address", Json::from(address.to_string()));
    }
    row
}
