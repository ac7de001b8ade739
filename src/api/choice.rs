//! Which devices a body means: `ids`, or `filter` and what lists filter by. For whatever is done to many at once.

use std::collections::{HashMap, HashSet};

use twinhub_actors::domain::duration::duration_ms;
use twinhub_actors::domain::fleet::Lifecycle;
use twinhub_actors::domain::{DeviceId, DeviceNumber, Json, Mode, Scalar, Status, Timestamp};
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_actors::messages::search::FindAll;
use twinhub_actors::store::DeviceQuery;

use super::devices::filter;
use crate::error::ApiError;
use crate::fields::{FieldError, Fields};
use crate::web::WebState;

/// The fields that say which devices.
pub const FIELDS: [&str; 12] = [
    "ids",
    "filter",
    "status",
    "lifecycle",
    "drift",
    "type",
    "group",
    "claimed",
    "mode",
    "template",
    "tags",
    "q",
];

/// Ids that are looked up with one message.
const AT_ONCE: usize = 1_000;

/// Which devices.
#[derive(Clone, Debug)]
pub enum Choice {
    /// These, in this order.
    Ids(Vec<DeviceId>),
    /// Whoever it is true of when they are looked for.
    Found(Box<FindAll>),
}

/// The devices that were meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Each once: by number, or in the order in which they were named.
    pub devices: Vec<(DeviceId, DeviceNumber)>,
    /// Those that were named and that nobody knows.
    pub unknown: Vec<DeviceId>,
}

impl Choice {
    /// Takes [`FIELDS`] out of `body`.
    ///
    /// # Errors
    /// Names the field that is wrong. Nothing at all is no choice: all devices are meant by `"filter": "true"`.
    pub fn take(body: &mut Fields, now: Timestamp) -> Result<Self, FieldError> {
        let ids = body.texts("ids")?;
        let filter = body.text("filter")?.map(|text| filter(&text)).transpose()?;
        let query = DeviceQuery {
            status: words(body, "status", "online, offline or unknown", Status::parse)?,
            lifecycle: words(
                body,
                "lifecycle",
                "provisioned, active, suspended or retired",
                Lifecycle::parse,
            )?,
            drifting_since: read(body, "drift", "a duration such as 10m", duration_ms)?
                .map(|drift| now.plus_millis(-drift)),
            device_type: body.text("type")?.map(Into::into),
            group: body.text("group")?.map(Into::into),
            claimed: body.flag("claimed")?,
            mode: read(body, "mode", "manual or schedule", Mode::parse)?,
            template: body.text("template")?.map(Into::into),
            tags: tags(body)?,
            q: body.text("q")?.map(Into::into),
            ..DeviceQuery::default()
        };
        let found = FindAll { query, filter };
        match ids {
            None if found.is_all() => Err(FieldError {
                detail: "say which devices, by `ids` or by a `filter`".into(),
                ..FieldError::missing("ids")
            }),
            None => Ok(Self::Found(Box::new(found))),
            Some(_) if !found.is_all() => {
                Err(FieldError::bad("ids", "devices are named by `ids` or found by a `filter`, and not both"))
            }
            Some(ids) => {
                let mut known = HashSet::with_capacity(ids.len());
                let mut each = Vec::with_capacity(ids.len());
                for text in ids {
                    let id = DeviceId::parse(&text)
                        .map_err(|error| FieldError::bad("ids", format!("`{text}`: {error}")))?;
                    if known.insert(id.clone()) {
                        each.push(id);
                    }
                }
                Ok(Self::Ids(each))
            }
        }
    }

    /// The devices, as of the last commit.
    ///
    /// # Errors
    /// The store does not answer, or what was found is not durable in time.
    pub async fn devices(self, state: &WebState) -> Result<Chosen, ApiError> {
        let ids = match self {
            Self::Found(find) => {
                let devices = state.hub.search.send(*find).await??;
                return Ok(Chosen { devices, unknown: Vec::new() });
            }
            Self::Ids(ids) => ids,
        };
        let mut numbers: HashMap<DeviceId, DeviceNumber> = HashMap::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let twins = state.hub.archive.send(LoadTwins(some.to_vec())).await??;
            numbers.extend(twins.into_iter().map(|twin| (twin.id, twin.number)));
        }
        let mut chosen = Chosen::default();
        for id in ids {
            match numbers.get(&id) {
                Some(number) => chosen.devices.push((id, *number)),
                None => chosen.unknown.push(id),
            }
        }
        Ok(chosen)
    }
}

