//! The identity provider: its document and keys, the codes that it gives, and the tokens that it signs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, IdToken, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, RedirectUrl, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
use twinhub_access::user::ExternalSubject;
use twinhub_actors::messages::accounts::ExternalProfile;
use twinhub_domain::Timestamp;

use super::SignOnError;
use super::claims::{OtherClaims, PersonClaims};
use super::http_client::{client, send};
use super::pending::PendingSignIn;
use crate::config::OidcConfig;

/// The time for which the provider's document and keys are believed.
const FRESH: Duration = Duration::from_secs(3_600);
/// For a key that is not among them they are fetched anew: the provider's own token says that there is another.
const NEVER: Duration = Duration::ZERO;
/// The time for which a provider that did not answer is not asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(3);
/// The difference of the clocks here and there that a token's end is forgiven.
const LEEWAY_MS: i64 = 60 * 1_000;

/// Algorithms of signatures that the provider alone can make. With the others, `none` and those of a shared secret, its
/// token would say nothing more than that somebody knows the secret, or nothing at all.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type SignedToken =
    IdToken<OtherClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type ProviderClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider.
pub struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    http: reqwest::Client,
    known: Mutex<KnownProvider>,
}

/// The last answer for the provider's document.
#[derive(Default)]
struct KnownProvider {
    document: Option<(Box<CoreProviderMetadata>, Instant)>,
    failure: Option<(String, Instant)>,
}

/// A person, and their groups there.
pub struct FoundPerson {
    pub profile: ExternalProfile,
    pub groups: Vec<String>,
}

