//! Server-sent events, `/api/events` for who asks for `text/event-stream`: the same engine as WebSocket,
//! one subscription a connection.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use tokio::time::MissedTickBehavior;
use twinhub_actors::HubError;
use twinhub_actors::counters::add;

use crate::http::Access;
use crate::http::problem::ApiError;
use crate::live::subscription::{Ended, Filter, Gone, Outlet, Subscriptions, Told, in_group};

/// How often a comment keeps proxies from closing a quiet stream.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Chunks between the subscription and the connection; a chunk holds what one batch brought.
const ROOM: usize = 8;
/// Events in a chunk at most.
const CHUNK: usize = 32;

/// Opens a stream of the events that `filter` takes, of `group` alone where it names one, after `since` or from now on.
///
/// # Errors
/// There is no such group, no room, or the hub is going down.
pub async fn open(
    request: &HttpRequest,
    access: Access,
    mut filter: Filter,
    group: Option<String>,
    since: Option<u64>,
) -> Result<HttpResponse, ApiError> {
    let session = access.state.connections.hold(request)?;
    let Ok(mut subscriptions) = Subscriptions::open(&access).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    if let Some(group) = group {
        filter = in_group(&access, filter, &group, subscriptions.seq()).await?;
    }
    // The first of a session is never too many, nor is its id taken.
    let begun = subscriptions.subscribe("sse", filter, since, false).ok();
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let first = begun.and_then(|(_, told)| told);
    actix_rt::spawn(async move {
        let _ = pump(&access, subscriptions, &outlet, first).await; // it ends when the client has gone
    });
    let body = stream::unfold(chunks, async |mut chunks| {
        Some((Ok::<_, actix_web::Error>(chunks.recv().await?), chunks))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

async fn pump(
    access: &Access,
    mut subscriptions: Subscriptions,
    outlet: &Outlet<Bytes>,
    first: Option<Told>,
) -> Result<(), Gone> {
    let mut closing = access.state.closing();
    let mut tick = tokio::time::interval(PING_EVERY); // the first comment comes at once, and opens the stream
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Vec<Told> = first.into_iter().collect();
    loop {
        for chunk in told.chunks(CHUNK) {
            add(&access.counters().frames_out, chunk.len() as u64);
            let mut text = String::with_capacity(chunk.len() * 256);
            chunk.iter().for_each(|told| write(&mut text, told));
            outlet.send(text.into()).await?;
        }
        told.clear();
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return Ok(()),
            () = outlet.left() => return Err(Gone),
            _ = tick.tick() => {
                outlet.offer(Bytes::from_static(b": ping\n\n")); // where there is no room, plenty is coming
            }
            next = subscriptions.next() => match next {
                Ok(next) => told = next,
                Err(Ended) => return Ok(()),
            },
        }
    }
}

fn write(out: &mut String, told: &Told) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail. JSON text has no line breaks, so each `data` is one line.
    let _ = match told {
        Told::Event { event, .. } => write!(
            out,
            "id: {}\nevent: {}\ndata: {{{}}}\n\n",
            event.seq,
            event.event.kind().as_str(),
            event.json_members()
        ),
        Told::Lagged { missed, resume } => {
            write!(out, "event: lagged\ndata: {{\"missed\":{missed},\"resume\":{resume}}}\n\n")
        }
        Told::Resync { seq, .. } => write!(out, "id: {seq}\nevent: resync\ndata: {{\"seq\":{seq}}}\n\n"),
        Told::Snapshot { .. } => Ok(()), // never asked for here
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_domain::event::EventBody;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, Recorded, Status, Timestamp};

    use super::*;
    use crate::live::subscription::Slots;

    #[test]
    fn an_event_carries_its_place() {
        let at = Timestamp::from_millis(0);
        let event = Event {
            device: DeviceId::parse("pump-1").unwrap(),
            number: DeviceNumber(1),
            at,
            received_at: at,
            body: EventBody::Presence { status: Status::Online, reason: "heard\n".into() },
            cause: Cause::hub(),
        };
        let mut out = String::new();
        write(&mut out, &Told::Event { slots: Slots::one(0), event: Arc::new(Recorded::new(7, event)) });
        assert!(out.starts_with("id: 7\nevent: presence\ndata: {\"seq\":7,"), "{out}");
        assert!(out.ends_with("}\n\n"));
        assert_eq!(out.lines().count(), 4, "the reason's line break is escaped");
    }
}
