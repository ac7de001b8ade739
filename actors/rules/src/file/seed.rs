//! Rules in the form of other systems' APIs: `name, trigger_conditions, actions, schedule, enabled_status`. They are
//! rewritten as rules of ours and read as those; errors have the pointers of the original.

use super::check::{Checker, Map, items, listed};
use super::hint::nearest;
use super::node::{YamlNode, YamlScalar, YamlValue};
use super::secrets::SecretNames;
use super::shape::{KeyShape, MapShape, SEVERITIES, ValueKind};
use super::{FileProblem, of_json};
use crate::model::Rule;
use crate::scenario::Test;
use twinhub_domain::json::{EXACT, write_string};
use twinhub_domain::{Json, Number, Object};

/// The deepest nesting of groups of conditions.
const DEEPEST: usize = 8;
/// The most conditions of a rule, each being a trigger.
const MOST: usize = 90;

const fn field(key: &'static str, kind: ValueKind, needed: bool) -> KeyShape {
    KeyShape { key, kind, needed, about: "" }
}

static SEED: MapShape = MapShape {
    name: "",
    what: "a rule of this form",
    fields: &[
        field("id", ValueKind::Name, false),
        field("name", ValueKind::Text, false),
        field("description", ValueKind::Text, false),
        field("trigger_conditions", ValueKind::Json, false),
        field("actions", ValueKind::Json, true),
        field("schedule", ValueKind::Json, false),
        field("enabled_status", ValueKind::Bool, false),
        field("enabled", ValueKind::Bool, false),
        field("is_enabled", ValueKind::Bool, false),
    ],
};

static GROUP: MapShape = MapShape {
    name: "",
    what: "a group of conditions",
    fields: &[field("operator", ValueKind::Text, false), field("conditions", ValueKind::Json, true)],
};

static LEAF: MapShape = MapShape {
    name: "",
    what: "a trigger condition",
    fields: &[
        field("device_id", ValueKind::Text, true),
        field("sensor_type", ValueKind::Text, false),
        field("property", ValueKind::Text, false),
        field("field", ValueKind::Text, false),
        field("operator", ValueKind::Text, true),
        field("value", ValueKind::Json, true),
    ],
};

static SCHEDULE: MapShape = MapShape {
    name: "",
    what: "a schedule",
    fields: &[field("cron", ValueKind::Text, true), field("timezone", ValueKind::Text, false)],
};

static ACTION: MapShape = MapShape {
    name: "",
    what: "an action of this form",
    fields: &[
        field("type", ValueKind::Text, false),
        field("action_type", ValueKind::Text, false),
        field("device_id", ValueKind::Text, false),
        field("command", ValueKind::Text, false),
        field("command_type", ValueKind::Text, false),
        field("parameters", ValueKind::Json, false),
        field("state", ValueKind::Json, false),
        field("message", ValueKind::Text, false),
        field("severity", ValueKind::Word(SEVERITIES), false),
        field("url", ValueKind::Text, false),
        field("method", ValueKind::Text, false),
        field("body", ValueKind::Json, false),
        field("duration", ValueKind::Text, false),
    ],
};

/// Is it one of this form?
pub(super) fn is_seed(rule: &Object) -> bool {
    let has = |key: &str| rule.get(key).is_some();
    let ours = ["triggers", "conditions", "alias"].into_iter().any(has);
    has("trigger_conditions") || has("enabled_status") || has("schedule") || (has("name") && !ours)
}

/// Reads one.
pub(super) fn parse(rule: &Object) -> Result<(Rule, Vec<Test>), Vec<FileProblem>> {
    let root = YamlNode::of_json(&Json::Object(rule.clone()));
    let mut checker = Checker::default();
    let mut origins = Vec::new();
    let ours = rewrite(&mut checker, &root, &mut origins);
    if !checker.is_clean() {
        return Err(checker.finish(&root));
    }
    of_json(&ours, &SecretNames::default()).map_err(|problems| {
        for problem in problems {
            let of = origins
                .iter()
                .filter(|(pointer, _)| problem.pointer.starts_with(pointer.as_str()))
                .max_by_key(|(pointer, _)| pointer.len());
            checker.flaw_hint(of.map_or(&root, |(_, node)| *node), problem.message, problem.hint);
        }
        checker.finish(&root)
    })
}

/// Pointers in our rule, with the original value of each.
type OriginPointers<'n> = Vec<(String, &'n YamlNode)>;

