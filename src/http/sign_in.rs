//! The way to the sign-in page, for people whose browser opens a page that they may not see.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::problem::ApiError;

/// Where people sign in.
pub(crate) const LOGIN: &str = "/login";
/// Where the first user is made.
pub(crate) const SET_UP: &str = "/setup";

/// Where who is invited makes an account.
pub(crate) const JOIN: &str = "/join";
/// Where a share link leads.
pub(crate) const SHARE: &str = "/share";

/// The way there where the caller of a page is refused for want of a credential that counts.
pub(super) fn way(request: &HttpRequest, error: &ApiError) -> Option<HttpResponse> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = request.path() == "/" || request.path() == "/docs" || request.path() == "/docs/";
    let wants_sign_in = matches!(error, ApiError::SignIn(_) | ApiError::Unidentified(_));
    (is_read && is_page && wants_sign_in && reads_html(request)).then(|| to_login(request))
}

/// The way to the page that makes the first user, for people whose browser opens another one before there is any.
pub(super) fn way_to_set_up(request: &HttpRequest, error: &ApiError) -> Option<HttpResponse> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = !request.path().starts_with("/api/");
    (matches!(error, ApiError::NotSetUp) && is_read && is_page && reads_html(request))
        .then(|| HttpResponse::SeeOther().insert_header((header::LOCATION, SET_UP)).finish())
}

/// Is it of the way to the first user, or the hub's word that it is there?
pub(super) fn is_of_set_up(path: &str) -> bool {
    matches!(path, SET_UP | "/api/auth/setup" | "/ca.pem" | "/health" | "/ready")
        || path.starts_with("/assets/")
}

/// Sends a browser to the sign-in page, which leads back to what was asked for.
pub(crate) fn to_login(request: &HttpRequest) -> HttpResponse {
    let asked = request.uri().path_and_query().map_or("/", |asked| asked.as_str());
    let next = utf8_percent_encode(asked, NON_ALPHANUMERIC);
    HttpResponse::SeeOther().insert_header((header::LOCATION, format!("{LOGIN}?next={next}"))).finish()
}

/// Does the caller show pages? Programs are told by the status that they must sign in.
fn reads_html(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use twinhub_actors::access::Permission;

    use super::*;

    #[test]
    fn a_browser_that_opens_a_page_is_sent_to_sign_in_and_back() {
        let check = |method: Method, uri: &str, accepts: &str, expected: Option<&str>| {
            let request = TestRequest::with_uri(uri).method(method).insert_header((header::ACCEPT, accepts));
            let answer = way(&request.to_http_request(), &ApiError::SignIn(Permission::Read));
            let location = answer.as_ref().and_then(|answer| answer.headers().get(header::LOCATION));
            assert_eq!(location.map(|location| location.to_str().unwrap()), expected, "{uri}");
        };
        let html = "text/html,application/xhtml+xml,*/*;q=0.8";
        check(Method::GET, "/", html, Some("/login?next=%2F"));
        check(Method::GET, "/?q=a&b", html, Some("/login?next=%2F%3Fq%3Da%26b"));
        check(Method::GET, "/docs/", html, Some("/login?next=%2Fdocs%2F"));
        check(Method::GET, "/", "*/*", None);
        check(Method::POST, "/", html, None);
        check(Method::GET, "/api/devices", html, None);
        check(Method::GET, "/docs/swagger-ui.css", html, None);
    }
}
