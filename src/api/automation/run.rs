//! Running a rule by hand, and its tests.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use twinhub_actors::HubError;
use twinhub_actors::access::ConfinedFeed;
use twinhub_actors::messages::archive::ListRuns;
use twinhub_actors::messages::automation::{RuleCaller, SendSignal};
use twinhub_domain::event::EventBody;
use twinhub_domain::run::{AutomationSignal, RuleId, RunEntry};
use twinhub_domain::{Json, Object};
use twinhub_rules::{file, scenario};
use twinhub_store::RunQuery;

use super::rules::find_rule;
use super::{ask, tests_begin, view};
use crate::api::automation::request::RunRequest;
use crate::api::automation::schema::{RunAccepted, RunItem, TestVerdict};
use crate::api::commands::request;
use crate::http::Access;
use crate::http::extract::body::{OptionalBody, RulePath};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::reply::Document;

/// The interval at which the journal of runs is read while a client waits: a repeat that is only counted makes no
/// event.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs a rule now. Its conditions must hold, unless `unconditional` is true.
#[utoipa::path(
    post,
    path = "/api/automation/rules/{id}/run",
    tag = "automation",
    params(
        ("id" = String, Path, description = "The rule's name"),
        ("wait" = Option<String>, Query, description = "The time to wait for the end of the run: `5s`, or seconds; \
            60 s at most"),
    ),
    request_body = Option<RunRequest>,
    responses(
        (status = 202, description = "It is stored, and will be looked at", body = RunAccepted),
        (status = 200, description = "With `wait`: the run, or why there was none", body = RunItem),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
        (status = 504, description = "It has not come to its end in time, and goes on", body = Problem),
    )
)]
pub async fn run_rule(
    RulePath(id): RulePath,
    mut params: Params,
    OptionalBody(run_request): OptionalBody<RunRequest>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let wait = params.read("wait", request::WAIT, request::wait)?.filter(|wait| !wait.is_zero());
    params.finish()?;
    let unconditional = run_request.and_then(|request| request.unconditional).unwrap_or_default();
    // Listen first: what is asked for after this cannot be missed.
    let live = match wait {
        Some(_) => Some(access.subscribe().await?),
        None => None,
    };
    let until = Instant::now() + wait.unwrap_or_default();
    let signal = AutomationSignal::Run { rule: id.clone(), unconditional };
    let seq =
        ask(&access, |reply| SendSignal { signal, by: RuleCaller::default(), cause: access.cause(), reply })
            .await??;
    let cursors = access.cursors();
    let Some(live) = live else {
        let mut document: Object = [("rule_id", Json::from(id.as_str()))].into_iter().collect();
        if let Some(seq) = cursors.seq(seq) {
            document.insert("seq", number(seq));
        }
        document.insert("cursor", cursors.cursor(seq).into());
        return Ok(Document::of(&document).send(HttpResponse::Accepted()));
    };
    let entry = ended(&access, live, &id, seq, until).await?;
    Ok(Document::of(&view::run(&cursors.run(&entry))).send(HttpResponse::Ok()))
}

/// Runs the tests that are written in the rule, in virtual time; nothing is done to any device.
#[utoipa::path(
    post,
    path = "/api/automation/rules/{id}/test",
    tag = "automation",
    params(("id" = String, Path, description = "The rule's name")),
    responses((status = 200, body = [TestVerdict]), (status = 404, body = Problem))
)]
pub async fn test_rule(
    RulePath(id): RulePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (stands, read) = find_rule(&access, &id).await?;
    let secrets = access.settings().secrets.clone();
    let verdicts = actix_web::web::block(move || {
        let mut source = stands.rule.source.object();
        source.insert("id", stands.rule.id.as_str().into());
        let tests = file::parse_rule_with(&source, &secrets).map(|(_, tests)| tests).unwrap_or_default(); // it checked out before
        let rules: Vec<_> = read.rules.iter().map(|other| (*other.rule).clone()).collect();
        let of = rules.iter().position(|rule| rule.id == stands.rule.id).unwrap_or_default();
        scenario::run(&rules, of, &tests.iter().collect::<Vec<_>>(), tests_begin())
    });
    let verdicts = verdicts.await.map_err(|_| ApiError::from(HubError::ShuttingDown))?;
    let document: Vec<_> = verdicts.iter().map(TestVerdict::of).collect();
    Ok(reply::json(StatusCode::OK, &document))
}

/// The run that event `seq` asked for, at its end.
async fn ended(
    access: &Access,
    mut live: ConfinedFeed,
    rule: &RuleId,
    seq: u64,
    until: Instant,
) -> Result<RunEntry, ApiError> {
    let mut closing = access.state.closing();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.tick().await; // the first is at once
    loop {
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return Err(HubError::ShuttingDown.into()),
            () = tokio::time::sleep_until(until) => {
                let cursors = access.cursors();
                let event = cursors.seq(seq).map_or_else(|| cursors.cursor(seq), |seq| seq.to_string());
                return Err(ApiError::RunNotFinished { rule: rule.to_string(), event });
            }
            batch = live.recv() => match batch {
                Ok(batch) => {
                    let entries = batch.events.iter().filter_map(|recorded| match &recorded.event.body {
                        EventBody::Rule(entry) => Some(&**entry),
                        _ => None,
                    });
                    if let Some(entry) = entries.into_iter().find(|entry| is_end(entry, rule, seq)) {
                        return Ok(entry.clone());
                    }
                }
                Err(RecvError::Lagged(_)) => {} // the journal of runs has it
                Err(RecvError::Closed) => return Err(HubError::ShuttingDown.into()),
            },
            _ = look.tick() => {
                if let Some(entry) = last(access, rule).await?.filter(|entry| is_end(entry, rule, seq)) {
                    return Ok(entry);
                }
            }
        }
    }
}

/// A repeat is folded into the entry that it repeats, which then names the event that it was first asked for by:
/// any later one is ours, as events are looked at in their order.
fn is_end(entry: &RunEntry, rule: &RuleId, seq: u64) -> bool {
    entry.rule == *rule && entry.trigger.seq == Some(seq) && entry.outcome.is_final()
}

async fn last(access: &Access, rule: &RuleId) -> Result<Option<RunEntry>, ApiError> {
    let query = RunQuery { rule: Some(rule.clone()), newest_first: true, limit: 1, ..RunQuery::default() };
    Ok(access.ask(ListRuns(query)).await??.runs.into_iter().next())
}

/// A place in the sequence as JSON.
pub(super) fn number(seq: u64) -> Json {
    i64::try_from(seq).unwrap_or(i64::MAX).into()
}

impl TestVerdict {
    /// The view of a test's verdict.
    #[must_use]
    pub fn of(verdict: &scenario::ScenarioVerdict) -> Self {
        Self {
            name: verdict.name.clone(),
            passed: verdict.failure.is_none(),
            failure: verdict.failure.clone(),
            failed_actions: verdict.failed_actions.clone(),
        }
    }
}