impl Provider {
    /// The provider of the configuration. Nothing is asked of it yet.
    ///
    /// # Errors
    /// There can be no client for HTTP.
    pub fn new(config: &OidcConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            issuer: config.issuer.clone(),
            client_id: config.client_id.clone(),
            client_secret: config.secret().map(str::to_owned),
            http: client()?,
            known: Mutex::default(),
        })
    }

    /// The address of the provider's page for a sign-in.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn authorization(
        &self,
        redirect: &str,
        state: &CsrfToken,
        nonce: &Nonce,
        challenge: PkceCodeChallenge,
        scopes: &[String],
    ) -> Result<String, SignOnError> {
        let client = self.client(redirect, FRESH).await?;
        let (state, nonce) = (state.clone(), nonce.clone());
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let asked = client.authorize_url(flow, move || state, move || nonce);
        // `openid` is in it already.
        let scopes = scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let (url, ..) = asked.add_scopes(scopes).set_pkce_challenge(challenge).url();
        Ok(url.into())
    }

    /// The person whom the provider has given `code` for.
    ///
    /// # Errors
    /// The provider does not answer, or its answer does not count.
    pub async fn exchange(
        &self,
        code: String,
        pending: PendingSignIn,
        groups_claim: &str,
        now: Timestamp,
    ) -> Result<FoundPerson, SignOnError> {
        let PendingSignIn { nonce, verifier, redirect, .. } = pending;
        let mut client = self.client(&redirect, FRESH).await?;
        let http = |request: HttpRequest| send(self.http.clone(), request);
        let asked = client.exchange_code(AuthorizationCode::new(code)).map_err(untrusted)?;
        let answer = asked.set_pkce_verifier(verifier).request_async(&http).await.map_err(not_exchanged)?;
        let token = answer.id_token().ok_or_else(|| untrusted("there is no id token in it"))?;
        let mut claims = Self::claims(&client, token, &nonce, now);
        if claims.as_ref().is_err_and(is_of_another_key) {
            client = self.client(&redirect, NEVER).await?;
            claims = Self::claims(&client, token, &nonce, now);
        }
        let claims = claims.map_err(untrusted)?;
        if let Some(expected) = claims.access_token_hash() {
            let verifier = client.id_token_verifier();
            let algorithm = token.signing_alg().map_err(untrusted)?;
            let key = token.signing_key(&verifier).map_err(untrusted)?;
            let actual = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if actual.map_err(untrusted)? != *expected {
                return Err(untrusted("its two tokens do not belong together"));
            }
        }
        let mut described = PersonClaims::of_token(claims, groups_claim);
        if described.groups.is_none() || described.username.is_none() {
            let asked = self.user_info(&client, answer.access_token().clone(), claims.subject().clone());
            if let Some(answer) = asked.await? {
                described = described.or(PersonClaims::of_answer(&answer, groups_claim));
            }
        }
        let (issuer, subject) = (self.issuer.as_str().into(), claims.subject().as_str().into());
        let profile = described.profile(ExternalSubject { issuer, subject })?;
        Ok(FoundPerson { profile, groups: described.groups.unwrap_or_default() })
    }

    fn claims<'a>(
        client: &ProviderClient,
        token: &'a SignedToken,
        nonce: &Nonce,
        now: Timestamp,
    ) -> Result<&'a openidconnect::IdTokenClaims<OtherClaims, CoreGenderClaim>, ClaimsVerificationError> {
        let judged_at = now.plus_millis(-LEEWAY_MS).millis();
        let judged_at: DateTime<Utc> = DateTime::from_timestamp_millis(judged_at).unwrap_or_default();
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        token.claims(&verifier.set_time_fn(move || judged_at), nonce)
    }

    /// The provider's answer about a person, where it gives any.
    async fn user_info(
        &self,
        client: &ProviderClient,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<Option<UserInfoClaims<OtherClaims, CoreGenderClaim>>, SignOnError> {
        // Without an endpoint the token has all that there is.
        let Ok(asked) = client.user_info(token, Some(subject)) else { return Ok(None) };
        let http = |request: HttpRequest| send(self.http.clone(), request);
        asked.request_async(&http).await.map(Some).map_err(untrusted)
    }

    /// A client by the provider's document, which is fetched where it is older than `fresh`.
    async fn client(&self, redirect: &str, fresh: Duration) -> Result<ProviderClient, SignOnError> {
        let document = self.document(fresh).await?;
        let posts = document.token_endpoint_auth_methods_supported().is_some_and(|methods| {
            !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        let (id, secret) = (self.client_id.clone(), self.client_secret.clone().map(ClientSecret::new));
        let client = Client::from_provider_metadata(document, ClientId::new(id), secret);
        let client = if posts { client.set_auth_type(AuthType::RequestBody) } else { client };
        Ok(client.set_redirect_uri(RedirectUrl::new(redirect.to_owned()).map_err(untrusted)?))
    }

    /// The document. One is fetched at a time, for all who wait for it.
    async fn document(&self, fresh: Duration) -> Result<CoreProviderMetadata, SignOnError> {
        let mut known = self.known.lock().await;
        if let Some((document, at)) = &known.document
            && at.elapsed() < fresh
        {
            return Ok(document.as_ref().clone());
        }
        if let Some((failure, at)) = &known.failure
            && at.elapsed() < AFTER_FAILURE
        {
            return Err(SignOnError::Unreachable(failure.clone()));
        }
        let issuer = IssuerUrl::new(self.issuer.clone()).map_err(untrusted)?;
        let http = |request: HttpRequest| send(self.http.clone(), request);
        match CoreProviderMetadata::discover_async(issuer, &http).await {
            Ok(document) => {
                *known = KnownProvider {
                    document: Some((Box::new(document.clone()), Instant::now())),
                    failure: None,
                };
                Ok(document)
            }
            Err(error) => {
                let failure = chain(&error);
                known.failure = Some((failure.clone(), Instant::now()));
                Err(SignOnError::Unreachable(failure))
            }
        }
    }
}

/// Is it signed with a key that was not among the provider's when they were fetched?
fn is_of_another_key(error: &ClaimsVerificationError) -> bool {
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_)
        )
    )
}

fn untrusted(error: impl ToString) -> SignOnError {
    SignOnError::Untrusted(error.to_string())
}

/// The provider did not give a token for the code.
fn not_exchanged<F: std::error::Error + 'static, E: openidconnect::ErrorResponse + 'static>(
    error: openidconnect::RequestTokenError<F, E>,
) -> SignOnError {
    use openidconnect::RequestTokenError::{Other, Parse, Request, ServerResponse};
    match error {
        Request(error) => SignOnError::Unreachable(chain(&error)),
        ServerResponse(_) => SignOnError::Untrusted("it takes the code for none of its own".into()),
        Parse(..) | Other(_) => SignOnError::Untrusted("it has no token".into()),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
