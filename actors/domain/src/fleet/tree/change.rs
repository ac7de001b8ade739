//! Plans the change of a group.

use super::{GroupTree, TreeRefusal};
use crate::clock::Timestamp;
use crate::fleet::group::{Group, GroupId, GroupRequest};

/// The precondition on the group's existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPrecondition {
    New,
    There,
    Any,
}

/// A group as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGroup {
    pub group: Group,
    /// There was none of this id before.
    pub is_new: bool,
    /// The group is new, or changes.
    pub changes: bool,
}

impl GroupTree {
    /// The group of this id after a requested change. It is put nowhere yet.
    ///
    /// # Errors
    /// The precondition fails; a new group has no name; or the group cannot have its place.
    pub fn plan(
        &self,
        id: GroupId,
        request: GroupRequest,
        expect: GroupPrecondition,
        now: Timestamp,
    ) -> Result<PlannedGroup, TreeRefusal> {
        let before = match (self.get(id.as_str()), expect) {
            (None, GroupPrecondition::There) => return Err(TreeRefusal::Unknown(id)),
            (Some(_), GroupPrecondition::New) => return Err(TreeRefusal::Taken(id)),
            (before, _) => before,
        };
        let group = match (before, &request.name) {
            (Some(before), _) => before.changed(request, now),
            (None, Some(name)) => Group::new(id, &name.clone(), now).changed(request, now),
            (None, None) => return Err(TreeRefusal::NoName),
        };
        self.check(&group)?;
        let stays = |before: &Group| *before == Group { updated_at: before.updated_at, ..group.clone() };
        let changes = before.is_none_or(|before| !stays(before));
        Ok(PlannedGroup { is_new: before.is_none(), changes, group })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::GroupFields;
    use crate::json::Json;
    use crate::payload;

    fn said(body: &str) -> GroupRequest {
        let body = payload::object(body.as_bytes()).unwrap();
        let text = |field: &str| body.get(field).map(|value| value.as_str().map(Into::into));
        let said = GroupFields {
            id: None,
            name: text("name"),
            description: text("description"),
            parent_group: text("parent_group"),
            tags: body.get("tags").and_then(Json::as_object).cloned(),
        };
        said.checked().unwrap()
    }

    fn id(id: &str) -> GroupId {
        GroupId::parse(id).unwrap()
    }

    #[test]
    fn a_request_makes_changes_or_is_refused() {
        let mut tree = GroupTree::default();
        let mut plan = |name: &str, request: &str, expect: GroupPrecondition| {
            let request = said(request);
            let planned = tree.plan(id(name), request, expect, Timestamp::from_millis(5))?;
            tree.put(Arc::new(planned.group.clone()));
            Ok((planned.is_new, planned.changes))
        };
        assert_eq!(plan("a", r#"{"name": "A"}"#, GroupPrecondition::New), Ok((true, true)));
        assert_eq!(
            plan("b", r#"{"name": "B", "parent_group": "a"}"#, GroupPrecondition::Any),
            Ok((true, true))
        );
        assert_eq!(
            plan("a", r#"{"name": "A"}"#, GroupPrecondition::Any),
            Ok((false, false)),
            "so it is already"
        );
        assert_eq!(plan("a", r#"{"description": "d"}"#, GroupPrecondition::There), Ok((false, true)));
        assert_eq!(plan("a", r#"{"name": "A"}"#, GroupPrecondition::New), Err(TreeRefusal::Taken(id("a"))));
        assert_eq!(
            plan("c", r#"{"name": "C"}"#, GroupPrecondition::There),
            Err(TreeRefusal::Unknown(id("c")))
        );
        assert_eq!(plan("c", "{}", GroupPrecondition::Any), Err(TreeRefusal::NoName));
        let away = plan("c", r#"{"name": "C", "parent_group": "x"}"#, GroupPrecondition::Any);
        assert_eq!(away, Err(TreeRefusal::NoParent(id("x"))));
        let circle = plan("a", r#"{"parent_group": "b"}"#, GroupPrecondition::Any).unwrap_err();
        assert_eq!(circle.to_string(), "group `a` would be under itself: a → b → a");
    }
}
