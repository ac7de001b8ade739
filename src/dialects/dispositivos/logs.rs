//! `GET /dispositivos/{id}/logs`: what the device was after each message and each PUT, the newest first.
//!
//! Every line is an event that carries its number. So the page's first line is looked for where it would stand
//! if the device had no other events, and found at that place or a little behind it.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Path;
use twinhub_actors::messages::archive::FindEvents;
use twinhub_domain::{DeviceNumber, EventKind, Json, Object, Recorded};
use twinhub_mqtt::dialects::dispositivos::{DispositivoMoment, DispositivoView};
use twinhub_store::EventQuery;

use super::request_error::RequestError;
use super::{device, look};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;

/// Lines on a page when nothing is said.
const USUAL: u64 = 50;
/// Lines on a page at most.
const MOST: u64 = 200;

/// The lines of a page: numbers from `last`, downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogPage {
    /// From 1.
    page: u64,
    per_page: u64,
}

pub async fn logs(
    id: Path<String>,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, RequestError> {
    let page = LogPage::take(&mut params)?;
    // A device that there is not has an empty log.
    let twin = look(&access, &id).await?;
    let total = twin.as_ref().map_or(0, |twin| DispositivoView::of(twin).log_entries());
    let lines = match &twin {
        Some(twin) => read(&access, twin.number, page, total).await?,
        None => Vec::new(),
    };
    let data = lines.iter().filter_map(|recorded| line(recorded)).map(Json::from).collect();
    let answer: Object = [
        ("page", number(page.page)),
        ("per_page", number(page.per_page)),
        ("total", number(total)),
        ("pages", number(total.div_ceil(page.per_page))),
        ("data", Json::Array(data)),
    ]
    .into_iter()
    .collect();
    Ok(HttpResponse::Ok().content_type("application/json").body(Json::from(answer).to_string()))
}

async fn read(
    access: &Access,
    device: DeviceNumber,
    page: LogPage,
    total: u64,
) -> Result<Vec<Arc<Recorded>>, RequestError> {
    let before = page.before();
    // The number of the page's first line; lines that came since `total` was read have larger ones.
    let Some(newest) = total.checked_sub(before).filter(|newest| *newest > 0) else { return Ok(Vec::new()) };
    let (mut offset, limit) = (size(before), size(page.per_page));
    let mut lines = Vec::with_capacity(limit);
    loop {
        let query = EventQuery {
            device: Some(device),
            kinds: vec![EventKind::Twin],
            offset,
            limit,
            newest_first: true,
            ..EventQuery::default()
        };
        let events = access.ask(FindEvents(query)).await??;
        let (is_last, found) = (events.len() < limit, events.into_iter());
        lines.extend(found.filter(|recorded| entry(recorded).is_some_and(|entry| entry <= newest)));
        if is_last || lines.len() >= limit {
            lines.truncate(limit);
            return Ok(lines);
        }
        offset = offset.saturating_add(limit);
    }
}

fn entry(recorded: &Recorded) -> Option<u64> {
    DispositivoMoment::of(&recorded.event.body)?.entry
}

fn line(recorded: &Recorded) -> Option<Object> {
    let DispositivoMoment { active, parameters, .. } = DispositivoMoment::of(&recorded.event.body)?;
    let members = [
        ("estado", device::estado(active).into()),
        ("parametros", parameters.unwrap_or_default().into()),
        ("timestamp", recorded.event.at.floor().to_string().into()),
    ];
    Some(members.into_iter().collect())
}

impl LogPage {
    /// The page that the parameters name. Who asks for less than one, or for more than there may be, gets the
    /// nearest; other parameters are nobody's business.
    fn take(params: &mut Params) -> Result<Self, FieldError> {
        let mut number = |name: &str| {
            params.value::<i64>(name, "a whole number").map(|n| n.map(|n| n.max(1).unsigned_abs()))
        };
        Ok(Self {
            page: number("page")?.unwrap_or(1),
            per_page: number("per_page")?.unwrap_or(USUAL).min(MOST),
        })
    }

    /// The number of lines before it.
    fn before(self) -> u64 {
        (self.page - 1).saturating_mul(self.per_page)
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn number(count: u64) -> Json {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_taken_as_they_come() {
        let check = |query: &str, page: u64, per_page: u64| {
            let taken = LogPage::take(&mut Params::parse(query)).unwrap();
            assert_eq!(taken, LogPage { page, per_page }, "{query}");
        };
        check("", 1, 50);
        check("page=3&per_page=10&x=y", 3, 10);
        check("per_page=1000", 1, 200);
        check("page=0&per_page=-5", 1, 1);
        check("page=9223372036854775807&per_page=200", i64::MAX.unsigned_abs(), 200);
        assert_eq!(LogPage::take(&mut Params::parse("page=uno")).unwrap_err().field, "page");
    }
}