fn rewrite<'n>(c: &mut Checker, root: &'n YamlNode, origins: &mut OriginPointers<'n>) -> Object {
    let mut ours = Object::default();
    let Some(map) = c.map(root, &SEED) else { return ours };
    let name = c.text(&map, "name").unwrap_or_default();
    let id = match map.get("id") {
        Some(node) => c.text_of(node).map(str::to_owned),
        None => slug(name),
    };
    match id {
        Some(id) => ours.insert("id", id.into()),
        None => {
            c.flaw(
                map.get("name").unwrap_or(root),
                "a rule needs an `id`, or a `name` with letters or digits in it",
            );
            None
        }
    };
    origins.extend(map.get("id").or(map.get("name")).map(|node| ("/id".to_owned(), node)));
    for (key, text) in [("alias", Some(name)), ("description", c.text(&map, "description"))] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            ours.insert(key, text.into());
        }
    }
    let said = ["enabled_status", "enabled", "is_enabled"].into_iter().find_map(|key| c.bool(&map, key));
    if said == Some(false) {
        ours.insert("enabled", false.into());
    }
    let mut triggers = Vec::new();
    let said = |key: &str| map.get(key).filter(|node| !is_nothing(node));
    if let Some(node) = said("trigger_conditions") {
        let condition = conditions(c, node, 0, &mut triggers);
        if let Some(condition) = condition {
            ours.insert("conditions", condition);
            origins.push(("/conditions".into(), node));
        }
    }
    if let Some(node) = said("schedule") {
        let trigger = schedule(c, node);
        triggers.extend(trigger.map(|trigger| (trigger, node)));
    }
    if triggers.is_empty() && c.is_clean() {
        c.flaw(root, "a rule of this form needs `trigger_conditions` or a `schedule`");
    }
    origins
        .extend(triggers.iter().enumerate().map(|(index, (_, node))| (format!("/triggers/{index}"), *node)));
    ours.insert("triggers", Json::Array(triggers.into_iter().map(|(trigger, _)| trigger.into()).collect()));
    if let Some(node) = map.get("actions") {
        let mut actions = Vec::new();
        for item in items(node) {
            if let Some(action) = action(c, item, ours.get("id")) {
                origins.push((format!("/actions/{}", actions.len()), item));
                actions.push(action.into());
            }
        }
        origins.push(("/actions".into(), node));
        ours.insert("actions", Json::Array(actions.into()));
    }
    ours
}

/// As a rule without it is shown.
fn is_nothing(node: &YamlNode) -> bool {
    let json = node.to_json();
    matches!(&json, Json::Null) || json == Json::from(Object::default())
}

/// `Fan on!` as `fan-on`.
fn slug(name: &str) -> Option<String> {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug: String = words.join("-").chars().take(128).collect();
    Some(slug).filter(|slug| !slug.is_empty())
}

/// One condition, a list, or a group. Each condition becomes a trigger as well.
fn conditions<'n>(
    c: &mut Checker,
    node: &'n YamlNode,
    depth: usize,
    triggers: &mut Vec<(Object, &'n YamlNode)>,
) -> Option<Json> {
    if depth > DEEPEST {
        c.flaw(node, format!("groups of conditions stand in each other {DEEPEST} deep at most"));
        return None;
    }
    let (inner, is_or) = match &node.value {
        YamlValue::List(_) => (node, false),
        YamlValue::Map(entries) if entries.iter().any(|(key, _)| &*key.text == "conditions") => {
            let map = c.map(node, &GROUP)?;
            let word = map.get("operator").and_then(YamlNode::as_text).unwrap_or("AND").to_ascii_uppercase();
            if !matches!(word.as_str(), "AND" | "OR")
                && let Some(operator) = map.get("operator")
            {
                c.expected(operator, "`AND` or `OR`");
            }
            (map.get("conditions")?, word == "OR")
        }
        _ => return leaf(c, node, triggers),
    };
    let several: Vec<Json> =
        items(inner).iter().filter_map(|item| conditions(c, item, depth + 1, triggers)).collect();
    if matches!(&inner.value, YamlValue::List(items) if items.is_empty()) && depth > 0 {
        c.expected(inner, "conditions");
    }
    match several.len() {
        0 => None,
        1 => several.into_iter().next(),
        _ => Some(held_together(several, is_or)),
    }
}

