//! Single sign-on: to the identity provider, and back. Whatever goes wrong on the way is told by a page, for a person
//! waits for it.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use twinhub_actors::messages::accounts::{SignInExternally, SignedIn};

use super::{cookie, peer};
use crate::http::extract::params::Params;
use crate::http::problem::sign_on::SignOnProblem;
use crate::http::problem::{ApiError, Problem};
use crate::http::{Access, client};
use crate::single_sign_on::{Begun, ProviderAnswer, SingleSignOn, own_page};
use crate::state::WebState;

/// The life of the state in the browser, in seconds: as long as the sign-in can take.
const STATE_LIFE: u32 = 600;
/// Where the state is sent to, and nowhere else.
const STATE_PATH: &str = "/api/auth/oidc";

/// Leads a browser to the identity provider to sign in, and from there back to the page `next`.
#[utoipa::path(
    get,
    path = "/api/auth/oidc/login",
    tag = "sign-in",
    params(("next" = Option<String>, Query, description = "The page of the hub to go to then, `/` by default")),
    responses(
        (status = 303, description = "To the provider", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 404, description = "There is no single sign-on here", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
        (status = 503, description = "A page: the provider does not answer", body = String, content_type = "text/html"),
    )
)]
pub async fn begin_sign_on(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let next = params.text("next")?.unwrap_or_default();
    params.finish()?;
    let state = &access.state;
    let sign_on = sign_on(state, &request)?;
    let redirect = redirect(state, sign_on, &request);
    let is_secure = redirect.starts_with("https://");
    let address = client::of(&request).address;
    let begun = sign_on.begin(redirect, own_page(&next).to_owned(), address, access.now()).await;
    let Begun { url, state: kept } = match begun {
        Ok(begun) => begun,
        Err(error) => return Ok(SignOnProblem::from(error).page()),
    };
    let mut response = HttpResponse::SeeOther();
    set_state(&mut response, state, &kept, STATE_LIFE, is_secure);
    Ok(response.insert_header((header::LOCATION, url)).finish())
}

/// Takes a person in whom the identity provider sends back.
#[utoipa::path(
    get,
    path = "/api/auth/oidc/callback",
    tag = "sign-in",
    params(
        ("state" = Option<String>, Query, description = "The sign-in that this belongs to"),
        ("code" = Option<String>, Query, description = "The provider's code for the person"),
        ("iss" = Option<String>, Query, description = "The provider"),
        ("error" = Option<String>, Query, description = "The provider's word for a refusal"),
    ),
    responses(
        (status = 200, description = "A page that leads on", body = String, content_type = "text/html",
            headers(("Set-Cookie" = String, description = "The session"))),
        (status = 403, description = "A page: why the person is not let in", body = String, content_type = "text/html"),
        (status = 404, description = "There is no single sign-on here", body = Problem),
        (status = 503, description = "A page: the provider does not answer", body = String, content_type = "text/html"),
    )
)]
pub async fn finish_sign_on(request: HttpRequest, access: Access) -> Result<HttpResponse, ApiError> {
    let state = &access.state;
    let sign_on = sign_on(state, &request)?;
    let finished = finish(&request, &access, sign_on).await;
    let is_secure = redirect(state, sign_on, &request).starts_with("https://");
    let mut response = match finished {
        Ok((signed_in, next)) => {
            let mut response = HttpResponse::Ok();
            cookie::give_by(&mut response, state, &signed_in.token, is_secure);
            lead_on(response, &next)
        }
        Err(problem) => problem.page(),
    };
    let taken = state_cookie(state, "", 0, is_secure);
    if let Ok(taken) = header::HeaderValue::from_str(&taken) {
        response.headers_mut().append(header::SET_COOKIE, taken);
    }
    Ok(response)
}

async fn finish(
    request: &HttpRequest,
    access: &Access,
    sign_on: &SingleSignOn,
) -> Result<(SignedIn, String), SignOnProblem> {
    // Providers add parameters of their own.
    let mut params = Params::parse(request.query_string());
    let mut text = |name| params.text(name).ok().flatten();
    let answer = ProviderAnswer {
        state: text("state"),
        code: text("code"),
        issuer: text("iss"),
        error: text("error"),
    };
    let kept = kept_state(request, &access.state);
    let recognized = sign_on.finish(kept.as_deref(), answer, access.now()).await?;
    let (profile, peer) = (recognized.profile, peer(request));
    let rights = recognized.rights.map(|rights| (rights.role, rights.scope));
    let message = |reply| SignInExternally { profile, rights, peer, reply };
    Ok((access.change(message).await??, recognized.next))
}

fn sign_on<'a>(state: &'a WebState, request: &HttpRequest) -> Result<&'a SingleSignOn, ApiError> {
    state.sign_on.as_deref().ok_or_else(|| ApiError::NoRoute(request.path().to_owned()))
}

fn redirect(state: &WebState, sign_on: &SingleSignOn, request: &HttpRequest) -> String {
    // The guard has let the host in, so it is one of this hub's.
    let client = client::of(request);
    let scheme = if client.is_https { "https" } else { "http" };
    sign_on.redirect_url(state.public_url.as_deref(), &format!("{scheme}://{}", client.host))
}

/// A page that goes on by itself. A redirect would not do: the browser came from another site, and sends the new session
/// along from a page of ours alone.
fn lead_on(mut response: HttpResponseBuilder, next: &str) -> HttpResponse {
    let next = escaped(next);
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Signed in · twinhub</title>\
         <meta http-equiv=\"refresh\" content=\"0;url={next}\"></head>\n\
         <body><p>Signed in. <a href=\"{next}\">Go on</a></p></body>\n</html>\n"
    );
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(body)
}

/// A text in HTML, within quotes or not.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The link of the sign-in page, which has been asked for with `query`; empty without single sign-on.
pub(crate) fn link(state: &WebState, query: &str) -> String {
    let Some(sign_on) = &state.sign_on else { return String::new() };
    let next = Params::parse(query).text("next").ok().flatten().unwrap_or_default();
    let next = utf8_percent_encode(own_page(&next), NON_ALPHANUMERIC);
    let name = escaped(sign_on.name());
    format!(r#"<a class="main" href="/api/auth/oidc/login?next={next}">Sign in with {name}</a>"#)
}

fn state_name(state: &WebState) -> String {
    format!("{}_sso", state.cookie)
}

/// `Lax`, for the provider's site sends the browser back with it.
fn state_cookie(state: &WebState, value: &str, life: u32, is_secure: bool) -> String {
    let (name, secure) = (state_name(state), if is_secure { "; Secure" } else { "" });
    format!("{name}={value}; Path={STATE_PATH}; HttpOnly; SameSite=Lax; Max-Age={life}{secure}")
}

fn set_state(response: &mut HttpResponseBuilder, state: &WebState, value: &str, life: u32, is_secure: bool) {
    response.insert_header((header::SET_COOKIE, state_cookie(state, value, life, is_secure)));
}

/// The state in the browser's cookie; none where there are several, of which somebody else has planted one.
fn kept_state(request: &HttpRequest, state: &WebState) -> Option<String> {
    let name = state_name(state);
    let lines = request.headers().get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    match (own.next(), own.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        assert_eq!(escaped(r#"a"b'c<d>&e"#), "a&quot;b&#39;c&lt;d&gt;&amp;e");
        assert_eq!(escaped("/?q=ä"), "/?q=ä");
    }
}
