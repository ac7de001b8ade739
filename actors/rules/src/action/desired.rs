//! `desired`: merges onto what is desired of devices.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, device, filled_map};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, must};
use crate::model::Selector;
use crate::template::{JsonTemplate, has_placeholders};
use twinhub_domain::{DeviceId, Json, Object};

/// Merges onto what is desired of devices.
#[derive(Clone, Debug)]
pub struct DesiredAction {
    pub to: Selector,
    pub set: JsonTemplate,
}

impl DesiredAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "desired_action",
        what: "a desired action",
        fields: &[
            must("desired", ValueKind::Selector, "Who is to come to another state."),
            must("set", ValueKind::Object, "Merged onto what is desired; texts may be templates."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let to = device(c, map, "desired", setting);
        let set = filled_map(c, map, "set");
        if let Some(node) = map.get("set")
            && node.as_map().is_some_and(<[_]>::is_empty)
        {
            c.flaw(node, "`set` is empty, and would change nothing");
        }
        Some(Self { to: to?, set: set? })
    }
}

impl Behaviour for DesiredAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { to, set } = self;
        print.text("desired");
        print.selector(to);
        print.text(&set.json().to_string());
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Devices(&self.to));
        seen(Reference::Document(&self.set));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        let Json::Object(properties) = self.set.json() else { return };
        for (name, template) in properties.iter() {
            let value = Some(template).filter(|template| !has_placeholders(template));
            seen(WriteKind::Desired { name, value, template }, Some(&self.to));
        }
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        match context.document(&self.set)? {
            Json::Object(set) => {
                context.each(&self.to, |device| Effect::Desired { device, set: set.clone() })
            }
            other => Err(("invalid".into(), format!("expected an object to set, found {}", other.kind()))),
        }
    }

    fn read_back(&self, _: &ActionContext<'_>, device: Option<DeviceId>, data: &Object) -> Option<Effect> {
        Some(Effect::Desired { device: device?, set: data.clone() })
    }
}
