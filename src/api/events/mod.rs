//! `GET /api/events` and `/api/devices/{id}/events`: events, as a list or as a stream.

pub mod schema;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::messages::archive::FindEvents;
use twinhub_domain::alarm::Severity;
use twinhub_domain::{DeviceId, DeviceNumber, EventKind};
use twinhub_store::EventQuery;

use super::alarms::SEVERITIES;
use crate::api::devices::device::find;
use crate::api::events::schema::{EventItem, EventListing};
use crate::http::Access;
use crate::http::extract::body::DevicePath;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging;
use crate::http::extract::paging::{limit, link};
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{array, write_event};
use crate::http::routes::routes;
use crate::live::sse;
use crate::live::subscription::{EventFilter, kinds_named};

routes! {
    Read: self::list_device_events,
    Read: self::list_events,
}

/// The default number of events in an answer.
const USUAL: u64 = 20;

/// Events of all devices: a list, or server-sent events for who accepts `text/event-stream`. A stream
/// begins after `Last-Event-ID` or `since`, without a gap or a repeat, and takes `device_id` (a glob), `group_id` (with
/// all groups under it), `kind` and `severity`.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(
        EventListing,
        ("device_id" = Option<String>, Query, description = "A device's id; for a stream also a glob: `pump-*`"),
        ("group_id" = Option<String>, Query, description = "For a stream: events of this group's devices, and of those \
            in all groups under it"),
        ("Last-Event-ID" = Option<u64>, Header, description = "A stream goes on after this event"),
    ),
    responses(
        (status = 200, description = "Events", content(
            ([EventItem] = "application/json"),
            (String = "text/event-stream"),
        ), headers(("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, description = "There is no such device, or of a stream no such group", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn list_events(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    if wants_stream(&request) {
        return stream(&request, params, access).await;
    }
    let device = match params.text("device_id")? {
        Some(id) => {
            let id = DeviceId::parse(&id).map_err(|error| bad("device_id", error.to_string()))?;
            Some(find(&access, &id).await?.number)
        }
        None => None,
    };
    list(&request, params, &access, device).await
}

/// Events of one device, for as long as it is there: `retention` says how far back a subscriber can resume, and takes
/// nothing from this list. Its telemetry is in it as far back as readings are kept.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/events",
    tag = "events",
    params(("id" = String, Path), EventListing),
    responses(
        (status = 200, body = [EventItem], headers(("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn list_device_events(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let device = find(&access, &id).await?.number;
    list(&request, params, &access, Some(device)).await
}

async fn list(
    request: &HttpRequest,
    params: Params,
    access: &Access,
    device: Option<DeviceNumber>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let query = EventQuery { device, ..event_query(params)? };
    let (limit, newest_first) = (query.limit, query.newest_first);
    let events = access.ask(FindEvents(query)).await??;
    let mut response = HttpResponse::Ok();
    let next = events.last().filter(|_| events.len() == limit).map(|last| (last.seq, newest_first));
    response.insert_header((header::LINK, links(request.path(), &all, next)));
    Ok(array(response, &events, |event, out| write_event(event, out)))
}

fn event_query(mut params: Params) -> Result<EventQuery, FieldError> {
    let since = params.value("since", "a sequence number")?;
    let (mut kinds, at_least) = (kinds(&mut params)?, severity(&mut params)?);
    if at_least.is_some() && kinds.is_empty() {
        kinds.push(EventKind::Alarm); // nothing else has a severity
    }
    let query = EventQuery {
        kinds,
        at_least,
        from: params.start_time("from")?,
        to: params.end_time("to")?,
        since,
        before: params.value("before", "a sequence number")?,
        #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
        limit: limit(&mut params, USUAL, paging::MOST)? as usize,
        // A reader that goes on from a place reads forward.
        newest_first: params.newest_first(since.is_none())?,
        ..EventQuery::default()
    };
    params.finish()?;
    Ok(query)
}

fn kinds(params: &mut Params) -> Result<Vec<EventKind>, FieldError> {
    let words = boxed(params.list("kind"));
    if words.is_empty() {
        return Ok(Vec::new());
    }
    kinds_named(&words).map_err(|error| bad("kind", error.detail))
}

fn severity(params: &mut Params) -> Result<Option<Severity>, FieldError> {
    params.read("severity", SEVERITIES, Severity::parse)
}

async fn stream(request: &HttpRequest, mut params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let since = params.value("since", "a sequence number")?;
    let resumed = request.headers().get("Last-Event-ID").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let resumed = match resumed {
        "" => None,
        id => Some(id.parse().map_err(|_| bad("Last-Event-ID", "expected a sequence number"))?),
    };
    let at_least = severity(&mut params)?;
    let (devices, words) = (boxed(params.list("device_id")), boxed(params.list("kind")));
    let group = params.text("group_id")?;
    params.finish()?;
    let devices = (!devices.is_empty()).then_some(devices);
    let filter = EventFilter::new(devices.as_deref(), Some(&words)).map_err(|error| match &*error.field {
        "devices" => bad("device_id", error.detail),
        _ => bad("kind", error.detail),
    })?;
    let filter = filter.at_least(at_least);
    // A browser that reconnects repeats the address with its old `since`, and says where it got to.
    sse::open(request, access, filter, group, resumed.or(since)).await
}

/// Does it ask for server-sent events?
pub(in crate::api) fn wants_stream(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream")))
}

/// `first`, and `next` where there may be more: it goes on at a place in the sequence, so that what comes in meanwhile
/// moves nothing.
fn links(path: &str, params: &[(String, String)], next: Option<(u64, bool)>) -> String {
    let first = link("first", path, params, &["before"], &[]);
    let Some((seq, newest_first)) = next else { return first };
    let (name, order) = if newest_first { ("before", "desc") } else { ("since", "asc") };
    let with = [(name, &*seq.to_string()), ("order", order)];
    format!("{first}, {}", link("next", path, params, &[name, "order"], &with))
}

fn boxed(words: Vec<String>) -> Vec<Box<str>> {
    words.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn reads_what_is_wanted() {
        let query = event_query(Params::parse("kind=twin,telemetry&limit=5")).unwrap();
        assert_eq!(query.kinds, [EventKind::Telemetry, EventKind::Twin]);
        assert!(query.newest_first);
        assert!(!event_query(Params::parse("since=5")).unwrap().newest_first);
        assert_eq!(event_query(Params::parse("kind=weather")).unwrap_err().field, "kind");
        assert_eq!(event_query(Params::parse("severity=major")).unwrap().at_least, Some(Severity::Major));
        assert_eq!(event_query(Params::parse("severity=high")).unwrap_err().field, "severity");
    }

    #[test]
    fn links_go_on_at_a_place_in_the_sequence() {
        let params = [("kind".to_owned(), "twin".to_owned()), ("before".to_owned(), "9".to_owned())];
        let of = |next| links("/e", &params, next).replace("&order", "|order");
        assert_eq!(of(None), r#"</e?kind=twin>; rel="first""#);
        assert_eq!(
            of(Some((5, true))),
            r#"</e?kind=twin>; rel="first", </e?kind=twin&before=5|order=desc>; rel="next""#
        );
        let forward = links("/e", &params[..1], Some((5, false)));
        assert_eq!(forward, r#"</e?kind=twin>; rel="first", </e?kind=twin&since=5&order=asc>; rel="next""#);
        assert_eq!(links("/e", &[], None), r#"</e>; rel="first""#);
    }

    #[test]
    fn knows_who_wants_a_stream() {
        let check = |accept: &str, expected: bool| {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(wants_stream(&request), expected, "{accept}");
        };
        check("text/event-stream", true);
        check("application/json, text/event-stream;q=0.9", true);
        check("*/*", false);
    }
}
