//! Fields of a body and parameters of a query, read as FastAPI reads them: numbers and whole numbers may be texts, and
//! one answer names all that are wrong.

use std::ops::RangeInclusive;

use twinhub_domain::json::Number;
use twinhub_domain::{Json, Object};
use twinhub_mqtt::dialects::{NotANumber, lenient_number};

use crate::http::extract::params::Params;
use crate::http::problem::fastapi::{FastApiError, FieldFault, PlaceStep};

/// Fields that are being read, with the faults found so far. A field that is wrong is read as nothing: the
/// [`finish`](Self::finish) refuses it.
#[derive(Debug)]
pub(super) struct FastApiFields {
    given: Object,
    /// All of them as they came: the input of those that are missing. A query has none.
    whole: Json,
    /// The way to these fields.
    place: Vec<PlaceStep>,
    faults: Vec<FieldFault>,
}

/// The faults after which a list is looked at no further.
const MOST_FAULTS: usize = 100;

impl FastApiFields {
    /// The fields of a body.
    ///
    /// # Errors
    /// It is no object.
    pub(super) fn of_body(body: Json) -> Result<Self, FastApiError> {
        Self::within(body, vec![PlaceStep::Name("body".into())]).map_err(FastApiError::from)
    }

    /// The parameters of a query. Of one that is given twice the last counts.
    pub(super) fn of_query(params: &Params) -> Self {
        let given = params.all().iter().map(|(name, value)| (&**name, Json::from(&**value))).collect();
        let place = vec![PlaceStep::Name("query".into())];
        Self { given, whole: Json::Null, place, faults: Vec::new() }
    }

    /// The fields of an object that stands at `place`, which begins with `body`.
    ///
    /// # Errors
    /// It is no object.
    pub(super) fn within(value: Json, place: Vec<PlaceStep>) -> Result<Self, FieldFault> {
        match value {
            Json::Object(given) => {
                let whole = Json::Object(given.clone());
                Ok(Self { given, whole, place, faults: Vec::new() })
            }
            other => Err(FieldFault::no_object().with_input(other).standing_at(place)),
        }
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, name: &str) -> Box<str> {
        match self.given.remove(name) {
            Some(value) => self.read_text(name, value),
            None => {
                self.note_missing(name);
                "".into()
            }
        }
    }

    /// A text; none where it is not there or null.
    pub(super) fn optional_text(&mut self, name: &str) -> Option<Box<str>> {
        match self.given.remove(name) {
            None | Some(Json::Null) => None,
            Some(value) => Some(self.read_text(name, value)),
        }
    }

    /// A number that must be there.
    pub(super) fn number(&mut self, name: &str) -> Number {
        let Some(value) = self.given.remove(name) else {
            self.note_missing(name);
            return Number::from(0);
        };
        number(name, &value).unwrap_or_else(|fault| {
            self.note(fault.with_input(value));
            Number::from(0)
        })
    }

    /// A whole number; `usual` where it is not there. One beyond 64 bits is the largest or the least there is.
    pub(super) fn whole(&mut self, name: &str, usual: i64) -> i64 {
        let Some(value) = self.given.remove(name) else { return usual };
        whole(&value).unwrap_or_else(|| {
            self.note(FieldFault::no_whole_number(name).with_input(value));
            usual
        })
    }

    /// The same, which must be in a range.
    pub(super) fn whole_within(&mut self, name: &str, usual: i64, range: RangeInclusive<i64>) -> i64 {
        let input = self.given.get(name).cloned().unwrap_or_default();
        let found = self.whole(name, usual);
        if found < *range.start() {
            self.note(FieldFault::too_small(name, *range.start()).with_input(input));
        } else if found > *range.end() {
            self.note(FieldFault::too_large(name, *range.end()).with_input(input));
        }
        found
    }

    /// A list that must be there.
    pub(super) fn list(&mut self, name: &str) -> Box<[Json]> {
        match self.given.remove(name) {
            Some(Json::Array(items)) => items,
            Some(other) => {
                self.note(FieldFault::no_list(name).with_input(other));
                [].into()
            }
            None => {
                self.note_missing(name);
                [].into()
            }
        }
    }

    /// An object of any members that must be there.
    pub(super) fn dictionary(&mut self, name: &str) -> Object {
        match self.given.remove(name) {
            Some(Json::Object(members)) => members,
            Some(other) => {
                self.note(FieldFault::no_dictionary(name).with_input(other));
                Object::default()
            }
            None => {
                self.note_missing(name);
                Object::default()
            }
        }
    }

    /// The way to these fields.
    pub(super) fn place(&self) -> &[PlaceStep] {
        &self.place
    }

    /// Notes a fault of one of these fields.
    pub(super) fn note(&mut self, fault: FieldFault) {
        self.faults.push(fault.below(&self.place));
    }

