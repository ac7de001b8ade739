//! Single sign-on by OpenID Connect: the provider, and the sign-ins that are under way there. A person is sent to the
//! provider with a secret that stays here (PKCE), a state that their browser keeps in a cookie, and a nonce that must
//! come back in the signed token. So nobody can have a browser finish another person's sign-in, and no code or token
//! counts twice.

mod claims;
mod http_client;
mod pending;
mod provider;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge};
use twinhub_access::limits::counted_address;
use twinhub_actors::messages::accounts::ExternalProfile;
use twinhub_domain::Timestamp;

use self::pending::{PendingSignIn, PendingSignIns};
use self::provider::Provider;
use crate::config::{GroupRights, OidcConfig};

/// Single sign-on at one provider.
pub struct SingleSignOn {
    provider: Provider,
    pending: Mutex<PendingSignIns>,
    config: OidcConfig,
}

/// A sign-in that has begun.
pub struct Begun {
    /// The provider's page, for the browser.
    pub url: String,
    /// The text for the browser's cookie.
    pub state: String,
}

/// The provider's answer, as the browser brings it.
#[derive(Debug, Default)]
pub struct ProviderAnswer {
    pub state: Option<String>,
    pub code: Option<String>,
    /// The issuer that has answered (RFC 9207).
    pub issuer: Option<String>,
    /// The provider's word for a refusal.
    pub error: Option<String>,
}

/// A person whom the provider knows.
#[derive(Debug)]
pub struct Recognized {
    pub profile: ExternalProfile,
    /// The rights of their groups; none: no group of theirs has any.
    pub rights: Option<GroupRights>,
    /// The page of the hub that they came for.
    pub next: String,
}

/// The reason why a sign-in did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignOnError {
    #[error("the identity provider does not answer: {0}")]
    Unreachable(String),
    /// The state is unknown, was used, is too old, or another browser's.
    #[error("this sign-in has not begun in this browser, has ended, or took longer than ten minutes")]
    Stale,
    #[error("the identity provider has refused it: {0}")]
    Refused(String),
    #[error("the identity provider's answer cannot be trusted: {0}")]
    Untrusted(String),
}

impl fmt::Debug for SingleSignOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SingleSignOn({:?})", self.config)
    }
}

impl SingleSignOn {
    /// Single sign-on by the configuration. The provider is asked when somebody signs in, so that the hub starts without
    /// it.
    ///
    /// # Errors
    /// There can be no client for HTTP.
    pub fn new(config: OidcConfig) -> std::io::Result<Self> {
        let provider = Provider::new(&config).map_err(std::io::Error::other)?;
        Ok(Self { provider, pending: Mutex::default(), config })
    }

    /// The provider's name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The hub's own address that the provider answers to, for a browser that has found the hub at `asked`.
    #[must_use]
    pub fn redirect_url(&self, public_url: Option<&str>, asked: &str) -> String {
        format!("{}{CALLBACK}", public_url.unwrap_or(asked))
    }

    /// Begins a sign-in of somebody at `address`, who came for the page `next`.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn begin(
        &self,
        redirect: String,
        next: String,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Begun, SignOnError> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (state, nonce) = (CsrfToken::new_random_len(32), Nonce::new_random_len(32));
        let url =
            self.provider.authorization(&redirect, &state, &nonce, challenge, &self.config.scopes).await?;
        let address = counted_address(address);
        let pending = PendingSignIn { nonce, verifier, redirect, next, address, begun_at: now };
        self.pending().put(state.secret(), pending, now);
        Ok(Begun { url, state: state.secret().clone() })
    }

    /// Ends a sign-in: says who it is. `kept` is the state in the browser's cookie.
    ///
    /// # Errors
    /// It is not the browser that began it, it took too long, or the provider's answer does not count.
    pub async fn finish(
        &self,
        kept: Option<&str>,
        answer: ProviderAnswer,
        now: Timestamp,
    ) -> Result<Recognized, SignOnError> {
        let ProviderAnswer { state, code, issuer, error } = answer;
        let state = state.filter(|state| kept == Some(state)).ok_or(SignOnError::Stale)?;
        // Whatever comes of it, it cannot be ended once more.
        let pending = self.pending().take(&state, now).ok_or(SignOnError::Stale)?;
        if issuer.is_some_and(|issuer| issuer != self.config.issuer) {
            return Err(SignOnError::Untrusted("another provider has sent it".into()));
        }
        if let Some(error) = error {
            return Err(SignOnError::Refused(shown(&error)));
        }
        let code = code.ok_or_else(|| SignOnError::Untrusted("it has no code".into()))?;
        let next = pending.next.clone();
        let found = self.provider.exchange(code, pending, &self.config.groups_claim, now).await?;
        let rights = self.config.rights_of(&found.groups).cloned();
        Ok(Recognized { profile: found.profile, rights, next })
    }

    fn pending(&self) -> MutexGuard<'_, PendingSignIns> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The route that the provider answers to.
pub const CALLBACK: &str = "/api/auth/oidc/callback";

/// A page of this hub: where `next` names another place, the home page.
#[must_use]
pub fn own_page(next: &str) -> &str {
    const LONGEST: usize = 2_000;
    const HOME: &str = "/";
    let is_path = next.starts_with('/') && next.len() <= LONGEST;
    // Browsers take `\` for `/`, and drop tabs and line ends: `/\evil.example`, `/<tab>/evil.example`.
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    // `//evil.example` and `/.//evil.example` are other hosts, or become them.
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let is_normal = !path.contains("//") && !path.split('/').any(|part| part == "." || part == "..");
    if is_path && is_plain && is_normal { next } else { HOME }
}

/// A word of the provider's for a page or the log: short, and letters, digits and `_ -` alone.
fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| c.is_ascii_alphanumeric() || "_- ".contains(*c));
    plain.take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_pages_of_this_hub_are_led_to() {
        for own in ["/", "/docs/", "/?q=a&b=//c", "/devices/pump-1#x", "/a/b..c/"] {
            assert_eq!(own_page(own), own);
        }
        let long = format!("/{}", "a".repeat(2_000));
        for other in [
            "",
            "docs",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/a/../b",
            "https://evil.example/",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\r\nSet-Cookie: a=b",
            "/ä",
            &long,
        ] {
            assert_eq!(own_page(other), "/", "{other}");
        }
    }

    #[test]
    fn words_of_the_provider_are_plain_when_they_are_shown() {
        assert_eq!(shown("access_denied"), "access_denied");
        assert_eq!(shown("<script>alert(1)</script>\r\n"), "scriptalert1script");
        assert_eq!(shown(&"a".repeat(100)).len(), 64);
    }

    proptest! {
        /// A browser of the hub's page stays at the hub, whatever it is led to.
        #[test]
        fn no_next_leads_away(next in "[/\\\\.a:?#@ \\t\\r\\n]{0,12}(evil\\.example)?[/a]{0,3}") {
            let base = url::Url::parse("http://hub.example:8080/api/auth/oidc/callback").unwrap();
            let led = base.join(own_page(&next)).unwrap();
            prop_assert_eq!(led.origin(), base.origin(), "{}", next);
        }
    }
}
