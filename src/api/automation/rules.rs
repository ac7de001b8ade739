//! The rules as lists and one by one.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::messages::archive::LastRuns;
use twinhub_actors::messages::automation::{RuleView, RulesRead};
use twinhub_domain::DeviceId;
use twinhub_domain::run::{RuleId, RunEntry};
use twinhub_domain::text::{order_key, searched};
use twinhub_rules::Placed;

use super::related_rules::mentions;
use super::view;
use crate::api::automation::schema::{RuleDetail, RuleItem, RuleListing};
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::extract::body::RulePath;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::{Params, bad};
use crate::http::extract::precondition::tagged;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};

/// Rules of all files and of the API, by name: whether each runs, and how it ran last.
#[utoipa::path(
    get,
    path = "/api/automation/rules",
    tag = "automation",
    params(RuleListing),
    responses(
        (status = 200, description = "A page of rules", body = [RuleItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, description = "No such device", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_rules(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let filter = RuleListFilter::take(params)?;
    let device = match &filter.device {
        Some(id) => Some(find(&access, id).await?),
        None => None,
    };
    let RulesRead { rules, warnings, .. } = super::read(&access).await?;
    let tree = access.tree();
    let placed = device.as_deref().map(|twin| Placed { twin, tree: &tree });
    let mut fitting: Vec<_> =
        rules.into_iter().filter(|stands| filter.takes(stands, placed.as_ref())).collect();
    fitting.sort_by_cached_key(|stands| order_key(stands.rule.id.as_str(), usize::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "what is beyond the end is empty anyway")]
    let page: Vec<_> = fitting.iter().skip(paging.offset() as usize).take(paging.limit as usize).collect();
    let last = last_runs(&access, page.iter().map(|stands| stands.rule.id.clone()).collect()).await?;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, fitting.len() as u64);
    Ok(array(response, &page, |stands, out| {
        view::rule(stands, last.get(&stands.rule.id), &warnings).write(out);
    }))
}

/// One rule, with all that is written in it.
#[utoipa::path(
    get,
    path = "/api/automation/rules/{id}",
    tag = "automation",
    params(("id" = String, Path, description = "The rule's name")),
    responses(
        (status = 200, body = RuleDetail, headers(("ETag" = String, description = "The tag of what is said of it, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_rule(
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (stands, read) = find_rule(&access, &id).await?;
    let last = last_runs(&access, vec![id.clone()]).await?;
    let response = tagged(HttpResponse::Ok(), &stands.tag());
    Ok(Document::of(&view::whole(&stands, last.get(&id), &read.warnings)).send(response))
}

/// The rule of this name, and everything that was read with it.
pub(super) async fn find_rule(access: &Access, id: &RuleId) -> Result<(RuleView, RulesRead), ApiError> {
    let read = super::read(access).await?;
    let found = read.rules.iter().find(|stands| stands.rule.id == *id).cloned();
    Ok((found.ok_or_else(|| ApiError::no_rule(id))?, read))
}

/// The last run of each of these rules, where it has one.
pub(super) async fn last_runs(
    access: &Access,
    rules: Vec<RuleId>,
) -> Result<HashMap<RuleId, RunEntry>, ApiError> {
    let last = access.ask(LastRuns(rules)).await??;
    Ok(last.into_iter().map(|run| (run.rule.clone(), run)).collect())
}

/// The filter of a list of rules.
struct RuleListFilter {
    device: Option<DeviceId>,
    kinds: Vec<&'static str>,
    enabled: Option<bool>,
    origin: Option<&'static str>,
    status: Vec<&'static str>,
    /// In small letters.
    q: Option<String>,
}

impl RuleListFilter {
    fn take(mut params: Params) -> Result<Self, FieldError> {
        let filter = Self {
            device: params
                .text("device_id")?
                .map(|id| DeviceId::parse(&id).map_err(|error| bad("device_id", error.to_string())))
                .transpose()?,
            kinds: {
                let name = if params.has("rule_type") { "rule_type" } else { "type" };
                params.words(name, &format!("one of {}", view::TRIGGERS.join(", ")), |word| {
                    view::TRIGGERS.into_iter().find(|kind| *kind == word)
                })?
            },
            enabled: params.value("enabled", "true or false")?,
            origin: params.read("origin", "file, api or template", |word| {
                ["file", "api", "template"].into_iter().find(|origin| *origin == word)
            })?,
            status: params.words("status", "running, disabled or stopped", |word| {
                ["running", "disabled", "stopped"].into_iter().find(|status| *status == word)
            })?,
            q: params.text("q")?.map(|text| searched(&text)),
        };
        params.finish()?;
        Ok(filter)
    }

    fn takes(&self, stands: &RuleView, device: Option<&Placed<'_>>) -> bool {
        let rule = &*stands.rule;
        let is_kind =
            || rule.triggers.iter().any(|trigger| self.kinds.contains(&view::kind_of(&trigger.kind)));
        let says = |q: &String| {
            [rule.id.as_str(), &rule.alias, &rule.description].iter().any(|text| searched(text).contains(q))
        };
        self.enabled.is_none_or(|enabled| enabled == stands.enabled)
            && self.origin.is_none_or(|origin| origin == view::origin(&rule.origin))
            && (self.status.is_empty() || self.status.contains(&view::status(stands)))
            && (self.kinds.is_empty() || is_kind())
            && self.q.as_ref().is_none_or(says)
            && device.is_none_or(|device| mentions(rule, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| RuleListFilter::take(Params::parse(text)).err().unwrap();
        assert_eq!(wrong("enabled=yes").field, "enabled");
        assert_eq!(wrong("type=weather").field, "type");
        assert_eq!(wrong("rule_type=weather").field, "rule_type");
        assert_eq!(wrong("rule_type=cron&type=cron").field, "type");
        assert_eq!(wrong("origin=cloud").field, "origin");
        assert_eq!(wrong("status=sleeping").field, "status");
        assert_eq!(wrong("device=a/b").field, "device_id");
        assert_eq!(wrong("colour=red").code, "unknown_parameter");
        let filter =
            RuleListFilter::take(Params::parse("type=numeric,cron&enabled=true&origin=file&q=Fan")).unwrap();
        assert_eq!((filter.kinds, filter.q.as_deref()), (vec!["numeric", "cron"], Some("fan")));
    }
}
