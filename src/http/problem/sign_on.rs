//! Sign-ins at an identity provider that did not come about, as pages with their status codes.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use twinhub_actors::HubError;
use twinhub_actors::messages::accounts::AccountRefusal;

use super::ApiError;
use crate::single_sign_on::SignOnError;

/// The content security policy of the page: our style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The reason why somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignOnProblem {
    #[error(transparent)]
    Provider(#[from] SignOnError),
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl SignOnProblem {
    /// The page that says so, with the way to begin again.
    pub(crate) fn page(&self) -> HttpResponse {
        tracing::info!(error = %self, "a single sign-on did not come about");
        let (status, advice) = self.status_and_advice();
        // Words of the provider's stand in no page but as letters and digits; names of users are in its alphabet.
        let reason = match self {
            Self::Provider(SignOnError::Unreachable(_)) => {
                "The identity provider does not answer.".to_owned()
            }
            Self::Provider(SignOnError::Untrusted(_)) => {
                "The identity provider's answer cannot be trusted.".to_owned()
            }
            reason => format!("Not signed in: {reason}."),
        };
        let reason = crate::api::auth::oidc::escaped(&reason);
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  \
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n  \
             <meta name=\"color-scheme\" content=\"light dark\">\n  <title>Sign in · twinhub</title>\n  \
             <link rel=\"stylesheet\" href=\"/assets/style.css\">\n</head>\n<body class=\"door\">\n  <main>\n    \
             <h1><span class=\"mark\" aria-hidden=\"true\"></span>twinhub</h1>\n    <section class=\"sheet\">\n      \
             <h2>Sign in</h2>\n      <p class=\"error\" role=\"alert\">{reason}</p>\n      <p>{advice}</p>\n      \
             <p><a href=\"/login\">Back to the sign-in page</a></p>\n    </section>\n  </main>\n</body>\n</html>\n"
        );
        HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .body(body)
    }

    fn status_and_advice(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Provider(SignOnError::Unreachable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Try again later. Who has a password here signs in with that meanwhile.",
            ),
            Self::Provider(SignOnError::Stale) => {
                (StatusCode::FORBIDDEN, "Begin again, and stay in this browser, at this address of the hub.")
            }
            Self::Provider(SignOnError::Refused(_)) => {
                (StatusCode::FORBIDDEN, "Begin again, or ask an admin.")
            }
            Self::Provider(SignOnError::Untrusted(_)) => (
                StatusCode::FORBIDDEN,
                "Begin again. If it stays so, an admin finds the reason in the hub's log.",
            ),
            Self::Account(AccountRefusal::NoRights) => (
                StatusCode::FORBIDDEN,
                "Ask an admin: the option oidc-roles names the groups that may sign in, and oidc-groups-claim \
                 where they stand.",
            ),
            Self::Account(AccountRefusal::NameTaken(_)) => (
                StatusCode::FORBIDDEN,
                "That user was made here, and is another person's for all the hub knows. Sign in with its password, or \
                 have an admin remove it.",
            ),
            Self::Account(AccountRefusal::FirstAdmin) => {
                (StatusCode::FORBIDDEN, "There is no user yet, so an admin has to sign in first.")
            }
            Self::Account(refusal) => (ApiError::from(refusal.clone()).status_and_code().0, "Ask an admin."),
            Self::Hub(_) => (StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment."),
        }
    }
}
