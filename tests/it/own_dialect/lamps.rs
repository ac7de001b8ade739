//! A dialect of the test's own. A bridge says once which lamps it has, and calls them by short names from then on:
//!
//! | topic | payload | |
//! |---|---|---|
//! | `lamps/{bridge}/list` | `{"1": "kitchen", "2": "hall"}` | the lamps, by short name |
//! | `lamps/{bridge}/known` | | the hub says that it knows the list for good |
//! | `lamps/{bridge}/{short}/is` | `on`, `off` | a lamp's state |
//! | `lamps/{bridge}/gone` | | no lamp of the bridge can be reached |
//! | `lamps/{bridge}/{short}/set` | `on`, `off` | the hub says what it is to be |
//! | `lamps/{bridge}/{short}/do` | `blink` | the hub says what it is to do |
//! | `lamps/{bridge}/{short}/done` | `blink` | it is done |
//! | `lamps/{bridge}/{short}/ask` | | the hub asks a lamp that has said nothing for 30 s after the list came |

use std::collections::BTreeMap;
use std::sync::Arc;

use twinhub_domain::payload::{self, word};
use twinhub_domain::{CommandId, CommandResult, DeviceId, Input, Json, Object, Outgoing, Publish, Timestamp};
use twinhub_mqtt::dialects::{
    Binding, BindingId, DecodeError, DeviceEncoder, DialectEvent, DialectMessage, Effects, Encoded,
    StatefulDialect,
};

const ASK_AFTER_MS: i64 = 30_000;

#[derive(Default)]
pub struct Lamps {
    /// By `{bridge}/{short}`.
    lamps: BTreeMap<String, Lamp>,
    /// The lamps that are doing something, by command.
    under_way: BTreeMap<CommandId, DeviceId>,
    /// The bridges whose lists came.
    lists: Vec<String>,
}

struct Lamp {
    device: DeviceId,
    ask_at: Option<Timestamp>,
}

/// The encoder that tells one lamp things.
struct LampEncoder {
    /// `lamps/{bridge}/{short}`
    root: String,
}

impl StatefulDialect for Lamps {
    fn name(&self) -> &'static str {
        "lamps"
    }

    fn filters(&self) -> Vec<String> {
        ["lamps/+/list", "lamps/+/gone", "lamps/+/+/is", "lamps/+/+/done"].map(String::from).to_vec()
    }

    fn hub_filters(&self) -> Vec<String> {
        ["lamps/+/known", "lamps/+/+/set", "lamps/+/+/do", "lamps/+/+/ask"].map(String::from).to_vec()
    }

    fn take(&mut self, event: DialectEvent, now: Timestamp) -> Result<Effects, DecodeError> {
        let mut effects = Effects::default();
        match event {
            DialectEvent::Started(bindings) => {
                for Binding { id, body } in bindings {
                    self.recall(id.as_str(), &body.unwrap(), &mut effects);
                }
            }
            DialectEvent::Message(message) => self.read(&message, now, &mut effects)?,
            DialectEvent::Due => {
                for (root, lamp) in &mut self.lamps {
                    if lamp.ask_at.take_if(|at| *at <= now).is_some() {
                        effects.publishes.push(message(format!("lamps/{root}/ask"), "", None));
                    }
                }
            }
            DialectEvent::Committed(list) => {
                let bridge = &self.lists[usize::try_from(list).unwrap()];
                effects.publishes.push(message(format!("lamps/{bridge}/known"), "", None));
            }
            DialectEvent::Published { device, publish: Publish::Command { body, .. }, .. } => {
                self.under_way.insert(id_of(&body), device);
            }
            DialectEvent::Published { .. } => {}
            DialectEvent::ClockMoved { from, to } => {
                for lamp in self.lamps.values_mut() {
                    lamp.ask_at = lamp.ask_at.map(|at| at.plus_millis(to.millis() - from.millis()));
                }
            }
        }
        Ok(effects)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.lamps.values().filter_map(|lamp| lamp.ask_at).min()
    }
}

