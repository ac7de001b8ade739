//! The one environment of all templates: only filters that keep a text about as long as it was.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{StringInput, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, tests};

use super::super::LONGEST_FILLED;

/// Steps that filling in a template takes at most: some milliseconds' worth.
const FUEL: u64 = 50_000;

/// The filters that there are.
pub const FILTERS: [&str; 23] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lower",
    "max",
    "min",
    "replace",
    "round",
    "string",
    "title",
    "tojson",
    "trim",
    "upper",
];
/// The tests that there are, behind `is`.
pub const TESTS: [&str; 8] =
    ["boolean", "defined", "mapping", "none", "number", "sequence", "string", "undefined"];

/// The environment of all templates. It is shared: a template costs its text, and is read anew when it is filled.
pub fn environment<'a>() -> &'a Environment<'a> {
    static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(make);
    &ENVIRONMENT
}

/// The syntax: texts stay unchanged, with their last line's end.
pub fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default() // no mark of ours is wrong
}

fn make() -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(32);
    env.set_syntax(syntax());
    env.add_filter("abs", filters::abs);
    env.add_filter("bool", filters::bool);
    env.add_filter("capitalize", filters::capitalize);
    env.add_filter("count", filters::length);
    env.add_filter("d", filters::default);
    env.add_filter("default", filters::default);
    env.add_filter("first", filters::first);
    env.add_filter("float", filters::float);
    env.add_filter("int", filters::int);
    env.add_filter("items", filters::items);
    env.add_filter("join", join);
    env.add_filter("last", filters::last);
    env.add_filter("length", filters::length);
    env.add_filter("lower", filters::lower);
    env.add_filter("max", filters::max);
    env.add_filter("min", filters::min);
    env.add_filter("replace", replace);
    env.add_filter("round", filters::round);
    env.add_filter("string", filters::string);
    env.add_filter("title", filters::title);
    env.add_filter("tojson", tojson);
    env.add_filter("trim", |text: StringInput<'_>| filters::trim(text, None));
    env.add_filter("upper", filters::upper);
    env.add_test("boolean", tests::is_boolean);
    env.add_test("defined", tests::is_defined);
    env.add_test("mapping", tests::is_mapping);
    env.add_test("none", tests::is_none);
    env.add_test("number", tests::is_number);
    env.add_test("sequence", tests::is_sequence);
    env.add_test("string", tests::is_string);
    env.add_test("undefined", tests::is_undefined);
    env
}

// The filters that follow can make a text many times as long: each is held to the length of a whole filled template.

fn join(list: &Value, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut text = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(&between);
        }
        match item.as_str() {
            Some(item) => text.push_str(item),
            None => text.push_str(&item.to_string()),
        }
        if text.len() > LONGEST_FILLED {
            return Err(too_long());
        }
    }
    Ok(text)
}

fn replace(text: Cow<'_, str>, what: Cow<'_, str>, by: Cow<'_, str>) -> Result<String, Error> {
    let found = text.matches(what.as_ref()).count();
    if text.len().saturating_add(found.saturating_mul(by.len())) > LONGEST_FILLED {
        return Err(too_long());
    }
    Ok(text.replace(what.as_ref(), &by))
}

fn tojson(value: &Value) -> Result<String, Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    if text.len() > LONGEST_FILLED { Err(too_long()) } else { Ok(text) }
}

fn too_long() -> Error {
    ErrorKind::WriteFailure.into()
}
