//! Errors of requests, and their RFC 9457 problem documents. The only place that names status codes of errors.

mod accounts;
mod answer;
mod devices;
pub(crate) mod fastapi;
mod refusals;
mod rule;
pub(crate) mod sign_on;
pub(crate) mod socketio;
mod texts;

use actix_web::http::StatusCode;
use serde::Serialize;
use twinhub_access::Role;
use twinhub_actors::HubError;
use twinhub_actors::access::{CertificateRefusal, Permission};
use twinhub_actors::accounts::directory::Unidentified;
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_actors::messages::automation::RuleRefusal;
use twinhub_actors::messages::firmware::ImageRefusal;
use twinhub_actors::messages::groups::GroupRefusal;
use twinhub_actors::messages::jobs::JobRefusal;
use twinhub_actors::messages::templates::TemplateRefusal;
use twinhub_domain::fleet::TreeRefusal;
use twinhub_domain::json::JsonError;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{BadDeviceId, CommandId, CommandStatus, Refusal};
use twinhub_rules::device_template::BadDeviceTemplate;
use twinhub_store::StoreError;
use utoipa::ToSchema;

pub use self::answer::no_route;
pub use self::devices::DeviceProblem;
pub use self::rule::RuleError;

use self::accounts::of_account_refusal;
use self::refusals::{
    of_group_refusal, of_hub, of_image_refusal, of_rule_refusal, of_store, of_template_refusal,
};
use self::texts::{of_readings, of_rule, of_template, whose};
use crate::http::extract::fields::FieldError;
use crate::import_export::FileFault;

