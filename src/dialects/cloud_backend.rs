//! The HTTP side of seed 002, the cloud backend on FastAPI: its sign-in by JSON web tokens. Its errors are FastAPI's,
//! `{"detail": …}`.

mod sign_in;

use actix_web::web::{self, ServiceConfig};
use twinhub_actors::access::Permission;

use crate::http::problem::fastapi;
use crate::http::routes::{self, Method, Operation};

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    use Method::{Get, Post};
    use Permission::{Account, Public};
    let all = [
        Operation::plain(Public, Post, "/v1/auth/login", || web::to(sign_in::login)),
        Operation::plain(Account, Get, "/v1/auth/me", || web::to(sign_in::me)),
        Operation::plain(Account, Post, "/v1/auth/refresh", || web::to(sign_in::refresh)),
    ];
    all.into_iter().map(Operation::taking_jwt).collect()
}

/// Serves them. What is refused is refused in this dialect.
pub(super) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), |error| fastapi::answer(&error));
}
