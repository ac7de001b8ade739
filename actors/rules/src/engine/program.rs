//! A rule's actions as a flat program, so that how far a run has come is one number. The same rule gives the
//! same program, so the number outlives a restart and a reload.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionKind, ChooseAction};
use crate::model::{Condition, Rule};

/// One of a rule's lists of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum List {
    Actions,
    OnRelease,
}

/// A step of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Does the action that stands there.
    Do(ActionPath),
    /// Goes on with the next step if the branch's condition holds, else with the step `otherwise`.
    Branch {
        choose: ActionPath,
        branch: u16,
        otherwise: u32,
    },
    /// No branch held, and nothing stands for that.
    NoBranch(ActionPath),
    Jump(u32),
}

/// Where an action stands: its place in the list; then, by turns, the branch and the place in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActionPath(Box<[u16]>);

/// The branch that is taken when none holds.
const OTHERWISE: u16 = u16::MAX;

impl List {
    /// Its actions.
    pub fn of(self, rule: &Rule) -> &[Action] {
        match self {
            Self::Actions => &rule.actions,
            Self::OnRelease => &rule.on_release,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Actions => "actions",
            Self::OnRelease => "on_release",
        }
    }
}

/// Makes a list of actions a program.
pub(super) fn compile(actions: &[Action]) -> Box<[Op]> {
    let mut ops = Vec::new();
    add(actions, &[], &mut ops);
    ops.into()
}

fn add(actions: &[Action], above: &[u16], ops: &mut Vec<Op>) {
    for (index, action) in actions.iter().enumerate() {
        let here: Vec<u16> = above.iter().copied().chain([small(index)]).collect();
        let place = ActionPath(here.as_slice().into());
        let ActionKind::Choose(ChooseAction { branches, otherwise }) = &action.kind else {
            ops.push(Op::Do(place));
            continue;
        };
        let mut to_the_end = Vec::new();
        for (branch, (_, actions)) in branches.iter().enumerate() {
            let test = ops.len();
            ops.push(Op::Jump(0)); // becomes the branch below
            add(actions, &below(&here, small(branch)), ops);
            to_the_end.push(ops.len());
            ops.push(Op::Jump(0)); // becomes the way to the end below
            ops[test] =
                Op::Branch { choose: place.clone(), branch: small(branch), otherwise: step(ops.len()) };
        }
        if otherwise.is_empty() {
            ops.push(Op::NoBranch(place));
        } else {
            add(otherwise, &below(&here, OTHERWISE), ops);
        }
        let end = step(ops.len());
        for jump in to_the_end {
            ops[jump] = Op::Jump(end);
        }
    }
}

fn below(here: &[u16], branch: u16) -> Vec<u16> {
    here.iter().copied().chain([branch]).collect()
}

/// A rule file is too short for more than 65,534 actions; should one not be, its last ones share a name.
fn small(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(OTHERWISE - 1)
}

fn step(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl ActionPath {
    /// The action that stands here; none where the rule has another shape than the place was made for.
    pub fn action<'a>(&self, list: &'a [Action]) -> Option<&'a Action> {
        let (first, rest) = self.0.split_first()?;
        let mut action = list.get(usize::from(*first))?;
        for pair in rest.chunks_exact(2) {
            let ActionKind::Choose(ChooseAction { branches, otherwise }) = &action.kind else { return None };
            let actions = match pair[0] {
                OTHERWISE => otherwise,
                branch => &branches.get(usize::from(branch))?.1,
            };
            action = actions.get(usize::from(pair[1]))?;
        }
        Some(action)
    }

    /// The condition of a branch of the `choose` that stands here.
    pub fn condition<'a>(&self, list: &'a [Action], branch: u16) -> Option<&'a Condition> {
        match &self.action(list)?.kind {
            ActionKind::Choose(ChooseAction { branches, .. }) => Some(&branches.get(usize::from(branch))?.0),
            _ => None,
        }
    }

    /// As people read it: `actions[1].choose[0][2]`.
    pub fn path(&self, list: List) -> Box<str> {
        let mut text = list.as_str().to_owned();
        for (index, number) in self.0.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match (index % 2, *number) {
                (1, OTHERWISE) => write!(text, ".else"),
                (1, branch) => write!(text, ".choose[{branch}]"),
                (_, place) => write!(text, "[{place}]"),
            };
        }
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::DelayAction;
    use crate::expression::Expression;

    fn delay(ms: i64) -> Action {
        Action { kind: ActionKind::Delay(DelayAction { ms }), on_error: None }
    }

    fn choose(branches: Vec<Vec<Action>>, otherwise: Vec<Action>) -> Action {
        let condition = || Condition::Expression(Expression::compile("true").unwrap());
        let branches = branches.into_iter().map(|actions| (condition(), actions)).collect();
        Action { kind: ActionKind::Choose(ChooseAction { branches, otherwise }), on_error: None }
    }

    #[test]
    fn a_choice_becomes_jumps_and_every_action_keeps_its_path() {
        let actions = [
            delay(1),
            choose(
                vec![vec![delay(2), delay(3)], vec![choose(vec![vec![delay(4)]], vec![])]],
                vec![delay(5)],
            ),
        ];
        let ops = compile(&actions);
        let paths: Vec<_> = ops
            .iter()
            .filter_map(|op| match op {
                Op::Do(place) => Some(format!(
                    "{} {:?}",
                    place.path(List::Actions),
                    place.action(&actions).map(|action| match action.kind {
                        ActionKind::Delay(DelayAction { ms }) => ms,
                        _ => 0,
                    })
                )),
                _ => None,
            })
            .collect();
        assert_eq!(
            paths,
            [
                "actions[0] Some(1)",
                "actions[1].choose[0][0] Some(2)",
                "actions[1].choose[0][1] Some(3)",
                "actions[1].choose[1][0].choose[0][0] Some(4)",
                "actions[1].else[0] Some(5)",
            ]
        );
        // From any branch the way leads past the others.
        let end = u32::try_from(ops.len()).unwrap();
        assert!(matches!(ops[1], Op::Branch { branch: 0, otherwise: 5, .. }), "{ops:?}");
        assert_eq!(ops[4], Op::Jump(end));
    }
}