fn held_together(conditions: Vec<Json>, is_or: bool) -> Json {
    let word = if is_or { "any" } else { "all" };
    let group: Object = [(word, Json::Array(conditions.into()))].into_iter().collect();
    group.into()
}

/// The kind of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Greater,
    Less,
    NotLess,
    NotGreater,
    Equal,
    Unequal,
}

impl Compare {
    const ALL: [(&str, Self); 15] = [
        (">", Self::Greater),
        ("gt", Self::Greater),
        ("<", Self::Less),
        ("lt", Self::Less),
        (">=", Self::NotLess),
        ("gte", Self::NotLess),
        ("ge", Self::NotLess),
        ("<=", Self::NotGreater),
        ("lte", Self::NotGreater),
        ("le", Self::NotGreater),
        ("==", Self::Equal),
        ("=", Self::Equal),
        ("eq", Self::Equal),
        ("!=", Self::Unequal),
        ("ne", Self::Unequal),
    ];

    fn parse(text: &str) -> Option<Self> {
        if text == "<>" {
            return Some(Self::Unequal);
        }
        let text = text.to_ascii_lowercase();
        Self::ALL.into_iter().find(|(word, _)| *word == text).map(|(_, compare)| compare)
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::Less => "<",
            Self::NotLess => ">=",
            Self::NotGreater => "<=",
            Self::Equal => "==",
            Self::Unequal => "!=",
        }
    }
}

fn leaf<'n>(c: &mut Checker, node: &'n YamlNode, triggers: &mut Vec<(Object, &'n YamlNode)>) -> Option<Json> {
    let map = c.map(node, &LEAF)?;
    let device = map.get("device_id").and_then(|node| c.device(node));
    let property = ["sensor_type", "property", "field"].into_iter().find_map(|key| map.get(key));
    if property.is_none() {
        c.flaw(node, "a trigger condition needs `sensor_type` (or `property`): what is compared");
    }
    let property = c.text_of(property?)?;
    let operator = map.get("operator")?;
    let compare = Compare::parse(operator.as_text().unwrap_or_default());
    if compare.is_none() {
        let signs = [">", "<", ">=", "<=", "==", "!="];
        c.expected(operator, &format!("one of {}", listed(signs.into_iter())));
    }
    let value = map.get("value")?;
    let (device, compare) = (device?, compare?);
    let place: Object =
        [("device", Json::from(device.as_str())), ("property", property.into())].into_iter().collect();
    let mut trigger = Object::default();
    let shown = match compare {
        Compare::Greater | Compare::Less | Compare::NotLess | Compare::NotGreater => {
            let number = number(c, value)?;
            trigger.insert("numeric", place.into());
            // `above` and `below` are beyond, and the numbers next to it are what is not less and not greater.
            let large = number.as_whole().filter(|_| number.as_f64().abs() >= EXACT);
            let (key, bound) = match (compare, large) {
                (Compare::Greater, _) => ("above", Some(number.clone())),
                (Compare::NotLess, Some(whole)) => ("above", Some(Number::whole(whole - 1))),
                (Compare::NotLess, None) => ("above", Number::from_f64(number.as_f64().next_down())),
                (Compare::Less, _) => ("below", Some(number.clone())),
                (_, Some(whole)) => ("below", Some(Number::whole(whole + 1))),
                (_, None) => ("below", Number::from_f64(number.as_f64().next_up())),
            };
            trigger.insert(key, Json::Number(bound.unwrap_or_else(|| number.clone())));
            number.as_str().to_owned()
        }
        Compare::Equal | Compare::Unequal => {
            let json = value.to_json();
            if matches!(json, Json::Object(_) | Json::Array(_)) {
                c.expected(value, "a number, a boolean or a text");
                return None;
            }
            let shown = json.to_string();
            trigger.insert("changed", place.into());
            trigger.insert(if compare == Compare::Equal { "to" } else { "from" }, json);
            shown
        }
    };
    if !triggers.iter().any(|(other, _)| *other == trigger) {
        if triggers.len() == MOST {
            c.flaw(node, format!("a rule has {MOST} conditions at most"));
        }
        if triggers.len() < MOST {
            triggers.push((trigger, node));
        }
    }
    Some(format!("{} {} {shown}", term(device.as_str(), property), compare.sign()).into())
}

