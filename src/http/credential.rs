//! The credential of a request: a bearer token in `Authorization`, or a session in the cookie of this hub.

use actix_web::http::header::{self, HeaderMap};

use crate::http::problem::ApiError;

/// The credential that a request brings. It has no `Debug`: it is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RequestCredential<'a> {
    Nothing,
    /// The text behind `Bearer`. The cookie was not read.
    Bearer(&'a str),
    /// The text of the session's cookie.
    Session(&'a str),
}

/// Query parameters that other systems take tokens in. Addresses stand in logs, histories and `Referer` headers.
const PARAMETERS: [&str; 4] = ["access_token", "api_key", "auth_token", "token"];
/// Keys of this hub begin so.
const OWN: &str = "twh_";

impl<'a> RequestCredential<'a> {
    /// The credential in these headers. `cookie` is the name of this hub's cookie.
    ///
    /// # Errors
    /// There is more than one, it has no form of one, or `query` has one.
    pub fn of(headers: &'a HeaderMap, query: &str, cookie: &str) -> Result<Self, ApiError> {
        if has_token(query) {
            return Err(ApiError::TokenInQuery);
        }
        let mut authorizations = headers.get_all(header::AUTHORIZATION);
        let authorization = authorizations.next();
        if authorizations.next().is_some() {
            return Err(ApiError::RepeatedHeader("Authorization"));
        }
        match authorization.map(|value| value.to_str().map_err(|_| ApiError::Authorization)) {
            Some(text) => match bearer(text?)? {
                Some(token) => Ok(Self::Bearer(token)),
                // A proxy in front may have a sign-in of its own: `Basic` is its affair.
                None => of_cookie(headers, cookie),
            },
            None => of_cookie(headers, cookie),
        }
    }
}

/// The token of an `Authorization` header; none where it has another scheme.
fn bearer(text: &str) -> Result<Option<&str>, ApiError> {
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let token = token.trim_matches(' ');
    // A token that a person chose for a device may have spaces in it.
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_token { Ok(Some(token)) } else { Err(ApiError::Authorization) }
}

/// The session in the cookie `name`. Cookies are not kept apart by port: those of other names are other servers'.
fn of_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<RequestCredential<'a>, ApiError> {
    let lines = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    match (own.next(), own.next()) {
        // A second one was planted by another server of this host: nobody can say which is ours.
        (Some(_), Some(_)) => Err(ApiError::RepeatedCookie(name.to_owned())),
        (Some(value), None) if !value.is_empty() => Ok(RequestCredential::Session(value)),
        _ => Ok(RequestCredential::Nothing),
    }
}

