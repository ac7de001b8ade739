//! The web pages: at `/` a live table of twins, alarms and rules, and those to sign in and to make the first user. They
//! are files that are part of the program.

use actix_web::http::header;
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use twinhub_access::password::PasswordPolicy;
use twinhub_actors::access::Permission;

use crate::api::auth::cookie;
use crate::http::Access;
use crate::http::routes::{Method, Operation};
use crate::http::sign_in::{LOGIN, SET_UP};

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

/// The pages' files, which everybody may have.
const ASSETS: [(&str, &str, &str); 5] = [
    ("/assets/app.js", SCRIPT, include_str!("app.js")),
    ("/assets/rules.js", SCRIPT, include_str!("rules.js")),
    ("/assets/session.js", SCRIPT, include_str!("session.js")),
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
    form(&request, &access).await.body(include_str!("login.html"))
}

async fn get_set_up(request: HttpRequest, access: Access) -> HttpResponse {
    if access.state.directory().has_users() {
        return to(LOGIN);
    }
    let least = PasswordPolicy::new(access.state.is_local_only, false).least().to_string();
    form(&request, &access).await.body(include_str!("setup.html").replace(LEAST, &least))
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
