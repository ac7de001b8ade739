//! Refusals about users, sessions and keys, each with its status code and its stable word.

use actix_web::http::StatusCode;
use twinhub_access::bound_key::BadBoundKey;
use twinhub_access::key::BadKey;
use twinhub_access::limits::Limited;
use twinhub_access::user::BadUserChange;
use twinhub_actors::messages::accounts::AccountRefusal;

/// The wait after too many registrations, in seconds.
const AFTER_REGISTRATIONS: i64 = 3_600;
/// The wait while all places for checking passwords are taken, in seconds.
const WHILE_BUSY: i64 = 2;

pub(super) fn of_account_refusal(refusal: &AccountRefusal) -> (StatusCode, &'static str) {
    match refusal {
        AccountRefusal::Credentials => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
        AccountRefusal::CodeNeeded => (StatusCode::UNAUTHORIZED, "code_needed"),
        AccountRefusal::Code => (StatusCode::UNAUTHORIZED, "wrong_code"),
        AccountRefusal::Limited(Limited::Wait { .. }) => (StatusCode::TOO_MANY_REQUESTS, "too_many_tries"),
        AccountRefusal::Limited(Limited::Closed) => (StatusCode::TOO_MANY_REQUESTS, "account_closed"),
        AccountRefusal::TooManyRegistrations => (StatusCode::TOO_MANY_REQUESTS, "too_many_registrations"),
        AccountRefusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        AccountRefusal::SetUpToken => (StatusCode::FORBIDDEN, "bad_set_up_token"),
        AccountRefusal::FirstAdmin => (StatusCode::CONFLICT, "first_admin"),
        AccountRefusal::IsSetUp => (StatusCode::CONFLICT, "is_set_up"),
        AccountRefusal::RegistrationClosed => (StatusCode::FORBIDDEN, "registration_closed"),
        AccountRefusal::InvitationNeeded => (StatusCode::FORBIDDEN, "invitation_needed"),
        AccountRefusal::Invitation => (StatusCode::FORBIDDEN, "bad_invitation"),
        AccountRefusal::InvitationsOff => (StatusCode::CONFLICT, "invitations_off"),
        AccountRefusal::NameTaken(_) => (StatusCode::CONFLICT, "user_exists"),
        AccountRefusal::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
        AccountRefusal::Password(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_password"),
        // Not a 401: whoever asks is signed in, and stays so.
        AccountRefusal::OldPassword => (StatusCode::FORBIDDEN, "wrong_password"),
        AccountRefusal::NoRights => (StatusCode::FORBIDDEN, "no_rights"),
        AccountRefusal::Disabled => (StatusCode::FORBIDDEN, "account_disabled"),
        AccountRefusal::NoPassword => (StatusCode::CONFLICT, "no_password"),
        AccountRefusal::User(BadUserChange::LastAdmin) => (StatusCode::CONFLICT, "last_admin"),
        AccountRefusal::User(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_field"),
        AccountRefusal::Key(BadKey::TooMany) => (StatusCode::CONFLICT, "too_many_keys"),
        AccountRefusal::BoundKey(BadBoundKey::TooMany) => (StatusCode::CONFLICT, "too_many_keys"),
        AccountRefusal::Key(_) | AccountRefusal::BoundKey(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_key"),
        AccountRefusal::UnusableKey(_) => (StatusCode::FORBIDDEN, "key_unusable"),
        AccountRefusal::UnknownUser => (StatusCode::NOT_FOUND, "user_not_found"),
        AccountRefusal::UnknownSession => (StatusCode::NOT_FOUND, "session_not_found"),
        AccountRefusal::UnknownKey => (StatusCode::NOT_FOUND, "key_not_found"),
        AccountRefusal::NotSignedIn => (StatusCode::UNAUTHORIZED, "sign_in_needed"),
        AccountRefusal::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        AccountRefusal::Scoped => (StatusCode::FORBIDDEN, "out_of_scope"),
        AccountRefusal::HasTotp => (StatusCode::CONFLICT, "has_totp"),
        AccountRefusal::NoTotp => (StatusCode::CONFLICT, "no_totp"),
        AccountRefusal::NoTotpBegun => (StatusCode::CONFLICT, "no_totp_begun"),
        AccountRefusal::Store => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        AccountRefusal::System(_) => (StatusCode::INTERNAL_SERVER_ERROR, "system"),
    }
}

/// The seconds after which it may go otherwise.
pub(super) fn retry_after(refusal: &AccountRefusal) -> Option<i64> {
    match refusal {
        AccountRefusal::Limited(Limited::Wait { wait_ms }) => Some((wait_ms + 999) / 1_000),
        AccountRefusal::TooManyRegistrations => Some(AFTER_REGISTRATIONS),
        AccountRefusal::Busy => Some(WHILE_BUSY),
        _ => None,
    }
}

/// The field that is wrong.
pub(super) fn field(refusal: &AccountRefusal) -> Option<&'static str> {
    match refusal {
        AccountRefusal::Password(_) => Some("password"),
        AccountRefusal::NameTaken(_) => Some("name"),
        AccountRefusal::EmailTaken => Some("email"),
        AccountRefusal::Code | AccountRefusal::CodeNeeded => Some("code"),
        AccountRefusal::User(BadUserChange::DeviceRole) => Some("role"),
        _ => None,
    }
}
