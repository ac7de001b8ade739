//! The web pages that may send requests. Browsers let a page of any site send simple requests, load our routes as
//! images and open WebSockets. Such a request is told by its `Origin`, or, without one, by `Sec-Fetch-Site`.
//!
//! Browsers send `Sec-Fetch-Site` to https and to loopback only. To `http://192.168.1.5:8080` an image of a foreign page
//! is asked for with neither header, as a program would ask. It cannot read the answer, so most reads are harmless;
//! the one that has an effect, a device's poll for commands, is refused to browsers then ([`check_poll`]).

use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};

use super::{client, sign_in};
use crate::config::WebOrigin;
use crate::http::problem::ApiError;
use crate::single_sign_on;

/// The origins that are let in besides our own.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<String>,
    /// The origin of the public address.
    public: Option<String>,
}

/// The parts of a request that name the page that sent it.
#[derive(Clone, Copy, Debug, Default)]
struct RequestSource<'a> {
    /// It is GET or HEAD.
    reads: bool,
    path: &'a str,
    /// The host that the page sent it to.
    host: &'a str,
    origin: Option<&'a str>,
    site: Option<&'a str>,
    mode: Option<&'a str>,
    dest: Option<&'a str>,
}

impl AllowedOrigins {
    /// These origins, and that of `public_url`. `*` allows every origin except `null`, which sandboxed frames and
    /// files have: that must be listed itself.
    #[must_use]
    pub fn new(origins: &[WebOrigin], public_url: Option<&str>) -> Self {
        let public = public_url.and_then(|url| url::Url::parse(url).ok());
        Self {
            any: origins.iter().any(|WebOrigin(origin)| origin == "*"),
            listed: origins.iter().map(|WebOrigin(origin)| origin.clone()).collect(),
            public: public.map(|url| url.origin().ascii_serialization()),
        }
    }

    /// Was `origin` listed, by its name or by `*`?
    #[must_use]
    pub fn listed(&self, origin: &str) -> bool {
        self.by_wildcard(origin) || self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// Was `origin` let in by `*`? Then the answer names `*`, and not the origin.
    pub(super) fn by_wildcard(&self, origin: &str) -> bool {
        self.any && origin != "null"
    }

    /// May a page of `origin` send requests to us, under the name `host`?
    #[must_use]
    pub fn lets_in(&self, origin: &str, host: &str) -> bool {
        let ours =
            || origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        self.listed(origin) || self.is_public(origin) || ours()
    }

    /// Is `origin` our own by scheme, host and port, or listed by its name? Sessions count for requests of these alone.
    pub(crate) fn is_own(&self, origin: &str, is_https: bool, host: &str) -> bool {
        let scheme = if is_https { "https://" } else { "http://" };
        let ours = origin.strip_prefix(scheme).is_some_and(|authority| authority.eq_ignore_ascii_case(host));
        ours || self.is_public(origin)
            || self.listed.iter().any(|listed| listed != "*" && listed.eq_ignore_ascii_case(origin))
    }

    fn is_public(&self, origin: &str) -> bool {
        self.public.as_ref().is_some_and(|public| public.eq_ignore_ascii_case(origin))
    }

    /// Refuses requests of pages of other sites, unless their origin is allowed.
    ///
    /// # Errors
    /// There are several `Origin` headers, the origin is not allowed, or another site's page sent it without one.
    pub(super) fn check(&self, request: &ServiceRequest) -> Result<(), ApiError> {
        let headers = request.headers();
        if headers.get_all(header::ORIGIN).nth(1).is_some() {
            return Err(ApiError::RepeatedHeader("Origin"));
        }
        let origin = headers.get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        let client = client::of(request.request());
        let source = RequestSource {
            reads: matches!(*request.method(), Method::GET | Method::HEAD),
            path: request.path(),
            host: &client.host,
            origin: origin.as_deref(),
            site: text(headers, "Sec-Fetch-Site"),
            mode: text(headers, "Sec-Fetch-Mode"),
            dest: text(headers, "Sec-Fetch-Dest"),
        };
        self.judge(source)
    }

    fn judge(&self, source: RequestSource<'_>) -> Result<(), ApiError> {
        if let Some(origin) = source.origin {
            let lets_in = self.lets_in(origin, source.host);
            return if lets_in { Ok(()) } else { Err(ApiError::Origin(origin.to_owned())) };
        }
        match source.site {
            // Other clients than browsers send no such header; `none` is an address that a person typed.
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) if source.opens_a_page() => Ok(()),
            // Another port of this machine is another origin on the `same-site`.
            Some(_) => Err(ApiError::CrossSite),
        }
    }
}

