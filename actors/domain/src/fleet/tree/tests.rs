use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

fn id(text: &str) -> GroupId {
    GroupId::parse(text).unwrap()
}

fn group(name: &str, parent: &str) -> Group {
    let mut group = Group::new(id(name), name, Timestamp::from_millis(0));
    group.parent_group = (!parent.is_empty()).then(|| id(parent));
    group
}

/// `a b>a c>b`: b is under a, c under b.
fn tree(text: &str) -> GroupTree {
    let mut tree = GroupTree::default();
    for word in text.split_whitespace() {
        let (name, parent) = word.split_once('>').unwrap_or((word, ""));
        let group = group(name, parent);
        tree.check(&group).unwrap();
        tree.put(Arc::new(group));
    }
    tree
}

fn shape(tree: &GroupTree) -> String {
    let words = tree.iter().map(|group| match &group.parent_group {
        Some(parent) => format!("{}>{parent}", group.id),
        None => group.id.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

const HOUSE: &str = "a b>a c>b d>a e";

#[test]
fn parents_and_children() {
    let tree = tree(HOUSE);
    let subtree = |of: &str| tree.subtree(of).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(subtree("a"), "a b c d");
    assert_eq!(subtree("b"), "b c");
    assert_eq!(subtree("nobody"), "nobody");
    assert_eq!(tree.path("c").join("/"), "a/b/c");
    assert!(tree.path("nobody").is_empty());
    let children =
        |of: Option<&str>| tree.children(of.map(id).as_ref()).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(children(None), ["a", "e"]);
    assert_eq!(children(Some("a")), ["b", "d"]);
    assert!(tree.is_within("c", "a") && tree.is_within("c", "c") && !tree.is_within("a", "c"));
    let all: Vec<_> =
        tree.walk(tree.children(None)).into_iter().map(|(id, depth)| format!("{id}{depth}")).collect();
    assert_eq!(all, ["a0", "b1", "c2", "d1", "e0"]);
}

#[test]
fn children_stand_in_the_order_of_their_numbers() {
    let mut tree = tree("floor-10 floor-2 floor-1>floor-2 room-10>floor-2 room-9>floor-2 room-09>floor-2");
    let children = |tree: &GroupTree, of: Option<&str>| {
        tree.children(of.map(id).as_ref()).map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(children(&tree, None), "floor-2 floor-10");
    assert_eq!(children(&tree, Some("floor-2")), "floor-1 room-09 room-9 room-10");
    tree.remove("room-9");
    assert_eq!(children(&tree, Some("floor-2")), "floor-1 room-09 room-10");
}

#[test]
fn nothing_stands_under_itself() {
    let check = |moved: &str, parent: &str, expected: &str| {
        let refused = tree(HOUSE).check(&group(moved, parent)).err().map(|error| error.to_string());
        assert_eq!(refused.unwrap_or_default(), expected, "{moved} under {parent}");
    };
    check("a", "c", "group `a` would be under itself: a → b → c → a");
    check("a", "b", "group `a` would be under itself: a → b → a");
    check("a", "a", "group `a` would be under itself: a → a");
    check("new", "new", "group `new` would be under itself: new → new");
    check("b", "c", "group `b` would be under itself: b → c → b");
    check("a", "x", "there is no group `x`");
    check("c", "a", "");
    check("a", "e", "");
    check("c", "", "");
}

#[test]
fn groups_move_and_go() {
    let mut tree = tree(HOUSE);
    tree.put(Arc::new(group("b", "e")));
    assert_eq!(shape(&tree), "a b>e c>b d>a e");
    assert_eq!(tree.path("c").join("/"), "e/b/c");
    tree.remove("b");
    assert_eq!(shape(&tree), "a c d>a e", "what stood under it is at the top");
    assert_eq!(tree.path("c").join("/"), "c");
    assert!(tree.remove("b").is_none());
}

#[test]
fn what_is_stored_wrongly_comes_to_the_top() {
    let check = |groups: &[(&str, &str)], expected: &str| {
        let tree = GroupTree::new(groups.iter().map(|(name, parent)| group(name, parent)));
        assert_eq!(shape(&tree), expected, "{groups:?}");
    };
    check(&[("c", "b"), ("b", "a"), ("a", "")], "a b>a c>b");
    check(&[("a", "gone"), ("b", "a")], "a b>a");
    check(&[("a", "c"), ("b", "a"), ("c", "b"), ("d", "c")], "a>c b c>b d>c");
    check(&[("a", "a")], "a");
}

fn change(what: RecordChange, body: Object, id: &str) -> FleetChange {
    FleetChange { what: RecordKind::Group, id: id.into(), change: what, body }
}

#[test]
fn events_are_done_and_taken_back() {
    let mut tree = tree(HOUSE);
    let moved = body_of_change(tree.get("b").unwrap(), &group("b", "e"));
    let renamed = body_of_change(&group("d", "a"), &Group { name: "D".into(), ..group("d", "a") });
    let events = [
        (change(RecordChange::Made, group("f", "c").to_object(), "f"), true),
        (change(RecordChange::Changed, moved, "b"), true),
        (change(RecordChange::Changed, renamed, "d"), false),
        (change(RecordChange::Removed, group("f", "c").to_object(), "f"), true),
        (change(RecordChange::Removed, group("d", "a").to_object(), "d"), true),
    ];
    for (event, moves) in &events {
        assert_eq!(tree.moves(event), *moves, "{event:?}");
        tree.redo(event);
    }
    assert_eq!(shape(&tree), "a b>e c>b e");
    events.iter().rev().for_each(|(event, _)| tree.undo(event));
    assert_eq!(shape(&tree), "a b>a c>b d>a e");
    let other = FleetChange { what: RecordKind::Template, ..events[0].0.clone() };
    tree.redo(&other);
    assert!(!tree.moves(&other) && !tree.contains("f"));
}

proptest! {
    /// After any moves the tree has the same ancestors as a plain look up the parents.
    #[test]
    fn moves_keep_it_a_tree(moves in prop::collection::vec((0..8_usize, 0..9_usize), 0..60)) {
        const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut parents: [Option<usize>; 8] = [None; 8];
        let mut tree = tree("a b c d e f g h");
        for (moved, to) in moves {
            let parent = NAMES.get(to).copied().unwrap_or_default();
            let below = std::iter::successors(NAMES.get(to).map(|_| to), |at| parents[*at]).any(|at| at == moved);
            let checked = tree.check(&group(NAMES[moved], parent));
            prop_assert_eq!(checked.is_err(), below);
            if !below {
                parents[moved] = NAMES.get(to).map(|_| to);
                tree.put(Arc::new(group(NAMES[moved], parent)));
            }
            for (at, name) in NAMES.iter().enumerate() {
                let up: Vec<_> = std::iter::successors(Some(at), |at| parents[*at]).map(|at| NAMES[at]).collect();
                prop_assert_eq!(tree.upward(name).collect::<Vec<_>>(), up);
                let under = |other: &usize| std::iter::successors(Some(*other), |at| parents[*at]).any(|up| up == at);
                let mut subtree = tree.subtree(name);
                subtree.sort();
                let expected: Vec<_> = (0..8).filter(under).map(|at| id(NAMES[at])).collect();
                prop_assert_eq!(subtree, expected);
            }
        }
    }
}
