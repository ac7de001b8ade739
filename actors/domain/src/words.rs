//! Words with the same meaning: the two for false and for true of a device, where they are declared.

use super::json::Json;

/// No word is longer, in bytes.
const LONGEST: usize = 64;

/// The word for false, and the word for true: `["OFF", "ON"]`. A value of `"on"`, `"ON"` or `true` means the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruthWords<'a>(&'a Json, &'a Json);

impl<'a> TruthWords<'a> {
    /// The words of a declaration that [`TruthWords::check`] found right.
    #[must_use]
    pub fn of(declared: &'a Json) -> Option<Self> {
        match declared {
            Json::Array(words) => match &**words {
                [off, on] => Some(Self(off, on)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Checks a declaration.
    ///
    /// # Errors
    /// The expected form.
    pub fn check(declared: &'a Json) -> Result<(), &'static str> {
        const EXPECTED: &str = "expected two different words of 1 to 64 bytes, or numbers, the one for false \
                                first: [\"OFF\", \"ON\"]";
        let is_word = |word: &Json| match word {
            Json::String(text) => !text.trim().is_empty() && text.len() <= LONGEST,
            Json::Number(_) => true,
            _ => false,
        };
        match Self::of(declared) {
            Some(Self(off, on)) if is_word(off) && is_word(on) && !is_same(off, on) => Ok(()),
            _ => Err(EXPECTED),
        }
    }

    /// Could a value be a word of some device?
    #[must_use]
    pub fn could_be(value: &Json) -> bool {
        matches!(value, Json::Bool(_) | Json::String(_) | Json::Number(_))
    }

    /// Do both mean true, or both false?
    #[must_use]
    pub fn mean_the_same(&self, one: &Json, other: &Json) -> bool {
        let meaning = self.meaning(one);
        meaning.is_some() && meaning == self.meaning(other)
    }

    fn meaning(&self, value: &Json) -> Option<bool> {
        match value {
            Json::Bool(value) => Some(*value),
            value if is_same(value, self.0) => Some(false),
            value if is_same(value, self.1) => Some(true),
            _ => None,
        }
    }
}

/// The same word, whatever its case, or the same number.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::String(one), Json::String(other)) => {
            one.eq_ignore_ascii_case(other)
                || (!(one.is_ascii() && other.is_ascii()) && one.to_lowercase() == other.to_lowercase())
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declared: &str, one: &str, other: &str, expected: bool) {
        let declared: Json = declared.parse().unwrap();
        TruthWords::check(&declared).unwrap();
        let words = TruthWords::of(&declared).unwrap();
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(words.mean_the_same(&one, &other), expected, "{one} and {other} by {declared}");
        assert_eq!(words.mean_the_same(&other, &one), expected);
    }

    #[test]
    fn declared_words_mean_true_and_false() {
        const SWITCH: &str = r#"["OFF", "ON"]"#;
        check(SWITCH, "true", r#""ON""#, true);
        check(SWITCH, "true", r#""on""#, true);
        check(SWITCH, r#""On""#, r#""oN""#, true);
        check(SWITCH, "false", r#""off""#, true);
        check(SWITCH, "true", r#""off""#, false);
        check(SWITCH, r#""auto""#, r#""AUTO""#, false);
        check(SWITCH, "1", "true", false);
        check("[0, 1]", "1.0", "true", true);
        check(r#"["zu", "Öffnen"]"#, "true", r#""öffnen""#, true);
    }

    #[test]
    fn bad_words_are_refused() {
        for wrong in [
            r#"["ON", "on"]"#,
            r#"["ON"]"#,
            r#"["a", "b", "c"]"#,
            r#"["", "x"]"#,
            "[true, false]",
            "1",
            "[1, 1.0]",
        ] {
            assert!(TruthWords::check(&wrong.parse().unwrap()).is_err(), "{wrong}");
        }
    }
}
