//! Groups as answers show them.

use twinhub_actors::messages::groups::GroupView;
use twinhub_domain::fleet::DeviceStatistics;
use twinhub_domain::{Json, Mode, Object, Status};

/// A group with its counts.
#[must_use]
pub fn document(view: &GroupView) -> Object {
    let GroupView { group, path, standing, .. } = view;
    let mut document = group.to_object();
    if !path.is_empty() {
        document.insert("path", Json::Array(path.iter().map(|id| Json::from(id.as_str())).collect()));
    }
    document.insert("device_count", count(standing.own.total));
    document.insert("devices", devices(&standing.own).into());
    document.insert("readings", readings(&standing.own).into());
    let mut subtree = devices(&standing.subtree);
    subtree.insert("groups", count(standing.groups));
    subtree.insert("readings", readings(&standing.subtree).into());
    document.insert("subtree", subtree.into());
    document
}

/// Groups nested in their parents, from a list in which each comes before those under it. However deep they are, they
/// are written one after the other.
#[must_use]
pub fn nested(groups: &[GroupView]) -> String {
    let mut text = String::with_capacity(2 + groups.len() * 1_024);
    let mut open = 0; // groups whose children are being written
    text.push('[');
    for (index, view) in groups.iter().enumerate() {
        while open > view.depth {
            text.push_str("]}");
            open -= 1;
        }
        if index > 0 && !text.ends_with('[') {
            text.push(',');
        }
        document(view).write(&mut text);
        text.pop(); // the closing brace
        text.push_str(r#","children":["#);
        open += 1;
    }
    (0..open).for_each(|_| text.push_str("]}"));
    text.push(']');
    text
}

fn devices(counts: &DeviceStatistics) -> Object {
    let by_status =
        Status::ALL.iter().map(|status| (status.as_str(), count(counts.by_status[*status as usize])));
    let by_mode = Mode::ALL.iter().map(|mode| (mode.as_str(), count(counts.by_mode[*mode as usize])));
    let by_type = counts.by_type.iter().map(|(name, devices)| (&**name, count(*devices)));
    [
        ("total", count(counts.total)),
        ("by_status", by_status.collect::<Object>().into()),
        ("by_mode", by_mode.collect::<Object>().into()),
        ("by_type", by_type.collect::<Object>().into()),
    ]
    .into_iter()
    .collect()
}

fn readings(counts: &DeviceStatistics) -> Object {
    let mut readings = Object::default();
    for (name, devices, mean) in &counts.readings {
        let of: Object =
            [("mean", Json::Number(mean.clone())), ("count", count(*devices))].into_iter().collect();
        readings.insert(&**name, of.into());
    }
    readings
}

fn count(number: u64) -> Json {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_domain::fleet::{Group, GroupId, SubtreeStatistics};
    use twinhub_domain::{Number, Timestamp};

    use super::*;

    fn view(id: &str, depth: usize) -> GroupView {
        let group = Group::new(GroupId::parse(id).unwrap(), id, Timestamp::from_millis(0));
        let own = DeviceStatistics {
            total: 2,
            by_status: [0, 2],
            by_mode: [1, 1],
            by_type: vec![("pump".into(), 2)],
            readings: vec![("t".into(), 2, Number::from_f64(21.5).unwrap())],
        };
        let path = ["a", id].map(|id| GroupId::parse(id).unwrap()).into();
        let standing = SubtreeStatistics { subtree: own.clone(), own, groups: 3 };
        GroupView { group: Arc::new(group), path, depth, standing }
    }

    #[test]
    fn shows_all_counts() {
        let document = Json::from(document(&view("b", 0))).to_string();
        for part in [
            r#""device_count":2,"devices":{"by_mode":{"manual":1,"schedule":1},"by_status":{"offline":0,"online":2},"by_type":{"pump":2},"total":2}"#,
            r#""path":["a","b"],"readings":{"t":{"count":2,"mean":21.5}},"subtree":{"by_mode""#,
            r#""groups":3,"readings":{"t":{"#,
        ] {
            assert!(document.contains(part), "{part} in {document}");
        }
    }

    #[test]
    fn groups_stand_in_each_other() {
        let check = |depths: &[usize], expected: &str| {
            let views: Vec<_> =
                depths.iter().enumerate().map(|(at, depth)| view(&at.to_string(), *depth)).collect();
            let value: serde_json::Value = serde_json::from_str(&nested(&views)).unwrap();
            assert_eq!(shape(&value), expected, "{depths:?}");
        };
        check(&[], "()");
        check(&[0], "(0())");
        check(&[0, 1, 2, 1, 0], "(0(1(2())3())4())");
        check(&[0, 0, 1], "(0()1(2()))");
    }

    fn shape(groups: &serde_json::Value) -> String {
        let each = groups.as_array().unwrap().iter();
        let each =
            each.map(|group| format!("{}{}", group["id"].as_str().unwrap(), shape(&group["children"])));
        format!("({})", each.collect::<String>())
    }
}
