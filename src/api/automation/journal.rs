//! The journal of runs: the runs of rules with their reasons, and the evaluations that did not run with theirs.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::HubRequest as _;
use twinhub_actors::messages::archive::{FindRun, ListDeliveries, ListRuns};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{DeviceId, Json, ReadingTime, Timestamp};
use twinhub_store::{DeliveryQuery, RunPlace, RunQuery};

use super::rules::find_rule;
use super::view;
use crate::api::automation::deliveries::item;
use crate::api::automation::schema::{JournalListing, RunDetail, RunItem};
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::cursor::CallerCursors;
use crate::http::extract::body::{RulePath, RunPath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::{Paging, link};
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};

pub(in crate::api) const OUTCOMES: [&str; 5] = ["running", "done", "failed", "aborted", "not_run"];
/// Runs above a run that are told at most: the breaker lets no chain grow this long.
const MOST_ABOVE: usize = 16;
/// The most runs directly below a run that are shown.
const MOST_BELOW: u64 = 100;
/// The purpose for which the ends of its pages are sealed.
const RUNS: &str = "twinhub runs v1";
/// The form of a place in a list.
const EXPECTED: &str = "expected what the page before says in its `Link`";

/// The runs of one rule, the newest first, and the times that it did not run.
#[utoipa::path(
    get,
    path = "/api/automation/rules/{id}/runs",
    tag = "automation",
    params(("id" = String, Path, description = "The rule's name"), JournalListing),
    responses(
        (status = 200, description = "A page of runs", body = [RunItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn list_rule_runs(
    request: HttpRequest,
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let response = list(&request, params, &access, Some(id.clone())).await?;
    // A rule that is gone leaves its runs behind: only one that never was is not found.
    if response.headers().get("X-Total-Count").is_some_and(|total| total == "0") {
        find_rule(&access, &id).await?;
    }
    Ok(response)
}

/// One run with its causes: `above` the runs that brought it about, the nearest first; `below` the runs that it
/// brought about; `deliveries` the requests that it sent, for those with the permission `administer`.
#[utoipa::path(
    get,
    path = "/api/automation/runs/{run}",
    tag = "automation",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunDetail), (status = 404, body = Problem))
)]
pub async fn get_run(RunPath(id): RunPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = access.ask(FindRun(id)).await??;
    let run = found.ok_or_else(|| ApiError::NotFound { what: "run", name: id.to_string() })?;
    let mut above: Vec<RunEntry> = Vec::new();
    let mut parent = run.parent;
    while let Some(id) = parent
        && above.len() < MOST_ABOVE
    {
        let Some(entry) = access.ask(FindRun(id)).await?? else { break }; // older than runs are kept
        parent = entry.parent;
        above.push(entry);
    }
    let of_run = RunQuery { parent: Some(id), limit: MOST_BELOW, ..RunQuery::default() };
    let below = access.ask(ListRuns(of_run)).await??.runs;
    let cursors = access.cursors();
    let runs = |entries: &[RunEntry]| {
        Json::Array(entries.iter().map(|entry| view::run(&cursors.run(entry)).into()).collect())
    };
    let mut object = view::run(&cursors.run(&run));
    object.insert("above", runs(&above));
    object.insert("below", runs(&below));
    // Addresses, bodies and answers of webhooks are for those who may list them.
    if access.demand(ListDeliveries::PERMISSION).is_ok() {
        let sent = DeliveryQuery { run: Some(id), limit: MOST_BELOW, ..DeliveryQuery::default() };
        let deliveries = access.ask(ListDeliveries(sent)).await??.deliveries;
        object.insert("deliveries", Json::Array(deliveries.iter().map(|sent| item(sent).into()).collect()));
    }
    Ok(Document::of(&object).send(HttpResponse::Ok()))
}

