//! `GET /api/audit` with `Accept: text/event-stream`: entries of the audit as they come.

use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::AuditRecord;
use twinhub_actors::messages::accounts::AuditFilter;

use super::AuditItem;
use crate::http::Access;
use crate::http::extract::params::bad;
use crate::http::problem::ApiError;
use crate::live::audit_tail::AuditTail;
use crate::live::sse::{ROOM, respond};
use crate::live::subscription::Outlet;

/// The interval of comments, which keep proxies from closing a quiet stream. The first one comes at once, and opens it.
const PING_EVERY: Duration = Duration::from_secs(15);

/// Opens a stream of the entries that `filter` takes, after `Last-Event-ID` or `since`, or from now on.
pub(super) async fn open(
    request: &HttpRequest,
    access: Access,
    filter: AuditFilter,
) -> Result<HttpResponse, ApiError> {
    let resumed = request.headers().get("Last-Event-ID").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let resumed = match resumed {
        "" => None,
        id => Some(id.parse().map_err(|_| bad("Last-Event-ID", "expected a place in the audit"))?),
    };
    let session = access.state.connections.hold(request)?;
    let filter = AuditFilter { since: resumed.or(filter.since), ..filter };
    let tail = AuditTail::begin(access.grant(), filter).await?;
    let (outlet, chunks) = Outlet::new(ROOM, Some(session));
    let (mut closing, lost) = (access.state.closing(), access.live_rights(request).lost());
    actix_rt::spawn(async move {
        tokio::select! {
            biased;
            _ = lost => {}
            _ = closing.wait_for(|closing| *closing) => {}
            () = pass_on(tail, &outlet) => {}
        }
    });
    Ok(respond("text/event-stream", "no-store", chunks))
}

/// Passes entries on until the client has left.
async fn pass_on(mut tail: AuditTail, outlet: &Outlet<Bytes>) {
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        let text = tokio::select! {
            biased;
            () = outlet.left() => return,
            batch = tail.next() => batch.into_iter().map(message).collect::<String>().into(),
            _ = ping.tick() => Bytes::from_static(b": ping\n\n"),
        };
        if outlet.send(text).await.is_err() {
            return;
        }
    }
}

/// An entry as a message. JSON text has no line breaks, so its `data` is one line.
fn message(record: AuditRecord) -> String {
    let seq = record.seq;
    let item = serde_json::to_string(&AuditItem::of(record)).unwrap_or_default(); // texts and numbers
    format!("id: {seq}\nevent: audit\ndata: {item}\n\n")
}
