//! Server-sent events, `/api/events` with `Accept: text/event-stream`: one subscription a connection.

use std::fmt;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use twinhub_actors::HubError;
use utoipa::ToSchema;

use super::bundle::{BundlePace, EventBundle};
use super::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::api::events::schema::EventItem;
use crate::http::Access;
use crate::http::cursor::{CallerCursors, GivenCursor};
use crate::http::problem::ApiError;
use crate::live::subscription::{
    EventFilter, FeedEnded, LiveSubscriptions, Notification, Outlet, SubscriberGone, in_group,
};

/// The interval of comments, which keep proxies from closing a quiet stream. The first one comes at once, and opens it.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Chunks between the subscription and the connection; a chunk holds one bundle of events.
pub(crate) const ROOM: usize = 8;
/// Events in a chunk at most, where more is to be known of each than the event.
pub(crate) const CHUNK: usize = 32;
/// Notifications in a chunk at most.
const BUNDLE: usize = 256;
/// Bytes of a chunk, but for its last event.
const MOST_BYTES: usize = 64 * 1024;

/// A stream as it was asked for: the events that `filter` takes, of `group` alone where it names one, after `since` or from
/// now on, in bundles where it names a pace.
pub(crate) struct StreamRequest {
    pub filter: EventFilter,
    pub group: Option<String>,
    pub since: Option<GivenCursor>,
    pub pace: Option<BundlePace>,
}