/// The runs of all rules, the newest first: they answer why the fan started at 03:12, and why it did not. With
/// `device_id=` the runs that the device fired, those that acted upon it, whatever came of that, and those that would
/// have and did not; `role` says which. Runs that acted upon an earlier device of the same id are not among them.
#[utoipa::path(
    get,
    path = "/api/automation/journal",
    tag = "automation",
    params(
        JournalListing,
        ("rule_id" = Option<String>, Query, description = "A rule's name"),
    ),
    responses(
        (status = 200, description = "A page of runs", body = [RunItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, description = "No such device", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn list_journal(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    list(&request, params, &access, None).await
}

async fn list(
    request: &HttpRequest,
    mut params: Params,
    access: &Access,
    rule: Option<RuleId>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let by_number = params.has("page");
    let paging = Paging::take(&mut params)?;
    let cursors = access.cursors();
    let after = after(&mut params, &cursors)?;
    if by_number && after.is_some() {
        return Err(bad("page", "is given beside `after`").into());
    }
    let (device, query) = query(params, rule)?;
    let device = match device {
        Some(id) => Some((find(access, &id).await?.number, id)),
        None => None,
    };
    let device = device.as_ref().map(|(number, id)| (id, *number));
    let query = RunQuery {
        device: device.map(|(_, number)| number),
        after,
        offset: paging.offset(),
        limit: paging.limit,
        ..query
    };
    let page = access.ask(ListRuns(query)).await??;
    let mut response = HttpResponse::Ok();
    if by_number {
        paging.set_headers(&mut response, request.path(), &all, page.total);
    } else {
        response.insert_header(("X-Total-Count", page.total.to_string()));
        let next = page.next.map(|RunPlace { at, seq }| format!("{}.{seq}", at.millis()));
        let next = next.map(|next| cursors.page_end(RUNS, next));
        response.insert_header((header::LINK, links(request.path(), &all, next)));
    }
    Ok(array(response, &page.runs, |entry, out| view::run_of(&cursors.run(entry), device).write(out)))
}

/// Where the page before ended.
fn after(params: &mut Params, cursors: &CallerCursors) -> Result<Option<RunPlace>, FieldError> {
    let text = params.text("after")?;
    if text.as_deref().is_some_and(is_earlier) {
        return Err(bad("after", "is of an earlier version of twinhub: begin again with the first page"));
    }
    let read = |text: &str| cursors.given_end(RUNS, text).as_deref().and_then(place);
    let place = text.as_deref().map(|text| read(text).ok_or_else(|| bad("after", EXPECTED)));
    place.transpose()
}

/// `first`, and `next` where there is more: it goes on behind a run, so that runs that come in meanwhile move nothing.
fn links(path: &str, params: &[(String, String)], next: Option<String>) -> String {
    let first = link("first", path, params, &["after"], &[]);
    let Some(after) = next else { return first };
    format!("{first}, {}", link("next", path, params, &["after"], &[("after", &after)]))
}

/// `1767268800000.17`: the beginning of a run, and its number in the store.
fn place(text: &str) -> Option<RunPlace> {
    let (at, seq) = text.split_once('.')?;
    Some(RunPlace { at: Timestamp::from_millis(at.parse().ok()?), seq: seq.parse().ok()? })
}

/// A place as earlier versions wrote it, with the run's id: `1767268800000.0198c9f0-…`.
fn is_earlier(text: &str) -> bool {
    text.split_once('.').is_some_and(|(at, id)| at.parse::<i64>().is_ok() && RunId::parse(id).is_some())
}

fn query(mut params: Params, rule: Option<RuleId>) -> Result<(Option<DeviceId>, RunQuery), FieldError> {
    let device = params.text("device_id")?;
    let device = device
        .map(|id| DeviceId::parse(&id).map_err(|error| bad("device_id", error.to_string())))
        .transpose()?;
    let rule = match (rule, params.has("rule_id")) {
        (None, true) => {
            let named = params.text("rule_id")?;
            named.map(|id| RuleId::parse(&id).map_err(|detail| bad("rule_id", detail))).transpose()?
        }
        (rule, _) => rule,
    };
    let outcomes = params.words("outcome", &format!("one of {}", OUTCOMES.join(", ")), |word| {
        OUTCOMES.into_iter().find(|outcome| *outcome == word).map(str::to_owned)
    })?;
    let parent = params.read("parent_id", "a run's id", RunId::parse)?;
    let query = RunQuery {
        rule,
        parent,
        outcomes,
        from: params.start_time("from")?.map(ReadingTime::ceil),
        to: params.end_time("to")?.map(ReadingTime::ceil),
        newest_first: params.newest_first(true)?,
        ..RunQuery::default()
    };
    params.finish()?;
    Ok((device, query))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_store::seal::Seal;

    use super::*;

    #[test]
    fn a_page_leads_to_the_next() {
        let params = [("limit".to_owned(), "2".to_owned()), ("after".to_owned(), "1.x".to_owned())];
        assert_eq!(
            links("/j", &params, Some("1767268800000.7".into())),
            r#"</j?limit=2>; rel="first", </j?limit=2&after=1767268800000.7>; rel="next""#
        );
        assert_eq!(links("/j", &[], None), r#"</j>; rel="first""#);
        let cursors = CallerCursors::new(Arc::new(Seal::new(&[1; 32])), false);
        let read = |text: &str| after(&mut Params::parse(&format!("after={text}")), &cursors);
        assert_eq!(read("1767268800000.7").unwrap(), place("1767268800000.7"));
        let wrong = |text: &str| read(text).unwrap_err();
        for text in ["1767268800000", "soon.7", "1767268800000.-7", "1767268800000.soon"] {
            assert_eq!(
                (wrong(text).field.as_str(), wrong(text).detail.as_str()),
                ("after", EXPECTED),
                "{text}"
            );
        }
        let earlier = wrong("1767268800000.00000000-0000-0000-0000-000000000007");
        assert!(earlier.detail.contains("earlier version"), "{}", earlier.detail);
    }

    #[test]
    fn reads_filters() {
        let read = |text: &str| query(Params::parse(text), None);
        let (device, wanted) = read("device=fan&rule=cool&outcome=done,not_run&from=2026-01-01").unwrap();
        assert_eq!(device.unwrap().as_str(), "fan");
        assert_eq!(wanted.rule.unwrap().as_str(), "cool");
        assert_eq!(wanted.outcomes, ["done", "not_run"]);
        assert!(wanted.newest_first && wanted.from.is_some());
        let wrong = |text: &str| read(text).unwrap_err().field;
        assert_eq!(wrong("outcome=well"), "outcome");
        assert_eq!(wrong("rule=a/b"), "rule_id");
        assert_eq!(wrong("parent=1"), "parent_id");
        assert_eq!(wrong("colour=red"), "colour");
        let of_one = query(Params::parse("rule=other"), Some(RuleId::parse("cool").unwrap()));
        assert_eq!(of_one.unwrap_err().code, "unknown_parameter", "the path says which");
    }
}
