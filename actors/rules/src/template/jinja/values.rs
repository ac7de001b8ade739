//! Twins and the trigger as values for Jinja.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object as JinjaObject, Value};

use crate::expression::{EvaluationScope, HEAD, Name, OneTwin, Root};
use twinhub_domain::json::EXACT;
use twinhub_domain::twin::Properties;
use twinhub_domain::{Json, Object, Timestamp, Twin};

/// A JSON value.
pub fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_str().parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) if number.as_f64().abs() < EXACT => number.as_f64().into(),
            Err(_) => number.as_whole().map_or_else(|| number.as_f64().into(), Value::from),
        },
        Json::String(text) => Value::from(&**text),
        Json::Array(items) => items.iter().map(of_json).collect::<Vec<_>>().into(),
        Json::Object(object) => of_object(object),
    }
}

/// The value of a name's first word, or the reason why it has none.
pub fn of_root(root: &Root, scope: &EvaluationScope<'_>) -> Result<Value, String> {
    let id = match root {
        Root::Now => return Ok(scope.now.to_string().into()),
        Root::Trigger => return Ok(of_object(scope.trigger)),
        Root::TriggerDevice | Root::Itself => scope.device.ok_or("no device has fired this rule")?,
        Root::Device(id) => id,
    };
    match scope.twins.twin(id.as_str()) {
        Some(twin) => Ok(Value::from_object(JinjaTwin { twin: twin.clone(), now: scope.now })),
        None => Err(format!("there is no device `{id}`")),
    }
}

fn of_object(object: &Object) -> Value {
    let entries: BTreeMap<String, Value> =
        object.iter().map(|(key, value)| (key.to_owned(), of_json(value))).collect();
    entries.into()
}

/// Properties by name; those with dots in their names are reached by their paths too, where nothing nested is there.
fn nested(properties: &Properties) -> Object {
    let mut object = properties.to_object();
    for property in properties.iter().filter(|property| property.name.contains('.')) {
        let (mut place, mut path) = (&mut object, &*property.name);
        while let Some((head, rest)) = path.split_once('.') {
            if place.get(head).is_none() {
                place.insert(head, Object::default().into());
            }
            let Some(Json::Object(inner)) = place.get_mut(head) else { break };
            (place, path) = (inner, rest);
            if !path.contains('.') && place.get(path).is_none() {
                place.insert(path, property.value.clone());
            }
        }
    }
    object
}

/// A twin. Jinja owns its values, so it is a copy; its parts are read when they are asked for.
#[derive(Debug)]
struct JinjaTwin {
    twin: Twin,
    now: Timestamp,
}

impl JinjaObject for JinjaTwin {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let word = key.as_str()?;
        match word {
            "reported" => return Some(of_object(&nested(&self.twin.reported))),
            "desired" => return Some(of_object(&nested(&self.twin.desired))),
            word if HEAD.contains(&word) => {}
            word => {
                let found = match self.twin.reported.get(word).map(|property| &property.value) {
                    // Members that it has under dots belong to it too.
                    None | Some(Json::Object(_)) => nested(&self.twin.reported).get(word).map(of_json),
                    Some(value) => Some(of_json(value)),
                };
                if found.is_some() {
                    return found;
                }
            }
        }
        let name = Name { root: Root::TriggerDevice, path: [Box::from(word)].into() };
        let nothing = Object::default();
        let twins = OneTwin(&self.twin);
        let scope =
            EvaluationScope { twins: &twins, now: self.now, trigger: &nothing, device: Some(&self.twin.id) };
        name.find(&scope).map(|found| of_json(&found.to_json()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = HEAD.into_iter().map(str::to_owned);
        let reported = self.twin.reported.iter().map(|property| property.name.to_string());
        Enumerator::Values(names.chain(reported).map(Value::from).collect())
    }
}
