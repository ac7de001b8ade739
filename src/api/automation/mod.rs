//! `/api/automation`: rules, their runs with the reasons, and backtests.

mod audit;
pub(crate) mod backtest;
mod change;
pub(crate) mod deliveries;
mod files;
pub(crate) mod journal;
mod related_rules;
pub(crate) mod request;
mod rules;
pub(crate) mod run;
pub mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod view;
pub(crate) mod webhook_keys;
mod webhooks;

use actix::dev::ToEnvelope;
use actix::{Context, Handler};
use tokio::sync::oneshot;
use twinhub_actors::HubError;
use twinhub_actors::access::HubRequest;
use twinhub_actors::automation::Automation;
use twinhub_actors::messages::automation::{ReadRules, RuleCaller, RulesRead};
use twinhub_domain::Timestamp;

use crate::http::Access;
use crate::http::problem::ApiError;
use crate::http::routes::routes;

routes! {
    Read: rules::list_rules,
    Automate: change::post_rule,
    Read: rules::get_rule,
    Automate: change::put_rule,
    Automate: change::patch_rule,
    Automate: change::delete_rule,
    Operate: change::enable_rule,
    Operate: change::disable_rule,
    Operate: run::run_rule,
    Read: run::test_rule,
    Read: journal::list_rule_runs,
    Read: journal::get_run,
    Read: journal::list_journal,
    Read: files::list_broken_files,
    Read: files::list_warnings,
    Read: files::get_schema,
    Read: files::check_file,
    Trigger(signed): webhooks::post_webhook,
    Users: webhook_keys::list_webhook_keys,
    Users: webhook_keys::make_webhook_key,
    Users: webhook_keys::revoke_webhook_key,
    Export: backtest::post_backtest,
    Administer: deliveries::list_deliveries,
}

/// The start of the tests in rule files, so that they go the same on every day: Monday, 5 January 2026, 00:00 UTC.
#[must_use]
pub(crate) fn tests_begin() -> Timestamp {
    Timestamp::from_millis(1_767_571_200_000)
}

/// Asks automation, and waits for the answer as long as people are patient.
///
/// # Errors
/// The caller may not, the hub is shutting down, or the store does not take anything in.
pub(crate) async fn ask<M, T>(
    access: &Access,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Result<T, ApiError>
where
    M: HubRequest<Target = Automation>,
    Automation: Handler<M>,
    Context<Automation>: ToEnvelope<Automation, M>,
{
    let (reply, answer) = oneshot::channel();
    access.send(message(reply))?;
    match tokio::time::timeout(access.settings().patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(HubError::ShuttingDown.into()),
        Err(_) => Err(HubError::Unavailable("automation does not answer in time").into()),
    }
}

/// The present rules and files.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn read(access: &Access) -> Result<RulesRead, ApiError> {
    ask(access, |reply| ReadRules { by: RuleCaller::default(), reply }).await
}
