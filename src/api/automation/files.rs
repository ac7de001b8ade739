//! Rule files: those that do not check out, warnings, and the check of a file before it is put there.

use std::collections::HashSet;
use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::HubError;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_domain::DeviceId;
use twinhub_rules::model::RuleOrigin;
use twinhub_rules::{FileProblem as RuleProblem, Rule, RuleFile, analysis, file, scenario};

use super::{tests_begin, view};
use crate::api::automation::schema::{BrokenFile, Checked, CheckedTest, WarningItem};
use crate::http::Access;
use crate::http::extract::body::TextBody;
use crate::http::extract::paging::tell_whole;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem, RuleError};
use crate::http::reply;
use crate::http::reply::array;

/// Rule files that do not check out, with all that is wrong in them. What ran before they were broken runs on.
#[utoipa::path(
    get,
    path = "/api/automation/files",
    tag = "automation",
    responses((status = 200, body = [BrokenFile], headers(("X-Total-Count" = u64, description = "The number of entries"), ("Link" = String))))
)]
pub async fn list_broken_files(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let read = super::read(&access).await?;
    let broken: Vec<_> = read
        .broken
        .iter()
        .map(|(path, problems)| BrokenFile { path: path.to_string(), problems: errors(problems) })
        .collect();
    let mut response = HttpResponse::Ok();
    tell_whole(&mut response, request.path(), broken.len() as u64);
    Ok(response.json(&broken))
}

/// Warnings for people: rules that write the same thing, circles, rules that can never fire, names of no
/// device, group or rule.
#[utoipa::path(
    get,
    path = "/api/automation/warnings",
    tag = "automation",
    responses((status = 200, body = [WarningItem], headers(("X-Total-Count" = u64, description = "The number of entries"), ("Link" = String))))
)]
pub async fn list_warnings(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let read = super::read(&access).await?;
    let mut response = HttpResponse::Ok();
    tell_whole(&mut response, request.path(), read.warnings.len() as u64);
    Ok(array(response, &read.warnings, |warning, out| view::warning(warning).write(out)))
}

/// The JSON Schema of rule files, for editors.
#[utoipa::path(
    get,
    path = "/api/automation/schema.json",
    tag = "automation",
    responses((status = 200, description = "A JSON Schema", body = Object, content_type = "application/schema+json"))
)]
pub async fn get_schema(params: Params) -> Result<HttpResponse, ApiError> {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string_pretty(&file::schema()).unwrap_or_default());
    params.finish()?;
    Ok(HttpResponse::Ok().content_type("application/schema+json").body(TEXT.as_str()))
}

/// Checks the text of a rule file, YAML or JSON, beside the rules that run, and runs its tests. Nothing is changed.
#[utoipa::path(
    post,
    path = "/api/automation/check",
    tag = "automation",
    request_body(content = String, description = "The text of a rule file", content_type = "application/yaml"),
    responses((status = 200, body = Checked), (status = 413, body = Problem))
)]
pub async fn check_file(
    params: Params,
    TextBody(text): TextBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let running = super::read(&access).await?.rules;
    let secrets = access.settings().secrets.clone();
    let parsed = actix_web::web::block(move || {
        RuleFile::parse_with(&text, &RuleOrigin::File("check".into()), &secrets).map(|file| {
            let tests = run_tests(&file);
            (file, tests)
        })
    });
    let (file, tests) = match parsed.await.map_err(|_| ApiError::from(HubError::ShuttingDown))? {
        Ok(checked) => checked,
        Err(problems) => {
            let checked = Checked { ok: false, problems: errors(&problems), ..Checked::default() };
            return Ok(reply::json(StatusCode::OK, &checked));
        }
    };
    let mut rules: Vec<&Rule> = file.rules.iter().collect();
    let own: HashSet<_> = rules.iter().map(|rule| rule.id.clone()).collect();
    rules.extend(running.iter().map(|stands| &*stands.rule).filter(|rule| !own.contains(&rule.id)));
    let warnings = warnings(&access, &rules).await?;
    let checked = Checked {
        ok: true,
        rules: file.rules.iter().map(|rule| rule.id.to_string()).collect(),
        warnings: warnings
            .iter()
            .filter(|warning| warning.rules.iter().any(|rule| own.contains(rule)))
            .map(WarningItem::of)
            .collect(),
        tests,
        ..Checked::default()
    };
    Ok(reply::json(StatusCode::OK, &checked))
}

/// The warnings about these rules, against the known devices and groups.
async fn warnings(access: &Access, rules: &[&Rule]) -> Result<Vec<analysis::Warning>, ApiError> {
    // First every name that it asks for, then the answer.
    let asked = std::cell::RefCell::new(HashSet::new());
    let _ = analysis::analyse(
        rules,
        &|id| {
            asked.borrow_mut().insert(id.to_owned());
            true
        },
        &|_| true,
    );
    let ids = asked.into_inner().iter().filter_map(|id| DeviceId::parse(id).ok()).collect();
    let known = access.ask(LoadTwins(ids)).await??;
    let known: HashSet<_> = known.iter().map(|twin| twin.id.as_str()).collect();
    let tree = access.tree();
    Ok(analysis::analyse(rules, &|id| known.contains(id), &|id| tree.contains(id)))
}

fn run_tests(file: &RuleFile) -> Vec<CheckedTest> {
    let mut told = Vec::new();
    for (index, rule) in file.rules.iter().enumerate() {
        let tests: Vec<_> = file.tests.iter().filter(|(of, _)| *of == index).map(|(_, test)| test).collect();
        if tests.is_empty() {
            continue;
        }
        let verdicts = scenario::run(&file.rules, index, &tests, tests_begin());
        told.extend(verdicts.into_iter().map(|verdict| CheckedTest {
            rule: rule.id.to_string(),
            name: verdict.name,
            passed: verdict.failure.is_none(),
            failure: verdict.failure,
            failed_actions: verdict.failed_actions,
        }));
    }
    told
}

fn errors(problems: &[RuleProblem]) -> Vec<RuleError> {
    problems.iter().map(RuleError::of).collect()
}

impl WarningItem {
    fn of(warning: &analysis::Warning) -> Self {
        Self {
            code: warning.code,
            rules: warning.rules.iter().map(ToString::to_string).collect(),
            message: warning.message.clone(),
        }
    }
}
