//! Bodies about people and their secrets.

use std::fmt;

use serde::Deserialize;
use twinhub_access::password::Password;
use twinhub_access::{DisplayName, Email, Role, ScopeWish, UserName};
use twinhub_actors::messages::accounts::{AccountRefusal, NewKey, NewUser, SetUpToken, TypedCode, UserEdit};
use twinhub_domain::duration::GivenDuration;
use utoipa::ToSchema;

use super::view::ScopeForm;
use crate::api::schema::words;
use crate::http::extract::fields::FieldError;
use crate::http::extract::read::{duration, even_null};
use crate::http::problem::ApiError;

/// A text that no log shows.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct SecretText(Box<str>);

/// The first user, with the token of the link that the hub has shown at its start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSetUp {
    #[schema(value_type = String)]
    token: SecretText,
    #[schema(example = "ann")]
    name: Box<str>,
    #[schema(value_type = String, format = Password)]
    password: SecretText,
    #[schema(value_type = Option<String>, example = "ann@example.com")]
    email: Option<Box<str>>,
    display_name: Option<Box<str>>,
}

/// A person who registers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRegistration {
    /// 1 to 64 letters, digits and `. _ -`.
    #[schema(example = "ann")]
    name: Box<str>,
    #[schema(value_type = String, format = Password)]
    password: SecretText,
    #[schema(value_type = Option<String>, example = "ann@example.com")]
    email: Option<Box<str>>,
    display_name: Option<Box<str>>,
}

/// A user to be made by an admin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// 1 to 64 letters, digits and `. _ -`.
    #[schema(example = "bob")]
    name: Box<str>,
    #[schema(value_type = words::Role)]
    role: Box<str>,
    /// The devices for which the role counts; all, where it is left out.
    #[schema(value_type = Option<ScopeForm>)]
    scope: Option<ScopeWish>,
    #[schema(value_type = String, format = Password)]
    password: SecretText,
    #[schema(value_type = Option<String>, example = "bob@example.com")]
    email: Option<Box<str>>,
    display_name: Option<Box<str>>,
}

/// A change of a user; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Null takes it away.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<Box<str>>>,
    display_name: Option<Box<str>>,
    #[schema(value_type = Option<words::Role>)]
    role: Option<Box<str>>,
    /// The devices for which the role counts.
    #[schema(value_type = Option<ScopeForm>)]
    scope: Option<ScopeWish>,
    /// The number of devices that the user may own.
    quota: Option<u32>,
    /// A user who is disabled cannot sign in; sessions end, and keys count no more.
    disabled: Option<bool>,
}

/// A person who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLogin {
    /// The user name, or the e-mail address.
    #[schema(example = "ann")]
    pub name: Box<str>,
    #[schema(value_type = String, format = Password)]
    password: SecretText,
    /// The code of the second factor, or a recovery code, where the user has one.
    #[schema(value_type = Option<String>, example = "123456")]
    code: Option<SecretText>,
}

/// Another password for oneself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    old: SecretText,
    #[schema(value_type = String, format = Password)]
    new: SecretText,
}

/// Another password for another user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    #[schema(value_type = String, format = Password)]
    password: SecretText,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeyRequest {
    /// By which it is told from others.
    #[schema(example = "ci")]
    name: Box<str>,
    /// At most that of its owner.
    #[schema(value_type = words::Role)]
    role: Box<str>,
    /// The devices for which it counts, of those of its owner's scope; all of these, where it is left out.
    #[schema(value_type = Option<ScopeForm>)]
    scope: Option<ScopeWish>,
    /// The life of it: 90 days by default, 365 at most.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<String>, example = "30d")]
    expires_in: Option<GivenDuration>,
    /// True: a service account's, which belongs to no user; admins alone make those.
    pub service: Option<bool>,
}

/// The code by which a second factor is turned on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    #[schema(value_type = String, example = "123456")]
    code: SecretText,
}

/// The password by which it is turned off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpEnd {
    #[schema(value_type = String, format = Password)]
    password: SecretText,
}

impl NewSetUp {
    /// The token, and the user.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn read(self) -> Result<(SetUpToken, NewUser), ApiError> {
        let Self { token, name, password, email, display_name } = self;
        Ok((SetUpToken::given(&token.0), new_user(&name, &password, email, display_name)?))
    }
}

impl NewRegistration {
    /// The user.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn user(self) -> Result<NewUser, ApiError> {
        let Self { name, password, email, display_name } = self;
        new_user(&name, &password, email, display_name)
    }
}

impl NewAccount {
    /// The user, and the role.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn read(self) -> Result<(NewUser, Role), ApiError> {
        let Self { name, role, scope, password, email, display_name } = self;
        let role = read_role(&role)?;
        let scope = scope.unwrap_or_default();
        Ok((NewUser { scope, ..new_user(&name, &password, email, display_name)? }, role))
    }
}

