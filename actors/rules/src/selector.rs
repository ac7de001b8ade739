//! Selectors of devices: does this mean this device, and can two of them mean the same one?

use globset::{GlobBuilder, GlobMatcher};

use super::model::TriggerKind;
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::text::composed;
use twinhub_domain::{DeviceId, Json, Twin};

/// No pattern of ids that means something is longer, in bytes.
const LONGEST_PATTERN: usize = 256;

/// A selector of devices.
#[derive(Clone, Debug)]
pub enum Selector {
    Device(DeviceId),
    /// By id: `*`, `?`, `[a-z]`, `{a,b}`.
    Glob(Glob),
    /// Devices by their properties; all members must fit.
    Where {
        group: Option<Box<str>>,
        device_type: Option<Box<str>>,
        tags: Vec<(Box<str>, Box<str>)>,
        /// Devices that have this template.
        template: Option<Box<str>>,
    },
    /// The one that fired the rule (in actions only): `trigger.device`.
    Trigger,
}

/// A pattern of ids, compiled.
#[derive(Clone, Debug)]
pub struct Glob {
    pub text: Box<str>,
    pub matcher: GlobMatcher,
}

/// A device that a selector may mean: the properties by which selectors choose.
pub trait Candidate {
    fn id(&self) -> &DeviceId;
    /// Is it in this group, or anywhere under it?
    fn is_in(&self, group: &str) -> bool;
    fn device_type(&self) -> &str;
    /// The id of its template.
    fn template(&self) -> Option<&str>;
    fn tag(&self, name: &str) -> Option<&Json>;
}

/// A twin and the tree with its groups.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub twin: &'a Twin,
    pub tree: &'a GroupTree,
}

impl Selector {
    /// Does it mean this device? `trigger.device` means none by itself: that device is found by the trigger it fires.
    #[must_use]
    pub fn means(&self, device: &impl Candidate) -> bool {
        match self {
            Self::Device(id) => id == device.id(),
            Self::Glob(glob) => glob.means(device.id()),
            Self::Where { group, device_type, tags, template } => {
                group.as_deref().is_none_or(|group| device.is_in(group))
                    && device_type.as_deref().is_none_or(|wanted| are_alike(device.device_type(), wanted))
                    && template.as_deref().is_none_or(|wanted| device.template() == Some(wanted))
                    && tags.iter().all(|(name, wanted)| device.tag(name).is_some_and(|tag| says(tag, wanted)))
            }
            Self::Trigger => false,
        }
    }

    /// Can both mean one device? False where that is undecidable: a device's group, type and tags are not known here.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Device(a), Self::Device(b)) => a == b,
            (Self::Device(id), Self::Glob(glob)) | (Self::Glob(glob), Self::Device(id)) => glob.means(id),
            (Self::Glob(a), Self::Glob(b)) => a.meets(b),
            (
                Self::Where { group, device_type, tags, template },
                Self::Where {
                    group: other_group,
                    device_type: other_type,
                    tags: other_tags,
                    template: other_template,
                },
            ) => {
                let differ = |a: &Option<Box<str>>, b: &Option<Box<str>>| matches!((a, b), (Some(a), Some(b)) if a != b);
                let tags_differ =
                    tags.iter().any(|(key, value)| other_tags.iter().any(|(k, v)| key == k && value != v));
                let shared = (group.is_some() && group == other_group)
                    || (device_type.is_some() && device_type == other_type)
                    || (template.is_some() && template == other_template)
                    || tags.iter().any(|tag| other_tags.contains(tag));
                let texts = [(group, other_group), (device_type, other_type), (template, other_template)];
                shared && !texts.iter().any(|(a, b)| differ(a, b)) && !tags_differ
            }
            _ => false,
        }
    }

    /// A text that two of the same have alike.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Device(id) => format!("={id}"),
            Self::Glob(glob) => format!("*{}", glob.text),
            Self::Where { group, device_type, tags, template } => {
                format!("?{group:?} {device_type:?} {tags:?} {template:?}")
            }
            Self::Trigger => String::new(),
        }
    }
}

