//! `GET /stream/dispositivos`: each device, whole, whenever it has changed; as server-sent events, over the
//! same subscription as `/api/events`.

mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_actors::counters::add;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_domain::{DeviceId, Recorded, Twin};
use twinhub_mqtt::dialects::dispositivos::Moment;

use super::device;
use super::failed::Failed;
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::live::subscription::{Ended, Filter, Gone, Outlet, Subscriptions, Told};
use watch::Watch;

/// After so long a silence a ping says that the line still stands.
const PING_AFTER: Duration = Duration::from_secs(25);
/// Chunks between the subscription and the connection; a chunk holds what one batch brought.
const ROOM: usize = 8;
/// Devices in a chunk at most.
const CHUNK: usize = 32;
/// The wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_millis(500);

const HELLO: Bytes = Bytes::from_static(b"event: hello\ndata: {}\n\n");
const PING: Bytes = Bytes::from_static(b"event: ping\ndata: {}\n\n");

/// What one client's stream is made of.
struct Stream {
    hub: Grant,
    closing: Receiver<bool>,
    ping_after: Duration,
}

pub async fn stream(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, Failed> {
    let session = access.state.connections.hold(&request)?;
    let subscriptions = subscribe(&access, None).await?;
    // Whose the serial number is, is asked after that: what changes from now on, the events say.
    let watch = Watch::new(&access, params.text("serial")?, params.text("reclamado")?).await?;
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let stream = Stream { hub: access.grant(), closing: access.state.closing(), ping_after: PING_AFTER };
    actix_rt::spawn(async move {
        let _ = stream.pump(subscriptions, &outlet, watch).await; // it ends when the client has gone
    });
    let body = stream::unfold(chunks, async |mut chunks| {
        Some((Ok::<_, actix_web::Error>(chunks.recv().await?), chunks))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8") // clients that are not told take it for Latin-1
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

/// Subscribes to what changes devices, after the event `since` or from now on.
async fn subscribe(hub: &Grant, since: Option<u64>) -> Result<Subscriptions, ApiError> {
    let Ok(mut subscriptions) = Subscriptions::open(hub).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    let filter = Filter::new(None, Some(&["twin".into()]))?;
    let _ = subscriptions.subscribe("dispositivos", filter, since, false); // the first is never one too many
    Ok(subscriptions)
}

impl Stream {
    async fn pump(
        mut self,
        mut subscriptions: Subscriptions,
        outlet: &Outlet<Bytes>,
        mut watch: Watch,
    ) -> Result<(), Gone> {
        let Self { hub, closing, ping_after } = &mut self;
        let ping_after = *ping_after;
        outlet.send(HELLO).await?;
        let mut silent_until = Instant::now() + ping_after;
        loop {
            let told = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return Ok(()),
                () = outlet.left() => return Err(Gone),
                () = sleep_until(silent_until) => {
                    outlet.offer(PING); // where there is no room, plenty is coming
                    silent_until = Instant::now() + ping_after;
                    continue;
                }
                next = subscriptions.next() => match next {
                    Ok(told) => told,
                    Err(Ended) => return Ok(()),
                },
            };
            let mut changed = Vec::with_capacity(told.len());
            for told in told {
                match told {
                    Told::Event { event, .. } => changed.extend(watch.may_be(&event).then_some(event)),
                    Told::Lagged { resume, .. } => {
                        // These clients know of no place to resume at: it is done for them, and nothing is missed.
                        let Ok(resumed) = subscribe(hub, Some(resume)).await else { return Ok(()) };
                        subscriptions = resumed;
                        break;
                    }
                    Told::Resync { .. } | Told::Snapshot { .. } => {} // what is gone, is gone; the rest comes
                }
            }
            for chunk in changed.chunks(CHUNK) {
                let twins = tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => return Ok(()),
                    () = outlet.left() => return Err(Gone),
                    twins = load(hub, chunk) => twins,
                };
                let Some(twins) = twins else { return Ok(()) };
                let (lines, text) = updates(&twins, chunk, &watch);
                if lines > 0 {
                    add(&hub.counters().frames_out, lines);
                    outlet.send(text.into()).await?;
                    silent_until = Instant::now() + ping_after;
                }
            }
        }
    }
}

/// The twins that these events are of; none when the hub goes down.
async fn load(hub: &Grant, events: &[Arc<Recorded>]) -> Option<HashMap<DeviceId, Twin>> {
    let mut ids: Vec<DeviceId> = events.iter().map(|recorded| recorded.event.device.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    loop {
        match hub.ask(LoadTwins(ids.clone())).await.ok()? {
            Ok(twins) => return Some(twins.into_iter().map(|twin| (twin.id.clone(), twin)).collect()),
            Err(error) => {
                warn!(%error, "reading devices for a stream failed, trying again");
                sleep(RETRY).await;
            }
        }
    }
}

/// A line for each event, with the device as it was after it: its state and parameters are the event's own,
/// however many have come since. Gives how many lines there are.
fn updates(twins: &HashMap<DeviceId, Twin>, events: &[Arc<Recorded>], watch: &Watch) -> (u64, String) {
    let mut text = String::with_capacity(events.len() * 384);
    let mut lines = 0;
    for recorded in events {
        let Some(twin) = twins.get(&recorded.event.device).filter(|twin| watch.is_wanted(twin)) else {
            continue; // removed meanwhile, or not asked for
        };
        let moment = Moment::of(&recorded.event.body);
        let mut device = String::with_capacity(384);
        device::write_update(twin, moment.as_ref(), &mut device);
        text.push_str("data: ");
        text.push_str(&on_one_line(device));
        text.push_str("\n\n");
        lines += 1;
    }
    (lines, text)
}

/// JSON has no line breaks; but there are clients to whom these are some.
fn on_one_line(json: String) -> String {
    if !json.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return json;
    }
    json.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests;
