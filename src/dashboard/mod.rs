//! The web pages: at `/` a live table of twins, alarms and rules, and those to sign in and to make the first user. They
//! are files that are part of the program.

use actix_web::http::header;
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use twinhub_access::password::PasswordPolicy;
use twinhub_actors::access::Permission;

use crate::api::auth::{cookie, oidc};
use crate::http::Access;
use crate::http::routes::{Method, Operation};
use crate::http::sign_in::{JOIN, LOGIN, SET_UP, SHARE};

/// Everything comes from here; nothing is run or styled that is not in our files.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The same with a form.
const FORM: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The place in the page for the least length of a password.
const LEAST: &str = "{least}";

/// The place in the page for the way on without signing in.
const WITHOUT: &str = "{without}";
/// The same on the page to make the first user.
const OPEN: &str = r#"<p>Until then <a href="/">the page</a> is open without signing in.</p>"#;
/// The place for the link of single sign-on.
const SIGN_ON: &str = "{sign_on}";
/// That way, where the hub lets everybody in who asks from here.
const GO_ON: &str = r#"<p class="quiet">Here you can also <a href="/">go on without signing in</a>.</p>"#;

/// The pages' files, which everybody may have.
const ASSETS: [(&str, &str, &str); 6] = [
    ("/assets/app.js", SCRIPT, include_str!("app.js")),
    ("/assets/rules.js", SCRIPT, include_str!("rules.js")),
    ("/assets/session.js", SCRIPT, include_str!("session.js")),
    ("/assets/share.js", SCRIPT, include_str!("share.js")),
    ("/assets/sign-in.js", SCRIPT, include_str!("sign-in.js")),
    ("/assets/style.css", "text/css; charset=utf-8", include_str!("style.css")),
];

/// The pages' routes.
pub(crate) fn operations() -> Vec<Operation> {
    let asset = |(path, content_type, text): (&'static str, &'static str, &'static str)| {
        let answer = move || async move { file(content_type, PAGE).body(text) };
        Operation::plain(Permission::Public, Method::Get, path, move || web::to(answer))
    };
    let pages = [
        Operation::plain(Permission::Read, Method::Get, "/", || web::to(get_page)),
        Operation::plain(Permission::Public, Method::Get, LOGIN, || web::to(get_login)),
        Operation::plain(Permission::Public, Method::Get, SET_UP, || web::to(get_set_up)),
        Operation::plain(Permission::Public, Method::Get, JOIN, || web::to(get_join)),
        Operation::plain(Permission::Public, Method::Get, SHARE, || web::to(get_share)),
    ];
    pages.into_iter().chain(ASSETS.into_iter().map(asset)).collect()
}

async fn get_page() -> HttpResponse {
    file(HTML, PAGE).body(include_str!("index.html"))
}

async fn get_login(request: HttpRequest, access: Access) -> HttpResponse {
    if !access.state.directory().has_users() {
        return to(SET_UP);
    }
    let goes_on = if access.state.lets_strangers_read(&request) { GO_ON } else { "" };
    let sign_on = oidc::link(&access.state, request.query_string());
    form(&request, &access)
        .await
        .body(include_str!("login.html").replace(WITHOUT, goes_on).replace(SIGN_ON, &sign_on))
}

async fn get_set_up(request: HttpRequest, access: Access) -> HttpResponse {
    if access.state.directory().has_users() {
        return to(LOGIN);
    }
    let least = PasswordPolicy::new(access.settings().accounts.only_loopback, false).least().to_string();
    let is_open = if access.state.lets_strangers_read(&request) { OPEN } else { "" };
    form(&request, &access)
        .await
        .body(include_str!("setup.html").replace(LEAST, &least).replace(WITHOUT, is_open))
}

async fn get_join(access: Access) -> HttpResponse {
    let least = PasswordPolicy::new(access.settings().accounts.only_loopback, false).least().to_string();
    file(HTML, FORM).body(include_str!("join.html").replace(LEAST, &least))
}

async fn get_share() -> HttpResponse {
    file(HTML, PAGE).body(include_str!("share.html"))
}

/// A page with a form. It takes a session away that counts no more, which is in the way of callers without one, where
/// the hub lets them in.
async fn form(request: &HttpRequest, access: &Access) -> HttpResponseBuilder {
    let mut response = file(HTML, FORM);
    if access.state.admit(request).await.is_err() {
        cookie::take(&mut response, &access.state);
    }
    response
}

fn file(content_type: &str, policy: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::CACHE_CONTROL, "no-cache"));
    response
}

fn to(page: &'static str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, page)).finish()
}
