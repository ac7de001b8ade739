//! The web page at `/`: a live table of twins, alarms and rules, in four files that are part of the program.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web;
use twinhub_actors::access::Permission;

use crate::http::routes::{Method, Operation};

/// Everything comes from here; nothing is run or styled that is not in our files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's files.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/assets/rules.js", "text/javascript; charset=utf-8", include_str!("rules.js")),
    ("/assets/style.css", "text/css; charset=utf-8", include_str!("style.css")),
];

/// The page's routes.
pub(crate) fn operations() -> Vec<Operation> {
    let serve = |(path, content_type, text): (&'static str, &'static str, &'static str)| {
        let answer = move || async move {
            HttpResponse::Ok()
                .content_type(content_type)
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        Operation::plain(Permission::Public, Method::Get, path, move || web::to(answer))
    };
    FILES.into_iter().map(serve).collect()
}
