//! Server-sent events, `/api/events` with `Accept: text/event-stream`: one subscription a connection.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use twinhub_actors::HubError;
use utoipa::ToSchema;

use super::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::http::Access;
use crate::http::problem::ApiError;
use crate::live::subscription::{EventFilter, FeedEnded, LiveSubscriptions, Notification, Outlet, in_group};

/// The interval of comments, which keep proxies from closing a quiet stream. The first one comes at once, and opens it.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Chunks between the subscription and the connection; a chunk holds one bundle of events.
pub(crate) const ROOM: usize = 8;
/// Events in a chunk at most.
pub(crate) const CHUNK: usize = 32;

/// Opens a stream of the events that `filter` takes, of `group` alone where it names one, after `since` or from now on.
///
/// # Errors
/// There is no such group, no room, or the hub is shutting down.
pub async fn open(
    request: &HttpRequest,
    access: Access,
    mut filter: EventFilter,
    group: Option<String>,
    since: Option<u64>,
) -> Result<HttpResponse, ApiError> {
    let session = access.state.connections.hold(request)?;
    let Ok(mut subscriptions) = LiveSubscriptions::open(&access).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    if let Some(group) = group {
        filter = in_group(&access, filter, &group, subscriptions.seq()).await?;
    }
    // The first of a session is never too many, nor is its id taken.
    let begun = subscriptions.subscribe("sse", filter, since, false).ok();
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let first = begun.and_then(|(_, first)| first);
    let (closing, lost) = (access.state.closing(), access.live_rights(request).lost());
    actix_rt::spawn(async move {
        // It ends when the client has left.
        let _ = pump::run(EventStream, outlet, subscriptions, first, closing, lost).await;
    });
    Ok(respond("text/event-stream", "no-store", chunks))
}

/// A response that streams `chunks` of events as they come.
pub(crate) fn respond(
    content_type: &'static str,
    cache_control: &'static str,
    chunks: mpsc::Receiver<Bytes>,
) -> HttpResponse {
    let body = stream::unfold(chunks, async |mut chunks| {
        Some((Ok::<_, actix_web::Error>(chunks.recv().await?), chunks))
    });
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, cache_control))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body)
}

/// Events as server-sent events, each with its place as `id`.
struct EventStream;

impl Transport for EventStream {
    type Item = Bytes;
    type Request = Infallible;

    const BUNDLE: usize = CHUNK;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::Every(PING_EVERY)
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Bytes>>, FeedEnded> {
        let mut text = String::with_capacity(notifications.size_hint().0 * 256);
        let mut count = 0;
        for notification in notifications {
            write(&mut text, &notification);
            count += 1;
        }
        Ok(Some(CountedFrames { count, item: text.into() }))
    }

    fn ping(&mut self) -> Option<Bytes> {
        Some(Bytes::from_static(b": ping\n\n"))
    }

    async fn answer(&mut self, request: Infallible, _: &mut LiveSubscriptions) -> TransportReply<Bytes> {
        match request {}
    }
}

/// The data of a `lagged` message: the client is too slow, and events were skipped.
#[derive(Serialize, ToSchema)]
pub(super) struct LaggedData {
    /// The number of skipped events.
    missed: u64,
    /// A stream since this place brings them.
    resume: u64,
}

/// The data of a `resync` message: the past asked for is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct ResyncData {
    /// Later events come after this place.
    seq: u64,
}

fn write(out: &mut String, notification: &Notification) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail. JSON text has no line breaks, so each `data` is one line.
    let _ = match notification {
        Notification::Event { event, .. } => write!(
            out,
            "id: {}\nevent: {}\ndata: {{{}}}\n\n",
            event.seq,
            event.event.kind().as_str(),
            event.json_members()
        ),
        &Notification::Lagged { missed, resume } => {
            write!(out, "event: lagged\ndata: {}\n\n", text_of(&LaggedData { missed, resume }))
        }
        &Notification::Resync { seq, .. } => {
            write!(out, "id: {seq}\nevent: resync\ndata: {}\n\n", text_of(&ResyncData { seq }))
        }
        Notification::Snapshot { .. } => Ok(()), // never asked for here
    };
}

fn text_of(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default() // numbers: JSON can write them all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_domain::event::EventBody;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, Recorded, Status, Timestamp};

    use super::*;
    use crate::live::subscription::SubscriptionSlots;

    #[test]
    fn event_carries_its_place() {
        let at = Timestamp::from_millis(0);
        let event = Event {
            device: DeviceId::parse("pump-1").unwrap(),
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body: EventBody::Presence { status: Status::Online, reason: "heard\n".into() },
            cause: Cause::hub(),
        };
        let mut out = String::new();
        write(
            &mut out,
            &Notification::Event {
                slots: SubscriptionSlots::one(0),
                event: Arc::new(Recorded::new(7, event)),
            },
        );
        assert!(out.starts_with("id: 7\nevent: presence\ndata: {\"seq\":7,"), "{out}");
        assert!(out.ends_with("}\n\n"));
        assert_eq!(out.lines().count(), 4, "the reason's line break is escaped");
    }

    #[test]
    fn gaps_name_the_place_to_resume() {
        let written = |notification| {
            let mut out = String::new();
            write(&mut out, &notification);
            out
        };
        assert_eq!(
            written(Notification::Lagged { missed: 17, resume: 1240 }),
            "event: lagged\ndata: {\"missed\":17,\"resume\":1240}\n\n"
        );
        assert_eq!(
            written(Notification::Resync { slots: SubscriptionSlots::one(0), seq: 5 }),
            "id: 5\nevent: resync\ndata: {\"seq\":5}\n\n"
        );
    }
}
