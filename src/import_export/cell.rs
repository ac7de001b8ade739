//! A value in a cell of CSV.
//!
//! A cell that reads as JSON is that: `21.5` a number, `true` (or `TRUE`, as spreadsheets write it) a
//! boolean, `"21.5"` a text, `{"a": 1}` an object, `null` nothing. Anything else is the text itself. An empty
//! cell says nothing at all. Where commas part no cells, `21,5` is a number too, in a column whose other cells are.
//!
//! No text begins as a formula does: the text of a device would be carried out in the spreadsheet that opens the export.
//! In sections such a text stands in quotes; in columns of text behind a `'`, of which one is taken off when it comes
//! back.

use twinhub_domain::Json;

use super::{LineFault, json};

/// The value of a cell; none where it is empty.
///
/// # Errors
/// It begins as JSON does and is none: who means the text itself writes it as a JSON text.
pub fn read(cell: &str) -> Result<Option<Json>, LineFault> {
    let text = cell.trim();
    match (text, text.chars().next()) {
        (_, None) => Ok(None),
        ("TRUE", _) => Ok(Some(Json::Bool(true))),
        ("FALSE", _) => Ok(Some(Json::Bool(false))),
        (_, Some('{' | '[' | '"')) => json(text).map(Some).map_err(|fault| {
            let hint = "a text that begins so needs quotes, as \"[draft]\"";
            LineFault { column: None, error: format!("{}: {hint}", fault.error), ..fault }
        }),
        _ => Ok(Some(Json::parse(text.as_bytes()).unwrap_or_else(|_| cell.into()))),
    }
}

/// The number that a cell with a decimal comma says, with its digits: `21,50` is 21.50. None where it is no such cell.
#[must_use]
pub fn read_decimal(cell: &str) -> Option<Json> {
    let text = cell.trim();
    let (whole, fraction) = text.split_once(',')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction);
    is_number.then(|| Json::parse(format!("{whole}.{fraction}").as_bytes()).ok()).flatten()
}

/// The cell that says `value`.
#[must_use]
pub fn write(value: &Json) -> String {
    match value {
        // A text is as it is wherever that is read as the same text.
        Json::String(text)
            if !is_formula(text) && read(text).is_ok_and(|found| found.as_ref() == Some(value)) =>
        {
            text.to_string()
        }
        other => other.to_string(),
    }
}

/// The text that a cell says.
pub(super) fn read_text(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|_| is_formula(cell.trim_start_matches('\''))).unwrap_or(cell)
}

/// The cell that says a text.
#[must_use]
pub fn write_text(text: &str) -> String {
    let mark = if is_formula(text.trim_start_matches('\'')) { "'" } else { "" };
    format!("{mark}{text}")
}

/// Would a spreadsheet reckon with it?
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// The name that a cell says, or null for none; nothing where it is empty.
///
/// # Errors
/// It begins with a quote, and is no JSON text.
pub(super) fn read_name(cell: &str) -> Result<Option<Json>, LineFault> {
    match cell {
        "" => Ok(None),
        "null" => Ok(Some(Json::Null)),
        text if text.starts_with('"') => json(text).map(Some),
        text => Ok(Some(read_text(text).into())),
    }
}

/// The cell that says a name, or none.
pub(super) fn write_name(name: &Json) -> String {
    match name {
        Json::String(text) if !text.is_empty() && &**text != "null" && !text.starts_with('"') => {
            write_text(text)
        }
        other => other.to_string(),
    }
}

/// The key that is meant by the part of a column's name after the dot. A key that begins or ends with a space,
/// begins with a quote, has a line break or is empty stands there as a JSON text.
pub(super) fn read_key(name: &str) -> Result<String, LineFault> {
    if !name.starts_with('"') {
        return Ok(name.to_owned());
    }
    match json(name)? {
        Json::String(key) => Ok(key.into()),
        _ => Err(LineFault::of_line("not_json", "not JSON: expected a text")), // it began with a quote
    }
}

/// The name that stands for `key`.
pub(super) fn write_key(key: &str) -> String {
    let is_plain =
        !key.is_empty() && !key.starts_with('"') && key.trim() == key && !key.contains(char::is_control);
    if is_plain { key.to_owned() } else { Json::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_what_they_look_like() {
        let check = |cell: &str, expected: &str| {
            let shown = match read(cell) {
                Ok(value) => value.map_or("nothing".into(), |value| value.to_string()),
                Err(fault) => fault.code.into(),
            };
            assert_eq!(shown, expected, "{cell}");
        };
        check("", "nothing");
        check("  ", "nothing");
        check("21.50", "21.50");
        check(" 5 ", "5");
        check("007", r#""007""#);
        check("1,5", r#""1,5""#);
        check("+5", r#""+5""#);
        check("1e999", r#""1e999""#);
        check("true", "true");
        check("TRUE", "true");
        check("True", r#""True""#);
        check("null", "null");
        check("hall A", r#""hall A""#);
        check(r#""5""#, r#""5""#);
        check(r#""""#, r#""""#);
        check(r#"{"a": [1, null]}"#, r#"{"a":[1,null]}"#);
        check("{a}", "not_json");
        check("[draft", "not_json");
        check("\"", "not_json");
    }

    #[test]
    fn a_decimal_comma_is_read_where_it_is_asked_for() {
        let check = |cell: &str, expected: Option<&str>| {
            assert_eq!(read_decimal(cell).map(|number| number.to_string()).as_deref(), expected, "{cell}");
        };
        check("1,5", Some("1.5"));
        check(" -0,50 ", Some("-0.50"));
        check("12345678901234567890,1", Some("12345678901234567890.1"));
        for text in
            ["1.5", "5", "1,", ",5", "1,2,3", "1.234,5", "1,5 °C", "+1,5", "007,5", "1,5e3", "", "a,b"]
        {
            check(text, None);
        }
    }

    #[test]
    fn texts_are_quoted_where_they_look_like_something_else() {
        let check = |text: &str, expected: &str| assert_eq!(write(&text.into()), expected);
        check("hall A", "hall A");
        check("007", "007");
        check("5", r#""5""#);
        check("TRUE", r#""TRUE""#);
        check("", r#""""#);
        check(" ", r#"" ""#);
        check(" a ", " a ");
        check("{a}", r#""{a}""#);
        check("=1+1", r#""=1+1""#);
        check("+5", r#""+5""#);
        check("\t=1", r#""\t=1""#);
        assert_eq!(write(&Json::from(-1_i64)), "-1");
        assert_eq!(write(&Json::Bool(true)), "true");
        assert_eq!(write(&"21.50".parse().unwrap()), "21.50");
    }

    #[test]
    fn formulas_stand_behind_a_mark() {
        let check = |text: &str, cell: &str| {
            assert_eq!((write_text(text).as_str(), read_text(cell)), (cell, text));
            assert_eq!((write_name(&text.into()), read_name(cell)), (cell.into(), Ok(Some(text.into()))));
        };
        check("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")");
        check("-40 °C", "'-40 °C");
        check("'@x", "''@x");
        check("'x", "'x");
        check("''", "''");
        // A text that people write by hand is what it says.
        assert_eq!(read_text("-40 °C"), "-40 °C");
    }
}