    /// Takes over the faults of fields further in.
    pub(super) fn take_faults(&mut self, inner: impl IntoIterator<Item = FieldFault>) {
        self.faults.extend(inner);
    }

    /// Are there more faults than anybody reads? Each takes memory, and a body may have as many as it has bytes.
    pub(super) fn has_many_faults(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }

    /// The faults found so far.
    pub(super) fn into_faults(self) -> Vec<FieldFault> {
        self.faults
    }

    /// Members that nobody asked for are nobody's business.
    ///
    /// # Errors
    /// Names all that is wrong.
    pub(super) fn finish(self) -> Result<(), FastApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(FastApiError::Fields(self.faults)) }
    }

    fn read_text(&mut self, name: &str, value: Json) -> Box<str> {
        match value {
            Json::String(text) => text,
            other => {
                self.note(FieldFault::no_text(name).with_input(other));
                "".into()
            }
        }
    }

    fn note_missing(&mut self, name: &str) {
        let fault = FieldFault::missing(name).with_input(self.whole.clone());
        self.note(fault);
    }
}

/// The number that a value is.
fn number(name: &str, value: &Json) -> Result<Number, FieldFault> {
    lenient_number(value).map_err(|error| match error {
        NotANumber::Kind => FieldFault::no_number(name),
        NotANumber::Text => FieldFault::no_number_in_text(name),
        NotANumber::NotFinite => FieldFault::not_finite(name),
    })
}

/// The whole number that a value is: one itself, or a text of one.
fn whole(value: &Json) -> Option<i64> {
    let text = match value {
        Json::Number(number) => number.as_str(),
        Json::String(text) => text.trim(),
        _ => return None,
    };
    let text = text.split_once('.').map_or(text, |(whole, zeros)| {
        // A fraction of nothing is none.
        if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') { whole } else { text }
    });
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let farthest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(farthest))
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;

    use super::*;

    fn body(text: &str) -> FastApiFields {
        FastApiFields::of_body(text.parse().unwrap()).unwrap()
    }

    async fn told(fields: FastApiFields) -> String {
        let response = fields.finish().unwrap_err().error_response();
        assert_eq!(response.status().as_u16(), 422);
        String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn all_that_is_wrong_is_named_as_pydantic_names_it() {
        let mut fields = body(r#"{"value": "warm", "unit": 5}"#);
        fields.text("sensor_type");
        fields.number("value");
        fields.text("unit");
        assert_eq!(
            told(fields).await,
            concat!(
                r#"{"detail":[{"input":{"unit":5,"value":"warm"},"loc":["body","sensor_type"],"#,
                r#""msg":"Field required","type":"missing"},"#,
                r#"{"input":"warm","loc":["body","value"],"#,
                r#""msg":"Input should be a valid number, unable to parse string as a number","type":"float_parsing"},"#,
                r#"{"input":5,"loc":["body","unit"],"msg":"Input should be a valid string","type":"string_type"}]}"#
            )
        );
        let mut query = FastApiFields::of_query(&Params::parse("limit=0&hours=169&page=x"));
        query.whole_within("limit", 100, 1..=1_000);
        query.whole_within("hours", 24, 1..=168);
        query.whole("page", 1);
        query.text("sensor_id");
        assert_eq!(
            told(query).await,
            concat!(
                r#"{"detail":[{"ctx":{"ge":1},"input":"0","loc":["query","limit"],"#,
                r#""msg":"Input should be greater than or equal to 1","type":"greater_than_equal"},"#,
                r#"{"ctx":{"le":168},"input":"169","loc":["query","hours"],"#,
                r#""msg":"Input should be less than or equal to 168","type":"less_than_equal"},"#,
                r#"{"input":"x","loc":["query","page"],"#,
                r#""msg":"Input should be a valid integer, unable to parse string as an integer","type":"int_parsing"},"#,
                r#"{"input":null,"loc":["query","sensor_id"],"msg":"Field required","type":"missing"}]}"#
            )
        );
    }

    #[test]
    fn whole_numbers_may_be_texts() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(whole(&Json::from(text)), expected, "{text}");
        };
        check("5", Some(5));
        check(" -5 ", Some(-5));
        check("+5", Some(5));
        check("5.0", Some(5));
        check("99999999999999999999", Some(i64::MAX));
        check("-99999999999999999999", Some(i64::MIN));
        for none in ["", "-", "5.5", "5.", "five", "1e3", "0x5", "."] {
            check(none, None);
        }
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let mut query = FastApiFields::of_query(&Params::parse("page=3&page=4&x=y"));
        assert_eq!((query.whole("page", 1), query.whole("limit", 20)), (4, 20));
        assert_eq!(query.optional_text("unit"), None);
        query.finish().unwrap();
        assert!(FastApiFields::of_body("[]".parse().unwrap()).is_err());
    }
}
