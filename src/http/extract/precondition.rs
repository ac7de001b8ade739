//! Conditional requests: the tags of `If-Match` and `If-None-Match` (RFC 9110, 13.1).

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponseBuilder};
use twinhub_domain::{EntityTags, Versions};

use crate::http::problem::ApiError;

/// The tags of a condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConditionTags<'a> {
    /// `*`: whatever is there.
    Any,
    /// A list of entity tags, as many headers as it came in.
    List(Vec<ConditionTag<'a>>),
}

/// One entity tag: `"42"`, or `W/"42"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConditionTag<'a> {
    pub weak: bool,
    /// Between the quotes.
    pub text: &'a str,
}

impl ConditionTags<'_> {
    /// Is one of them this strong tag, where weak ones never match? So `If-Match` compares.
    pub(crate) fn match_strongly(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| !tag.weak && tag.text == text),
        }
    }

    /// Is one of them this tag, weak or not? So `If-None-Match` compares.
    pub(crate) fn match_weakly(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| tag.text == text),
        }
    }
}

/// The versions that `If-Match` names; none where there is no such header, or `*`. Weak tags and tags that are no
/// number are no version's: a list of these alone matches nothing.
///
/// # Errors
/// The header is no list of entity tags.
pub(crate) fn if_match(request: &HttpRequest) -> Result<Option<Versions>, ApiError> {
    Ok(match if_match_tags(request)? {
        None | Some(ConditionTags::Any) => None,
        Some(ConditionTags::List(tags)) => {
            let strong = tags.iter().filter(|tag| !tag.weak);
            Some(strong.filter_map(|tag| version(tag.text)).collect())
        }
    })
}

/// The tags of contents that `If-Match` names, as [`if_match`] does of versions.
///
/// # Errors
/// The header is no list of entity tags.
pub(crate) fn if_match_content(request: &HttpRequest) -> Result<Option<EntityTags>, ApiError> {
    Ok(match if_match_tags(request)? {
        None | Some(ConditionTags::Any) => None,
        Some(ConditionTags::List(tags)) => {
            let strong = tags.iter().filter(|tag| !tag.weak);
            Some(strong.map(|tag| tag.text.into()).collect())
        }
    })
}

/// The answer with this content's strong tag.
pub(crate) fn tagged(mut response: HttpResponseBuilder, tag: &str) -> HttpResponseBuilder {
    response.insert_header((header::ETAG, format!("\"{tag}\"")));
    response
}

/// The tags of `If-Match`.
///
/// # Errors
/// The header is no list of entity tags.
pub(crate) fn if_match_tags(request: &HttpRequest) -> Result<Option<ConditionTags<'_>>, ApiError> {
    tags(request, header::IF_MATCH).map_err(|text| ApiError::IfMatch(text.to_owned()))
}

/// The tags of `If-None-Match`. A header that cannot be read is ignored: the whole answer comes then, which is never
/// wrong.
pub(crate) fn if_none_match_tags(request: &HttpRequest) -> Option<ConditionTags<'_>> {
    tags(request, header::IF_NONE_MATCH).ok().flatten()
}

/// The version that a tag's text is: digits as the hub writes them.
fn version(text: &str) -> Option<u64> {
    text.parse().ok().filter(|version: &u64| version.to_string() == text)
}

fn tags(request: &HttpRequest, name: HeaderName) -> Result<Option<ConditionTags<'_>>, &str> {
    let mut list = Vec::new();
    let mut is_there = false;
    let values = || request.headers().get_all(&name);
    for value in values() {
        let text = value.to_str().map_err(|_| "it is not ASCII")?;
        if text.trim() == "*" && !is_there {
            return match values().count() {
                1 => Ok(Some(ConditionTags::Any)),
                _ => Err(text),
            };
        }
        is_there = true;
        read_list(text, &mut list).ok_or(text)?;
    }
    match is_there {
        false => Ok(None),
        // Somebody meant to name one: a variable that is empty must not make a guarded write an unguarded one.
        true if list.is_empty() => Err("it is empty"),
        true => Ok(Some(ConditionTags::List(list))),
    }
}

/// Reads tags parted by commas; empty items are passed over, as RFC 9110 has it. None where something else is there.
fn read_list<'a>(text: &'a str, list: &mut Vec<ConditionTag<'a>>) -> Option<()> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(());
        }
        let (tag, behind) = read_tag(rest)?;
        list.push(tag);
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// Reads one tag. Beyond the standard, the bare `42` that people type.
fn read_tag(text: &str) -> Option<(ConditionTag<'_>, &str)> {
    let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
    if let Some(inner) = quoted.strip_prefix('"') {
        let (text, behind) = inner.split_once('"')?;
        let is_etag = text.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte));
        return is_etag.then_some((ConditionTag { weak, text }, behind));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (ConditionTag { weak: false, text: &text[..end] }, &text[end..]))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(headers: &[&str]) -> Result<Option<Versions>, String> {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header((header::IF_MATCH, *header));
        }
        if_match(&request.to_http_request()).map_err(|error| error.to_string())
    }

    #[test]
    fn if_match_takes_a_list_of_tags() {
        let check = |text: &str, expected: &[u64]| {
            let expected: Versions = expected.iter().copied().collect();
            assert_eq!(read(&[text]), Ok(Some(expected)), "{text}");
        };
        check("\"42\"", &[42]);
        check("42", &[42]);
        check("\"999\", \"3\"", &[999, 3]);
        check("\"999\",\"3\"", &[999, 3]);
        check(" \t\"999\"\t ,, \"3\" , ", &[999, 3]);
        check("1, 2", &[1, 2]);
        check("W/\"3\", \"4\"", &[4]);
        check("W/\"3\"", &[]);
        check("\"abc\", \"a,b\", \"\"", &[]);
        check("\"007\", \"+7\"", &[]);
    }

    #[test]
    fn several_if_match_headers_are_one_list() {
        assert_eq!(read(&["\"1\"", "\"2\", \"3\""]), Ok(Some([1, 2, 3].into_iter().collect())));
        assert!(read(&["*", "\"2\""]).is_err());
        assert!(read(&["\"2\"", "*"]).is_err());
    }

    #[test]
    fn a_star_or_no_header_is_no_condition() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(None));
        assert_eq!(read(&[" * "]), Ok(None));
    }

    #[test]
    fn a_malformed_if_match_is_refused() {
        for text in [
            "",
            " ",
            ",",
            "abc",
            "\"3",
            "3\"",
            "\"3\" \"4\"",
            "\"3\";\"4\"",
            "*, \"3\"",
            "W/3",
            "w/\"3\"",
            "\"a b\"",
        ] {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn weak_tags_match_for_caches_alone() {
        let request =
            TestRequest::default().insert_header((header::IF_NONE_MATCH, "W/\"3\"")).to_http_request();
        let tags = if_none_match_tags(&request).unwrap();
        assert!(tags.match_weakly("3") && !tags.match_strongly("3"));
        let request =
            TestRequest::default().insert_header((header::IF_NONE_MATCH, "nonsense")).to_http_request();
        assert_eq!(if_none_match_tags(&request), None);
    }
}
