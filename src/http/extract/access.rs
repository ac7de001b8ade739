//! The access of a handler: the state, and its caller's grant.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use twinhub_actors::access::Grant;

use crate::http::LiveRights;
use crate::http::admission::{CallerAdmission, Holder};
use crate::http::cursor::CallerCursors;
use crate::http::problem::ApiError;
use crate::state::WebState;

/// The state, and the caller's grant, which is the only way to the hub.
#[derive(Clone)]
pub struct Access {
    pub state: Data<WebState>,
    admission: CallerAdmission,
}

impl Access {
    /// The access of a caller who was let in.
    #[must_use]
    pub fn new(state: Data<WebState>, admission: CallerAdmission) -> Self {
        Self { state, admission }
    }

    /// The grant alone.
    #[must_use]
    pub fn grant(&self) -> Grant {
        self.admission.grant.clone()
    }

    /// The holder of the grant.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.admission.holder
    }

    /// The cursors that the caller gets and hands back.
    #[must_use]
    pub fn cursors(&self) -> CallerCursors {
        CallerCursors::new(Arc::clone(&self.state.seal), !self.reaches_everywhere())
    }

    /// The rights of a live session that `request` opens.
    #[must_use]
    pub fn live_rights(&self, request: &HttpRequest) -> LiveRights {
        LiveRights::of(self.state.clone(), self.admission.holder.clone(), request)
    }
}

impl Deref for Access {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.admission.grant
    }
}

impl FromRequest for Access {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    /// The grant is the one that the request was let in by, so only handlers of the table of routes have one.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admission = request.extensions().get::<CallerAdmission>().cloned();
        let state = request.app_data::<Data<WebState>>().cloned();
        ready(match (state, admission) {
            (Some(state), Some(admission)) => Ok(Self { state, admission }),
            _ => Err(ApiError::NoGrant),
        })
    }
}
