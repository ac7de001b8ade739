//! Responses that are still being sent: their connections are not idle, as long as their clients take them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;

use super::connections::{HttpConnection, ResponseInProgress};

/// A body of fewer bytes is sent at once, into the buffers of the system.
const AT_ONCE: u64 = 16 << 10;

/// `body`, by which `connection` is not idle until it is sent.
pub(super) fn watched(body: BoxBody, connection: &Arc<HttpConnection>) -> BoxBody {
    match body.size() {
        BodySize::None => body,
        BodySize::Sized(length) if length < AT_ONCE => body,
        _ => BoxBody::new(GuardedBody { body, _sending: connection.send() }),
    }
}

/// The body is not turned into bytes, which would drop its guards.
struct GuardedBody {
    body: BoxBody,
    _sending: ResponseInProgress,
}

impl MessageBody for GuardedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.get_mut().body.as_pin_mut().poll_next(cx)
    }
}