impl Lamps {
    fn recall(&mut self, id: &str, body: &Object, effects: &mut Effects) {
        let device = DeviceId::parse(body.get("device").unwrap().as_str().unwrap()).unwrap();
        match id.strip_prefix("command/") {
            Some(command) => {
                self.under_way.insert(CommandId::parse(command).unwrap(), device);
            }
            None => self.bind(id, device, None, effects),
        }
    }

    fn bind(&mut self, root: &str, device: DeviceId, ask_at: Option<Timestamp>, effects: &mut Effects) {
        let encoder = LampEncoder { root: format!("lamps/{root}") };
        effects.encoders.push((device.clone(), Some(Arc::new(encoder))));
        self.lamps.insert(root.to_owned(), Lamp { device, ask_at });
    }

    fn read(
        &mut self,
        said: &DialectMessage,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), DecodeError> {
        let levels: Vec<&str> = said.topic.split('/').collect();
        match levels[1..] {
            [bridge, "list"] => {
                for (short, device) in payload::object(&said.payload)?.iter() {
                    let root = format!("{bridge}/{short}");
                    let id = DeviceId::parse(device.as_str().unwrap_or_default())?;
                    self.bind(&root, id, Some(now.plus_millis(ASK_AFTER_MS)), effects);
                    effects.keep.push(binding(&root, Some(device.clone())));
                }
                effects.tell_committed = u64::try_from(self.lists.len()).ok();
                self.lists.push(bridge.to_owned());
            }
            [bridge, "gone"] => {
                let root = format!("{bridge}/");
                let all = self.lamps.iter().filter(|(name, _)| name.starts_with(&root));
                let gone = || Input::Presence { online: false, details: Object::default() };
                effects.inputs.extend(all.map(|(_, lamp)| (lamp.device.clone(), gone())));
            }
            [bridge, short, what] => {
                let Some(lamp) = self.lamps.get_mut(&format!("{bridge}/{short}")) else {
                    let detail = format!("bridge `{bridge}` has named no lamp `{short}`");
                    return Err(DecodeError::Other { reason: "unknown_lamp", detail });
                };
                lamp.ask_at = None;
                if what == "is" {
                    let report = one("power", Json::from(&*word(&said.payload)));
                    effects.inputs.push((lamp.device.clone(), Input::Report(report)));
                } else if let Some((id, device)) = self.under_way.iter().find(|(_, on)| **on == lamp.device) {
                    let (id, device) = (*id, device.clone());
                    let answer = Box::new(CommandResult::read(b"executed")?);
                    self.under_way.remove(&id);
                    effects.keep.push(binding(&format!("command/{id}"), None));
                    effects.inputs.push((device, Input::CommandResult { id, answer, known: None }));
                }
            }
            _ => return Err(DecodeError::BadTopic),
        }
        Ok(())
    }
}

impl DeviceEncoder for LampEncoder {
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Encoded {
        let mut encoded = Encoded::default();
        match publish {
            Publish::Desired(body) => {
                let wanted = body.as_object().and_then(|body| body.get("delta")?.as_object()?.get("power"));
                let wanted = wanted.and_then(Json::as_str);
                encoded.messages.extend(wanted.map(|on| message(format!("{}/set", self.root), on, None)));
            }
            Publish::Command { body, until, .. } => {
                let kind = body.as_object().unwrap().get("type").unwrap().as_str().unwrap();
                encoded.messages.push(message(format!("{}/do", self.root), kind, Some(*until)));
                encoded.keep.push(binding(&format!("command/{}", id_of(body)), Some(device.as_str().into())));
            }
            Publish::Configuration(_) | Publish::NoConfiguration | Publish::Firmware(_) => {}
        }
        encoded
    }
}

fn id_of(body: &Json) -> CommandId {
    CommandId::parse(body.as_object().unwrap().get("id").unwrap().as_str().unwrap()).unwrap()
}

fn binding(id: &str, device: Option<Json>) -> Binding {
    Binding { id: BindingId::parse(id).unwrap(), body: device.map(|device| one("device", device)) }
}

fn message(topic: String, payload: &str, until: Option<Timestamp>) -> Outgoing {
    Outgoing { id: 0, topic, payload: payload.to_owned().into(), retain: false, until, purpose: None }
}

fn one(name: &str, value: Json) -> Object {
    [(name, value)].into_iter().collect()
}
