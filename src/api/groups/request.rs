//! Bodies about groups.

use serde::Deserialize;
use twinhub_domain::Object;
use twinhub_domain::fleet::{GroupFields, GroupRequest};
use utoipa::ToSchema;

use crate::http::extract::fields::FieldError;
use crate::http::extract::read::even_null;

/// A new group.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// 1 to 128 of `A-Z a-z 0-9 . _ : -`; made when none is given.
    #[schema(example = "hall-2")]
    id: Option<Box<str>>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = String, required = true, example = "Hall 2")]
    name: Option<Option<Box<str>>>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<Box<str>>>,
    /// The id of the group above it.
    #[serde(default, deserialize_with = "even_null", alias = "parent_id")]
    #[schema(value_type = Option<String>, example = "plant")]
    parent_group: Option<Option<Box<str>>>,
    tags: Option<Object>,
}

/// A change of a group; what is left out stays, null takes away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<Box<str>>>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<Box<str>>>,
    /// Null: to the top.
    #[serde(default, deserialize_with = "even_null", alias = "parent_id")]
    #[schema(value_type = Option<String>)]
    parent_group: Option<Option<Box<str>>>,
    tags: Option<Object>,
}

impl NewGroup {
    /// The request in checked form. Without a name it can only change a group.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn group_request(self) -> Result<GroupRequest, FieldError> {
        let Self { id, name, description, parent_group, tags } = self;
        checked(GroupFields { id, name, description, parent_group, tags })
    }
}

impl GroupChange {
    /// The request in checked form.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn group_request(self) -> Result<GroupRequest, FieldError> {
        let Self { name, description, parent_group, tags } = self;
        checked(GroupFields { id: None, name, description, parent_group, tags })
    }
}

fn checked(said: GroupFields) -> Result<GroupRequest, FieldError> {
    said.checked().map_err(|(field, detail)| FieldError::bad(field, detail))
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Json;

    use super::*;
    use crate::http::extract::read::read;

    #[test]
    fn names_what_is_wrong() {
        let check = |text: &str, field: &str, detail: &str| {
            let requested = read::<NewGroup>(text.parse::<Json>().unwrap()).and_then(NewGroup::group_request);
            let error = requested.unwrap_err();
            assert!(error.field == field && error.detail.starts_with(detail), "{text}: {error}");
        };
        check(r#"{"nam": "x"}"#, "nam", "there is no such field");
        check(r#"{"name": null}"#, "name", "must not be empty");
        check(r#"{"name": 5}"#, "name", "expected a string, found a number");
        check(r#"{"tags": []}"#, "tags", "expected an object, found an array");
        check(r#"{"parent_id": 1}"#, "parent_id", "expected a string, found a number");
        for both in
            [r#"{"parent_group": "a", "parent_id": "b"}"#, r#"{"parent_id": "a", "parent_group": null}"#]
        {
            check(both, "parent_group", "is given twice, by two names");
        }
    }
}