impl TriggerKind {
    /// The devices whose events fire a trigger.
    #[must_use]
    pub fn selector(&self) -> Option<&Selector> {
        match self {
            Self::Numeric { of, .. }
            | Self::Changed { of, .. }
            | Self::Event { of, .. }
            | Self::Presence { of, .. }
            | Self::Command { of, .. } => Some(of),
            Self::Alarm { of, .. } => of.as_ref(),
            Self::Cron { .. } | Self::Every { .. } | Self::Mqtt { .. } | Self::Webhook { .. } => None,
        }
    }
}

impl Glob {
    /// A pattern of ids.
    ///
    /// # Errors
    /// The error.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_PATTERN {
            return Err(format!("longer than {LONGEST_PATTERN} bytes"));
        }
        let built = GlobBuilder::new(text).build().map_err(|error| error.kind().to_string())?;
        Ok(Self { text: text.into(), matcher: built.compile_matcher() })
    }

    /// Does it mean the device of this id?
    #[must_use]
    pub fn means(&self, id: &DeviceId) -> bool {
        self.matcher.is_match(id.as_str())
    }

    /// Do the fixed beginnings and ends of two patterns go together?
    fn meets(&self, other: &Self) -> bool {
        let (a, b) = (&self.text, &other.text);
        let special = |c: char| "*?[{".contains(c);
        let head = |text: &str| text.find(special).map_or(text.len(), |at| at);
        let tail = |text: &str| text.rfind(|c| "*?]}".contains(c)).map_or(0, |at| at + 1);
        let (a_head, b_head) = (&a[..head(a)], &b[..head(b)]);
        let (a_tail, b_tail) = (&a[tail(a)..], &b[tail(b)..]);
        (a_head.starts_with(b_head) || b_head.starts_with(a_head))
            && (a_tail.ends_with(b_tail) || b_tail.ends_with(a_tail))
    }
}

impl Candidate for Placed<'_> {
    fn id(&self) -> &DeviceId {
        &self.twin.id
    }

    fn is_in(&self, group: &str) -> bool {
        let own = self.twin.profile.text("group_id");
        !own.is_empty() && self.tree.is_within(own, group)
    }

    fn device_type(&self) -> &str {
        &self.twin.profile.device_type
    }

    fn template(&self) -> Option<&str> {
        self.twin.template_id()
    }

    fn tag(&self, name: &str) -> Option<&Json> {
        self.twin.setup.tags.get(name)
    }
}

/// A tag is compared by its text; one that is no text by its JSON.
fn says(tag: &Json, wanted: &str) -> bool {
    tag.as_str().map_or_else(|| tag.to_string() == wanted, |text| are_alike(text, wanted))
}

