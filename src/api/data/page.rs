//! A page of a history. The next one begins where this one ended, at a time: readings that come in meanwhile move
//! nothing, and a page far back costs no more than the first.

use std::fmt;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_domain::clock::NS_IN_MS;
use twinhub_domain::series::HistoryQuery;
use twinhub_domain::{ReadingTime, Timestamp};

use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::link;
use crate::http::extract::params::{Params, bad};

/// Items that `page` can reach: each page is read from the beginning.
const REACH: usize = 100_000;

/// A page of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HistoryPage {
    pub limit: usize,
    start: Start,
}

/// The start of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Behind this many readings.
    Behind(usize),
    /// At a time, behind this many readings of the same time.
    At(ReadingTime, usize),
}

impl HistoryPage {
    /// The first page, with `limit` items.
    pub fn first(limit: usize) -> Self {
        Self { limit, start: Start::Behind(0) }
    }

    /// The page that `after` or `page` name, with `limit` items.
    ///
    /// # Errors
    /// One of them is wrong, or both are given.
    pub fn take(params: &mut Params, limit: u64) -> Result<Self, FieldError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = params.read("after", "what the page before says in its `Link`", Start::parse)?;
        let page = params.value::<usize>("page", "a page number from 1")?;
        let start = match (after, page) {
            (Some(_), Some(_)) => return Err(bad("page", "is given beside `after`")),
            (Some(after), None) => after,
            (None, None) => Start::Behind(0),
            (None, Some(0)) => return Err(bad("page", "pages are counted from 1")),
            (None, Some(page)) if page.saturating_mul(limit) > REACH => {
                let detail = format!("reaches the first {REACH} alone: follow `Link`, or ask by `to`");
                return Err(bad("page", detail));
            }
            (None, Some(page)) => Start::Behind((page - 1) * limit),
        };
        Ok(Self { limit, start })
    }

    /// Limits the query to the page: the readings before it at its time, itself, and one more to know of the next.
    pub fn narrow(self, query: &mut HistoryQuery) {
        if let Start::At(at, _) = self.start {
            if query.newest_first {
                let end = match query.interval {
                    None => at.next(),
                    Some(interval) => interval.around(at.floor()).1.into(),
                };
                query.to = Some(query.to.map_or(end, |to| to.min(end)));
            } else {
                query.from = Some(query.from.map_or(at, |from| from.max(at)));
            }
        }
        query.limit = self.skipped().saturating_add(self.limit).saturating_add(1);
    }

    /// Answers with the page out of the readings `found`.
    pub fn answer<T: Serialize>(
        self,
        request: &HttpRequest,
        params: &[(String, String)],
        found: &[T],
        time: impl Fn(&T) -> ReadingTime,
    ) -> HttpResponse {
        let (these, next) = self.part(found, time);
        let to =
            |rel: &str, with: &[(&str, &str)]| link(rel, request.path(), params, &["page", "after"], with);
        let mut links = vec![to("first", &[])];
        if let Some(next) = next {
            links.push(to("next", &[("after", &next.start.to_string())]));
        }
        let mut response = HttpResponse::Ok();
        response.insert_header((header::LINK, links.join(", ")));
        response.json(these)
    }

    /// The items of the page out of those `found`, and the next page; none where this is the last.
    pub fn part<T>(self, found: &[T], time: impl Fn(&T) -> ReadingTime) -> (&[T], Option<Self>) {
        let begin = self.skipped().min(found.len());
        let end = begin.saturating_add(self.limit).min(found.len());
        let last = found[begin..end].last().map(&time).filter(|_| end < found.len());
        let next = last.map(|last| {
            let given = found[..end].iter().rev().take_while(|item| time(item) == last).count();
            Self { start: Start::At(last, given), ..self }
        });
        (&found[begin..end], next)
    }

    fn skipped(self) -> usize {
        match self.start {
            Start::Behind(some) | Start::At(_, some) => some,
        }
    }
}

impl Start {
    /// `1767268800000.2`: two of this time have been given; `1767268800000.2.125000`: of one so many nanoseconds later.
    fn parse(text: &str) -> Option<Self> {
        let (millis, rest) = text.split_once('.')?;
        let (given, nanos) = rest.split_once('.').unwrap_or((rest, "0"));
        let nanos = nanos.parse().ok().filter(|nanos| *nanos < NS_IN_MS)?;
        let at = ReadingTime::new(Timestamp::from_millis(millis.parse().ok()?), nanos);
        given.parse().ok().filter(|given| *given <= REACH).map(|given| Self::At(at, given))
    }
}

/// As the next request says it in `after`.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::At(at, given) = self else { return Ok(()) }; // no page begins behind another so
        write!(f, "{}.{given}", at.floor().millis())?;
        if at.nanos_behind() == 0 { Ok(()) } else { write!(f, ".{}", at.nanos_behind()) }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use actix_web::test::TestRequest;

    use super::*;

    /// The items of a page, and the `after` of the next.
    fn turn(all: &[i128], limit: u64, after: Option<&str>) -> (Vec<i128>, Option<String>) {
        let mut params = Params::parse(&after.map(|after| format!("after={after}")).unwrap_or_default());
        let page = HistoryPage::take(&mut params, limit).unwrap();
        let from = match page.start {
            Start::At(at, _) => at.nanos(),
            Start::Behind(_) => i128::MIN,
        };
        let most = page.skipped() + page.limit + 1;
        let found: Vec<i128> = all.iter().copied().filter(|at| *at >= from).take(most).collect();
        let request = TestRequest::with_uri("/data").to_http_request();
        let answer = page.answer(&request, &[], &found, |at| ReadingTime::from_nanos(*at).unwrap());
        let link = answer.headers().get(header::LINK).unwrap().to_str().unwrap().to_owned();
        let next = link.split_once("after=").map(|(_, rest)| rest.split('>').next().unwrap().to_owned());
        let body = answer.into_body().try_into_bytes().unwrap();
        (serde_json::from_slice(&body).unwrap(), next)
    }

    #[test]
    fn pages_have_each_item_once() {
        let many_at_once: Vec<i128> =
            [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 1_000_000, 1_000_000, 5_000_001].into();
        for all in [vec![], vec![7], (0..10).collect(), many_at_once] {
            for limit in 1..=14 {
                let (mut told, mut after) = (Vec::new(), None);
                loop {
                    let (items, next) = turn(&all, limit, after.as_deref());
                    told.extend(items);
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(told, all, "by {limit}");
            }
        }
    }
}