impl RequestSource<'_> {
    /// A top-level navigation to one of our pages.
    fn opens_a_page(self) -> bool {
        // Browsers without a session are sent on from one to another; the provider of single sign-on sends people back.
        let pages = [
            "/",
            "/docs",
            sign_in::LOGIN,
            sign_in::SET_UP,
            sign_in::JOIN,
            sign_in::SHARE,
            single_sign_on::CALLBACK,
        ];
        let is_page = pages.contains(&self.path) || self.path.starts_with("/docs/");
        is_page && self.reads && self.mode == Some("navigate") && self.dest == Some("document")
    }
}

/// Refuses a device's poll from a browser that names no page. One with an `Origin` came this far because that is let
/// in.
///
/// # Errors
/// A browser sends it, and it names neither its origin nor our own site.
pub fn check_poll(request: &HttpRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let agent = headers.get(header::USER_AGENT).map_or(&[][..], |agent| agent.as_bytes());
    let is_told = headers.contains_key(header::ORIGIN)
        || matches!(text(headers, "Sec-Fetch-Site"), Some("same-origin" | "none"));
    // So every browser calls itself, and a page cannot have it say anything else.
    if agent.starts_with(b"Mozilla/") && !is_told { Err(ApiError::UntoldPage) } else { Ok(()) }
}