fn has_token(query: &str) -> bool {
    !query.is_empty()
        && form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| PARAMETERS.contains(&&*name) || value.starts_with(OWN))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const COOKIE: &str = "twinhub_8080";

    fn check(
        given: &[(header::HeaderName, &str)],
        query: &str,
        expected: Result<RequestCredential<'_>, &str>,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let found = RequestCredential::of(&headers, query, COOKIE).map_err(|error| error.code());
        assert!(found == expected, "{given:?} {query}");
    }

    #[test]
    fn a_bearer_token_stands_in_one_header_of_its_scheme() {
        let authorization = |value| (header::AUTHORIZATION, value);
        let is = |value, expected| check(&[authorization(value)], "", expected);
        is("Bearer twh_pat_x", Ok(RequestCredential::Bearer("twh_pat_x")));
        is("bearer  twh_pat_x ", Ok(RequestCredential::Bearer("twh_pat_x")));
        is("Bearer  four words of mine ", Ok(RequestCredential::Bearer("four words of mine")));
        is("Basic YTpi", Ok(RequestCredential::Nothing));
        is("Bearertwh", Ok(RequestCredential::Nothing));
        for wrong in ["Bearer", "Bearer ", "BEARER   ", "Bearer a\tb", "Bearer ä"] {
            is(wrong, Err("bad_authorization"));
        }
        check(&[authorization("Bearer a"), authorization("Bearer a")], "", Err("repeated_header"));
        check(&[authorization("Basic a"), authorization("Bearer a")], "", Err("repeated_header"));
    }

    #[test]
    fn a_session_stands_in_the_cookie_of_this_port() {
        let cookie = |value| (header::COOKIE, value);
        let is = |value, expected| check(&[cookie(value)], "", expected);
        is("twinhub_8080=abc", Ok(RequestCredential::Session("abc")));
        is("a=b; twinhub_8080=abc;c=d", Ok(RequestCredential::Session("abc")));
        is("twinhub_8080=a=b", Ok(RequestCredential::Session("a=b")));
        for none in ["", "twinhub_8080", "twinhub_8080=", "twinhub_9090=abc", "xtwinhub_8080=abc", "; ;="] {
            is(none, Ok(RequestCredential::Nothing));
        }
        is("twinhub_8080=a; twinhub_8080=b", Err("repeated_cookie"));
        check(&[cookie("twinhub_8080=a"), cookie("twinhub_8080=a")], "", Err("repeated_cookie"));
    }

    #[test]
    fn who_brings_a_token_brings_no_session() {
        let both =
            |authorization| [(header::COOKIE, "twinhub_8080=abc"), (header::AUTHORIZATION, authorization)];
        check(&both("Bearer x"), "", Ok(RequestCredential::Bearer("x")));
        check(&both("Bearer"), "", Err("bad_authorization"));
        check(&both("Basic YTpi"), "", Ok(RequestCredential::Session("abc")));
    }

    #[test]
    fn a_token_in_an_address_is_refused() {
        for query in ["token=x", "a=b&access_token=", "key=twh_pat_x", "%74oken=x", "q=twh%5Fdev_x"] {
            check(&[], query, Err("token_in_query"));
        }
        for query in ["", "tokens=true", "q=token", "q=a+twh_pat"] {
            check(&[], query, Ok(RequestCredential::Nothing));
        }
    }

    fn headers(lines: &[(header::HeaderName, Vec<u8>)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            // What no header can have the server has refused before.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name.clone(), value);
            }
        }
        headers
    }

    /// Bytes that mean something to one of the parsers, and any others.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known =
            ["Bearer ", "bearer", "Basic ", "twinhub_8080", "=", ";", " ", "\t", "twh_pat_x", ",", "\""];
        prop_oneof![
            prop::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// There is one credential at most, it is a part of what came, and a token wins over a cookie.
        #[test]
        fn no_headers_break_the_parsers(
            authorizations in prop::collection::vec(value(), 0..3),
            cookies in prop::collection::vec(value(), 0..3),
        ) {
            let of = |name: header::HeaderName, values: &[Vec<u8>]| {
                values.iter().map(|value| (name.clone(), value.clone())).collect::<Vec<_>>()
            };
            let lines =
                [of(header::AUTHORIZATION, &authorizations), of(header::COOKIE, &cookies)].concat();
            let headers = headers(&lines);
            let has = |name: header::HeaderName, text: &str| {
                headers.get_all(name).any(|value| String::from_utf8_lossy(value.as_bytes()).contains(text))
            };
            match RequestCredential::of(&headers, "", COOKIE) {
                Ok(RequestCredential::Bearer(token)) => {
                    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                    prop_assert!(!token.is_empty() && token.trim() == token && token.bytes().all(fits));
                    prop_assert!(has(header::AUTHORIZATION, token));
                    prop_assert_eq!(headers.get_all(header::AUTHORIZATION).count(), 1);
                }
                Ok(RequestCredential::Session(session)) => {
                    let pair = format!("{COOKIE}={session}");
                    prop_assert!(!session.is_empty() && has(header::COOKIE, &pair));
                    let is_bearer = headers.get_all(header::AUTHORIZATION).any(|value| {
                        value.as_bytes().to_ascii_lowercase().starts_with(b"bearer ")
                    });
                    prop_assert!(!is_bearer, "who brings a token brings no session");
                }
                Ok(RequestCredential::Nothing) | Err(_) => {}
            }
        }

        #[test]
        fn no_query_breaks_the_parser(query in "[a-z_=&%+0-9A-F]{0,30}(token=x)?") {
            let headers = HeaderMap::new();
            let found = RequestCredential::of(&headers, &query, COOKIE);
            prop_assert!(matches!(found, Ok(RequestCredential::Nothing) | Err(ApiError::TokenInQuery)));
        }
    }
}