/// Opens a stream.
///
/// # Errors
/// There is no such group, no room, or the hub is shutting down.
pub(crate) async fn open(
    request: &HttpRequest,
    access: Access,
    StreamRequest { mut filter, group, since, pace }: StreamRequest,
) -> Result<HttpResponse, ApiError> {
    let cursors = access.cursors();
    let session = access.state.connections.hold(request)?;
    let Ok(mut subscriptions) = LiveSubscriptions::open(&access).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    if let Some(group) = group {
        filter = in_group(&access, filter, &group, subscriptions.seq()).await?;
    }
    // The first of a session is never too many, nor is its id taken.
    let begun = subscriptions.subscribe("sse", filter, cursors.resume(since.as_ref()), false).ok();
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let first = begun.and_then(|(_, first)| first);
    let (closing, lost) = (access.state.closing(), access.live_rights(request).lost());
    let stream = EventStream::new(cursors, pace);
    actix_rt::spawn(async move {
        // It ends when the client has left.
        let _ = pump::run(stream, outlet, subscriptions, first, closing, lost).await;
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

/// Events as server-sent events, each with its cursor as `id`, or in bundles with that of the last.
struct EventStream {
    cursors: CallerCursors,
    bundle: Option<EventBundle>,
    text: String,
    count: u64,
}

/// It is time for a bundle.
struct BundleDue;

impl Transport for EventStream {
    type Item = Bytes;
    type Request = BundleDue;

    const BUNDLE: usize = BUNDLE;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::Every(PING_EVERY)
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Bytes>>, FeedEnded> {
        let now = Instant::now();
        for notification in notifications {
            self.add(notification, now);
            if self.text.len() >= MOST_BYTES {
                break; // the rest is the next chunk's
            }
        }
        self.add_bundle(|bundle| bundle.due().is_some_and(|due| due <= now), now);
        Ok(self.written())
    }

    fn ping(&mut self) -> Option<Bytes> {
        Some(Bytes::from_static(b": ping\n\n"))
    }

    async fn request(&mut self, outlet: &Outlet<Bytes>) -> Result<BundleDue, SubscriberGone> {
        let due = async {
            match self.bundle.as_ref().and_then(EventBundle::due) {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = outlet.left() => Err(SubscriberGone),
            () = due => Ok(BundleDue),
        }
    }

    async fn answer(&mut self, BundleDue: BundleDue, _: &mut LiveSubscriptions) -> TransportReply<Bytes> {
        self.add_bundle(|_| true, Instant::now());
        TransportReply { frames: self.written(), notifications: Vec::new() }
    }
}

impl EventStream {
    fn new(cursors: CallerCursors, pace: Option<BundlePace>) -> Self {
        let bundle = pace.map(|pace| EventBundle::new(pace, Instant::now()));
        Self { cursors, bundle, text: String::new(), count: 0 }
    }

    fn add(&mut self, notification: Notification, now: Instant) {
        match notification {
            Notification::Event { event, .. } => match &mut self.bundle {
                Some(bundle) => {
                    if bundle.push(event) {
                        self.add_bundle(|_| true, now);
                    }
                }
                None => {
                    let (kind, members) = (event.event.kind().as_str(), self.cursors.members(&event));
                    self.put(Some(event.seq), kind, format_args!("{{{members}}}"));
                }
            },
            Notification::Lagged { missed, resume } => {
                self.add_bundle(|_| true, now); // what came before is told before
                let (cursor, missed) = (self.cursors.cursor(resume), self.cursors.seq(missed));
                let data = LaggedData { missed, resume: self.cursors.seq(resume), cursor };
                self.put(None, "lagged", format_args!("{}", text_of(&data)));
            }
            Notification::Resync { seq, .. } => {
                self.add_bundle(|_| true, now);
                let data = ResyncData { seq: self.cursors.seq(seq), cursor: self.cursors.cursor(seq) };
                self.put(Some(seq), "resync", format_args!("{}", text_of(&data)));
            }
            Notification::Snapshot { .. } => {} // never asked for here
        }
    }

    /// Writes the bundle, where there is one and it is `meant`.
    fn add_bundle(&mut self, meant: impl Fn(&EventBundle) -> bool, now: Instant) {
        let Some(bundle) = self.bundle.as_mut().filter(|bundle| meant(bundle)) else { return };
        let events = bundle.take(now);
        let Some(last) = events.last() else { return };
        let mut data = String::new();
        self.cursors.write_events(&mut data, &events);
        self.put(Some(last.seq), "events", format_args!("{{\"events\":{data}}}"));
    }

    /// Writes a message. JSON text has no line breaks, so `data` is one line.
    fn put(&mut self, id: Option<u64>, event: &str, data: fmt::Arguments<'_>) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        if let Some(id) = id {
            let _ = writeln!(self.text, "id: {}", self.cursors.cursor(id));
        }
        let _ = write!(self.text, "event: {event}\ndata: {data}\n\n");
        self.count += 1;
    }

    /// The messages that were written; none where there are none.
    fn written(&mut self) -> Option<CountedFrames<Bytes>> {
        let (count, text) = (std::mem::take(&mut self.count), std::mem::take(&mut self.text));
        (count > 0).then(|| CountedFrames { count, item: text.into() })
    }
}

/// The data of a `lagged` message: the client is too slow, and events were skipped.
#[derive(Serialize, ToSchema)]
pub(super) struct LaggedData {
    /// The number of skipped events, those of others included; for callers who see all devices, as `resume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    missed: Option<u64>,
    /// The place of `cursor` as a number, as earlier versions knew it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    resume: Option<u64>,
    /// A stream since this place brings them.
    cursor: String,
}

/// The data of an `events` message: a bundle, in the order of the sequence.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made: all readers of an event share its text")]
pub(super) struct EventsData {
    /// Each without a `cursor` of its own: the message's `id` is that of the last.
    events: Vec<EventItem>,
}

/// The data of a `resync` message: the past asked for is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct ResyncData {
    /// Later events come after this place; for callers who see all devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seq: Option<u64>,
    /// The same as text.
    cursor: String,
}

fn text_of(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default() // numbers: JSON can write them all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_domain::event::EventBody;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, Recorded, Status, Timestamp};
    use twinhub_store::seal::Seal;

    use super::*;
    use crate::live::subscription::SubscriptionSlots;

    fn stream(is_confined: bool, pace: Option<BundlePace>) -> EventStream {
        EventStream::new(CallerCursors::new(Arc::new(Seal::new(&[1; 32])), is_confined), pace)
    }

    fn event(seq: u64) -> Notification {
        let at = Timestamp::from_millis(0);
        let event = Event {
            device: DeviceId::parse("pump-1").unwrap(),
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body: EventBody::Presence { status: Status::Online, reason: "heard\n".into() },
            cause: Cause::hub(),
        };
        Notification::Event { slots: SubscriptionSlots::one(0), event: Arc::new(Recorded::new(seq, event)) }
    }

    fn written(stream: &mut EventStream, notification: Notification) -> String {
        stream.add(notification, Instant::now());
        let text = stream.written().map_or_else(Bytes::new, |frames| frames.item);
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn event_carries_its_cursor() {
        let out = written(&mut stream(false, None), event(7));
        assert!(out.starts_with("id: AQc\nevent: presence\ndata: {\"seq\":7,\"kind\":"), "{out}");
        assert!(out.ends_with("}\n\n"));
        assert_eq!(out.lines().count(), 4, "the reason's line break is escaped");
        let out = written(&mut stream(true, None), event(7));
        assert!(out.starts_with("id: A") && out.contains("\ndata: {\"kind\":\"presence\","), "{out}");
    }

    #[test]
    fn gaps_name_the_place_to_resume() {
        let lagged = || Notification::Lagged { missed: 17, resume: 1240 };
        let resync = || Notification::Resync { slots: SubscriptionSlots::one(0), seq: 5 };
        assert_eq!(
            written(&mut stream(false, None), lagged()),
            "event: lagged\ndata: {\"missed\":17,\"resume\":1240,\"cursor\":\"AdgJ\"}\n\n"
        );
        assert_eq!(
            written(&mut stream(false, None), resync()),
            "id: AQU\nevent: resync\ndata: {\"seq\":5,\"cursor\":\"AQU\"}\n\n"
        );
        for (notification, begin) in [(lagged(), "event: lagged\ndata: {\"cursor\":\"A"), (resync(), "id: A")]
        {
            let out = written(&mut stream(true, None), notification);
            assert!(out.starts_with(begin) && !out.contains("seq") && !out.contains("missed"), "{out}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bundle_has_the_cursor_of_its_last_event() {
        let pace = BundlePace::asked(Some(1_000), None).unwrap();
        let mut stream = stream(false, pace);
        assert_eq!(written(&mut stream, event(7)), "");
        assert_eq!(written(&mut stream, event(8)), "");
        let out = written(&mut stream, Notification::Lagged { missed: 1, resume: 8 });
        assert!(out.starts_with("id: AQg\nevent: events\ndata: {\"events\":[{\"seq\":7,"), "{out}");
        assert!(out.contains("},{\"seq\":8,") && out.contains("}]}\n\nevent: lagged\n"), "{out}");
    }
}
