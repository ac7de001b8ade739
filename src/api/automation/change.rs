//! Rules made, changed, switched and taken away over the API.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use twinhub_actors::access::Grant;
use twinhub_actors::messages::automation::{
    DeleteRule, EnableRule, PutRule, PutRuleReply, RuleCaller, RuleExistence, RuleRefusal,
};
use twinhub_domain::run::RuleId;
use twinhub_domain::{EntityTags, Json, Object};
use twinhub_rules::model::RuleOrigin;

use super::other_form::{SWITCHES, in_our_words, is_shown, laid_over, whole, without_shown};
use super::rules::{find_rule, last_runs};
use super::{ask, audit, view};
use crate::api::automation::request::RuleSwitch;
use crate::api::automation::schema::{NewRule, RuleDetail, RuleRemoved};
use crate::http::Access;
use crate::http::extract::body::{Body, ObjectBody, RulePath};
use crate::http::extract::fields::{FieldError, Fields};
use crate::http::extract::params::Params;
use crate::http::extract::precondition::{if_match_content, tagged};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

/// Names that are tried for a rule that comes without one.
const MOST_NAMES: u32 = 20;
const LONGEST_NAME: usize = 64;

/// Makes a rule: in the shape that rule files have, with its `id` beside the rest, or in the form `name,
/// trigger_conditions, actions, schedule, enabled_status`. Without an `id` it gets one after its name.
#[utoipa::path(
    post,
    path = "/api/automation/rules",
    tag = "automation",
    request_body = NewRule,
    responses(
        (status = 201, description = "It runs. `warnings` says what to look at: rules that write the same, circles, \
            devices that nobody has heard of", body = RuleDetail,
            headers(("Location" = String, description = "Where the rule is"),
                ("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 409, description = "There is a rule of this name", body = Problem),
        (status = 422, description = "It does not check out: `errors` lists everything that is wrong, each with a \
            JSON pointer", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_rule(
    params: Params,
    ObjectBody(mut body): ObjectBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let enabled = switch(&body)?;
    body = in_our_words(body).unwrap_or_else(|body| body);
    let rule_reply = match body.get("id") {
        Some(id) => {
            rule_id(id)?;
            put(&access, body, RuleExistence::New, None).await?
        }
        None => {
            let mut names = names(&body);
            loop {
                let name = names.next().unwrap_or_else(|| twinhub_actors::clock::new_id().to_string());
                body.insert("id", name.into());
                match put(&access, body.clone(), RuleExistence::New, None).await {
                    Err(ApiError::Rule(RuleRefusal::Taken(_))) => {}
                    other => break other?,
                }
            }
        }
    };
    let rule_reply = switched(&access, rule_reply, enabled).await?;
    let id = &rule_reply.stands.rule.id;
    let mut response = tagged(HttpResponse::Created(), &rule_reply.stands.tag());
    response.insert_header((header::LOCATION, format!("/api/automation/rules/{id}")));
    Ok(Document::of(&view::whole(&rule_reply.stands, None, &rule_reply.warnings)).send(response))
}

/// Changes a rule as a whole. In the form `trigger_conditions, actions, enabled_status` what is left out stays as
/// it is. A rule of a file is changed there: here it can only be enabled and disabled.
#[utoipa::path(
    put,
    path = "/api/automation/rules/{id}",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rule to change, or a list of them"),
    ),
    request_body = NewRule,
    responses(
        (status = 200, description = "It runs as it is now. What waited in it goes on where it does the same as before",
            body = RuleDetail, headers(("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The rule is none of those that `If-Match` names", body = Problem),
        (status = 409, description = "It is in a file, or of a template", body = Problem),
        (status = 422, description = "As for a new one", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_rule(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    ObjectBody(mut body): ObjectBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    if is_shown(&body) {
        let (stands, _) = find_rule(&access, &id).await?;
        body = without_shown(&body, &view::whole(&stands, None, &[]));
    }
    let (enabled, if_tag) = (switch(&body)?, if_match_content(&request)?);
    if let Some(other) = body.get("id")
        && rule_id(other)? != id
    {
        return Err(FieldError::bad("id", format!("the rule is called `{id}`, and stays so")).into());
    }
    if let Some(enabled) = enabled
        && body.iter().all(|(key, _)| key == "id" || SWITCHES.contains(&key))
    {
        return set_enabled(&access, id, enabled, if_tag).await;
    }
    let (stands, _) = find_rule(&access, &id).await?;
    let mut body = match &stands.rule.origin {
        RuleOrigin::File(_) | RuleOrigin::Template(_) => body, // it is told so
        RuleOrigin::Api => {
            let source = stands.rule.source.object();
            match in_our_words(body) {
                Ok(changes) => laid_over(&source, &changes),
                Err(body) => whole(stands.sent.as_ref(), &source, body)?,
            }
        }
    };
    body.insert("id", id.as_str().into());
    let rule_reply = put(&access, body, RuleExistence::There, if_tag).await?;
    let rule_reply = switched(&access, rule_reply, enabled).await?;
    shown(&access, &rule_reply, HttpResponse::Ok()).await
}

/// Says whether a rule runs. This is remembered over a restart, for rules of files too; a rule that was stopped
/// begins anew.
#[utoipa::path(
    patch,
    path = "/api/automation/rules/{id}",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rule to switch, or a list of them"),
    ),
    request_body = RuleSwitch,
    responses(
        (status = 200, body = RuleDetail, headers(("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The rule is none of those that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn patch_rule(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    Body(RuleSwitch { enabled }): Body<RuleSwitch>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    set_enabled(&access, id, enabled, if_match_content(&request)?).await
}

/// Lets a rule run; one that was stopped begins anew.
#[utoipa::path(
    post,
    path = "/api/automation/rules/{id}/enable",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rule to switch, or a list of them"),
    ),
    responses(
        (status = 200, body = RuleDetail, headers(("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The rule is none of those that `If-Match` names", body = Problem),
    )
)]
pub async fn enable_rule(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    set_enabled(&access, id, true, if_match_content(&request)?).await
}

/// Lets a rule rest. What waits in it is given up.
#[utoipa::path(
    post,
    path = "/api/automation/rules/{id}/disable",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rule to switch, or a list of them"),
    ),
    responses(
        (status = 200, body = RuleDetail, headers(("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The rule is none of those that `If-Match` names", body = Problem),
    )
)]
pub async fn disable_rule(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    set_enabled(&access, id, false, if_match_content(&request)?).await
}

/// Takes a rule away, with all that waits in it. Its runs stay in the journal.
#[utoipa::path(
    delete,
    path = "/api/automation/rules/{id}",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rule to remove, or a list of them"),
    ),
    responses(
        (status = 200, body = RuleRemoved),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The rule is none of those that `If-Match` names", body = Problem),
        (status = 409, description = "It is in a file, or of a template", body = Problem),
    )
)]
pub async fn delete_rule(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let if_tag = if_match_content(&request)?;
    let rule = id.clone();
    let removed = Grant::see_through(async move {
        ask(&access, |reply| DeleteRule {
            id: rule.clone(),
            by: RuleCaller::default(),
            if_tag,
            cause: access.cause(),
            reply,
        })
        .await??;
        audit::removed(&access, &rule).await;
        Ok::<(), ApiError>(())
    });
    removed.await??;
    let told = [("id", Json::from(id.as_str())), ("message", format!("rule {id} is gone").into())];
    Ok(Document::of(&told.into_iter().collect()).send(HttpResponse::Ok()))
}

async fn set_enabled(
    access: &Access,
    id: RuleId,
    enabled: bool,
    if_tag: Option<EntityTags>,
) -> Result<HttpResponse, ApiError> {
    let rule_reply = switch_rule(access, id, enabled, if_tag).await?;
    shown(access, &rule_reply, HttpResponse::Ok()).await
}

async fn put(
    access: &Access,
    body: Object,
    expect: RuleExistence,
    if_tag: Option<EntityTags>,
) -> Result<PutRuleReply, ApiError> {
    let access = access.clone();
    let put = Grant::see_through(async move {
        let rule_reply: PutRuleReply = ask(&access, |reply| PutRule {
            body,
            by: RuleCaller::default(),
            expect,
            if_tag,
            cause: access.cause(),
            reply,
        })
        .await??;
        audit::changed(&access, &rule_reply.stands, expect == RuleExistence::New).await;
        Ok::<PutRuleReply, ApiError>(rule_reply)
    });
    put.await?
}

async fn switch_rule(
    access: &Access,
    id: RuleId,
    enabled: bool,
    if_tag: Option<EntityTags>,
) -> Result<PutRuleReply, ApiError> {
    let access = access.clone();
    let switched = Grant::see_through(async move {
        let rule_reply: PutRuleReply = ask(&access, |reply| EnableRule {
            id,
            by: RuleCaller::default(),
            enabled,
            if_tag,
            cause: access.cause(),
            reply,
        })
        .await??;
        audit::switched(&access, &rule_reply.stands.rule.id, enabled).await;
        Ok::<PutRuleReply, ApiError>(rule_reply)
    });
    switched.await?
}

/// Sets the rule's switch where the body has one, whatever it was before.
async fn switched(
    access: &Access,
    rule_reply: PutRuleReply,
    enabled: Option<bool>,
) -> Result<PutRuleReply, ApiError> {
    match enabled {
        Some(enabled) if enabled != rule_reply.stands.enabled => {
            let id = rule_reply.stands.rule.id.clone();
            let switched = switch_rule(access, id, enabled, None).await?;
            Ok(PutRuleReply { stands: switched.stands, warnings: rule_reply.warnings })
        }
        _ => Ok(rule_reply),
    }
}

async fn shown(
    access: &Access,
    rule_reply: &PutRuleReply,
    response: HttpResponseBuilder,
) -> Result<HttpResponse, ApiError> {
    let id = &rule_reply.stands.rule.id;
    let last = last_runs(access, vec![id.clone()]).await?;
    let response = tagged(response, &rule_reply.stands.tag());
    Ok(Document::of(&view::whole(&rule_reply.stands, last.get(id), &rule_reply.warnings)).send(response))
}

/// The switch, where the body has one.
fn switch(body: &Object) -> Result<Option<bool>, FieldError> {
    let Some(name) = SWITCHES.into_iter().find(|name| body.get(name).is_some()) else { return Ok(None) };
    let mut fields = Fields::any(body.clone());
    fields.flag(name)
}

fn rule_id(id: &Json) -> Result<RuleId, FieldError> {
    let text = id
        .as_str()
        .ok_or_else(|| FieldError::bad("id", format!("expected a string, found {}", id.kind())))?;
    RuleId::parse(text).map_err(|detail| FieldError::bad("id", detail))
}

/// Names for a rule that has none, after its alias: `cool-the-greenhouse`, `cool-the-greenhouse-2`.
fn names(body: &Object) -> impl Iterator<Item = String> + use<> {
    let called = ["alias", "name"].iter().find_map(|key| body.get(key).and_then(Json::as_str));
    let slug = called.map(slug).filter(|slug| !slug.is_empty());
    slug.into_iter().flat_map(|slug| {
        (1..=MOST_NAMES).map(move |nth| if nth == 1 { slug.clone() } else { format!("{slug}-{nth}") })
    })
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(LONGEST_NAME); // ASCII alone
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        twinhub_domain::payload::object(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_rules_after_what_people_call_them() {
        let first = |text: &str| names(&object(text)).next();
        assert_eq!(first(r#"{"alias": "Cool the greenhouse!"}"#).as_deref(), Some("cool-the-greenhouse"));
        assert_eq!(first(r#"{"name": "  Große  Pumpe 2 "}"#).as_deref(), Some("gro-e-pumpe-2"));
        assert_eq!(first(r#"{"name": "灯"}"#), None);
        assert_eq!(first("{}"), None);
        assert_eq!(names(&object(r#"{"name": "a"}"#)).nth(1).as_deref(), Some("a-2"));
    }

    #[test]
    fn reads_whether_it_runs() {
        assert_eq!(switch(&object(r#"{"enabled_status": false}"#)), Ok(Some(false)));
        assert_eq!(switch(&object("{}")), Ok(None));
        assert_eq!(switch(&object(r#"{"enabled": "yes"}"#)).unwrap_err().field, "enabled");
    }
}
