//! `GET /api/devices`: the list of devices.

mod all;

use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::messages::archive::ListDevices;
use twinhub_actors::messages::search::{FindDevices, FoundDevices};
use twinhub_domain::fleet::{GroupTree, Lifecycle};
use twinhub_domain::{Mode, Status, Timestamp};
use twinhub_rules::expression::BadExpression;
use twinhub_rules::{SortField, TwinFilter};
use twinhub_store::{DeviceQuery, DeviceSort};

use super::schema::{DeviceItem, Listing};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{array, summary};
use crate::http::turns::TurnKind;
use crate::http::warnings;

/// The orders that a list can be asked for; a `-` before one turns it round.
const SORTS: [(&str, DeviceSort); 9] = [
    ("number", DeviceSort::Number),
    ("id", DeviceSort::Id),
    ("device_id", DeviceSort::Id),
    ("name", DeviceSort::Name),
    ("type", DeviceSort::Type),
    ("status", DeviceSort::Status),
    ("last_seen", DeviceSort::LastSeen),
    ("created_at", DeviceSort::CreatedAt),
    ("updated_at", DeviceSort::UpdatedAt),
];

/// Lists devices, each with its head and its latest readings: all of them, or with `page` or `limit` a page.
#[utoipa::path(
    get,
    path = "/api/devices",
    tag = "devices",
    params(Listing),
    responses(
        (status = 200, description = "The devices, or a page of them; compressed for clients that accept gzip, where it is all", body = [DeviceItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String),
                ("X-Warnings" = String, description = "Where the filter or the order names what no device has: a \
                    JSON array of `{\"code\", \"field\", \"detail\"}`"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
        (status = 429, description = "Other lists of all devices of this caller go on", body = Problem),
        (status = 503, description = "A filter takes too long with all devices, lists of all devices of other callers take all the room, or what was found is not durable yet", body = Problem),
    )
)]
pub async fn list_devices(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    if params.has("page") || params.has("limit") {
        return list(&request, params, &access, FixedQuery::default()).await;
    }
    let asked = params.all().to_vec();
    let find = device_search(params, FixedQuery::default(), &access.tree(), access.now())?;
    all::answer(&request, &asked, &access, find).await
}

/// Parts of the query that are fixed, and not parameters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FixedQuery<'a> {
    pub claimed: Option<bool>,
    pub group: Option<&'a str>,
}

/// The same with fixed parts of the query.
pub(crate) async fn list(
    request: &HttpRequest,
    mut params: Params,
    access: &Access,
    fixed: FixedQuery<'_>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let tree = access.tree();
    let now = access.now();
    let mut find = device_search(params, fixed, &tree, now)?;
    (find.query.offset, find.query.limit) = (paging.offset(), paging.limit);
    let FoundDevices { page, warnings } =
        if find.filter.is_none() && find.sort.is_none() && find.query.is_for_lists() {
            // Its indexes are made for it.
            FoundDevices { page: access.ask(ListDevices(find.query)).await??, warnings: Vec::new() }
        } else {
            let _turn = access.state.turns.wait(TurnKind::Search, access, request).await?;
            access.ask(find).await??
        };
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total);
    warnings::set_header(&mut response, &warnings);
    Ok(array(response, &page.twins, |twin, out| summary(twin, now).write(out)))
}

/// The filters and the order of a list.
///
/// # Errors
/// Names the parameter that is wrong.
pub(crate) fn device_search(
    mut params: Params,
    fixed: FixedQuery<'_>,
    tree: &GroupTree,
    now: Timestamp,
) -> Result<FindDevices, FieldError> {
    let group = match fixed.group {
        Some(group) => Some(group.to_owned()),
        None => params.text("group_id")?,
    };
    let subtree = params.value("subtree", "true or false")?.unwrap_or(true);
    let (sort, field, descending) =
        params.text("sort")?.map_or(Ok(Default::default()), |text| order(&text))?;
    let filter = params.text("filter")?.map(|text| filter(&text)).transpose()?;
    let query = DeviceQuery {
        status: params.words("status", "online or offline", Status::parse)?,
        drifting_since: params.duration("drift")?.map(|drift| now.plus_millis(-drift)),
        device_type: match params.has("device_type") {
            true => params.text("device_type")?,
            false => params.text("type")?,
        },
        template: params.text("template_id")?,
        groups: match group {
            Some(group) if subtree => match &tree.subtree(&group)[..] {
                [] => vec![group], // what can be no group's id is none: nobody stands in it
                groups => groups.iter().map(ToString::to_string).collect(),
            },
            group => group.into_iter().collect(),
        },
        claimed: match fixed.claimed {
            Some(claimed) => Some(claimed),
            None => params.value("claimed", "true or false")?,
        },
        lifecycle: params.words(
            "lifecycle",
            "provisioned, active, suspended or retired",
            Lifecycle::parse,
        )?,
        mode: params.read("mode", "manual or schedule", Mode::parse)?,
        tags: params.prefixed("tag."),
        q: q(&mut params)?,
        sort,
        descending,
        ..DeviceQuery::default()
    };
    params.finish()?;
    Ok(FindDevices { query, filter, sort: field })
}

