//! Numbers as Python's `float` takes them: programs that were written for it send texts of them, too.

use twinhub_domain::Json;
use twinhub_domain::json::Number;

/// The reason why a value is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANumber {
    /// It is an object, an array or null.
    Kind,
    /// It is a text of something else.
    Text,
    /// It is infinite, or not even a number: JSON cannot write it.
    NotFinite,
}

/// The number that a value is: one itself, a boolean as 0 or 1, or a text of one. It keeps its digits where these are a
/// number in JSON, too.
///
/// # Errors
/// It is none.
pub fn lenient_number(value: &Json) -> Result<Number, NotANumber> {
    match value {
        Json::Number(number) => Ok(number.clone()),
        Json::Bool(flag) => Ok(Number::from(i64::from(*flag))),
        Json::String(text) => {
            let text = text.trim();
            if let Ok(Json::Number(number)) = Json::parse(text.as_bytes()) {
                return Ok(number);
            }
            let value: f64 = text.parse().map_err(|_| NotANumber::Text)?;
            Number::from_f64(value).ok_or(NotANumber::NotFinite)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => Err(NotANumber::Kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_numbers_are_numbers() {
        let check = |value: &str, expected: Result<&str, NotANumber>| {
            let read = lenient_number(&value.parse().unwrap());
            assert_eq!(read.as_ref().map(Number::as_str).map_err(|error| *error), expected, "{value}");
        };
        check("22.50", Ok("22.50"));
        check(r#"" 22.50 ""#, Ok("22.50"));
        check(r#""1e3""#, Ok("1e3"));
        check(r#"".5""#, Ok("0.5"));
        check(r#""+5""#, Ok("5.0"));
        check(r#""007""#, Ok("7.0"));
        check("true", Ok("1"));
        check("false", Ok("0"));
        for text in [r#""""#, r#""warm""#, r#""1,5""#, r#""{}""#] {
            check(text, Err(NotANumber::Text));
        }
        for infinite in [r#""nan""#, r#""-inf""#, r#""Infinity""#, r#""1e999""#] {
            check(infinite, Err(NotANumber::NotFinite));
        }
        for other in ["null", "[]", "{}"] {
            check(other, Err(NotANumber::Kind));
        }
    }
}
