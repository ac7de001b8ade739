//! The table of routes. A row has the permission that a route takes, its handler, and by the handler's description its
//! path and method. From the rows come the resources, the `Allow` header, the 405s and the OpenAPI document; there is
//! no other way to have a route.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, Route, guard};
use twinhub_access::Action;
use twinhub_actors::access::Permission;
use twinhub_actors::accounts::directory::Unidentified;
use twinhub_domain::{DeviceId, Json};
use utoipa::openapi::HttpMethod;

use super::admission::{CallerAdmission, Holder};
use super::extract::body::{STRANGER_LIMIT, promised};
use super::guard::is_monitoring;
use super::live_rights::LiveRights;
use super::rate_limit::{CountedCaller, Quota};
use super::signature::{self, SignedRequest};
use super::turns::TurnKind;
use super::{client, connections, requests, sign_in};
use crate::config::DialectName;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::state::WebState;

/// A row of the table.
pub struct Operation {
    /// The permission that it takes.
    pub permission: Permission,
    /// `/api/devices/{id}`
    pub path: String,
    pub method: Method,
    credentials: RouteCredentials,
    /// The dialects whose clients ask for it.
    pub dialects: Vec<DialectName>,
    route: Box<dyn FnOnce() -> Route>,
}

/// The conditions of a row on which requests are let in, and the words for those that are not.
#[derive(Clone)]
struct RouteConditions {
    permission: Permission,
    credentials: RouteCredentials,
    dialects: Arc<[DialectName]>,
    refuse: Refuse,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// GET, and HEAD: the same without the body.
    Get,
    /// GET alone: its answer goes on and on, so a HEAD would be dear or never end.
    Stream,
    Post,
    Put,
    Patch,
    Delete,
}

/// The credentials that a route takes beside keys and sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RouteCredentials {
    #[default]
    Usual,
    /// JSON web tokens.
    WebTokens,
    /// Signatures, which the handler checks once it has the body.
    Signatures,
}

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Usual,
    /// Its answer goes on and on.
    Stream,
    /// It takes signed requests without any other credential.
    Signed,
}

/// Where devices bring readings.
const READINGS: &str = "/api/devices/{id}/data";
/// Where they ask for their tokens.
const PROVISION: &str = "/api/provision";

/// The answer to a request that is refused before its handler, in the words of the dialect.
pub type Refuse = fn(ApiError) -> HttpResponse;

impl Method {
    /// The methods as `Allow` names them.
    #[must_use]
    pub fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Stream => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn guard(self) -> Box<dyn guard::Guard> {
        match self {
            Self::Get => Box::new(guard::Any(guard::Get()).or(guard::Head())),
            Self::Stream => Box::new(guard::Get()),
            Self::Post => Box::new(guard::Post()),
            Self::Put => Box::new(guard::Put()),
            Self::Patch => Box::new(guard::Patch()),
            Self::Delete => Box::new(guard::Delete()),
        }
    }
}

impl Operation {
    /// A route that the OpenAPI document describes, as `D`.
    pub fn described<D: utoipa::Path>(
        permission: Permission,
        kind: RouteKind,
        route: impl FnOnce() -> Route + 'static,
    ) -> Self {
        let method = match D::methods().first() {
            Some(HttpMethod::Post) => Method::Post,
            Some(HttpMethod::Put) => Method::Put,
            Some(HttpMethod::Patch) => Method::Patch,
            Some(HttpMethod::Delete) => Method::Delete,
            _ if kind == RouteKind::Stream => Method::Stream,
            _ => Method::Get,
        };
        let credentials =
            if kind == RouteKind::Signed { RouteCredentials::Signatures } else { RouteCredentials::Usual };
        Self { credentials, ..Self::plain(permission, method, &D::path(), route) }
    }

    /// A route that it does not.
    pub fn plain(
        permission: Permission,
        method: Method,
        path: &str,
        route: impl FnOnce() -> Route + 'static,
    ) -> Self {
        let (path, route) = (path.to_owned(), Box::new(route));
        Self { permission, path, method, credentials: RouteCredentials::Usual, dialects: Vec::new(), route }
    }

    /// The same where JSON web tokens are credentials too.
    #[must_use]
    pub fn taking_jwt(self) -> Self {
        Self { credentials: RouteCredentials::WebTokens, ..self }
    }

    /// The same as one of these dialects' too.
    #[must_use]
    pub fn of(mut self, dialects: &[DialectName]) -> Self {
        self.dialects.extend(dialects);
        self
    }

    fn into_route(self, refuse: Refuse) -> Route {
        let conditions = RouteConditions {
            permission: self.permission,
            credentials: self.credentials,
            dialects: self.dialects.into(),
            refuse,
        };
        let admit = move |request, next| admit(conditions.clone(), request, next);
        let guard = self.method.guard();
        (self.route)().guard(guard::fn_guard(move |context| guard.check(context))).wrap(from_fn(admit))
    }
}

