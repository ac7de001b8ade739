//! The selection of devices in a body: `ids`, or a `filter` and the filters of lists. For all actions on many at once.

use std::collections::{HashMap, HashSet};

use actix_web::HttpRequest;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_actors::messages::search::{AllFoundDevices, FindAllDevices, SearchWarning};
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp};
use twinhub_store::DeviceQuery;

use crate::api::devices::list::{FixedQuery, device_search, filter};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::http::turns::TurnKind;

/// Ids that are looked up with one message.
const AT_ONCE: usize = 1_000;

/// A selection of devices.
#[derive(Clone, Debug)]
pub enum DeviceSelection {
    /// These, in this order.
    Ids(Vec<DeviceId>),
    /// All devices that match when they are searched.
    Found(Box<FindAllDevices>),
}

/// The devices that were meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedDevices {
    /// Each once: by number, or in the order in which they were named.
    pub devices: Vec<(DeviceId, DeviceNumber)>,
    /// Devices that were named and are unknown.
    pub unknown: Vec<DeviceId>,
    /// Warnings about the filter.
    pub warnings: Vec<SearchWarning>,
}

impl DeviceSelection {
    /// Takes the fields of the selection out of `body`: `ids`, or `filter` and `where`, which has the filters of the
    /// list of devices (`{"status": ["online"], "tag": {"floor": 2}}`); an empty `where` means all devices.
    ///
    /// # Errors
    /// Names the field that is wrong. Nothing at all is no choice.
    pub fn of(
        ids: Option<Vec<Box<str>>>,
        text: Option<&str>,
        fitting: Option<Object>,
        tree: &GroupTree,
        now: Timestamp,
    ) -> Result<Self, FieldError> {
        match (ids, text.map(filter).transpose()?, fitting) {
            (None, None, None) => Err(FieldError {
                detail: "say which devices, by `ids`, a `filter` or `where`: an empty `where` means all"
                    .into(),
                ..FieldError::missing("ids")
            }),
            (Some(ids), None, None) => each_once(&ids).map(Self::Ids),
            (Some(_), _, _) => Err(FieldError::bad(
                "ids",
                "devices are named by `ids` or found by `filter` and `where`, not both",
            )),
            (None, filter, fitting) => {
                let query =
                    fitting.map(|fitting| filters(&fitting, tree, now)).transpose()?.unwrap_or_default();
                Ok(Self::Found(Box::new(FindAllDevices { query, filter })))
            }
        }
    }

    /// The devices, as of the last commit.
    ///
    /// # Errors
    /// The store does not answer, or the twins found are not durable in time.
    pub async fn devices(self, request: &HttpRequest, access: &Access) -> Result<SelectedDevices, ApiError> {
        let ids = match self {
            Self::Found(find) => {
                let _turn = if find.filter.is_some() {
                    Some(access.state.turns.wait(TurnKind::Search, access, request).await?)
                } else {
                    None
                };
                let AllFoundDevices { devices, warnings } = access.ask(*find).await??;
                return Ok(SelectedDevices { devices, unknown: Vec::new(), warnings });
            }
            Self::Ids(ids) => ids,
        };
        let mut numbers: HashMap<DeviceId, DeviceNumber> = HashMap::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let twins = access.ask(LoadTwins(some.to_vec())).await??;
            numbers.extend(twins.into_iter().map(|twin| (twin.id, twin.number)));
        }
        let mut chosen = SelectedDevices::default();
        for id in ids {
            match numbers.get(&id) {
                Some(number) => chosen.devices.push((id, *number)),
                None => chosen.unknown.push(id),
            }
        }
        Ok(chosen)
    }
}

fn each_once(ids: &[Box<str>]) -> Result<Vec<DeviceId>, FieldError> {
    let mut known = HashSet::with_capacity(ids.len());
    let mut each = Vec::with_capacity(ids.len());
    for (place, text) in ids.iter().enumerate() {
        let id = DeviceId::parse(text)
            .map_err(|error| FieldError::bad(&format!("ids.{place}"), format!("`{text}`: {error}")))?;
        if known.insert(id.clone()) {
            each.push(id);
        }
    }
    Ok(each)
}

/// The filters of the list of devices as an object: read by the list itself. There an empty value means all; in an
/// action on devices it is more likely that a value was left out than that all are meant.
fn filters(fitting: &Object, tree: &GroupTree, now: Timestamp) -> Result<DeviceQuery, FieldError> {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (field, value) in fitting.iter() {
        match value {
            _ if ["filter", "sort", "page", "limit"].contains(&field) => {
                return Err(FieldError::unknown(&format!("where.{field}")));
            }
            value if says_nothing(value) => {
                let detail = "must not be empty: leave it out to mean all";
                return Err(FieldError::bad(&format!("where.{field}"), detail));
            }
            Json::Object(tags) if field == "tag" => {
                for (tag, value) in tags.iter() {
                    text.append_pair(&format!("tag.{tag}"), &plain("tag", value)?);
                }
            }
            Json::Array(values) => {
                for value in values {
                    text.append_pair(field, &plain(field, value)?);
                }
            }
            value => {
                text.append_pair(field, &plain(field, value)?);
            }
        }
    }
    match device_search(Params::parse(&text.finish()), FixedQuery::default(), tree, now) {
        Ok(find) if find.query.is_all() && !fitting.is_empty() => {
            Err(FieldError::bad("where", "says nothing of which devices: an empty one means all"))
        }
        Ok(find) => Ok(find.query),
        Err(error) => {
            let field = format!("where.{}", error.field);
            Err(match error.code {
                "unknown_parameter" => FieldError::unknown(&field),
                _ => FieldError { field, code: "bad_field", ..error },
            })
        }
    }
}

