//! Query parameters, taken by name, where one that is wrong, or that nobody asked for, is named.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};
use twinhub_domain::clock::WrittenTime;
use twinhub_domain::duration::{EXAMPLES, positive_ms};
use twinhub_domain::{ReadingTime, Timestamp};

use crate::http::extract::fields::FieldError;
use crate::http::extract::words::means;
use crate::http::problem::ApiError;

/// The query's parameters that were not taken yet, and all of them for links.
#[derive(Clone, Debug, Default)]
pub struct Params {
    left: Vec<(String, String)>,
    all: Vec<(String, String)>,
}

impl Params {
    /// The parameters of a query string. What is no percent-encoding stays as it is.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { left: all.clone(), all }
    }

    /// With one that the path says.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.left.push((name.to_owned(), value.to_owned()));
        self
    }

    /// All parameters as they came.
    #[must_use]
    pub fn all(&self) -> &[(String, String)] {
        &self.all
    }

    /// Is the parameter there, and not taken yet?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.left.iter().any(|(key, _)| means(name, key))
    }

    /// The parameter's text; empty is the same as not there.
    ///
    /// # Errors
    /// It is given twice.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        let mut values = self.take(name);
        match values.len() {
            0 | 1 => Ok(values.pop().filter(|value| !value.is_empty())),
            _ => Err(bad(name, "is given twice")),
        }
    }

    /// A list: the parameter given often, or its items parted by commas.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let values = self.take(name);
        let items = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// Parameters whose names begin with `prefix`, by the rest of their names: `tag.<k>=<v>`.
    pub fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        self.left.retain(|(name, value)| match name.strip_prefix(prefix) {
            Some(rest) if !rest.is_empty() => {
                taken.push((rest.to_owned(), value.clone()));
                false
            }
            _ => true,
        });
        taken
    }

    /// A value of some type that reads from text.
    ///
    /// # Errors
    /// It does not read as one; `expected` says what it should be.
    pub fn value<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, FieldError> {
        self.read(name, expected, |text| text.parse().ok())
    }

    /// A value that `read` takes.
    ///
    /// # Errors
    /// It does not; `expected` says what it should be.
    pub fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let shown: String = text.chars().take(64).collect();
        read(&text).map(Some).ok_or_else(|| bad(name, format!("expected {expected}, found `{shown}`")))
    }

    /// A duration of more than nothing, in ms.
    ///
    /// # Errors
    /// It is none.
    pub fn duration(&mut self, name: &str) -> Result<Option<i64>, FieldError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let ms = positive_ms(&text);
        ms.map(Some).map_err(|error| bad(name, format!("expected a duration such as {EXAMPLES}: {error}")))
    }

    /// Values of some type, parted by commas or given often: any of them will do. None means all.
    ///
    /// # Errors
    /// One of them does not read as one; `expected` says what it should be.
    pub fn words<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, FieldError> {
        let of = |word: &String| {
            let shown: String = word.chars().take(64).collect();
            read(word).ok_or_else(|| bad(name, format!("expected {expected}, found `{shown}`")))
        };
        self.list(name).iter().map(of).collect()
    }

    /// The start of a stretch of time, inclusive: see [`moment`].
    ///
    /// # Errors
    /// It is no time.
    pub fn start_time(&mut self, name: &str) -> Result<Option<ReadingTime>, FieldError> {
        self.read(name, MOMENT, |text| moment(text, false))
    }

    /// The end of a stretch of time, exclusive; a date means to the end of that day.
    ///
    /// # Errors
    /// It is no time.
    pub fn end_time(&mut self, name: &str) -> Result<Option<ReadingTime>, FieldError> {
        self.read(name, MOMENT, |text| moment(text, true))
    }

    /// True for newest first: `order=desc`, or `asc`.
    ///
    /// # Errors
    /// It is neither.
    pub fn newest_first(&mut self, otherwise: bool) -> Result<bool, FieldError> {
        let order = self.read("order", "asc or desc", |word| match word {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        })?;
        Ok(order.unwrap_or(otherwise))
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Names the first parameter that nobody took.
    pub fn finish(self) -> Result<(), FieldError> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(FieldError {
                detail: "there is no such parameter".into(),
                field: name,
                code: "unknown_parameter",
            }),
        }
    }

    fn take(&mut self, name: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.left.retain(|(key, value)| {
            let is_meant = means(name, key);
            if is_meant {
                taken.push(value.clone());
            }
            !is_meant
        });
        taken
    }
}