/// The reason why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Readings that make no sense, while others may.
    #[error("{}", of_readings(.0))]
    Readings(Vec<PayloadError>),
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No part of a file can be read.
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("`id`: {0}")]
    DeviceId(#[from] BadDeviceId),
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    #[error("there is nothing at {0}")]
    NoRoute(String),
    #[error("{path} takes {allow}, not {method}")]
    Method { path: String, method: String, allow: String },
    #[error("a body has {limit} bytes at most")]
    TooLarge { limit: usize },
    #[error("the body did not arrive whole: {0}")]
    Body(String),
    #[error("the body did not arrive in time")]
    SlowBody,
    /// `If-Match` is malformed.
    #[error("If-Match must be `*` or a list of entity tags such as \"3\", \"4\": {0}")]
    IfMatch(String),
    #[error("serial number `{serial}` belongs to {}", whose(device.as_deref()))]
    SerialTaken {
        serial: String,
        /// None: a device that the caller does not reach.
        device: Option<String>,
    },
    #[error(transparent)]
    Device(#[from] DeviceProblem),
    /// A caller waited for the end of a command, and it has not come; the command goes on.
    #[error("command `{id}` is still {}: it goes on", status.as_str())]
    CommandNotFinished { id: CommandId, status: CommandStatus },
    /// A rule was not taken, found or changed.
    #[error("{}", of_rule(.0))]
    Rule(#[from] RuleRefusal),
    /// A job would not be steered so.
    #[error(transparent)]
    Job(#[from] JobRefusal),
    /// The number of devices to remove is not the one that was confirmed.
    #[error("{matched} is the number of devices that would be removed, not {confirmed}: none was")]
    NotConfirmed { confirmed: u64, matched: u64 },
    /// A template was not taken, found or removed.
    #[error("{}", of_template(.0))]
    Template(#[from] TemplateRefusal),
    /// A group was not made, found, changed or removed.
    #[error(transparent)]
    Group(#[from] GroupRefusal),
    /// A client waited for the end of a run, and it has not come; the run goes on.
    #[error("the run of rule `{rule}`, requested as event {event}, has not ended: it goes on")]
    RunNotFinished { rule: String, event: String },
    /// A firmware image was not taken or removed.
    #[error(transparent)]
    Image(ImageRefusal),
    /// A file has fewer bytes than were asked for.
    #[error("the file has {size} bytes: there is no such range in it")]
    NoSuchRange { size: u64 },
    /// A file is none of those that were asked for.
    #[error("If-Match does not name this file, whose tag is {0}")]
    OtherFile(String),
    /// A roll-out cannot be tried again.
    #[error("firmware image `{0}` was removed: devices could not get it any more")]
    ImageRemoved(String),
    /// As many of these run as may.
    #[error("{0}")]
    Busy(&'static str),
    #[error("{0}")]
    Fault(&'static str),
    /// A handler asks for a grant on a route that is in no table.
    #[error("this route has no permission")]
    NoGrant,
    #[error("requests from {0} are not allowed here")]
    Origin(String),
    /// A page of another site loads this, and the request carries no `Origin`.
    #[error("requests from pages of other sites are refused unless the option `cors` lists their origin")]
    CrossSite,
    /// A browser polls for a device without naming its page.
    #[error(
        "a browser takes no commands for a device unless it tells for which page, which over plain http it does at \
         localhost only: a device is to send another `User-Agent` than a browser's"
    )]
    UntoldPage,
    /// The `Host` header, or the request's target, names another host.
    #[error("`{0}` is not a host name of this hub: use its address, or add the name to the option `hosts`")]
    Host(String),
    /// A header that a request may carry once came several times.
    #[error("there are several `{0}` headers")]
    RepeatedHeader(&'static str),
    /// A trusted proxy handed on what the client says of itself.
    #[error(
        "`Forwarded` and `X-Forwarded-For` do not agree, or a quote is not closed: the proxy is to remove the one that it \
         does not write"
    )]
    Forwarded,
    /// The caller sent more requests than are taken in the time.
    #[error("too many requests: {} a second are taken of a caller, try again in {retry_after} s", .per_second)]
    TooManyRequests { per_second: u32, retry_after: u64 },
    /// The body has this `Content-Encoding`.
    #[error("the content encoding `{0}` is not supported: send the body uncompressed")]
    ContentEncoding(String),
    /// The body is of this `Content-Type`, where JSON is read.
    #[error("the body is `{0}`, and JSON is read here: send it with `Content-Type: application/json`")]
    ContentType(String),
    /// The limit of connections, or of live sessions, is reached.
    #[error("too many connections, try again later")]
    TooManyConnections,
    #[error("this is a WebSocket: {0}")]
    Handshake(String),
    #[error("the system gives no random numbers: {0}")]
    NoChance(#[from] getrandom::Error),
    /// A user, a session or a key was not made, found or changed.
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    /// The credential counts no more, or never did.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// The certificate of the connection lets nobody in.
    #[error("{0}: sign in otherwise, or see \"Devices with certificates\" in the README")]
    Certificate(CertificateRefusal),
    #[error("this hub is not set up yet: open the link that it printed")]
    NotSetUp,
    #[error("sign in first: this takes the permission `{0}`")]
    SignIn(Permission),
    #[error("this takes the permission `{permission}`, which the role {role} has not")]
    Lacks { permission: Permission, role: Role },
    /// The caller's rights ended while the request waited.
    #[error("the rights of this request ended while it waited")]
    RightsLost,
    #[error("a token does not belong in an address: send it in the header `Authorization: Bearer …`")]
    TokenInQuery,
    #[error("`Authorization` must be `Bearer`, a space and a token")]
    Authorization,
    #[error("there are several cookies `{0}`: another server on this host has set one of them")]
    RepeatedCookie(String),
    #[error(
        "with a session's cookie this is taken from pages of this hub alone: it names no `Origin` of ours"
    )]
    Csrf,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:twinhub:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:twinhub:problem:device_not_found")]
    kind: String,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// The fault of this request.
    detail: String,
    /// A stable word for programs.
    #[schema(example = "device_not_found")]
    code: &'static str,
    /// The short message; the same as `detail`, but where the clients of another system know it in other words.
    error: String,
    /// The field or parameter that was wrong, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// The command that it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    command_id: Option<String>,
    /// The present status of that command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::api::schema::words::CommandStatus>, nullable = false)]
    command_status: Option<&'static str>,
    /// The id of the request, as in the log and in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Everything that is wrong with a rule, where it was one, with a file, or with readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<RuleError>>,
}

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl ApiError {
    /// There is no device with this id.
    pub fn no_device(id: impl ToString) -> Self {
        Self::NotFound { what: "device", name: id.to_string() }
    }

    /// There is no command with this id.
    pub fn no_command(id: impl ToString) -> Self {
        Self::NotFound { what: "command", name: id.to_string() }
    }

    /// There is no alarm with this id.
    pub fn no_alarm(id: impl ToString) -> Self {
        Self::NotFound { what: "alarm", name: id.to_string() }
    }

    /// There is no job with this id.
    pub fn no_job(id: impl ToString) -> Self {
        Self::NotFound { what: "job", name: id.to_string() }
    }

    /// There is no group with this id.
    #[must_use]
    pub fn no_group(id: &str) -> Self {
        Self::Group(GroupRefusal::Unknown(id.into()))
    }

    /// There is no rule of this name.
    pub fn no_rule(id: impl ToString) -> Self {
        Self::NotFound { what: "rule", name: id.to_string() }
    }

    /// There is no user of this name.
    #[must_use]
    pub fn no_user() -> Self {
        Self::Account(AccountRefusal::UnknownUser)
    }

    /// There is no template of this id.
    #[must_use]
    pub fn no_template(id: &str) -> Self {
        Self::Template(TemplateRefusal::Unknown(id.into()))
    }

    /// The problem document for this.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (status, code) = self.status_and_code();
        let (command_id, command_status) = self.command().unzip();
        let detail = self.to_string();
        Problem {
            kind: format!("urn:twinhub:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            error: self.short().map_or_else(|| detail.clone(), Into::into),
            detail,
            field: self.field(),
            command_id: command_id.map(|id| id.to_string()),
            command_status: command_status.flatten().map(CommandStatus::as_str),
            request_id: crate::http::current_id(),
            errors: match self {
                Self::File(file) => Some(vec![RuleError::of_file(file)]),
                Self::Readings(errors) => Some(errors.iter().map(RuleError::of_reading).collect()),
                _ => self.problems().map(|problems| problems.iter().map(RuleError::of).collect()),
            },
        }
    }

    /// The words for it that clients of another system know; most errors have none.
    fn short(&self) -> Option<&'static str> {
        matches!(self, Self::Hub(HubError::Refused(Refusal::Registered(_))))
            .then_some("Device ID already exists")
    }

    /// The stable word for this, which WebSocket's error frames carry too.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Hub(error) => of_hub(error),
            Self::Store(error) => of_store(error),
            Self::Payload(PayloadError::Json(JsonError::Syntax(_))) => (StatusCode::BAD_REQUEST, "not_json"),
            Self::Payload(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.reason()),
            Self::Readings(errors) => {
                (StatusCode::UNPROCESSABLE_ENTITY, errors.first().map_or("no_readings", PayloadError::reason))
            }
            Self::Field(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.code),
            Self::File(file) => (StatusCode::UNPROCESSABLE_ENTITY, file.fault.code),
            Self::DeviceId(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_device_id"),
            Self::NotFound { what: "device", .. } => (StatusCode::NOT_FOUND, "device_not_found"),
            Self::NotFound { what: "command", .. } => (StatusCode::NOT_FOUND, "command_not_found"),
            Self::NotFound { what: "alarm", .. } => (StatusCode::NOT_FOUND, "alarm_not_found"),
            Self::NotFound { what: "rule", .. } => (StatusCode::NOT_FOUND, "rule_not_found"),
            Self::NotFound { what: "job", .. } | Self::Job(JobRefusal::Unknown(_)) => {
                (StatusCode::NOT_FOUND, "job_not_found")
            }
            Self::Job(JobRefusal::Status { .. }) => (StatusCode::CONFLICT, "job_status"),
            Self::Job(JobRefusal::NothingFailed) => (StatusCode::CONFLICT, "nothing_failed"),
            Self::NotConfirmed { .. } => (StatusCode::CONFLICT, "count_differs"),
            Self::NotFound { what: "run", .. } => (StatusCode::NOT_FOUND, "run_not_found"),
            Self::NotFound { what: "firmware image", .. } => (StatusCode::NOT_FOUND, "firmware_not_found"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::Image(refusal) => of_image_refusal(refusal),
            Self::NoSuchRange { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range"),
            Self::OtherFile(_) => (StatusCode::PRECONDITION_FAILED, "other_file"),
            Self::ImageRemoved(_) => (StatusCode::CONFLICT, "firmware_removed"),
            Self::Rule(refusal) => of_rule_refusal(refusal),
            Self::Template(refusal) => of_template_refusal(refusal),
            Self::Group(refusal) => of_group_refusal(refusal),
            Self::RunNotFinished { .. } => (StatusCode::GATEWAY_TIMEOUT, "run_not_finished"),
            Self::Fault(_) => (StatusCode::INTERNAL_SERVER_ERROR, "fault"),
            Self::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            Self::CommandNotFinished { .. } => (StatusCode::GATEWAY_TIMEOUT, "command_not_finished"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "no_such_route"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad_body"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "slow_body"),
            Self::IfMatch(_) => (StatusCode::BAD_REQUEST, "bad_if_match"),
            Self::SerialTaken { .. } => (StatusCode::CONFLICT, "serial_number_taken"),
            Self::Device(problem) => problem.status_and_code(),
            Self::NoGrant => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Origin(_) => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            Self::UntoldPage => (StatusCode::FORBIDDEN, "page_not_told"),
            Self::Host(_) => (StatusCode::MISDIRECTED_REQUEST, "host_not_allowed"),
            Self::RepeatedHeader(_) => (StatusCode::BAD_REQUEST, "repeated_header"),
            Self::Forwarded => (StatusCode::BAD_REQUEST, "bad_forwarded"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::ContentEncoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding"),
            Self::ContentType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooManyConnections => (StatusCode::SERVICE_UNAVAILABLE, "too_many_connections"),
            Self::Handshake(_) => (StatusCode::BAD_REQUEST, "not_a_websocket"),
            Self::NoChance(_) => (StatusCode::INTERNAL_SERVER_ERROR, "no_random_numbers"),
            Self::Account(refusal) => of_account_refusal(refusal),
            Self::Unidentified(_) => (StatusCode::UNAUTHORIZED, "bad_credential"),
            Self::Certificate(CertificateRefusal::Unavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::Certificate(_) => (StatusCode::UNAUTHORIZED, "certificate_refused"),
            Self::NotSetUp => (StatusCode::SERVICE_UNAVAILABLE, "not_set_up"),
            Self::SignIn(_) => (StatusCode::UNAUTHORIZED, "sign_in_needed"),
            Self::Lacks { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            Self::RightsLost => (StatusCode::UNAUTHORIZED, "rights_lost"),
            Self::TokenInQuery => (StatusCode::BAD_REQUEST, "token_in_query"),
            Self::Authorization => (StatusCode::BAD_REQUEST, "bad_authorization"),
            Self::RepeatedCookie(_) => (StatusCode::BAD_REQUEST, "repeated_cookie"),
            Self::Csrf => (StatusCode::FORBIDDEN, "csrf"),
        }
    }

    /// The command that it is about, and how far that has come.
    fn command(&self) -> Option<(CommandId, Option<CommandStatus>)> {
        match self {
            Self::CommandNotFinished { id, status }
            | Self::Hub(HubError::Refused(Refusal::CommandFinal { id, status })) => {
                Some((*id, Some(*status)))
            }
            Self::Hub(HubError::Refused(Refusal::KeyTaken { id, .. } | Refusal::NoCommand(id))) => {
                Some((*id, None))
            }
            _ => None,
        }
    }

    /// The faults of the rule, where it is about one.
    fn problems(&self) -> Option<&[twinhub_rules::FileProblem]> {
        match self {
            Self::Rule(RuleRefusal::Problems(problems))
            | Self::Template(TemplateRefusal::Bad(BadDeviceTemplate::Rules(problems))) => Some(problems),
            _ => None,
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Rule(RuleRefusal::Problems(problems))
            | Self::Template(TemplateRefusal::Bad(BadDeviceTemplate::Rules(problems))) => {
                problems.first().map(|first| first.pointer.clone())
            }
            Self::Template(TemplateRefusal::Bad(BadDeviceTemplate::Field { field, .. })) => {
                Some(field.clone())
            }
            Self::Hub(HubError::Refused(Refusal::Invalid { field, .. })) => Some(field.clone()),
            Self::Device(problem) => Some(problem.field().into()),
            Self::Field(error) => Some(error.field.clone()),
            Self::Group(GroupRefusal::Misplaced(TreeRefusal::NoParent(_) | TreeRefusal::Circle(_))) => {
                Some("parent_group".into())
            }
            Self::Group(GroupRefusal::Misplaced(TreeRefusal::NoName)) => Some("name".into()),
            Self::File(file) => file.fault.field.clone(),
            Self::DeviceId(_) => Some("id".into()),
            Self::Account(refusal) => accounts::field(refusal).map(Into::into),
            Self::Payload(error) => error.field().map(Into::into),
            Self::Readings(errors) => errors.first().and_then(PayloadError::field).map(Into::into),
            Self::Hub(HubError::Refused(Refusal::TooLarge { section, .. })) => Some(section.clone()),
            Self::Hub(HubError::Refused(Refusal::NoZone(_))) => Some("timestamp".into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