fn wrong(field: &str, expected: &str, found: &str) -> FieldError {
    let shown: String = found.chars().take(64).collect();
    FieldError::bad(field, format!("expected {expected}, found `{shown}`"))
}

fn read<T>(
    body: &mut Fields,
    field: &str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, FieldError> {
    let Some(text) = body.text(field)? else { return Ok(None) };
    read(&text).map(Some).ok_or_else(|| wrong(field, expected, &text))
}

fn words<T>(
    body: &mut Fields,
    field: &str,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, FieldError> {
    let words = body.texts(field)?.unwrap_or_default();
    words.iter().map(|word| read(word).ok_or_else(|| wrong(field, expected, word))).collect()
}

/// Tags by name; numbers and booleans by their text, as in lists.
fn tags(body: &mut Fields) -> Result<Vec<(String, String)>, FieldError> {
    let tags = body.object("tags")?.unwrap_or_default();
    let text = |(name, value): (&str, &Json)| match Scalar::from_json(value.clone()) {
        Some(value) => Ok((name.to_owned(), value.to_string())),
        None => Err(FieldError::bad("tags", format!("`{name}`: expected a text, found {}", value.kind()))),
    };
    tags.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use twinhub_actors::domain::payload;

    use super::*;

    fn take(text: &str) -> Result<Choice, FieldError> {
        let object = payload::object(text.as_bytes()).unwrap();
        Choice::take(&mut Fields::of(object, &FIELDS).unwrap(), Timestamp::from_millis(60_000))
    }

    #[test]
    fn ids_are_meant_once_each_and_in_their_order() {
        let Choice::Ids(ids) = take(r#"{"ids": ["b", "a", "b"]}"#).unwrap() else { panic!("these are ids") };
        assert_eq!(ids.iter().map(DeviceId::as_str).collect::<Vec<_>>(), ["b", "a"]);
        assert!(matches!(take(r#"{"ids": []}"#), Ok(Choice::Ids(none)) if none.is_empty()));
    }

    #[test]
    fn a_filter_and_what_lists_filter_by_go_together() {
        let text = r#"{"filter": "battery < 20", "status": ["online", "unknown"], "drift": "10s", "type": "pump",
            "group": "g", "claimed": true, "mode": "manual", "lifecycle": "active", "template": "t", "tags": {"floor": 2}, "q": "x"}"#;
        let Choice::Found(find) = take(text).unwrap() else { panic!("this is to be found") };
        let FindAll { query, filter } = *find;
        assert_eq!(filter.unwrap().text(), "battery < 20");
        assert_eq!(query.status, [Status::Online, Status::Unknown]);
        assert_eq!(query.lifecycle, [Lifecycle::Active]);
        assert_eq!(query.drifting_since, Some(Timestamp::from_millis(50_000)));
        assert_eq!((query.device_type.as_deref(), query.group.as_deref()), (Some("pump"), Some("g")));
        assert_eq!((query.claimed, query.mode), (Some(true), Some(Mode::Manual)));
        assert_eq!((query.template.as_deref(), query.q.as_deref()), (Some("t"), Some("x")));
        assert_eq!(query.tags, [("floor".to_owned(), "2".to_owned())]);
        assert!(matches!(take(r#"{"filter": "true"}"#), Ok(Choice::Found(_))));
        assert!(matches!(take(r#"{"status": "online"}"#), Ok(Choice::Found(_))));
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |text: &str, field: &str, code: &str| {
            let error = take(text).expect_err(text);
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
        };
        check("{}", "ids", "missing_field");
        check(r#"{"ids": ["a"], "filter": "true"}"#, "ids", "bad_field");
        check(r#"{"ids": ["a"], "type": "pump"}"#, "ids", "bad_field");
        check(r#"{"ids": ["a/b"]}"#, "ids", "bad_field");
        check(r#"{"ids": [1]}"#, "ids", "bad_field");
        check(r#"{"filter": "battery <"}"#, "filter", "bad_filter");
        check(r#"{"filter": 5}"#, "filter", "bad_field");
        check(r#"{"status": "asleep"}"#, "status", "bad_field");
        check(r#"{"drift": "soon"}"#, "drift", "bad_field");
        check(r#"{"mode": "off"}"#, "mode", "bad_field");
        check(r#"{"tags": {"a": [1]}}"#, "tags", "bad_field");
        check(r#"{"claimed": "yes"}"#, "claimed", "bad_field");
    }
}
