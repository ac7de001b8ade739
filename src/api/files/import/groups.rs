//! The import of groups: each line as a group that is posted or changed. They may come in any order: one whose parent
//! comes behind it waits for that.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use twinhub_access::Reach;
use twinhub_actors::messages::groups::{GroupRefusal, PutGroup};
use twinhub_domain::fleet::{GroupId, GroupPrecondition, GroupRequest, GroupTree, TreeRefusal};
use twinhub_domain::{Json, Object};

use super::{DeferredLine, IfExists, ImportOptions, LineOutcome, RecordImport};
use crate::api::groups::ask;
use crate::api::groups::request::NewGroup;
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::read::read;
use crate::http::problem::ApiError;
use crate::import_export::LineFault;
use crate::import_export::columns::{GROUPS, Table};

/// The import of groups.
pub struct GroupImport {
    access: Access,
    existing: IfExists,
    /// As the tree would be, where nothing is to be changed.
    trial: Option<RefCell<GroupTree>>,
}

impl GroupImport {
    /// Takes groups in as it is wished.
    pub fn new(access: Access, requested: &ImportOptions) -> Self {
        let trial = requested.file.dry_run.then(|| RefCell::new(GroupTree::clone(&access.tree())));
        Self { access, existing: requested.existing, trial }
    }

    async fn put(
        &self,
        id: Option<GroupId>,
        requested: GroupRequest,
        expect: GroupPrecondition,
    ) -> Result<String, ApiError> {
        if let Some(trial) = &self.trial {
            return self.try_out(&mut trial.borrow_mut(), id, requested, expect).map_err(ApiError::from);
        }
        self.access.check_store()?;
        let cause = self.access.cause();
        let stood = ask(&self.access, |reply| PutGroup {
            id,
            requested,
            reach: Reach::default(),
            expect,
            if_tag: None,
            cause,
            reply,
        })
        .await??;
        Ok(stood.view.group.id.to_string())
    }

    fn try_out(
        &self,
        tree: &mut GroupTree,
        id: Option<GroupId>,
        requested: GroupRequest,
        expect: GroupPrecondition,
    ) -> Result<String, GroupRefusal> {
        let Some(id) = id else { return Ok(String::new()) }; // it would get one, and nothing can stand under it
        let planned = tree.plan(id.clone(), requested, expect, self.access.now())?;
        tree.put(Arc::new(planned.group));
        Ok(id.to_string())
    }
}

impl RecordImport for GroupImport {
    fn table() -> &'static Table {
        &GROUPS
    }

    async fn import(&self, row: Object) -> Result<LineOutcome, ApiError> {
        let mut requested = read::<NewGroup>(row)?.group_request()?;
        let id = requested.id.take();
        let may_change = self.existing == IfExists::Update && id.is_some();
        if requested.name.is_none() && !may_change {
            return Err(FieldError::missing("name").into());
        }
        let put = self.put(id.clone(), requested.clone(), GroupPrecondition::New).await;
        match (put, id) {
            (Ok(id), _) => Ok(LineOutcome::Created { id, token: None }),
            (Err(ApiError::Group(GroupRefusal::Misplaced(TreeRefusal::Taken(_)))), _)
                if self.existing == IfExists::Skip =>
            {
                Ok(LineOutcome::Skipped)
            }
            (Err(ApiError::Group(GroupRefusal::Misplaced(TreeRefusal::Taken(_)))), Some(id))
                if may_change =>
            {
                Ok(LineOutcome::Updated {
                    id: self.put(Some(id), requested, GroupPrecondition::There).await?,
                })
            }
            (Err(error), _) => Err(error),
        }
    }

    fn may_be_deferred(&self, refused: &ApiError) -> bool {
        let ApiError::Group(GroupRefusal::Misplaced(misplaced)) = refused else { return false };
        matches!(misplaced, TreeRefusal::NoParent(_) | TreeRefusal::Circle(_))
    }

    fn explain(waiting: &[DeferredLine<'_>]) -> HashMap<u64, LineFault> {
        explain(waiting)
    }
}

/// The reasons for lines that waited for others and never came in: groups that would be under themselves, by way of
/// lines that wait for each other, and groups under refused ones.
fn explain(waiting: &[DeferredLine<'_>]) -> HashMap<u64, LineFault> {
    let parent = |row: &Object| {
        let named = row.get("parent_group").or_else(|| row.get("parent_id"));
        named.and_then(Json::as_str).map(str::to_owned)
    };
    let named = |row: &Object| Some((row.get("id").and_then(Json::as_str)?.to_owned(), parent(row)?));
    let of: HashMap<String, (u64, String)> = waiting
        .iter()
        .filter_map(|DeferredLine { line, row }| named(row).map(|(id, parent)| (id, (*line, parent))))
        .collect();
    let mut explained = HashMap::new();
    for (id, (line, parent)) in &of {
        let mut way = vec![id.as_str()];
        let mut above = parent.as_str();
        while let Some((_, next)) = of.get(above).filter(|_| !way.contains(&above)) {
            way.push(above);
            above = next;
        }
        let refusal = if above == id {
            way.push(id);
            format!("group `{id}` would be under itself: {}", way.join(" → "))
        } else if let Some((line, _)) = of.get(parent) {
            format!("group `{parent}` was refused, in line {line}")
        } else {
            continue; // it was told already
        };
        let code = if above == id { "group_circle" } else { "bad_field" };
        let fault: LineFault = FieldError { field: "parent_group".into(), detail: refusal, code }.into();
        explained.insert(*line, fault);
    }
    explained
}

#[cfg(test)]
mod tests {
    use twinhub_domain::payload;

    use super::*;

    #[test]
    fn circles_are_named() {
        let rows = [
            r#"{"id": "a", "parent_group": "b"}"#,
            r#"{"id": "b", "parent_group": "c"}"#,
            r#"{"id": "c", "parent_group": "a"}"#,
            r#"{"id": "d", "parent_group": "a"}"#,
            r#"{"id": "e", "parent_group": "nobody"}"#,
            r#"{"id": "f", "parent_group": "f"}"#,
        ];
        let rows: Vec<Object> = rows.iter().map(|text| payload::object(text.as_bytes()).unwrap()).collect();
        let waiting: Vec<_> = (1..).zip(&rows).map(|(line, row)| DeferredLine { line, row }).collect();
        let explained = explain(&waiting);
        let refusal_in = |line| explained.get(&line).map(|fault: &LineFault| fault.error.as_str());
        assert_eq!(refusal_in(1), Some("`parent_group`: group `a` would be under itself: a → b → c → a"));
        assert_eq!(refusal_in(3), Some("`parent_group`: group `c` would be under itself: c → a → b → c"));
        assert_eq!(refusal_in(4), Some("`parent_group`: group `a` was refused, in line 1"));
        assert_eq!(refusal_in(5), None);
        assert_eq!(refusal_in(6), Some("`parent_group`: group `f` would be under itself: f → f"));
    }
}
