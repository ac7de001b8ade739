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
use crate::http::cursor::{CallerCursors, GivenCursor};
use crate::http::extract::body::DevicePath;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging;
use crate::http::extract::paging::{limit, link};
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::array;
use crate::http::routes::routes;
use crate::live::bundle::{BadPace, BundlePace};
use crate::live::sse::{self, StreamRequest};
use crate::live::subscription::{EventFilter, kinds_named};

routes! {
    Read: self::list_device_events,
    Read: self::list_events,
}

/// The form of a place in a query.
const CURSOR: &str = "a cursor, as an event, an answer or a `Link` has it";
/// The default number of events in an answer.
const USUAL: u64 = 20;

/// Events of all devices: a list, or server-sent events for who accepts `text/event-stream`. A stream
/// begins after `Last-Event-ID` or `since`, without a gap or a repeat, and takes `device_id` (a glob), `group_id` (with
/// all groups under it), `kind`, `severity`, `every` and `latest`.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(
        EventListing,
        ("device_id" = Option<String>, Query, description = "A device's id; for a stream also a glob: `pump-*`"),
        ("group_id" = Option<String>, Query, description = "For a stream: events of this group's devices, and of those \
            in all groups under it"),
        ("every" = Option<String>, Query, description = "For a stream: events in bundles, one at most in this time, a \
            duration from 10 ms to a minute"),
        ("latest" = Option<bool>, Query, description = "With `every`: of readings the newest of each name of each \
            device alone, in each bundle"),
        ("Last-Event-ID" = Option<String>, Header, description = "A stream goes on after this event, by its `id`"),
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

/// Events of one device, for as long as it is there and `keep-events` says: `retention`, how far back a subscriber can
/// resume, takes nothing from this list. Its telemetry is in it as far back as readings are kept.
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
    let cursors = access.cursors();
    let query = EventQuery { device, ..event_query(params, &cursors)? };
    let (limit, newest_first) = (query.limit, query.newest_first);
    let events = access.ask(FindEvents(query)).await??;
    let mut response = HttpResponse::Ok();
    let next = events.last().filter(|_| events.len() == limit);
    let next = next.map(|last| (cursors.cursor(last.seq), newest_first));
    response.insert_header((header::LINK, links(request.path(), &all, next)));
    Ok(array(response, &events, |event, out| {
        out.push_str("{\"cursor\":\"");
        out.push_str(&cursors.cursor(event.seq));
        out.push_str("\",");
        out.push_str(&cursors.members(event));
        out.push('}');
    }))
}

/// The place that a parameter names by a cursor.
fn place(params: &mut Params, name: &str, cursors: &CallerCursors) -> Result<Option<u64>, FieldError> {
    let given: Option<GivenCursor> = params.value(name, CURSOR)?;
    cursors.place_of(name, given.as_ref())
}

fn event_query(mut params: Params, cursors: &CallerCursors) -> Result<EventQuery, FieldError> {
    let since = place(&mut params, "since", cursors)?;
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
        before: place(&mut params, "before", cursors)?,
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
    let since = params.value("since", CURSOR)?;
    let resumed = request.headers().get("Last-Event-ID").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let resumed = match resumed {
        "" => None,
        id => Some(id.parse().map_err(|_| bad("Last-Event-ID", format!("expected {CURSOR}")))?),
    };
    let at_least = severity(&mut params)?;
    let (devices, words) = (boxed(params.list("device_id")), boxed(params.list("kind")));
    let group = params.text("group_id")?;
    let every = params.duration("every")?;
    let latest = params.value("latest", "true or false")?;
    let pace = BundlePace::asked(every, latest).map_err(|BadPace(field, expected)| bad(field, expected))?;
    params.finish()?;
    let devices = (!devices.is_empty()).then_some(devices);
    let filter = EventFilter::new(devices.as_deref(), Some(&words)).map_err(|error| match &*error.field {
        "devices" => bad("device_id", error.detail),
        _ => bad("kind", error.detail),
    })?;
    let filter = filter.at_least(at_least);
    // A browser that reconnects repeats the address with its old `since`, and says where it got to.
    let stream = StreamRequest { filter, group, since: resumed.or(since), pace };
    sse::open(request, access, stream).await
}

/// Does it ask for server-sent events?
pub(in crate::api) fn wants_stream(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream")))
}

/// `first`, and `next` where there may be more: it goes on at a place in the sequence, so that what comes in meanwhile
/// moves nothing.
fn links(path: &str, params: &[(String, String)], next: Option<(String, bool)>) -> String {
    let first = link("first", path, params, &["before"], &[]);
    let Some((cursor, newest_first)) = next else { return first };
    let (name, order) = if newest_first { ("before", "desc") } else { ("since", "asc") };
    let with = [(name, &*cursor), ("order", order)];
    format!("{first}, {}", link("next", path, params, &[name, "order"], &with))
}

fn boxed(words: Vec<String>) -> Vec<Box<str>> {
    words.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::test::TestRequest;
    use twinhub_store::seal::Seal;

    use super::*;

    fn read(text: &str, is_confined: bool) -> Result<EventQuery, FieldError> {
        event_query(Params::parse(text), &CallerCursors::new(Arc::new(Seal::new(&[1; 32])), is_confined))
    }

    #[test]
    fn reads_what_is_wanted() {
        let query = read("kind=twin,telemetry&limit=5", false).unwrap();
        assert_eq!(query.kinds, [EventKind::Telemetry, EventKind::Twin]);
        assert!(query.newest_first);
        assert!(!read("since=5", false).unwrap().newest_first);
        assert_eq!(read("kind=weather", false).unwrap_err().field, "kind");
        assert_eq!(read("severity=major", false).unwrap().at_least, Some(Severity::Major));
        assert_eq!(read("severity=high", false).unwrap_err().field, "severity");
    }

    #[test]
    fn places_are_cursors_or_numbers() {
        assert_eq!(read("since=AdgJ&before=2000", false).unwrap().since, Some(1_240));
        assert_eq!(read("since=0", true).unwrap().since, Some(0));
        for (text, is_confined, field) in [
            ("since=yesterday", false, "since"),
            ("before=-1", false, "before"),
            ("since=17", true, "since"),
            ("before=AdgJ", true, "before"),
        ] {
            assert_eq!(read(text, is_confined).unwrap_err().field, field, "{text}");
        }
    }

    #[test]
    fn links_go_on_at_a_place_in_the_sequence() {
        let params = [("kind".to_owned(), "twin".to_owned()), ("before".to_owned(), "9".to_owned())];
        let of = |next| links("/e", &params, next).replace("&order", "|order");
        assert_eq!(of(None), r#"</e?kind=twin>; rel="first""#);
        assert_eq!(
            of(Some(("AQU".into(), true))),
            r#"</e?kind=twin>; rel="first", </e?kind=twin&before=AQU|order=desc>; rel="next""#
        );
        let forward = links("/e", &params[..1], Some(("AQU".into(), false)));
        assert_eq!(forward, r#"</e?kind=twin>; rel="first", </e?kind=twin&since=AQU&order=asc>; rel="next""#);
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