/// A number, in quotes too.
fn number(c: &mut Checker, node: &YamlNode) -> Option<Number> {
    let number = match &node.value {
        YamlValue::Scalar(scalar) => YamlScalar { plain: true, ..scalar.clone() }.as_number(),
        _ => None,
    };
    if number.is_none() {
        c.expected(node, "a number");
    }
    number
}

/// A property in an expression: `pump.reported.power`, `twin["pump-1"].reported["flow rate"]`.
fn term(device: &str, property: &str) -> String {
    // Names with another meaning in expressions, and CEL's own words.
    const TAKEN: [&str; 25] = [
        "device",
        "trigger",
        "now",
        "twin",
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    let is_plain = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !TAKEN.contains(&word)
    };
    let mut term = String::new();
    let index = |term: &mut String, name: &str| {
        term.push('[');
        write_string(term, name);
        term.push(']');
    };
    if is_plain(device) {
        term.push_str(device);
    } else {
        term.push_str("twin");
        index(&mut term, device);
    }
    term.push_str(".reported");
    for part in property.split('.') {
        if is_plain(part) {
            term.push('.');
            term.push_str(part);
        } else {
            index(&mut term, part);
        }
    }
    term
}

fn schedule(c: &mut Checker, node: &YamlNode) -> Option<Object> {
    let mut trigger = Object::default();
    if node.as_map().is_some() {
        let map = c.map(node, &SCHEDULE)?;
        trigger.insert("cron", c.text(&map, "cron")?.into());
        if let Some(zone) = c.text(&map, "timezone") {
            trigger.insert("timezone", zone.into());
        }
        return Some(trigger);
    }
    let text = node.as_text().filter(|text| !text.trim().is_empty());
    match text {
        Some(text) => {
            trigger.insert("cron", text.into());
            Some(trigger)
        }
        None => {
            c.expected(node, "a cron text such as \"0 7 * * Mon-Fri\", or {cron, timezone}");
            None
        }
    }
}

fn action(c: &mut Checker, node: &YamlNode, id: Option<&Json>) -> Option<Object> {
    let map = c.map(node, &ACTION)?;
    let command = map.get("command").or_else(|| map.get("command_type"));
    let kind = map.get("type").or_else(|| map.get("action_type"));
    let word = match kind {
        Some(kind) => c.text_of(kind)?.to_ascii_lowercase(),
        None if command.is_some() => "command".into(),
        None => {
            c.flaw(node, "an action of this form needs a `type`");
            return None;
        }
    };
    let mut ours = Object::default();
    // A key of theirs and the one of ours that it becomes, in one sweep; `needed` is told by our own check.
    let mut take = |c: &mut Checker, theirs: &str, key: &str| match map.get(theirs) {
        Some(value) => {
            ours.insert(key, value.to_json());
        }
        None => c.flaw(node, format!("an action of type `{word}` needs `{theirs}`")),
    };
    match word.as_str() {
        "command" | "send_command" | "device_command" => {
            take(c, "device_id", "command");
            take(c, if map.has("command") { "command" } else { "command_type" }, "type");
            optional(&mut ours, &map, &[("parameters", "parameters")]);
        }
        "set_state" | "set" | "desired" | "update_state" => {
            take(c, "device_id", "desired");
            take(c, if map.has("state") { "state" } else { "parameters" }, "set");
        }
        "notification" | "notify" | "alert" | "alarm" => {
            take(c, "message", "message");
            ours.insert("alarm", id.cloned().unwrap_or_default());
            optional(&mut ours, &map, &[("severity", "severity"), ("device_id", "device")]);
        }
        "webhook" => {
            take(c, "url", "webhook");
            optional(&mut ours, &map, &[("method", "method"), ("body", "body")]);
        }
        "delay" => take(c, "duration", "delay"),
        "log" => take(c, "message", "log"),
        other => {
            let words = ["command", "set_state", "notification", "webhook", "delay", "log"];
            let hint = nearest(other, words.into_iter()).map(str::to_owned);
            if let Some(kind) = kind {
                c.expected_hint(kind, &format!("one of {}", listed(words.into_iter())), hint);
            }
            return None;
        }
    }
    Some(ours)
}

fn optional(ours: &mut Object, map: &Map<'_>, keys: &[(&str, &str)]) {
    for (theirs, key) in keys {
        if let Some(node) = map.get(theirs) {
            ours.insert(*key, node.to_json());
        }
    }
}
