//! `command`: asks devices to do something.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, device, filled_map};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::select::name;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::Selector;
use crate::template::JsonTemplate;
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::{CommandRequest, DeviceId, Json, Object};

/// Asks devices to do something.
#[derive(Clone, Debug)]
pub struct CommandAction {
    pub to: Selector,
    pub command_type: Box<str>,
    pub parameters: JsonTemplate,
    pub options: Object,
    /// The next action waits so many ms for it to be executed.
    pub confirm: Option<i64>,
}

impl CommandAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "command_action",
        what: "a command action",
        fields: &[
            must("command", ValueKind::Selector, "Who is to do something."),
            must("type", ValueKind::Text, "What."),
            may("parameters", ValueKind::Object, "With what; texts may be templates."),
            may("ttl", ValueKind::Duration, "How long a device may still get it; 24h without it."),
            may(
                "timeout",
                ValueKind::Duration,
                "How long an answer to each attempt is waited for; 30s without it.",
            ),
            may("priority", ValueKind::Whole(0, 9), "Higher ones go first; 5 without it."),
            may("max_attempts", ValueKind::Whole(1, 20), "3 without it."),
            may(
                "supersedes",
                ValueKind::Text,
                "Of those that wait with the same key only the newest is kept.",
            ),
            may("confirm", ValueKind::Duration, "The next action waits this long for it to be done."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let to = device(c, map, "command", setting);
        let command_type = name(c, map, "type");
        let parameters = filled_map(c, map, "parameters");
        let confirm = c.duration(map, "confirm");
        let mut options = Object::default();
        for key in ["ttl", "timeout"] {
            if let Some(ms) = c.duration(map, key) {
                options.insert(key, format!("{ms}ms").into()); // the same however it is written
            }
        }
        for key in ["priority", "max_attempts"] {
            if let Some(number) = c.whole(map, key) {
                options.insert(key, number.into());
            }
        }
        if let Some(key) = c.text(map, "supersedes") {
            options.insert("supersedes", key.into());
        }
        // A command that the API takes is one that a rule may say, too.
        let mut request = options.clone();
        request.insert("command_type", "any".into());
        if let Err((field, detail)) = CommandRequest::parse(request)
            && let Some(node) = map.get(&field)
        {
            c.flaw(node, format!("`{field}` {detail}"));
        }
        Some(Self { to: to?, command_type: command_type?, parameters: parameters?, options, confirm })
    }
}

impl Behaviour for CommandAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { to, command_type, parameters, options, confirm } = self;
        print.text("command");
        print.selector(to);
        print.text(command_type);
        print.text(&parameters.json().to_string());
        print.object(options);
        print.debug(confirm);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Devices(&self.to));
        seen(Reference::Document(&self.parameters));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        let (command_type, parameters) = (&*self.command_type, self.parameters.json());
        seen(WriteKind::Command { command_type, parameters }, Some(&self.to));
    }

    fn longest_ms(&self) -> i64 {
        self.confirm.unwrap_or(0)
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        let mut fields = self.options.clone();
        fields.insert("command_type", Json::from(&*self.command_type));
        fields.insert("parameters", context.document(&self.parameters)?);
        let mut request = CommandRequest::parse(fields)
            .map_err(|(field, detail)| ("invalid".into(), format!("`{field}`: {detail}")))?;
        for given in [&mut request.ttl, &mut request.timeout] {
            *given = GivenDuration::from_ms(given.ms()); // of a file only the length is kept
        }
        context.each(&self.to, |device| Effect::Command { device, request: request.clone() })
    }

    fn read_back(&self, _: &ActionContext<'_>, device: Option<DeviceId>, data: &Object) -> Option<Effect> {
        let request = serde_json::from_str(&Json::from(data.clone()).to_string()).ok()?;
        Some(Effect::Command { device: device?, request })
    }
}