fn q(params: &mut Params) -> Result<Option<String>, FieldError> {
    let q = params.text("q")?;
    match q.as_deref().map(|part| part.chars().count()) {
        Some(length) if length > DeviceQuery::LONGEST_Q => {
            Err(bad("q", format!("{} characters at most, this has {length}", DeviceQuery::LONGEST_Q)))
        }
        _ => Ok(q),
    }
}

/// A filter, as a parameter or a field gives it.
pub(crate) fn filter(text: &str) -> Result<TwinFilter, FieldError> {
    let compiled = TwinFilter::compile(text).and_then(|filter| filter.check().map(|()| filter));
    compiled.map_err(|bad| at_its_place("filter", "bad_filter", text, &bad))
}

/// The order of a list: a key of lists, or any value of a twin; and whether it is reversed.
fn order(text: &str) -> Result<(DeviceSort, Option<SortField>, bool), FieldError> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    if let Some((_, sort)) = SORTS.iter().find(|(known, _)| *known == name) {
        return Ok((*sort, None, descending));
    }
    let field = SortField::compile(name);
    let field = field.map_err(|bad| {
        let bad = BadExpression { at: bad.at + text.len() - name.len(), ..bad };
        at_its_place("sort", "bad_parameter", text, &bad)
    })?;
    Ok((DeviceSort::Number, Some(field), descending))
}

/// The error with the character, counted from 1, at which it is.
fn at_its_place(field: &str, code: &'static str, text: &str, bad: &BadExpression) -> FieldError {
    let before = text.char_indices().take_while(|(at, _)| *at < bad.at).count();
    let detail = format!("at character {}: {}", before + 1, bad.detail);
    FieldError { field: field.to_owned(), detail, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(text: &str) -> Result<FindDevices, FieldError> {
        device_search(Params::parse(text), FixedQuery::default(), &GroupTree::default(), Timestamp::default())
    }

    #[test]
    fn reads_filters() {
        let parsed = "lifecycle=active,retired&status=online&type=pump&claimed=false&tag.room=hall&q=x&sort=-last_seen&mode=manual";
        let FindDevices { query, filter, sort } = asked_by(parsed).unwrap();
        assert_eq!(query.status, [Status::Online]);
        assert_eq!(query.lifecycle, [Lifecycle::Active, Lifecycle::Retired]);
        assert_eq!(query.device_type.as_deref(), Some("pump"));
        assert_eq!((query.claimed, query.mode), (Some(false), Some(Mode::Manual)));
        assert_eq!(query.tags, [("room".to_owned(), "hall".to_owned())]);
        assert_eq!((query.sort, query.descending), (DeviceSort::LastSeen, true));
        assert!(filter.is_none() && sort.is_none());
        let FindDevices { query, filter, sort } = asked_by("filter=battery+%3C+20&sort=-tags.floor").unwrap();
        assert_eq!(filter.unwrap().text(), "battery < 20");
        assert!(sort.is_some() && query.descending);
        assert!(asked_by("filter=&sort=").unwrap().filter.is_none());
    }

    #[test]
    fn what_lists_may_be_behind_in_is_searched_for() {
        let is_for_lists = |text: &str| asked_by(text).unwrap().query.is_for_lists();
        assert!(is_for_lists("sort=-created_at&status=online&group=a&tag.room=hall&q=x"));
        for behind in ["sort=last_seen", "sort=-updated_at", "drift=10m"] {
            assert!(!is_for_lists(behind), "{behind}");
        }
        let groups = vec!["g".to_owned(); DeviceQuery::MOST_GROUPS + 1];
        assert!(!DeviceQuery { groups, ..DeviceQuery::default() }.is_for_lists());
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| asked_by(text).unwrap_err().field;
        assert_eq!(wrong("status=asleep"), "status");
        assert_eq!(wrong("lifecycle=dead"), "lifecycle");
        assert_eq!(wrong("sort=1"), "sort");
        assert_eq!(wrong("claimed=yes"), "claimed");
        assert_eq!(wrong("colour=red"), "colour");
        assert_eq!(wrong("tag.=x"), "tag.");
        assert_eq!(wrong("filter=true&filter=false"), "filter");
        assert_eq!(wrong(&format!("q={}", "ä".repeat(601))), "q");
        assert!(asked_by(&format!("q={}", "ä".repeat(600))).is_ok());
    }

    #[test]
    fn says_where_a_filter_or_an_order_is_wrong() {
        let check = |text: &str, code: &str, detail: &str| {
            let error = asked_by(&text.replace(' ', "+")).unwrap_err();
            assert_eq!((error.code, &*error.detail), (code, detail), "{text}");
        };
        check(
            "filter=battery <",
            "bad_filter",
            "at character 10: a value is missing: the expression ends here",
        );
        check("filter='é' == x and y", "bad_filter", "at character 10: `and` is written `&&`");
        check(
            "filter=trigger.value == 1",
            "bad_filter",
            "at character 1: nothing has fired here: `trigger` is known to rules alone",
        );
        check(
            "sort=-a b",
            "bad_parameter",
            "at character 4: an operator (`&&`, `||`, `==`, `<`…) is missing before `b`",
        );
        check(
            "sort=1",
            "bad_parameter",
            "at character 1: an order names one property of a twin: temperature, tags.floor, last_seen",
        );
    }
}
