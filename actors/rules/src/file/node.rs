//! A file as a tree with places, YAML and JSON alike.
//!
//! A scalar without quotes keeps its text: whether `on` is a word and `5` a number is decided by the reader, from the
//! type expected there. So the `on` of `{ power: on }` stays `on`.

use twinhub_domain::{Json, Number, Object};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct YamlNode {
    /// Its place in the order of the text, keys being counted too.
    pub id: u32,
    /// From 1; 0 where it came without a text.
    pub line: u32,
    pub column: u32,
    pub value: YamlValue,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub(crate) enum YamlValue {
    Scalar(YamlScalar),
    List(Vec<YamlNode>),
    Map(Vec<(YamlKey, YamlNode)>),
    /// Something that was complained of already.
    Flawed,
}

/// A text, or a scalar whose type is not decided yet.
#[derive(Clone, Debug)]
pub(crate) struct YamlScalar {
    pub text: Box<str>,
    /// The scalar has no quotes, so it may be a number, a boolean or nothing.
    pub plain: bool,
    /// The offset of its first character from the value's place, in columns; none where the text is not in the file
    /// letter by letter, on one line.
    pub inset: Option<u8>,
}

/// A key and its place.
#[derive(Clone, Debug)]
pub(crate) struct YamlKey {
    pub id: u32,
    pub line: u32,
    pub column: u32,
    pub text: Box<str>,
}

impl YamlNode {
    /// The tree of a document that came without a text.
    pub fn of_json(json: &Json) -> Self {
        Self::number(json, &mut 0)
    }

    fn number(json: &Json, next: &mut u32) -> Self {
        let mut take = || {
            *next += 1;
            *next
        };
        let id = take();
        let scalar =
            |text: &str, plain| YamlValue::Scalar(YamlScalar { text: text.into(), plain, inset: None });
        let value = match json {
            Json::Null => scalar("null", true),
            Json::Bool(value) => scalar(if *value { "true" } else { "false" }, true),
            Json::Number(number) => scalar(number.as_str(), true),
            Json::String(text) => scalar(text, false),
            Json::Array(items) => {
                YamlValue::List(items.iter().map(|item| Self::number(item, next)).collect())
            }
            Json::Object(object) => {
                let mut entries = Vec::with_capacity(object.len());
                for (key, value) in object.iter() {
                    *next += 1;
                    let key = YamlKey { id: *next, line: 0, column: 0, text: key.into() };
                    entries.push((key, Self::number(value, next)));
                }
                YamlValue::Map(entries)
            }
        };
        Self { id, line: 0, column: 0, value }
    }

    /// The document that it is: numbers with the digits they have, words without quotes as texts.
    pub fn to_json(&self) -> Json {
        match &self.value {
            YamlValue::Scalar(scalar) => scalar.to_json(),
            YamlValue::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            YamlValue::Map(entries) => {
                let object: Object =
                    entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect();
                object.into()
            }
            YamlValue::Flawed => Json::Null,
        }
    }

    /// Is the value nothing?
    pub fn is_null(&self) -> bool {
        matches!(&self.value, YamlValue::Scalar(scalar) if scalar.is_null())
    }

    /// The text of a scalar, in quotes or not.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The entries of a map.
    pub fn as_map(&self) -> Option<&[(YamlKey, Self)]> {
        if let YamlValue::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// The value at `key` of a map, null being nothing.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let (_, node) = self.as_map()?.iter().find(|(other, _)| &*other.text == key)?;
        Some(node).filter(|node| !node.is_null())
    }

    /// The value at a JSON pointer below this.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            node = match &node.value {
                YamlValue::List(items) => items.get(part.parse::<usize>().ok()?)?,
                YamlValue::Map(entries) => &entries.iter().find(|(key, _)| *key.text == *part)?.1,
                YamlValue::Scalar(_) | YamlValue::Flawed => return None,
            };
        }
        Some(node)
    }

    /// The number of values and keys in it, this one counted, the number of bytes of text, and the depth.
    pub fn size(&self) -> (usize, usize, usize) {
        let mut nodes = 1;
        let mut bytes = 0;
        let mut depth = 0;
        let mut add = |node: &Self| {
            let (inner_nodes, inner_bytes, inner_depth) = node.size();
            nodes += inner_nodes;
            bytes += inner_bytes;
            depth = depth.max(inner_depth);
        };
        match &self.value {
            YamlValue::Scalar(scalar) => bytes += scalar.text.len(),
            YamlValue::List(items) => items.iter().for_each(add),
            YamlValue::Map(entries) => {
                entries.iter().for_each(|(_, node)| add(node));
                nodes += entries.len();
                bytes += entries.iter().map(|(key, _)| key.text.len()).sum::<usize>();
            }
            YamlValue::Flawed => {}
        }
        (nodes, bytes, depth + 1)
    }

    /// The name of its type: `a list`, `the text "on"`.
    pub fn kind(&self) -> String {
        match &self.value {
            YamlValue::List(_) => "a list".into(),
            YamlValue::Map(_) => "a map of keys and values".into(),
            YamlValue::Flawed => "nothing".into(),
            YamlValue::Scalar(scalar) if scalar.is_null() => "nothing".into(),
            YamlValue::Scalar(scalar) => {
                let short: String = scalar.text.chars().take(40).collect();
                let more = if short.len() < scalar.text.len() { "…" } else { "" };
                match scalar.to_json() {
                    Json::String(_) => format!("the text \"{short}{more}\""),
                    _ => short,
                }
            }
        }
    }
}

impl YamlScalar {
    /// Is it nothing: no text at all, `~` or `null`?
    pub fn is_null(&self) -> bool {
        self.plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// A boolean without quotes. `on`, `off`, `yes` and `no` are words.
    pub fn as_bool(&self) -> Option<bool> {
        match &*self.text {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// A number without quotes, in decimal. A scalar that begins with zeros (`007`) is a text, and so are `0x1F` and
    /// `.inf`.
    pub fn as_number(&self) -> Option<Number> {
        if !self.plain {
            return None;
        }
        let unsigned = self.text.strip_prefix(['+', '-']).unwrap_or(&self.text);
        let (mantissa, exponent) =
            unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let power = exponent.map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
        let is_number = digits(whole)
            && digits(fraction)
            && !(whole.is_empty() && fraction.is_empty())
            && !(whole.len() > 1 && whole.starts_with('0'))
            && power.is_none_or(|power| !power.is_empty() && digits(power));
        if !is_number {
            return None;
        }
        let mut text = String::with_capacity(self.text.len() + 1);
        if self.text.starts_with('-') {
            text.push('-');
        }
        text.push_str(if whole.is_empty() { "0" } else { whole });
        if !fraction.is_empty() {
            text.push('.');
            text.push_str(fraction);
        }
        if let Some(exponent) = exponent {
            text.push('e');
            text.push_str(exponent);
        }
        Number::parse(&text)
    }

    fn to_json(&self) -> Json {
        if self.is_null() {
            return Json::Null;
        }
        match (self.as_bool(), self.as_number()) {
            (Some(value), _) => Json::Bool(value),
            (None, Some(number)) => Json::Number(number),
            (None, None) => Json::String(self.text.clone()),
        }
    }
}
