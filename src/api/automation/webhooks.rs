//! `POST /api/automation/webhooks/{name}`: something out there happened.

use actix_web::HttpResponse;
use actix_web::web::Path;
use twinhub_actors::messages::automation::{RuleCaller, SendSignal};
use twinhub_domain::Object;
use twinhub_domain::run::AutomationSignal;

use super::ask;
use super::run::number;
use crate::api::automation::schema::EventAccepted;
use crate::http::Access;
use crate::http::extract::body::ForeignBody;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

/// Sets off the rules with a `webhook` trigger of this name. They see the body, any JSON, as `trigger.payload`.
#[utoipa::path(
    post,
    path = "/api/automation/webhooks/{name}",
    tag = "automation",
    params(("name" = String, Path, description = "The name in the trigger")),
    request_body(content = crate::api::schema::Object, description = "Any JSON; none is null"),
    responses(
        (status = 202, description = "It is stored, and the rules will see it", body = EventAccepted),
        (status = 404, description = "No rule has a webhook of this name", body = Problem),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_webhook(
    name: Path<String>,
    params: Params,
    ForeignBody(body): ForeignBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let signal = AutomationSignal::Webhook { name: name.into_inner().into(), body: body.unwrap_or_default() };
    let seq =
        ask(&access, |reply| SendSignal { signal, by: RuleCaller::default(), cause: access.cause(), reply })
            .await??;
    let document: Object = [("seq", number(seq))].into_iter().collect();
    Ok(Document::of(&document).send(HttpResponse::Accepted()))
}
