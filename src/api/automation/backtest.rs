//! `POST /api/automation/backtest`: the runs of a rule over the past.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use twinhub_actors::backtest::{self, BacktestError, BacktestOutcome, BacktestProgress, BacktestRequest};
use twinhub_actors::messages::automation::RuleRefusal;
use twinhub_domain::duration::{EXAMPLES, duration_text, positive_ms};
use twinhub_domain::run::{RuleId, RunEntry};
use twinhub_domain::{DeviceId, Json, Object, ReadingTime, Timestamp};
use twinhub_rules::file::SecretNames;
use twinhub_rules::model::RuleOrigin;
use twinhub_rules::{FileProblem as RuleProblem, Rule, RuleFile, file};

use super::run::number;
use super::view;
use crate::api::automation::request::NewBacktest;
use crate::api::automation::schema::BacktestResult;
use crate::api::events::wants_stream;
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{MOMENT, Params, moment};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;
use crate::http::turns::TurnKind;

/// The stretch that is replayed where nothing is said: a week, in ms.
const USUAL_MS: i64 = 7 * 86_400_000;
/// Runs in an answer at most.
const MOST_RUNS: usize = 10_000;
/// The shortest interval between two reports of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// The name of a rule that comes without one.
const CANDIDATE: &str = "candidate";
/// Each keeps a processor busy.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Replays what is stored through the engine that runs live, on a virtual clock, and lists the runs that there would
/// have been, beside those of the version that runs. Nothing is done to any device. With `Accept:
/// text/event-stream` it tells how far it has come: events `progress` with `{events, at, share}`, and then `result`
/// or `error`.
#[utoipa::path(
    post,
    path = "/api/automation/backtest",
    tag = "automation",
    request_body = NewBacktest,
    responses(
        (status = 200, content((BacktestResult = "application/json"), (String = "text/event-stream"))),
        (status = 404, description = "No such rule", body = Problem),
        (status = 422, description = "A field makes no sense, or the rule does not check out", body = Problem),
        (status = 429, description = "Others are under way", body = Problem),
    )
)]
pub async fn post_backtest(
    request: HttpRequest,
    params: Params,
    Body(new_backtest): Body<NewBacktest>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let query = backtest_request(new_backtest, &access).await?;
    let turn = access.state.turns.take(TurnKind::Backtest, &access, &request)?;
    let permit =
        AT_ONCE.try_acquire().map_err(|_| ApiError::Busy("other backtests are under way: try again"))?;
    if !wants_stream(&request) {
        // A client that goes away ends it: this is dropped then.
        let found = backtest::run(&access.grant(), query.clone(), |_| {}).await?;
        drop((permit, turn));
        let cursors = access.cursors();
        let shown = shown(&query, &found, |run| cursors.run(run));
        return Ok(Document::of(&shown).send(HttpResponse::Ok()));
    }
    let (frames, mut coming) = mpsc::channel::<Bytes>(8);
    actix_rt::spawn(async move {
        let _held = (permit, turn);
        let gone = frames.clone();
        tokio::select! {
            () = gone.closed() => {}
            () = stream(access, query, frames) => {}
        }
    });
    let body = futures_util::stream::poll_fn(move |context| {
        coming.poll_recv(context).map(|bytes| bytes.map(Ok::<_, actix_web::Error>))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

async fn stream(access: Access, query: BacktestRequest, frames: mpsc::Sender<Bytes>) {
    let mut told = Instant::now();
    let progress = |progress: BacktestProgress| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let BacktestProgress { events, at, share } = progress;
            let data = format!(r#"{{"events":{events},"at":"{at}","share":{share:.4}}}"#);
            let _ = frames.try_send(frame("progress", &data)); // the next says more
        }
    };
    let last = match backtest::run(&access.grant(), query.clone(), progress).await {
        Ok(found) => {
            let cursors = access.cursors();
            frame("result", &Json::from(shown(&query, &found, |run| cursors.run(run))).to_string())
        }
        Err(error) => {
            let problem = ApiError::from(error).problem();
            frame("error", &serde_json::to_string(&problem).unwrap_or_default()) // texts and a number
        }
    };
    let _ = frames.send(last).await; // gone is gone
}

fn frame(event: &str, data: &str) -> Bytes {
    format!("event: {event}\ndata: {data}\n\n").into()
}

async fn backtest_request(
    mut new_backtest: NewBacktest,
    access: &Access,
) -> Result<BacktestRequest, ApiError> {
    let now = access.now();
    let to = time(new_backtest.to.as_ref(), "to", true)?.unwrap_or(now);
    let from = time(new_backtest.from.as_ref(), "from", false)?.unwrap_or_else(|| to.plus_millis(-USUAL_MS));
    if from >= to {
        return Err(FieldError::bad("from", "must be before `to`").into());
    }
    let devices = new_backtest.device_ids.take().map(device_ids).transpose()?;
    let warm_up = warm_up(new_backtest.warm_up.as_deref())?;
    let running: Vec<Rule> =
        super::read(access).await?.rules.iter().map(|stands| (*stands.rule).clone()).collect();
    let rules = rules(new_backtest, &running, &access.settings().secrets)?;
    let tree = access.tree();
    Ok(BacktestRequest { rules, running, from, to, warm_up, devices, tree })
}

/// The rules that the body brings along or names.
fn rules(new_backtest: NewBacktest, running: &[Rule], secrets: &SecretNames) -> Result<Vec<Rule>, ApiError> {
    let id = new_backtest.rule_id.map(|id| RuleId::parse(&id)).transpose();
    let id = id.map_err(|detail| FieldError::bad("rule_id", detail))?;
    match (new_backtest.rule, new_backtest.file, id) {
        (Some(_), Some(_), _) => Err(FieldError::bad("file", "either this or `rule`").into()),
        (Some(mut rule), None, id) => {
            if let Some(id) = id {
                rule.insert("id", id.as_str().into());
            } else if rule.get("id").is_none() {
                rule.insert("id", CANDIDATE.into());
            }
            let (rule, _) =
                file::parse_rule_with(&rule, secrets).map_err(|problems| wrong(problems, "/rule"))?;
            Ok(vec![rule])
        }
        (None, Some(text), id) => {
            let origin = RuleOrigin::File("backtest".into());
            let file = RuleFile::parse_with(&text, &origin, secrets);
            let mut rules = file.map_err(|problems| wrong(problems, ""))?.rules;
            if let Some(id) = id {
                rules.retain(|rule| rule.id == id);
                if rules.is_empty() {
                    return Err(ApiError::no_rule(id));
                }
            }
            if rules.is_empty() {
                return Err(FieldError::bad("file", "there is no rule in it").into());
            }
            Ok(rules)
        }
        (None, None, Some(id)) => match running.iter().find(|rule| rule.id == id) {
            Some(rule) => Ok(vec![rule.clone()]),
            None => Err(ApiError::no_rule(id)),
        },
        (None, None, None) => Err(FieldError {
            detail: "or `rule_id` or `file` must be given".into(),
            ..FieldError::missing("rule")
        }
        .into()),
    }
}

/// The faults of the rule, by their place in the body.
fn wrong(problems: Vec<RuleProblem>, within: &str) -> ApiError {
    let placed = problems
        .into_iter()
        .map(|problem| RuleProblem { pointer: format!("{within}{}", problem.pointer), ..problem });
    ApiError::Rule(RuleRefusal::Problems(placed.collect()))
}

fn device_ids(texts: Vec<Box<str>>) -> Result<Vec<DeviceId>, FieldError> {
    let id = |text: Box<str>| {
        DeviceId::parse(&text).map_err(|error| FieldError::bad("device_ids", error.to_string()))
    };
    texts.into_iter().map(id).collect()
}

fn time(given: Option<&Json>, name: &str, end: bool) -> Result<Option<Timestamp>, FieldError> {
    let text = match given {
        None => return Ok(None),
        Some(Json::String(text)) => text.to_string(),
        Some(Json::Number(number)) => number.as_str().to_owned(),
        Some(other) => {
            return Err(FieldError::bad(name, format!("expected {MOMENT}, found {}", other.kind())));
        }
    };
    let at = moment(&text, end).map(ReadingTime::ceil);
    at.map(Some).ok_or_else(|| FieldError::bad(name, format!("expected {MOMENT}, found `{text}`")))
}

fn warm_up(given: Option<&str>) -> Result<Option<i64>, FieldError> {
    match given {
        None | Some("all") => Ok(None),
        Some(text) => positive_ms(text).map(Some).map_err(|error| {
            FieldError::bad("warm_up", format!("expected a duration such as {EXAMPLES}, or `all`: {error}"))
        }),
    }
}

/// As it is answered; of each run what `told` makes of it, for the caller.
pub(crate) fn shown<'a>(
    query: &BacktestRequest,
    found: &'a BacktestOutcome,
    told: impl Fn(&'a RunEntry) -> Cow<'a, RunEntry>,
) -> Object {
    let listed = |runs: &'a [RunEntry]| {
        let runs = runs.iter().take(MOST_RUNS);
        Json::Array(runs.map(|run| view::run(&told(run)).into()).collect())
    };
    let compared = found.compared.as_ref().map(|compared| {
        let members = [
            ("same", number(compared.same as u64)),
            ("only_candidate", listed(&compared.only_first)),
            ("only_running", listed(&compared.only_second)),
        ];
        Json::Object(members.into_iter().collect())
    });
    let mut counts = BTreeMap::<&str, u64>::new();
    for run in &found.runs {
        *counts.entry(run.outcome.as_str()).or_default() += 1;
    }
    let names = query.rules.iter().map(|rule| Json::from(rule.id.as_str()));
    [
        ("from", Json::from(query.from.to_string())),
        ("to", query.to.to_string().into()),
        ("rules", Json::Array(names.collect())),
        ("runs", listed(&found.runs)),
        ("truncated", (found.runs.len() > MOST_RUNS).into()),
        ("counts", Json::Object(counts.into_iter().map(|(word, count)| (word, number(count))).collect())),
        ("compared", compared.unwrap_or_default()),
        ("events", number(found.events)),
        ("took", duration_text(i64::try_from(found.took_ms).unwrap_or(i64::MAX)).into()),
    ]
    .into_iter()
    .collect()
}

impl From<BacktestError> for ApiError {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Store(error) => Self::Store(error),
            BacktestError::Hub(error) => Self::Hub(error),
            BacktestError::Died => Self::Fault("the replay panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::read::read;

    fn body(text: &str) -> NewBacktest {
        read(text.parse::<Json>().unwrap()).unwrap()
    }

    #[test]
    fn reads_times_and_warm_ups() {
        let NewBacktest { from, to, .. } = body(r#"{"start_date": "2026-01-01", "end_date": 1767312000}"#);
        let at = |given: Option<Json>| time(given.as_ref(), "to", false).unwrap().unwrap().to_string();
        assert_eq!((&*at(from), &*at(to)), ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"));
        assert_eq!(time(Some(&Json::Bool(true)), "to", true).unwrap_err().field, "to");
        assert_eq!(warm_up(Some("1d")), Ok(Some(86_400_000)));
        assert_eq!(warm_up(Some("all")), Ok(None));
        assert_eq!(warm_up(Some("soon")).unwrap_err().field, "warm_up");
    }

    #[test]
    fn says_which_rule_it_lacks() {
        let wrong = |text: &str| rules(body(text), &[], &SecretNames::default()).err().unwrap().problem();
        let problem_of = |text: &str| serde_json::to_value(wrong(text)).unwrap();
        assert_eq!(problem_of("{}")["field"], "rule");
        assert_eq!(problem_of(r#"{"rule": {}, "file": "x"}"#)["field"], "file");
        assert_eq!(problem_of(r#"{"rule_id": "nobody"}"#)["code"], "rule_not_found");
        assert_eq!(problem_of(r#"{"id": "a/b"}"#)["field"], "rule_id");
    }
}
