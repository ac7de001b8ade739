//! Pages of lists: `page` from 1, `limit`, and the headers that tell of the others.

use actix_web::HttpResponseBuilder;
use actix_web::http::header;

use super::params::{Params, bad};
use crate::http::extract::fields::FieldError;

/// Items on a page when nothing is said, and at most (API.md).
const USUAL: u64 = 20;
/// Items on a page at most.
pub const MOST: u64 = 1_000;

/// The page that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// From 1.
    pub page: u64,
    pub limit: u64,
}

impl Paging {
    /// The page that the parameters name.
    ///
    /// # Errors
    /// `page` or `limit` is out of range.
    pub fn take(params: &mut Params) -> Result<Self, FieldError> {
        let page = params.value("page", "a page number from 1")?.unwrap_or(1);
        if page == 0 {
            return Err(bad("page", "pages are counted from 1"));
        }
        Ok(Self { page, limit: limit(params, USUAL, MOST)? })
    }

    /// The number of items before this page.
    #[must_use]
    pub fn offset(self) -> u64 {
        (self.page - 1).saturating_mul(self.limit)
    }

    /// Adds `X-Total-Count` and `Link` (RFC 8288: first, prev, next, last) for a list at `path`.
    pub fn set_headers(
        self,
        response: &mut HttpResponseBuilder,
        path: &str,
        params: &[(String, String)],
        total: u64,
    ) {
        response.insert_header(("X-Total-Count", total.to_string()));
        response.insert_header((header::LINK, self.links(path, params, total)));
    }

    fn links(self, path: &str, params: &[(String, String)], total: u64) -> String {
        let last = total.div_ceil(self.limit).max(1);
        let mut pages = vec![("first", 1)];
        if self.page > 1 {
            pages.push(("prev", (self.page - 1).min(last)));
        }
        if self.page < last {
            pages.push(("next", self.page + 1));
        }
        pages.push(("last", last));
        let limit = self.limit.to_string();
        let to = |(rel, page): (&str, u64)| {
            link(rel, path, params, &["page", "limit"], &[("page", &page.to_string()), ("limit", &limit)])
        };
        pages.into_iter().map(to).collect::<Vec<_>>().join(", ")
    }
}

/// A link (RFC 8288) to a list at `path` with the parameters `params`, but for those named `but`, and with those in
/// `with`.
#[must_use]
pub fn link(
    rel: &str,
    path: &str,
    params: &[(String, String)],
    but: &[&str],
    with: &[(&str, &str)],
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params.iter().filter(|(name, _)| !but.contains(&name.as_str())));
    query.extend_pairs(with);
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("<{path}{mark}{query}>; rel=\"{rel}\"")
}

/// Adds `X-Total-Count` and `Link` for a list at `path` that is always told whole.
pub fn tell_whole(response: &mut HttpResponseBuilder, path: &str, total: u64) {
    response.insert_header(("X-Total-Count", total.to_string()));
    response.insert_header((header::LINK, format!("<{path}>; rel=\"first\", <{path}>; rel=\"last\"")));
}

/// The parameter `limit`: `usual` when nothing is said, from 1 to `most`.
///
/// # Errors
/// It is out of range.
pub fn limit(params: &mut Params, usual: u64, most: u64) -> Result<u64, FieldError> {
    let limit = params.value("limit", "a whole number")?.unwrap_or(usual);
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(bad("limit", format!("from 1 to {most}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: u64, total: u64, expected: &str) {
        let params = [("type".to_owned(), "pump & fan".to_owned()), ("page".to_owned(), page.to_string())];
        let links = Paging { page, limit: 10 }.links("/api/devices", &params, total);
        let short = links.replace("/api/devices?type=pump+%26+fan&page=", "").replace("&limit=10", "");
        assert_eq!(short, expected, "page {page} of {total}");
    }

    #[test]
    fn links_lead_to_the_other_pages() {
        check(1, 25, r#"<1>; rel="first", <2>; rel="next", <3>; rel="last""#);
        check(2, 25, r#"<1>; rel="first", <1>; rel="prev", <3>; rel="next", <3>; rel="last""#);
        check(3, 25, r#"<1>; rel="first", <2>; rel="prev", <3>; rel="last""#);
        check(1, 0, r#"<1>; rel="first", <1>; rel="last""#);
        check(9, 25, r#"<1>; rel="first", <3>; rel="prev", <3>; rel="last""#);
    }

    #[test]
    fn limits_are_kept() {
        let take = |query: &str| Paging::take(&mut Params::parse(query));
        assert_eq!(take(""), Ok(Paging { page: 1, limit: 20 }));
        assert_eq!(take("page=3&limit=1000").map(Paging::offset), Ok(2_000));
        assert_eq!(take("limit=1001").unwrap_err().field, "limit");
        assert_eq!(take("limit=0").unwrap_err().field, "limit");
        assert_eq!(take("page=0").unwrap_err().field, "page");
        assert_eq!(take("page=-1").unwrap_err().field, "page");
    }
}
