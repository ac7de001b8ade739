//! `/api/automation`: rules, what they did and did not do and why, and what they would have done.

pub(crate) mod backtest;
mod change;
mod files;
mod journal;
mod mentions;
mod rules;
pub(crate) mod run;
#[cfg(test)]
mod tests;
pub(crate) mod view;
mod webhooks;

use actix::dev::ToEnvelope;
use actix::{Context, Handler, Message};
use actix_web::web::{self, ServiceConfig};
use tokio::sync::oneshot;
use twinhub_actors::HubError;
use twinhub_actors::automation::Automation;
use twinhub_actors::messages::automation::{ReadRules, RulesRead};
use twinhub_actors::post::post;
use twinhub_domain::Timestamp;
use utoipa::OpenApi;

use super::{get, resource};
use crate::error::ApiError;
use crate::web::WebState;

/// The part of the description that is about rules.
#[derive(OpenApi)]
#[openapi(paths(
    rules::list_rules,
    rules::get_rule,
    change::post_rule,
    change::put_rule,
    change::patch_rule,
    change::delete_rule,
    change::enable_rule,
    change::disable_rule,
    run::run_rule,
    run::test_rule,
    journal::list_rule_runs,
    journal::get_run,
    journal::list_journal,
    files::list_broken_files,
    files::list_warnings,
    files::get_schema,
    files::check_file,
    webhooks::post_webhook,
    backtest::post_backtest,
))]
pub(super) struct Description;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(
            resource("/api/automation/rules", "GET, HEAD, POST")
                .route(get().to(rules::list_rules))
                .route(web::post().to(change::post_rule)),
        )
        .service(
            resource("/api/automation/rules/{id}", "GET, HEAD, PUT, PATCH, DELETE")
                .route(get().to(rules::get_rule))
                .route(web::put().to(change::put_rule))
                .route(web::patch().to(change::patch_rule))
                .route(web::delete().to(change::delete_rule)),
        )
        .service(
            resource("/api/automation/rules/{id}/enable", "POST").route(web::post().to(change::enable_rule)),
        )
        .service(
            resource("/api/automation/rules/{id}/disable", "POST")
                .route(web::post().to(change::disable_rule)),
        )
        .service(resource("/api/automation/rules/{id}/run", "POST").route(web::post().to(run::run_rule)))
        .service(resource("/api/automation/rules/{id}/test", "POST").route(web::post().to(run::test_rule)))
        .service(
            resource("/api/automation/rules/{id}/runs", "GET, HEAD").route(get().to(journal::list_rule_runs)),
        )
        .service(resource("/api/automation/runs/{run}", "GET, HEAD").route(get().to(journal::get_run)))
        .service(resource("/api/automation/journal", "GET, HEAD").route(get().to(journal::list_journal)))
        .service(resource("/api/automation/files", "GET, HEAD").route(get().to(files::list_broken_files)))
        .service(resource("/api/automation/warnings", "GET, HEAD").route(get().to(files::list_warnings)))
        .service(resource("/api/automation/schema.json", "GET, HEAD").route(get().to(files::get_schema)))
        .service(resource("/api/automation/check", "POST").route(web::post().to(files::check_file)))
        .service(
            resource("/api/automation/webhooks/{name}", "POST").route(web::post().to(webhooks::post_webhook)),
        )
        .service(resource("/api/automation/backtest", "POST").route(web::post().to(backtest::post_backtest)));
}

/// When the tests in rule files begin, so that they go the same on every day: Monday, 5 January 2026, 00:00 UTC.
#[must_use]
pub(crate) fn tests_begin() -> Timestamp {
    Timestamp::from_millis(1_767_571_200_000)
}

/// Asks automation, and waits for the answer as long as people are patient.
///
/// # Errors
/// The hub is going down, or the store does not take anything in.
pub(crate) async fn ask<M, T>(
    state: &WebState,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Result<T, ApiError>
where
    M: Message<Result = ()> + Send + 'static,
    Automation: Handler<M>,
    Context<Automation>: ToEnvelope<Automation, M>,
{
    let (reply, answer) = oneshot::channel();
    post(&state.hub.automation, message(reply)).map_err(|_| going_down())?;
    match tokio::time::timeout(state.hub.settings.patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(going_down()),
        Err(_) => Err(ApiError::Hub(HubError::Unavailable("automation does not answer in time"))),
    }
}

/// The rules and the files as they stand.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn read(state: &WebState) -> Result<RulesRead, ApiError> {
    ask(state, |reply| ReadRules { reply }).await
}

fn going_down() -> ApiError {
    ApiError::Mailbox(actix::MailboxError::Closed)
}