/// Lets a request in whose caller has the permission, and hands the handler their grant.
async fn admit(
    conditions: RouteConditions,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let RouteConditions { permission, credentials, dialects, refuse } = conditions;
    let Some(state) = request.app_data::<Data<WebState>>().cloned() else {
        return Err(ApiError::NoGrant.into());
    };
    let found = match credentials {
        RouteCredentials::WebTokens => state.admit_by_jwt(request.request()).await,
        RouteCredentials::Usual | RouteCredentials::Signatures => state.admit(request.request()).await,
    };
    let found = match found {
        // The system looks at no token where it only reads: one that is stale takes nothing away from its bringer.
        Err(error @ (ApiError::Unidentified(_) | ApiError::Authorization))
            if permission == Permission::Read && credentials == RouteCredentials::WebTokens =>
        {
            let without = state.admit_without_jwt(request.request(), permission, &dialects).await;
            without.ok_or(error)
        }
        found => found,
    };
    let admission = match found {
        Ok(admission) => {
            let address = client::of(request.request()).address;
            state.by_dialect(admission, permission, &dialects, address)
        }
        Err(ApiError::Unidentified(Unidentified::Session)) if permission == Permission::Public => {
            state.admit_stranger()
        }
        // Pages put the token that they have on each request, also on the one that signs in anew.
        Err(ApiError::Unidentified(_) | ApiError::Authorization)
            if permission == Permission::Public && credentials == RouteCredentials::WebTokens =>
        {
            state.admit_stranger()
        }
        Err(error) => {
            note_refusal(&state, &request, None, permission, &error);
            return Ok(refused(request, error, refuse));
        }
    };
    requests::name(request.match_pattern(), admission.grant.caller());
    let is_anybody = admission.is_stranger() || matches!(admission.holder, Holder::Dialect(_));
    if is_anybody && !is_monitoring(request.path()) && is_reserved(request.request()) {
        let error = state.connections.refuse();
        return Ok(refused(request, error, refuse));
    }
    let quota = match take(&state, &request, &admission) {
        Ok(quota) => quota,
        Err((error, quota)) => {
            let mut answer = refused(request, error, refuse);
            quota.tell(answer.headers_mut());
            return Ok(answer);
        }
    };
    // A credential goes before a signature.
    let is_signed = credentials == RouteCredentials::Signatures
        && matches!(admission.holder, Holder::Anonymous)
        && signature::is_brought(request.headers());
    let mut answer = match is_signed {
        true => signed(refuse, &state, admission, request, next).await?,
        false => admitted(permission, refuse, state, admission, request, next).await?,
    };
    if let Some(quota) = quota {
        quota.tell(answer.headers_mut());
    }
    Ok(answer)
}

/// Did the request come by a connection that is kept for callers with a credential?
fn is_reserved(request: &HttpRequest) -> bool {
    connections::of(request).is_some_and(|connection| connection.is_reserved())
}

/// Counts a request against its caller's limit, where it has one.
fn take(
    state: &WebState,
    request: &ServiceRequest,
    admission: &CallerAdmission,
) -> Result<Option<Quota>, (ApiError, Quota)> {
    let per_second = state.policy().rate_limit;
    if per_second == 0 || state.socketio.has_session_of(request.path(), request.query_string()) {
        return Ok(None);
    }
    let Some(caller) = CountedCaller::of(admission, &client::of(request.request())) else { return Ok(None) };
    state.rates.take(caller, per_second).map(Some).map_err(|exhausted| {
        let error = ApiError::TooManyRequests { per_second, retry_after: exhausted.retry_after };
        (error, Quota::exhausted(per_second, exhausted))
    })
}

/// Has the request of a caller who is known answered, where they have the permission.
async fn admitted(
    permission: Permission,
    refuse: Refuse,
    state: Data<WebState>,
    admission: CallerAdmission,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let admission = match admission.demand(permission) {
        Err(_) if matches!(permission, Permission::Report | Permission::Provision) => {
            newcomer(&state, &request).await.unwrap_or(admission)
        }
        _ => admission,
    };
    if let Err(error) = admission.demand(permission) {
        note_refusal(&state, &request, Some(&admission), permission, &error);
        return Ok(refused(request, error, refuse));
    }
    let waits = permission != Permission::Public && Params::parse(request.query_string()).has("wait");
    let rights = waits.then(|| LiveRights::of(state, admission.holder.clone(), request.request()));
    request.extensions_mut().insert(admission);
    let Some(rights) = rights else { return Ok(next.call(request).await?.map_into_boxed_body()) };
    // A request that waits must not see what its caller may not see any more.
    let asked = request.request().clone();
    tokio::select! {
        biased;
        _ = rights.lost() => Ok(ServiceResponse::new(asked, ApiError::RightsLost.error_response())),
        answer = next.call(request) => Ok(answer?.map_into_boxed_body()),
    }
}

