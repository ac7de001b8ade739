//! `POST /api/automation/webhooks/{name}`: something out there happened.

use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::{Action, KeyPurpose};
use twinhub_actors::access::Permission;
use twinhub_actors::messages::automation::{RuleCaller, RuleRefusal, SendSignal, SendSigned};
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::{Json, Object};

use super::ask;
use super::run::number;
use crate::api::automation::schema::EventAccepted;
use crate::http::Access;
use crate::http::Holder;
use crate::http::extract::body::ForeignBody;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;
use crate::http::signature::RequestSignature;

/// Sets off the rules with a `webhook` trigger of this name. They see the body, any JSON, as `trigger.payload`. Operators
/// may, and whoever has a key of this webhook, or signs the body with the `secret` of one of the rules.
#[utoipa::path(
    post,
    path = "/api/automation/webhooks/{name}",
    tag = "automation",
    params(
        ("name" = String, Path, description = "The name in the trigger"),
        ("X-Hub-Signature-256" = Option<String>, Header, description = "`sha256=` and the HMAC-SHA256 of the body in \
            hexadecimal digits, with the secret of a rule; instead of a credential"),
        ("X-Twinhub-Signature" = Option<String>, Header, description = "The same of the time, a full stop and the body"),
        ("X-Twinhub-Timestamp" = Option<String>, Header, description = "The time that was signed, in Unix seconds"),
        ("X-GitHub-Delivery" = Option<String>, Header, description = "The sender's name for a signed request: one that \
            comes again is answered as the first was, and sets off nothing"),
        ("X-Twinhub-Delivery" = Option<String>, Header, description = "The same"),
    ),
    request_body(content = crate::api::schema::Object, description = "Any JSON; none is null"),
    responses(
        (status = 202, description = "It is stored, and the rules will see it", body = EventAccepted),
        (status = 401, description = "The signature is not the body's (`bad_signature`), or there is no credential",
            body = Problem),
        (status = 403, description = "The key is another webhook's", body = Problem),
        (status = 404, description = "No rule has a webhook of this name", body = Problem),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_webhook(
    request: HttpRequest,
    name: Path<String>,
    params: Params,
    ForeignBody { json, bytes }: ForeignBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (name, payload): (Box<str>, _) = (name.into_inner().into(), json.unwrap_or_default());
    let seq = match RequestSignature::of(&request).transpose() {
        Some(signature) => Some(send_signed(&access, name, payload, bytes, signature).await?),
        None => {
            check_key(&access, &name)?;
            let signal = AutomationSignal::Webhook { name, body: payload };
            let (by, cause) = (RuleCaller::default(), access.cause());
            let seq = ask(&access, |reply| SendSignal { signal, by, cause, reply }).await??;
            // A key for webhooks alone, and who sees a part of the devices, learn nothing of how much happens in all.
            let is_bound = matches!(access.holder(), Holder::Known(identity) if identity.bound.is_some());
            access.cursors().seq(seq).filter(|_| !is_bound)
        }
    };
    let document: Object = seq.map(|seq| ("seq", number(seq))).into_iter().collect();
    Ok(Document::of(&document).send(HttpResponse::Accepted()))
}

/// Lets a request in by its signature. A wrong one is in the audit, as a wrong key is.
async fn send_signed(
    access: &Access,
    name: Box<str>,
    payload: Json,
    body: Bytes,
    signature: Result<RequestSignature, ApiError>,
) -> Result<u64, ApiError> {
    let sent = async {
        let RequestSignature { signature, delivery } = signature?;
        let sent =
            ask(access, |reply| SendSigned { name, body, payload, signature, delivery, reply }).await?;
        sent.map_err(ApiError::from)
    };
    sent.await.inspect_err(|error| {
        if matches!(error, ApiError::Rule(RuleRefusal::Signature(_))) {
            let detail = [("code", Json::from(error.code()))].into_iter().collect();
            // Without the name: a stranger who tries many makes one entry of them.
            let target = "POST /api/automation/webhooks/{name}";
            access.audit_refusal(Action::AccessRefused, target, detail);
        }
    })
}

/// A key that is bound to one webhook sets off no other.
fn check_key(access: &Access, name: &str) -> Result<(), ApiError> {
    let Holder::Known(identity) = access.holder() else { return Ok(()) };
    match identity.bound.as_deref().map(|bound| &bound.purpose) {
        None => Ok(()),
        Some(KeyPurpose::Webhook(of)) if **of == *name => Ok(()),
        Some(_) => Err(ApiError::Lacks { permission: Permission::Trigger, role: identity.rights.role }),
    }
}