/// The text of a header.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // A value that is not text comes from no browser; `?` is refused.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(named: &[&str]) -> AllowedOrigins {
        let named: Vec<_> = named.iter().map(|origin| origin.parse().unwrap()).collect();
        AllowedOrigins::new(&named, Some("https://hub.example.com/x"))
    }

    fn check(allowed: &[&str], origin: &str, expected: bool) {
        let lets_in = origins(allowed).lets_in(origin, "hub.local:8080");
        assert_eq!(lets_in, expected, "{allowed:?} {origin}");
    }

    #[test]
    fn lets_our_own_pages_in_and_those_that_were_named() {
        check(&[], "http://hub.local:8080", true);
        check(&[], "https://HUB.local:8080", true);
        check(&[], "http://hub.local", false);
        check(&[], "http://evil.example", false);
        check(&[], "http://hub.local:8080.evil.example", false);
        check(&[], "http://evil.example@hub.local:8080", false);
        check(&[], "null", false);
        check(&[], "", false);
        check(&[], "https://hub.example.com", true);
        check(&[], "http://hub.example.com", false);
        check(&["http://localhost:5173/"], "http://localhost:5173", true);
        check(&["http://localhost:5173"], "http://localhost:5174", false);
        check(&["*"], "http://evil.example", true);
    }

    #[test]
    fn a_page_without_an_origin_is_let_in_by_its_own_word_alone() {
        check(&["*"], "null", false);
        check(&["null"], "null", true);
        check(&["*", "null"], "null", true);
        check(&["null"], "http://evil.example", false);
    }

    #[test]
    fn origins_are_listed_by_name_and_by_wildcard() {
        let listed = |allowed: &[&str], origin| {
            let origins = origins(allowed);
            (origins.listed(origin), origins.by_wildcard(origin))
        };
        assert_eq!(listed(&[], "https://hub.example.com"), (false, false), "its own page needs no word");
        assert_eq!(
            listed(&["*", "null"], "http://evil.example"),
            (true, true),
            "one does not switch off the other"
        );
        assert_eq!(listed(&["*", "null"], "null"), (true, false));
        assert_eq!(listed(&["*"], "null"), (false, false));
        assert_eq!(listed(&["http://a"], "http://a"), (true, false));
        assert_eq!(listed(&["http://a"], "http://b"), (false, false));
    }

    #[test]
    fn a_browser_polls_for_no_device_unless_it_tells_for_which_page() {
        let polls = |headers: &[(&'static str, &'static str)]| {
            let mut request = actix_web::test::TestRequest::get();
            for header in headers {
                request = request.insert_header(*header);
            }
            check_poll(&request.to_http_request()).map_err(|error| error.code())
        };
        let browser =
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        assert_eq!(polls(&[browser]), Err("page_not_told"));
        assert_eq!(polls(&[browser, ("Sec-Fetch-Site", "cross-site")]), Err("page_not_told"));
        assert_eq!(polls(&[browser, ("Sec-Fetch-Site", "same-origin")]), Ok(()));
        assert_eq!(polls(&[browser, ("Sec-Fetch-Site", "none")]), Ok(()));
        assert_eq!(polls(&[browser, ("Origin", "http://friend.example")]), Ok(()));
        assert_eq!(polls(&[("User-Agent", "ESP32HTTPClient")]), Ok(()));
        assert_eq!(polls(&[]), Ok(()));
    }

    const IMAGE: RequestSource<'static> = RequestSource {
        reads: true,
        path: "/api/devices/pump-1/commands",
        host: "hub.local:8080",
        origin: None,
        site: Some("cross-site"),
        mode: Some("no-cors"),
        dest: Some("image"),
    };
    const LINK: RequestSource<'static> =
        RequestSource { path: "/", mode: Some("navigate"), dest: Some("document"), ..IMAGE };

    fn judge(source: RequestSource<'_>, expected: Result<(), &str>) {
        let judged = origins(&["http://friend.example"]).judge(source);
        assert_eq!(judged.as_ref().copied().map_err(ApiError::code), expected, "{source:?}");
    }

    #[test]
    fn what_another_site_loads_is_refused() {
        judge(IMAGE, Err("cross_site"));
        judge(RequestSource { site: Some("same-site"), ..IMAGE }, Err("cross_site"));
        judge(RequestSource { site: Some("Cross-Site"), ..IMAGE }, Err("cross_site"));
        judge(RequestSource { site: Some("?"), ..IMAGE }, Err("cross_site"));
        judge(RequestSource { path: "/", ..IMAGE }, Err("cross_site"));
        judge(RequestSource { site: Some("same-origin"), ..IMAGE }, Ok(()));
        judge(RequestSource { site: Some("none"), ..LINK }, Ok(()));
        judge(RequestSource { site: None, mode: None, dest: None, ..IMAGE }, Ok(()));
    }

    #[test]
    fn what_names_its_origin_is_judged_by_that() {
        for reads in [true, false] {
            let from = |origin| RequestSource { origin: Some(origin), mode: Some("cors"), reads, ..IMAGE };
            judge(from("http://friend.example"), Ok(()));
            judge(from("http://hub.local:8080"), Ok(()));
            judge(from("http://evil.example"), Err("origin_not_allowed"));
            judge(from("null"), Err("origin_not_allowed"));
            judge(RequestSource { site: None, ..from("http://evil.example") }, Err("origin_not_allowed"));
        }
    }

    #[test]
    fn a_link_to_a_page_is_followed_and_one_to_anything_else_is_not() {
        for path in
            ["/", "/docs", "/docs/", "/docs/index.html", "/login", "/setup", "/api/auth/oidc/callback"]
        {
            judge(RequestSource { path, ..LINK }, Ok(()));
            judge(RequestSource { path, site: Some("same-site"), ..LINK }, Ok(()));
            judge(RequestSource { path, dest: Some("iframe"), ..LINK }, Err("cross_site"));
            judge(RequestSource { path, mode: Some("no-cors"), ..LINK }, Err("cross_site"));
            judge(RequestSource { path, reads: false, ..LINK }, Err("cross_site"));
        }
        for path in ["/api/devices", "/api/devices/p/commands", "/health", "/docsx", "/dispositivos", "//"] {
            judge(RequestSource { path, ..LINK }, Err("cross_site"));
        }
    }
}
