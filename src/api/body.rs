//! What requests bring along: the body as an object, and the device that the path names.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError as Broken;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use twinhub_actors::domain::{DeviceId, Object, payload};

use crate::error::ApiError;
use crate::web::WebState;

/// A body must have arrived within this time.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// A JSON object from the request's body. The content type does not matter.
#[derive(Debug)]
pub struct Body(pub Object);

/// The device that the path names; its id is well formed.
#[derive(Debug)]
pub struct Device(pub DeviceId);

impl FromRequest for Body {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request.app_data::<Data<WebState>>().map_or(0, |state| state.body_limit);
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            let bytes = tokio::time::timeout(BODY_WITHIN, bytes).await.map_err(|_| ApiError::SlowBody)?;
            let bytes = bytes.map_err(|error| match error.as_error::<Broken>() {
                Some(Broken::Overflow) => ApiError::TooLarge { limit },
                _ => ApiError::Body(error.to_string()),
            })?;
            Ok(Self(payload::object(&bytes)?))
        })
    }
}

impl FromRequest for Device {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let id = Path::<String>::from_request(request, payload).into_inner();
        std::future::ready(match id {
            Ok(id) => DeviceId::parse(&id).map(Self).map_err(ApiError::from),
            Err(_) => Err(ApiError::NoRoute(request.path().to_owned())),
        })
    }
}
