//! Requests that come with a session's cookie. A browser adds it to whatever any page has it send, so what has an effect
//! must show that a page of ours sent it. Requests with a bearer token show that by the token.

use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header;

use super::AllowedOrigins;
use super::client::Client;
use super::origin::text;
use crate::http::problem::ApiError;

/// The parts of a request that count.
#[derive(Clone, Copy, Debug)]
struct ByCookie<'a> {
    /// It is GET or HEAD.
    reads: bool,
    /// It opens a WebSocket.
    upgrades: bool,
    origin: Option<&'a str>,
    site: Option<&'a str>,
    /// The client calls itself something that no browser does.
    is_program: bool,
}

/// Refuses a request with a cookie that no page of ours may have sent.
///
/// # Errors
/// It has an effect, and neither its `Origin` nor `Sec-Fetch-Site` says that we sent it.
pub(super) fn check(
    request: &RequestHead,
    client: &Client,
    origins: &AllowedOrigins,
) -> Result<(), ApiError> {
    let headers = request.headers();
    let asked = ByCookie {
        reads: matches!(request.method, Method::GET | Method::HEAD),
        upgrades: headers.contains_key(header::UPGRADE),
        origin: text(headers, "Origin"),
        site: text(headers, "Sec-Fetch-Site"),
        is_program: text(headers, "User-Agent").is_some_and(is_program),
    };
    if is_ours(asked, |origin| origins.is_own(origin, client.is_https, &client.host)) {
        Ok(())
    } else {
        Err(ApiError::Csrf)
    }
}

fn is_ours(asked: ByCookie<'_>, is_own: impl FnOnce(&str) -> bool) -> bool {
    let ByCookie { reads, upgrades, origin, site, is_program } = asked;
    match (origin, site) {
        _ if reads && !upgrades => true,
        // The browser's own word, also behind a proxy that ends TLS, where the origin is another than we know.
        (_, Some("same-origin")) => true,
        (Some(origin), _) => is_own(origin),
        // A program that keeps cookies (curl, Python's requests) sends neither, and no page can have one send anything.
        (None, None) => is_program,
        (None, site) => site == Some("none"),
    }
}

/// Every browser begins the name that it gives itself in one of these ways.
fn is_program(agent: &str) -> bool {
    const BROWSERS: [&str; 2] = ["mozilla/", "opera/"];
    let agent = agent.trim().to_ascii_lowercase();
    !agent.is_empty() && !BROWSERS.iter().any(|browser| agent.starts_with(browser))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_by_their_names() {
        for program in ["curl/8.5.0", "python-requests/2.34.2", "node", "Wget/1.21"] {
            assert!(is_program(program), "{program}");
        }
        for browser in [
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
            "Opera/9.80",
            "mozilla/4.0",
            "",
            " ",
        ] {
            assert!(!is_program(browser), "{browser}");
        }
    }

    #[test]
    fn what_has_an_effect_must_come_from_our_page() {
        let origins =
            AllowedOrigins::new(&["http://friend.example".parse().unwrap()], Some("https://hub.example/x"));
        let wildcard = AllowedOrigins::new(&["*".parse().unwrap()], None);
        let table = "
            reads upgrades origin                     site         ours
            yes   no       -                          -            yes
            yes   no       -                          cross-site   yes
            yes   no       http://evil.example        cross-site   yes
            no    no       -                          -            no
            no    no       -                          cross-site   no
            no    no       -                          same-site    no
            no    no       -                          ?            no
            no    no       -                          same-origin  yes
            no    no       -                          none         yes
            no    no       http://hub.local:8080      -            yes
            no    no       http://HUB.local:8080      same-origin  yes
            no    no       https://hub.local:8080     -            no
            no    no       http://hub.local           -            no
            no    no       http://hub.local:9090      same-site    no
            no    no       null                       -            no
            no    no       https://hub.local:8080     same-origin  yes
            no    no       http://evil.example        none         no
            no    no       http://friend.example      cross-site   yes
            no    no       https://hub.example        -            yes
            no    no       http://hub.example         -            no
            yes   yes      -                          -            no
            yes   yes      http://hub.local:8080      -            yes
            yes   yes      http://localhost:3000      same-site    no
            yes   yes      -                          same-origin  yes";
        for line in table.trim().lines().skip(1) {
            let cells: Vec<&str> = line.split_whitespace().collect();
            let text = |at: usize| (cells[at] != "-").then_some(cells[at]);
            let asked = ByCookie {
                reads: cells[0] == "yes",
                upgrades: cells[1] == "yes",
                origin: text(2),
                site: text(3),
                is_program: false,
            };
            let found = is_ours(asked, |origin| origins.is_own(origin, false, "hub.local:8080"));
            assert_eq!(found, cells[4] == "yes", "{line}");
            let by_program = is_ours(ByCookie { is_program: true, ..asked }, |origin| {
                origins.is_own(origin, false, "hub.local:8080")
            });
            let says_nothing = asked.origin.is_none() && asked.site.is_none();
            assert_eq!(by_program, found || says_nothing, "{line}: a program");
        }
        assert!(!wildcard.is_own("http://evil.example", false, "hub.local"), "`*` names nobody");
    }
}
