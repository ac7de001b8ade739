//! `GET /stream/dispositivos`: each device, whole, whenever it has changed; as server-sent events, over the
//! same subscription as `/api/events`.

mod client_filter;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::sleep;
use tracing::warn;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_domain::{DeviceId, Recorded, Twin};
use twinhub_mqtt::dialects::dispositivos::DispositivoMoment;

use super::device;
use super::request_error::RequestError;
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::live::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::live::sse::{self, CHUNK, ROOM};
use crate::live::subscription::{EventFilter, FeedEnded, LiveSubscriptions, Notification, Outlet};
use client_filter::ClientFilter;

/// After so long a silence a ping says that the line still stands.
const PING_AFTER: Duration = Duration::from_secs(25);
/// The wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_millis(500);

const HELLO: Bytes = Bytes::from_static(b"event: hello\ndata: {}\n\n");
const PING: Bytes = Bytes::from_static(b"event: ping\ndata: {}\n\n");

/// One client's stream of devices.
struct DeviceStream {
    hub: Grant,
    watch: ClientFilter,
    ping_after: Duration,
}

pub async fn stream(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, RequestError> {
    let session = access.state.connections.hold(&request)?;
    let subscriptions = subscribe(&access).await?;
    // The device of the serial number is asked for after that: what changes from now on, the events say.
    let watch = ClientFilter::new(&access, params.text("serial")?, params.text("reclamado")?).await?;
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let stream = DeviceStream { hub: access.grant(), watch, ping_after: PING_AFTER };
    let (closing, lost) = (access.state.closing(), access.live_rights(&request).lost());
    actix_rt::spawn(async move {
        // It ends when the client has left.
        let _ = pump::run(stream, outlet, subscriptions, None, closing, lost).await;
    });
    // Clients that are not told the character set take it for Latin-1.
    Ok(sse::respond("text/event-stream; charset=utf-8", "no-cache", chunks))
}

/// Subscribes to what changes devices, from now on. These clients know of no place to resume at: where one is too
/// slow, the subscription resumes by itself, and nothing is missed.
async fn subscribe(hub: &Grant) -> Result<LiveSubscriptions, ApiError> {
    let Ok(subscriptions) = LiveSubscriptions::open(hub).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    let mut subscriptions = subscriptions.resuming();
    let filter = EventFilter::new(None, Some(&["twin".into()]))?;
    let _ = subscriptions.subscribe("dispositivos", filter, None, false); // the first is never one too many
    Ok(subscriptions)
}

impl Transport for DeviceStream {
    type Item = Bytes;
    type Request = Infallible;

    const BUNDLE: usize = CHUNK;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::AfterSilence(self.ping_after)
    }

    fn greeting(&mut self, _: &LiveSubscriptions) -> Option<CountedFrames<Bytes>> {
        Some(CountedFrames { count: 0, item: HELLO })
    }

    fn wants(&mut self, notification: &Notification) -> bool {
        match notification {
            Notification::Event { event, .. } => self.watch.may_be(event),
            // Past events that are gone are not missed: later ones bring the whole device.
            Notification::Lagged { .. } | Notification::Resync { .. } | Notification::Snapshot { .. } => {
                false
            }
        }
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Bytes>>, FeedEnded> {
        let events: Vec<_> = notifications.filter_map(Notification::into_event).collect();
        let twins = load(&self.hub, &events).await.ok_or(FeedEnded)?;
        let (count, text) = updates(&twins, &events, &self.watch);
        Ok((count > 0).then(|| CountedFrames { count, item: text.into() }))
    }

    fn ping(&mut self) -> Option<Bytes> {
        Some(PING)
    }

    async fn answer(&mut self, request: Infallible, _: &mut LiveSubscriptions) -> TransportReply<Bytes> {
        match request {}
    }
}

/// The twins of these events; none when the hub is shutting down.
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
fn updates(twins: &HashMap<DeviceId, Twin>, events: &[Arc<Recorded>], watch: &ClientFilter) -> (u64, String) {
    let mut text = String::with_capacity(events.len() * 384);
    let mut lines = 0;
    for recorded in events {
        let Some(twin) = twins.get(&recorded.event.device).filter(|twin| watch.passes(twin)) else {
            continue; // removed meanwhile, or not asked for
        };
        let moment = DispositivoMoment::of(&recorded.event.body);
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