/// Would the list take this value for none? Of several, parted by commas or in an array, it passes over those that are
/// empty.
fn says_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.split(',').all(|item| item.trim().is_empty()),
        Json::Array(values) => values.is_empty() || values.iter().any(says_nothing),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

fn plain(field: &str, value: &Json) -> Result<String, FieldError> {
    match value {
        Json::String(text) => Ok(text.to_string()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        other => Err(FieldError::bad(
            &format!("where.{field}"),
            format!("expected a text, found {}", other.kind()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::fleet::Lifecycle;
    use twinhub_domain::{Mode, Status};

    use super::*;
    use crate::api::jobs::request::NewBulk;
    use crate::http::extract::read::read;

    fn take(text: &str) -> Result<DeviceSelection, FieldError> {
        let text = text.replacen('{', r#"{"action": {"delete": true}, "#, 1).replace(", }", "}");
        let NewBulk { ids, filter, r#where, .. } = read(text.parse::<Json>().unwrap())?;
        DeviceSelection::of(
            ids,
            filter.as_deref(),
            r#where,
            &GroupTree::default(),
            Timestamp::from_millis(60_000),
        )
    }

    #[test]
    fn ids_are_meant_once_each_and_in_their_order() {
        let DeviceSelection::Ids(ids) = take(r#"{"ids": ["b", "a", "b"]}"#).unwrap() else {
            panic!("these are ids")
        };
        assert_eq!(ids.iter().map(DeviceId::as_str).collect::<Vec<_>>(), ["b", "a"]);
        assert!(matches!(take(r#"{"ids": []}"#), Ok(DeviceSelection::Ids(none)) if none.is_empty()));
    }

    #[test]
    fn a_filter_and_what_lists_filter_by_go_together() {
        let text = r#"{"filter": "battery < 20", "where": {"status": ["online", "unknown"], "drift": "10s",
            "type": "pump & fan", "group": "g", "claimed": true, "mode": "manual", "lifecycle": "active",
            "template": "t", "tag": {"floor": 2, "wing": "a,b"}, "q": "x"}}"#;
        let DeviceSelection::Found(find) = take(text).unwrap() else { panic!("this is to be found") };
        let FindAllDevices { query, filter } = *find;
        assert_eq!(filter.unwrap().text(), "battery < 20");
        assert_eq!(query.status, [Status::Online, Status::Offline]);
        assert_eq!(query.lifecycle, [Lifecycle::Active]);
        assert_eq!(query.drifting_since, Some(Timestamp::from_millis(50_000)));
        assert_eq!(
            (query.device_type.as_deref(), &query.groups[..]),
            (Some("pump & fan"), &["g".to_owned()][..])
        );
        assert_eq!((query.claimed, query.mode), (Some(true), Some(Mode::Manual)));
        assert_eq!((query.template.as_deref(), query.q.as_deref()), (Some("t"), Some("x")));
        let tag = |tag: &str, value: &str| (tag.to_owned(), value.to_owned());
        assert_eq!(query.tags, [tag("floor", "2"), tag("wing", "a,b")]);
        for all in [r#"{"filter": "true"}"#, r#"{"where": {}}"#] {
            assert!(matches!(take(all), Ok(DeviceSelection::Found(_))), "{all}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |text: &str, field: &str, code: &str| {
            let error = take(text).expect_err(text);
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
        };
        check("{}", "ids", "missing_field");
        check(r#"{"ids": ["a"], "filter": "true"}"#, "ids", "bad_field");
        check(r#"{"ids": ["a"], "where": {}}"#, "ids", "bad_field");
        check(r#"{"ids": ["a", "b c"]}"#, "ids.1", "bad_field");
        check(r#"{"ids": [1]}"#, "ids", "bad_field");
        check(r#"{"filter": "battery <"}"#, "filter", "bad_filter");
        check(r#"{"filter": 5}"#, "filter", "bad_field");
        check(r#"{"where": {"colour": "red"}}"#, "where.colour", "unknown_field");
        check(r#"{"where": {"sort": "name"}}"#, "where.sort", "unknown_field");
        check(r#"{"where": {"status": "asleep"}}"#, "where.status", "bad_field");
        check(r#"{"where": {"drift": "soon"}}"#, "where.drift", "bad_field");
        check(r#"{"where": {"type": {}}}"#, "where.type", "bad_field");
        check(r#"{"where": {"tag": {"a": []}}}"#, "where.tag", "bad_field");
        check(r#"{"where": {"claimed": "yes"}}"#, "where.claimed", "bad_field");
        // Values that the list would take for all.
        for empty in ["null", r#""""#, "[]", r#"[""]"#, r#"["online", null]"#, r#"" , ""#] {
            for field in ["type", "group", "template", "status", "q", "drift", "mode", "claimed", "lifecycle"]
            {
                let text = format!(r#"{{"where": {{"mode": "manual", "{field}": {empty}}}}}"#);
                let error = take(&text.replace(r#""mode": "manual", "mode""#, r#""mode""#)).expect_err(&text);
                let told = "must not be empty: leave it out to mean all";
                assert_eq!((error.field, &*error.detail), (format!("where.{field}"), told), "{text}");
            }
        }
        check(r#"{"where": {"tag": {}}}"#, "where.tag", "bad_field");
        check(r#"{"where": {"subtree": false}}"#, "where", "bad_field");
    }
}
