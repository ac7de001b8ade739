//! All devices in one array, for callers who ask for no page. They are read and sent some hundreds at a time: a hundred
//! thousand are never in memory together.

use std::collections::{HashMap, VecDeque};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use twinhub_actors::messages::archive::{ListDevices, LoadTwins};
use twinhub_actors::messages::search::{AllFoundDevices, FindDevices, OrderDevices};
use twinhub_domain::{DeviceId, DeviceNumber, Twin};
use twinhub_rules::TwinFilter;
use twinhub_store::{DevicePage, DeviceQuery, DeviceSort};

use crate::http::Access;
use crate::http::extract::paging::link;
use crate::http::gzip::GzipStream;
use crate::http::problem::ApiError;
use crate::http::reply::summary;
use crate::http::turns::{Turn, TurnKind};
use crate::http::warnings;

/// Devices that are read and sent at once.
const AT_ONCE: usize = 500;

/// The devices that are still to be read.
enum DevicesLeft {
    /// The devices that the query has, in its order.
    Numbers(Box<DeviceQuery>),
    /// The devices of these ids, in this order, as far as the filter is still true of them.
    Ids(VecDeque<DeviceId>, Option<TwinFilter>),
}

impl Default for DevicesLeft {
    fn default() -> Self {
        Self::Ids(VecDeque::new(), None)
    }
}

/// An answer on its way.
struct WholeList {
    access: Access,
    left: DevicesLeft,
    gzip: Option<GzipStream>,
    /// A device stands in it already.
    has_items: bool,
    /// The caller's place among such lists, until all of it is sent.
    _turn: Turn,
}

/// Answers with all devices that `find` asks for.
///
/// # Errors
/// They cannot be found, or not read; or too many such lists go on.
pub(super) async fn answer(
    request: &HttpRequest,
    params: &[(String, String)],
    access: &Access,
    find: FindDevices,
) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    let is_by_number = find.filter.is_none()
        && find.sort.is_none()
        && find.query.sort == DeviceSort::Number
        && find.query.is_for_lists();
    let turn = access.state.turns.whole_list(access, request).await?;
    // The first devices are read before the answer begins, so that a store that fails is still an error.
    let (left, first, total) = if is_by_number {
        let mut query = DeviceQuery { limit: AT_ONCE as u64, ..find.query };
        let DevicePage { twins, total } = access.ask(ListDevices(query.clone())).await??;
        let is_more = go_on_behind(&mut query, &twins);
        (is_more.then(|| DevicesLeft::Numbers(Box::new(query))), twins, total)
    } else {
        let _search = access.state.turns.wait(TurnKind::Search, access, request).await?;
        let filter = find.filter.clone();
        let AllFoundDevices { devices, warnings } = access.ask(OrderDevices(find)).await??;
        warnings::set_header(&mut response, &warnings);
        let mut ids: VecDeque<DeviceId> = devices.into_iter().map(|(id, _)| id).collect();
        let total = ids.len() as u64;
        let first = load(access, &mut ids, filter.as_ref()).await?;
        ((!ids.is_empty()).then_some(DevicesLeft::Ids(ids, filter)), first, total)
    };
    let links = ["first", "last"].map(|rel| link(rel, request.path(), params, &[], &[]));
    response.insert_header(("X-Total-Count", total.to_string()));
    response.insert_header((header::LINK, links.join(", ")));
    response.insert_header((header::VARY, "Accept-Encoding"));
    let gzip = GzipStream::for_client_of(request);
    if gzip.is_some() {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    response.content_type("application/json");
    let (access, left) = (access.clone(), left.unwrap_or_default());
    let mut list = WholeList { access, left, gzip, has_items: false, _turn: turn };
    if list.is_over() {
        let mut text = list.written(&first, true);
        text.push(']');
        return Ok(response.body(list.end(&text)?)); // with its length
    }
    Ok(response.streaming(parts(list, first)))
}