/// Has a signed request answered, whose handler looks at the signature. A body that is larger than those of strangers is
/// read in its sender's turn, so that nobody has the hub hold many of them.
async fn signed(
    refuse: Refuse,
    state: &WebState,
    admission: CallerAdmission,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let is_small = promised(request.request()).is_some_and(|length| length <= STRANGER_LIMIT as u64);
    let turn = match is_small {
        true => Ok(None),
        false => state.turns.wait_at(TurnKind::Signed, client::of(request.request()).address).await.map(Some),
    };
    match turn {
        Ok(turn) => request.extensions_mut().insert(SignedRequest { _turn: turn }),
        Err(error) => return Ok(refused(request, error, refuse)),
    };
    request.extensions_mut().insert(admission);
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// The admission of a device without a credential that comes through the pairing window: with readings, or to ask for its
/// token.
async fn newcomer(state: &WebState, request: &ServiceRequest) -> Option<CallerAdmission> {
    if request.method() != Method::Post.allow() {
        return None;
    }
    match request.match_pattern().as_deref() {
        Some(READINGS) => {
            let device = DeviceId::parse(request.match_info().get("id")?).ok()?;
            state.admit_newcomer(request.request(), &device).await
        }
        Some(PROVISION) => state.admit_to_provision(request.request()),
        _ => None,
    }
}

/// Writes down in the audit that a caller was not let in: one who lacks a permission, or whose credential counts no
/// more. Whoever brought none may be a person on the way to the sign-in page, and is not.
fn note_refusal(
    state: &WebState,
    request: &ServiceRequest,
    admission: Option<&CallerAdmission>,
    permission: Permission,
    error: &ApiError,
) {
    if !matches!(error, ApiError::Lacks { .. } | ApiError::Unidentified(_) | ApiError::Certificate(_)) {
        return;
    }
    let stranger = state.admit_stranger();
    let grant = match admission {
        Some(admission) => admission.grant.clone(),
        None => stranger.grant.at_address(client::of(request.request()).address),
    };
    let route = request.match_pattern().unwrap_or_default();
    let target = format!("{} {route}", request.method());
    let detail = [("code", Json::from(error.code())), ("permission", Json::from(permission.as_str()))];
    grant.audit_refusal(Action::AccessRefused, &target, detail.into_iter().collect());
}

/// The answer to a caller who is not let in. A person whose browser opens a page goes to where they can sign in.
fn refused(request: ServiceRequest, error: ApiError, refuse: Refuse) -> ServiceResponse<BoxBody> {
    let answer = match sign_in::way(request.request(), &error) {
        Some(way) => way,
        None => refuse(error),
    };
    request.into_response(answer)
}

/// Serves these routes. A path of plain words goes before one with a parameter in its place.
pub fn configure(config: &mut ServiceConfig, operations: Vec<Operation>, refuse: Refuse) {
    let mut resources: BTreeMap<Vec<(bool, String)>, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        let parts = operation.path.split('/').map(|part| (part.starts_with('{'), part.to_owned()));
        resources.entry(parts.collect()).or_default().push(operation);
    }
    for mut operations in resources.into_values() {
        operations.sort_by_key(|operation| operation.method);
        let allow: Vec<_> = operations.iter().map(|operation| operation.method.allow()).collect();
        let allow = allow.join(", ");
        let path = operations[0].path.clone(); // there is one at least
        let resource = operations.into_iter().fold(web::resource(path), |resource, operation| {
            resource.route(operation.into_route(refuse)) // each with its guard
        });
        config.service(resource.default_service(web::to(move |request: HttpRequest| {
            let (path, method) = (request.path().to_owned(), request.method().to_string());
            let refused = refuse(ApiError::Method { path, method, allow: allow.clone() });
            async move { refused }
        })));
    }
}

/// A table: rows `Permission: module::handler`, of handlers that `#[utoipa::path]` describes. It makes a function
/// `operations` and a `Description` for the OpenAPI document. `Permission(stream)` is for an answer that goes on and on,
/// `Permission(signed)` for a route that takes signed requests too.
macro_rules! routes {
    ($($permission:ident $(($kind:ident))?: $module:ident::$handler:ident),+ $(,)?) => {
        pastey::paste! {
            /// The routes of this table.
            pub(crate) fn operations() -> Vec<$crate::http::routes::Operation> {
                vec![$(
                    $crate::http::routes::Operation::described::<$module::[<__path_ $handler>]>(
                        twinhub_actors::access::Permission::$permission,
                        $crate::http::routes::kind!($($kind)?),
                        || actix_web::web::to($module::$handler),
                    )
                ),+]
            }

            #[derive(utoipa::OpenApi)]
            #[openapi(paths($($module::$handler),+))]
            pub(crate) struct Description;
        }
    };
}

/// The kind of a row.
macro_rules! kind {
    () => {
        $crate::http::routes::RouteKind::Usual
    };
    (stream) => {
        $crate::http::routes::RouteKind::Stream
    };
    (signed) => {
        $crate::http::routes::RouteKind::Signed
    };
}

pub(crate) use {kind, routes};

#[cfg(test)]
mod tests;
