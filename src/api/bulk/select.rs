//! To whom: devices named by their ids, or all that fit.

use std::collections::HashSet;

use twinhub_actors::domain::{DeviceId, DeviceNumber, Json, Object, Timestamp};
use twinhub_actors::messages::archive::{ListDevices, LoadTwins};
use twinhub_actors::store::DeviceQuery;

use super::within;
use crate::api::devices;
use crate::api::params::Params;
use crate::error::ApiError;
use crate::fields::{FieldError, Fields};
use crate::web::WebState;

/// Devices read with one query.
const PAGE: u64 = 1_000;
/// Ids looked up with one query.
const LOOKED_UP: usize = 500;

/// Which devices are meant.
#[derive(Debug)]
pub enum Selection {
    Ids(Vec<DeviceId>),
    Where(Box<DeviceQuery>),
}

/// Those who are there, and the ids that are nobody's.
#[derive(Debug, Default)]
pub struct Matched {
    pub devices: Vec<(DeviceId, DeviceNumber)>,
    pub unknown: Vec<DeviceId>,
}

impl Selection {
    /// Takes `ids`, or `where`.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn read(fields: &mut Fields, now: Timestamp) -> Result<Self, FieldError> {
        let (ids, fitting) = (fields.texts("ids")?, fields.object("where")?);
        if fields.text("filter")?.is_some() {
            return Err(FieldError::bad("filter", "expressions are not taken here: use `where`, or `ids`"));
        }
        match (ids, fitting) {
            (Some(_), Some(_)) => Err(FieldError::bad("where", "give `ids` or `where`, not both")),
            (None, None) => Err(FieldError {
                detail: "give `ids`, or `where`: an empty one means all devices".into(),
                ..FieldError::missing("ids")
            }),
            (None, Some(fitting)) => {
                let query = filters(&fitting, now).map_err(|error| within("where", error))?;
                Ok(Self::Where(Box::new(query)))
            }
            (Some(ids), None) => {
                let id = |(place, text): (usize, &Box<str>)| {
                    DeviceId::parse(text)
                        .map_err(|error| FieldError::bad(&format!("ids.{place}"), error.to_string()))
                };
                ids.iter().enumerate().map(id).collect::<Result<_, _>>().map(Self::Ids)
            }
        }
    }
}

/// The devices that are meant, in the order in which they were named, or else in that in which they came.
///
/// # Errors
/// The store does not answer.
pub async fn matching(state: &WebState, selection: Selection) -> Result<Matched, ApiError> {
    match selection {
        Selection::Ids(ids) => named(state, ids).await,
        Selection::Where(query) => fitting(state, *query).await,
    }
}

async fn named(state: &WebState, ids: Vec<DeviceId>) -> Result<Matched, ApiError> {
    let (mut matched, mut seen) = (Matched::default(), HashSet::new());
    let ids: Vec<DeviceId> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    for some in ids.chunks(LOOKED_UP) {
        let twins = state.hub.archive.send(LoadTwins(some.to_vec())).await??;
        for id in some {
            match twins.iter().find(|twin| twin.id == *id) {
                Some(twin) => matched.devices.push((id.clone(), twin.number)),
                None => matched.unknown.push(id.clone()),
            }
        }
    }
    Ok(matched)
}

async fn fitting(state: &WebState, query: DeviceQuery) -> Result<Matched, ApiError> {
    let mut matched = Matched::default();
    let mut from = DeviceNumber(0);
    loop {
        // By number, so that nobody is passed over because another one went meanwhile.
        let numbers = Some((from, DeviceNumber(i64::MAX)));
        let page = DeviceQuery { numbers, offset: 0, limit: PAGE, ..query.clone() };
        let twins = state.hub.archive.send(ListDevices(page)).await??.twins;
        let Some(last) = twins.last() else { return Ok(matched) };
        from = DeviceNumber(last.number.0.saturating_add(1));
        matched.devices.extend(twins.into_iter().map(|twin| (twin.id, twin.number)));
    }
}

/// The filters of the list of devices as an object: `{"status": ["online"], "tag": {"floor": "2"}}`.
fn filters(fitting: &Object, now: Timestamp) -> Result<DeviceQuery, FieldError> {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (field, value) in fitting.iter() {
        if matches!(field, "sort" | "page" | "limit") {
            return Err(FieldError::unknown(field));
        }
        match value {
            Json::Null => {}
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
    let query = devices::query(Params::parse(&text.finish()), None, now);
    query.map_err(|error| match error.code {
        "unknown_parameter" => FieldError::unknown(&error.field),
        _ => FieldError { code: "bad_field", ..error },
    })
}

fn plain(field: &str, value: &Json) -> Result<String, FieldError> {
    match value {
        Json::String(text) => Ok(text.to_string()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        other => Err(FieldError::bad(field, format!("expected a text, found {}", other.kind()))),
    }
}

#[cfg(test)]
mod tests {
    use twinhub_actors::domain::{Mode, Status, payload};

    use super::*;

    fn read(text: &str) -> Result<Selection, FieldError> {
        let fields = payload::object(text.as_bytes()).unwrap();
        Selection::read(&mut Fields::any(fields), Timestamp::from_millis(0))
    }

    fn query(text: &str) -> DeviceQuery {
        match read(&format!(r#"{{"where": {text}}}"#)).unwrap() {
            Selection::Where(query) => *query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_ids() {
        let Selection::Ids(ids) = read(r#"{"ids": ["a", "b.c"]}"#).unwrap() else { panic!("no ids") };
        assert_eq!(ids.iter().map(DeviceId::as_str).collect::<Vec<_>>(), ["a", "b.c"]);
    }

    #[test]
    fn reads_the_filters_of_the_list() {
        let all = query("{}");
        assert!(all.status.is_empty() && all.tags.is_empty() && all.q.is_none());
        let some = query(
            r#"{"status": ["online", "unknown"], "type": "pump & fan", "group": "hall", "claimed": true,
                "mode": "manual", "q": "x", "drift": "10m", "tag": {"floor": 2, "wing": "a,b"}}"#,
        );
        assert_eq!(some.status, [Status::Online, Status::Unknown]);
        assert_eq!((some.device_type.as_deref(), some.group.as_deref()), (Some("pump & fan"), Some("hall")));
        assert_eq!((some.claimed, some.mode), (Some(true), Some(Mode::Manual)));
        assert_eq!(some.drifting_since, Some(Timestamp::from_millis(-600_000)));
        let tag = |tag: &str, value: &str| (tag.to_owned(), value.to_owned());
        assert_eq!(some.tags, [tag("floor", "2"), tag("wing", "a,b")]);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |text: &str, field: &str, code: &str| {
            let error = read(text).unwrap_err();
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
        };
        check("{}", "ids", "missing_field");
        check(r#"{"ids": ["a"], "where": {}}"#, "where", "bad_field");
        check(r#"{"ids": ["a", "b c"]}"#, "ids.1", "bad_field");
        check(r#"{"ids": [1]}"#, "ids", "bad_field");
        check(r#"{"where": {"colour": "red"}}"#, "where.colour", "unknown_field");
        check(r#"{"where": {"sort": "name"}}"#, "where.sort", "unknown_field");
        check(r#"{"where": {"status": "asleep"}}"#, "where.status", "bad_field");
        check(r#"{"where": {"type": {}}}"#, "where.type", "bad_field");
        check(r#"{"where": {"tag": {"a": []}}}"#, "where.tag", "bad_field");
    }
}
