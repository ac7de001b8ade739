//! The access of a handler: the state, and its caller's grant.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use twinhub_actors::access::Grant;

use crate::http::problem::ApiError;
use crate::state::WebState;

/// The state, and the caller's grant, which is the only way to the hub.
#[derive(Clone)]
pub struct Access {
    pub state: Data<WebState>,
    grant: Grant,
}

impl Access {
    /// The grant alone.
    #[must_use]
    pub fn grant(&self) -> Grant {
        self.grant.clone()
    }
}

impl Deref for Access {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.grant
    }
}

impl FromRequest for Access {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    /// The grant is the one that the request was let in by, so only handlers of the table of routes have one.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let grant = request.extensions().get::<Grant>().cloned();
        let state = request.app_data::<Data<WebState>>().cloned();
        ready(match (state, grant) {
            (Some(state), Some(grant)) => Ok(Self { state, grant }),
            _ => Err(ApiError::NoGrant),
        })
    }
}