impl FromRequest for Params {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::parse(request.query_string())))
    }
}

/// The forms in which a moment is given.
pub const MOMENT: &str = "an RFC 3339 time, a date or epoch seconds";

/// A parameter has a value that does not fit.
pub fn bad(name: &str, detail: impl Into<String>) -> FieldError {
    FieldError { field: name.to_owned(), detail: detail.into(), code: "bad_parameter" }
}

/// A moment as people write it in an address: RFC 3339 (where an unescaped `+` became a space), epoch
/// numbers, each to the nanosecond, a time without a zone (taken as UTC), or a date: its beginning, or with `end` the next day's.
#[must_use]
pub fn moment(text: &str, end: bool) -> Option<ReadingTime> {
    let at = |time: NaiveDateTime| Some(Timestamp::from_millis(time.and_utc().timestamp_millis()).into());
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let day = if end { date.checked_add_days(Days::new(1))? } else { date };
        return at(day.and_time(NaiveTime::MIN));
    }
    let written = WrittenTime::parse(text).or_else(|| WrittenTime::parse(&text.replace(' ', "+")));
    written.map(|written| written.at) // one without a zone is read as UTC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_by_name_and_names_the_rest() {
        let mut params = Params::parse("q=a%20b&kind=telemetry,twin&kind=rule&tag.room=hall&limit=&x=1");
        assert_eq!(params.text("q").unwrap().as_deref(), Some("a b"));
        assert_eq!(params.list("kind"), ["telemetry", "twin", "rule"]);
        assert_eq!(params.prefixed("tag."), [("room".to_owned(), "hall".to_owned())]);
        assert_eq!(params.value::<u64>("limit", "a number").unwrap(), None);
        let error = params.finish().unwrap_err();
        assert_eq!((&*error.field, error.code), ("x", "unknown_parameter"));
    }

    #[test]
    fn says_what_is_wrong() {
        let mut params = Params::parse("limit=many&q=1&q=2&order=up");
        let error = params.value::<u64>("limit", "a whole number").unwrap_err();
        assert_eq!(error.to_string(), "`limit`: expected a whole number, found `many`");
        assert_eq!(params.text("q").unwrap_err().detail, "is given twice");
        assert_eq!(params.newest_first(true).unwrap_err().field, "order");
        let mut params = Params::parse("a=1h+30m&b=5&c=0s");
        assert_eq!(params.duration("a"), Ok(Some(5_400_000)));
        assert!(
            params
                .duration("b")
                .unwrap_err()
                .detail
                .ends_with("`5` has no unit: write 5s for seconds, 5m for minutes")
        );
        assert_eq!(params.duration("c").unwrap_err().field, "c");
        assert_eq!(params.duration("d"), Ok(None));
    }

    #[test]
    fn older_words_are_read_as_the_word() {
        let mut params = Params::parse("start_date=2026-01-01&end_date=2026-01-01&device=a&rule=x&rule_id=y");
        let (from, to) = (params.start_time("from").unwrap(), params.end_time("to").unwrap());
        assert_eq!(to.unwrap().floor().millis() - from.unwrap().floor().millis(), 86_400_000);
        assert!(params.has("device_id"));
        assert_eq!(params.text("device_id").unwrap().as_deref(), Some("a"));
        let error = params.text("rule_id").unwrap_err();
        assert_eq!((&*error.field, &*error.detail), ("rule_id", "is given twice"));
        assert!(params.finish().is_ok());
    }

    #[test]
    fn reads_moments() {
        let check = |text: &str, end: bool, expected: Option<&str>| {
            assert_eq!(moment(text, end).map(|at| at.to_string()).as_deref(), expected, "{text}");
        };
        check("2026-01-01T12:00:00Z", false, Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01T13:00:00 01:00", false, Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01T12:00:00", false, Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01", false, Some("2026-01-01T00:00:00.000Z"));
        check("2026-01-01", true, Some("2026-01-02T00:00:00.000Z"));
        check("2026-01-01T13:00:00 0100", false, Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01 12:00:00", false, Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01T12:00:00.123456789Z", false, Some("2026-01-01T12:00:00.123456789Z"));
        check("1767268800123456", true, Some("2026-01-01T12:00:00.123456Z"));
        check("1767268800", false, Some("2026-01-01T12:00:00.000Z"));
        check("soon", false, None);
    }
}
