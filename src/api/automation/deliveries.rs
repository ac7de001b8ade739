//! The webhooks of rules, and their status.

use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::messages::archive::ListDeliveries;
use twinhub_domain::run::RunId;
use twinhub_domain::{Json, Object};
use twinhub_rules::redaction::without_password;
use twinhub_store::{DeliveryQuery, DeliveryRecord, DeliveryStatus};

use crate::api::alarms::schema::{DeliveryItem, DeliveryListing};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::array;

pub(in crate::api) const STATUSES: [DeliveryStatus; 3] =
    [DeliveryStatus::Waiting, DeliveryStatus::Delivered, DeliveryStatus::Failed];

/// Webhooks that rules sent, the newest first: those that wait, and what became of the others.
#[utoipa::path(
    get,
    path = "/api/automation/webhooks/deliveries",
    tag = "automation",
    params(DeliveryListing),
    responses(
        (status = 200, description = "A page of deliveries", body = [DeliveryItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_deliveries(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let query = DeliveryQuery { offset: paging.offset(), limit: paging.limit, ..query(params)? };
    let page = access.ask(ListDeliveries(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total);
    Ok(array(response, &page.deliveries, |record, out| item(record).write(out)))
}

fn query(mut params: Params) -> Result<DeliveryQuery, FieldError> {
    let query = DeliveryQuery {
        status: params.read("status", "waiting, delivered or failed", status)?,
        run: params.read("run_id", "a run's id", RunId::parse)?,
        ..DeliveryQuery::default()
    };
    params.finish()?;
    Ok(query)
}

fn status(word: &str) -> Option<DeliveryStatus> {
    STATUSES.into_iter().find(|status| self::word(*status) == word)
}

pub(in crate::api) fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Waiting => "waiting",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
    }
}

/// A delivery as lists show it: without its headers, which are mostly keys.
pub(crate) fn item(record: &DeliveryRecord) -> Object {
    let DeliveryRecord { id, rule, run, delivery, status, attempts, next_at, detail, created_at, ended_at } =
        record;
    let waits = *status == DeliveryStatus::Waiting;
    let members: [(&str, Json); 14] = [
        ("id", id.to_string().into()),
        ("rule_id", rule.as_str().into()),
        ("run_id", run.to_string().into()),
        ("url", Json::from(&*without_password(&delivery.url))),
        ("method", Json::String(delivery.method.clone())),
        ("body", delivery.body.clone()),
        ("signed", delivery.signed_by.is_some().into()),
        ("status", word(*status).into()),
        ("attempts", i64::from(*attempts).into()),
        ("max_attempts", i64::from(delivery.max_attempts).into()),
        ("next_at", if waits { next_at.to_string().into() } else { Json::Null }),
        ("detail", if detail.is_empty() { Json::Null } else { Json::String(detail.clone()) }),
        ("created_at", created_at.to_string().into()),
        ("ended_at", ended_at.map_or(Json::Null, |at| at.to_string().into())),
    ];
    members.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters() {
        let read = |text: &str| query(Params::parse(text));
        assert_eq!(read("status=failed").unwrap().status, Some(DeliveryStatus::Failed));
        let run = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(read(&format!("run={run}")).unwrap().run, RunId::parse(run));
        assert_eq!(read("status=done").unwrap_err().field, "status");
        assert_eq!(read("run=5").unwrap_err().field, "run_id");
        assert_eq!(read("colour=red").unwrap_err().code, "unknown_parameter");
    }
}