/// The array in parts.
fn parts(list: WholeList, first: Vec<Twin>) -> impl stream::Stream<Item = Result<Bytes, ApiError>> {
    stream::unfold(Some((list, first, true)), |part: Option<(WholeList, Vec<Twin>, bool)>| async move {
        let (mut list, twins, is_first) = part?;
        let mut text = list.written(&twins, is_first);
        if list.is_over() {
            text.push(']');
            return Some((list.end(&text), None));
        }
        let part = list.part(text);
        Some(match list.next().await {
            Ok(next) => (part, Some((list, next, false))),
            Err(failed) => (Err(failed), None), // the answer breaks off, which no client takes for its end
        })
    })
}

impl WholeList {
    fn is_over(&self) -> bool {
        matches!(&self.left, DevicesLeft::Ids(ids, _) if ids.is_empty())
    }

    async fn next(&mut self) -> Result<Vec<Twin>, ApiError> {
        let query = match &mut self.left {
            DevicesLeft::Ids(ids, filter) => return load(&self.access, ids, filter.as_ref()).await,
            DevicesLeft::Numbers(query) => query,
        };
        let twins = self.access.ask(ListDevices((**query).clone())).await??.twins;
        if !go_on_behind(query, &twins) {
            self.left = DevicesLeft::default();
        }
        Ok(twins)
    }

    fn written(&mut self, twins: &[Twin], is_first: bool) -> String {
        let now = self.access.now();
        let mut text = String::with_capacity(2 + twins.len() * 512);
        if is_first {
            text.push('[');
        }
        for twin in twins {
            if std::mem::replace(&mut self.has_items, true) {
                text.push(',');
            }
            summary(twin, now).write(&mut text);
        }
        text
    }

    fn part(&mut self, text: String) -> Result<Bytes, ApiError> {
        match &mut self.gzip {
            Some(gzip) => gzip.part(text.as_bytes()).map_err(|_| ApiError::Fault(NOT_COMPRESSED)),
            None => Ok(text.into()),
        }
    }

    fn end(self, text: &str) -> Result<Bytes, ApiError> {
        match self.gzip {
            Some(gzip) => gzip.end(text.as_bytes()).map_err(|_| ApiError::Fault(NOT_COMPRESSED)),
            None => Ok(Bytes::copy_from_slice(text.as_bytes())),
        }
    }
}

const NOT_COMPRESSED: &str = "the answer could not be compressed";

/// Has the query ask for what comes behind these. False where there is nothing.
fn go_on_behind(query: &mut DeviceQuery, twins: &[Twin]) -> bool {
    let Some(last) = twins.last().filter(|_| twins.len() >= AT_ONCE) else { return false };
    let (first, end) = query.numbers.unwrap_or((DeviceNumber(i64::MIN), DeviceNumber(i64::MAX)));
    query.numbers = Some(match query.descending {
        false => (DeviceNumber(last.number.0.saturating_add(1)), end),
        true => (first, DeviceNumber(last.number.0.saturating_sub(1))),
    });
    true
}

/// The next of these devices; those that are gone by now are left out, and those of which the filter is no longer true.
async fn load(
    access: &Access,
    ids: &mut VecDeque<DeviceId>,
    filter: Option<&TwinFilter>,
) -> Result<Vec<Twin>, ApiError> {
    let next: Vec<DeviceId> = ids.drain(..ids.len().min(AT_ONCE)).collect();
    if next.is_empty() {
        return Ok(Vec::new());
    }
    let found = access.ask(LoadTwins(next.clone())).await??;
    let now = access.now();
    let fits = |twin: &Twin| filter.is_none_or(|filter| filter.matches(twin, now));
    let found = found.into_iter().filter(fits).map(|twin| (twin.id.clone(), twin));
    let mut found: HashMap<DeviceId, Twin> = found.collect();
    Ok(next.iter().filter_map(|id| found.remove(id)).collect())
}