/// Are they one text, however each was typed?
fn are_alike(one: &str, other: &str) -> bool {
    one == other || composed(one) == composed(other)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use twinhub_domain::cause::Source;
    use twinhub_domain::event::{ChangeKind, TwinChange};
    use twinhub_domain::fleet::{Group, GroupId, Layer};
    use twinhub_domain::payload::object;
    use twinhub_domain::twin::Part;
    use twinhub_domain::{Cause, DeviceNumber, Event, EventBody, Object, Timestamp};

    /// `pump-1`, `*` and other patterns, `trigger`, and the properties: `group=g type=pump tag.floor=2 template=t`.
    fn selector(text: &str) -> Selector {
        if text == "trigger" {
            return Selector::Trigger;
        }
        if !text.contains('=') && !text.is_empty() {
            let is_pattern = text.contains(['*', '?', '[', '{']);
            return if is_pattern {
                Selector::Glob(Glob::parse(text).unwrap())
            } else {
                Selector::Device(DeviceId::parse(text).unwrap())
            };
        }
        let (mut group, mut device_type, mut tags, mut template) = (None, None, Vec::new(), None);
        for (name, value) in text.split_whitespace().filter_map(|term| term.split_once('=')) {
            match name {
                "group" => group = Some(value.into()),
                "type" => device_type = Some(value.into()),
                "template" => template = Some(value.into()),
                tag => tags.push((tag.strip_prefix("tag.").unwrap().into(), value.into())),
            }
        }
        Selector::Where { group, device_type, tags, template }
    }

    /// `pump-1` of the type `pump`, in the hall of a plant, with tags of its own.
    fn pump() -> (Twin, GroupTree) {
        let mut twin =
            Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), Timestamp::from_millis(0));
        twin.profile.device_type = "pump".into();
        twin.profile.more.insert("group_id", "hall".into());
        let group = |id: &str, parent: Option<&str>| Group {
            id: GroupId::as_stored(id).unwrap(),
            name: id.into(),
            description: "".into(),
            parent_group: parent.and_then(GroupId::as_stored),
            owner: "".into(),
            tags: Object::default(),
            created_at: twin.created_at,
            updated_at: twin.created_at,
        };
        let tree = GroupTree::new([group("plant", None), group("hall", Some("plant"))]);
        twin.setup.tags = object(br#"{"floor": "2", "level": 3, "wet": true}"#).unwrap();
        (twin, tree)
    }

    #[test]
    fn a_selector_means_a_device() {
        let (twin, tree) = pump();
        for (text, expected) in [
            ("pump-1", true),
            ("pump-2", false),
            ("*", true),
            ("pump-?", true),
            ("pump-[2-9]", false),
            ("{fan,pump}-1", true),
            ("fan-*", false),
            ("group=hall", true),
            ("group=plant", true),
            ("group=office", false),
            ("type=pump", true),
            ("type=fan", false),
            ("tag.floor=2", true),
            ("tag.floor=3", false),
            ("tag.level=3", true),
            ("tag.wet=true", true),
            ("tag.dry=true", false),
            ("template=p", false),
            ("group=plant type=pump tag.floor=2", true),
            ("group=plant type=pump tag.floor=3", false),
            ("group=office type=pump", false),
            ("", true),
            ("trigger", false),
        ] {
            assert_eq!(selector(text).means(&Placed { twin: &twin, tree: &tree }), expected, "{text}");
        }
    }

    /// An `ü` may be one character or two, and both are the same text.
    #[test]
    fn texts_are_compared_however_they_were_typed() {
        let (mut twin, tree) = pump();
        for (own, wanted) in [("k\u{fc}hler", "ku\u{308}hler"), ("ku\u{308}hler", "k\u{fc}hler")] {
            twin.profile.device_type = own.into();
            twin.setup.tags.insert("room", own.into());
            for text in [wanted, own] {
                let text = format!("type={text} tag.room={text}");
                assert!(selector(&text).means(&Placed { twin: &twin, tree: &tree }), "{text:?}");
            }
            assert!(!selector("type=kuhler").means(&Placed { twin: &twin, tree: &tree }));
        }
    }

    #[test]
    fn a_device_in_no_group_and_of_a_template() {
        let (_, tree) = pump();
        let mut twin = Twin::new(DeviceId::parse("a").unwrap(), DeviceNumber(1), Timestamp::from_millis(0));
        let means = |twin: &Twin, text: &str| selector(text).means(&Placed { twin, tree: &tree });
        assert!(!means(&twin, "group=plant") && !means(&twin, "group="));
        let layer = Layer { template: "p".into(), version: 1, ..Layer::default() };
        let patch = [Part::Template(Some(Arc::new(layer)))].into_iter().collect();
        twin.redo(&Event {
            device: twin.id.clone(),
            number: twin.number,
            at: twin.created_at.into(),
            received_at: twin.created_at,
            body: EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch }),
            cause: Cause { source: Source::Rest, by: "".into(), run: None, retained: false },
        });
        assert!(means(&twin, "template=p") && !means(&twin, "template=q"));
    }

    #[test]
    fn two_selectors_meet() {
        for (a, b, expected) in [
            ("pump-1", "pump-1", true),
            ("pump-1", "pump-2", false),
            ("pump-1", "pump-*", true),
            ("pump-1", "fan-*", false),
            ("pump-*", "*-1", true),
            ("pump-*", "fan-*", false),
            ("*-a", "*-b", false),
            ("group=g", "group=g type=pump", true),
            ("group=g type=fan", "group=g type=pump", false),
            ("group=g", "type=pump", false),
            ("group=g tag.floor=1", "group=g tag.floor=2", false),
            ("template=t", "template=t", true),
            ("pump-1", "type=pump", false),
            ("trigger", "trigger", false),
        ] {
            assert_eq!(selector(a).meets(&selector(b)), expected, "{a} and {b}");
            assert_eq!(selector(b).meets(&selector(a)), expected, "{b} and {a}");
        }
    }
}