impl AccountChange {
    /// The change.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn edit(self) -> Result<UserEdit, FieldError> {
        let Self { email, display_name, role, scope, quota, disabled } = self;
        Ok(UserEdit {
            email: email.map(read_email).transpose()?,
            display_name: display_name.map(|name| read_display_name(&name)).transpose()?,
            role: role.map(|role| read_role(&role)).transpose()?,
            scope,
            quota,
            disabled,
        })
    }
}

impl NewLogin {
    /// The password and the code.
    ///
    /// # Errors
    /// It is longer than any password.
    pub fn secrets(self) -> Result<(Password, Option<TypedCode>), ApiError> {
        let code = self.code.map(|SecretText(code)| TypedCode(code));
        Ok((self.password.password()?, code))
    }
}

impl PasswordChange {
    /// The old one and the new one.
    ///
    /// # Errors
    /// One is longer than any password.
    pub fn read(self) -> Result<(Password, Password), ApiError> {
        Ok((self.old.password()?, self.new.password()?))
    }
}

impl NewPassword {
    /// It.
    ///
    /// # Errors
    /// It is longer than any password.
    pub fn read(self) -> Result<Password, ApiError> {
        self.password.password()
    }
}

impl NewKeyRequest {
    /// The key.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn key(self) -> Result<NewKey, FieldError> {
        let name =
            DisplayName::parse(&self.name).map_err(|error| FieldError::bad("name", error.to_string()))?;
        let life_ms = self.expires_in.map(|life| life.ms());
        Ok(NewKey { name, role: read_role(&self.role)?, scope: self.scope.unwrap_or_default(), life_ms })
    }
}

impl TotpCode {
    /// It.
    #[must_use]
    pub fn read(self) -> TypedCode {
        TypedCode(self.code.0)
    }
}

impl TotpEnd {
    /// It.
    ///
    /// # Errors
    /// It is longer than any password.
    pub fn read(self) -> Result<Password, ApiError> {
        self.password.password()
    }
}

impl SecretText {
    fn password(&self) -> Result<Password, ApiError> {
        Ok(Password::typed(&self.0).map_err(AccountRefusal::from)?)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

fn new_user(
    name: &str,
    password: &SecretText,
    email: Option<Box<str>>,
    display_name: Option<Box<str>>,
) -> Result<NewUser, ApiError> {
    let name = UserName::parse(name).map_err(|error| FieldError::bad("name", error.to_string()))?;
    let display_name = read_display_name(&display_name.unwrap_or_default())?;
    let (email, password) = (read_email(email)?, password.password()?);
    Ok(NewUser { name, email, display_name, scope: ScopeWish::default(), password })
}

fn read_email(email: Option<Box<str>>) -> Result<Option<Email>, FieldError> {
    let email = email.filter(|email| !email.is_empty()).map(|email| Email::parse(&email));
    email.transpose().map_err(|error| FieldError::bad("email", error.to_string()))
}

fn read_display_name(name: &str) -> Result<DisplayName, FieldError> {
    DisplayName::parse(name).map_err(|error| FieldError::bad("display_name", error.to_string()))
}

fn read_role(role: &str) -> Result<Role, FieldError> {
    Role::parse(role).map_err(|error| FieldError::bad("role", error.to_string()))
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Json;

    use super::*;
    use crate::http::extract::read::read;

    fn of<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, FieldError> {
        read(text.parse::<Json>().unwrap())
    }

    #[test]
    fn no_secret_is_shown() {
        let login = of::<NewLogin>(r#"{"name": "ann", "password": "s3cret", "code": "123456"}"#).unwrap();
        let set_up = of::<NewSetUp>(r#"{"name": "ann", "password": "s3cret", "token": "abc123"}"#).unwrap();
        for shown in [format!("{login:?}"), format!("{set_up:?}"), format!("{:?}", set_up.read().unwrap())] {
            assert!(shown.contains("ann") || shown.contains("SetUpToken"), "{shown}");
            for secret in ["s3cret", "123456", "abc123"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |text: &str, field: &str| {
            let read = of::<NewAccount>(text).map_err(ApiError::from).and_then(NewAccount::read);
            let problem = serde_json::to_value(read.unwrap_err().problem()).unwrap();
            assert_eq!(problem["field"], field, "{text}");
        };
        check(r#"{"name": "a b", "role": "viewer", "password": "x"}"#, "name");
        check(r#"{"name": "ann", "role": "boss", "password": "x"}"#, "role");
        check(r#"{"name": "ann", "role": "device", "password": "x"}"#, "role");
        check(r#"{"name": "ann", "role": "viewer"}"#, "password");
        check(r#"{"name": "ann", "role": "viewer", "password": "x", "email": "ann"}"#, "email");
        let long = format!(r#"{{"name": "ann", "role": "viewer", "password": "{}"}}"#, "x".repeat(257));
        check(&long, "password");
    }
}
