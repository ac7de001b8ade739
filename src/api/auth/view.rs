//! Users, sessions and keys in answers.

use serde::Serialize;
use twinhub_access::user::UserSource;
use twinhub_access::{Role, Scope, SecretKind};
use twinhub_actors::messages::accounts::{KeyMade, KeyView, SessionView, UserView};
use twinhub_domain::Timestamp;
use utoipa::ToSchema;

use crate::api::schema::words;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserItem {
    id: String,
    #[schema(example = "ann")]
    name: String,
    email: Option<String>,
    display_name: String,
    #[schema(value_type = words::Role)]
    role: Role,
    /// The devices for which the role counts.
    scope: ScopeForm,
    /// The number of devices that the user may own.
    quota: u32,
    has_password: bool,
    /// There is a second factor.
    has_totp: bool,
    disabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The way by which the user was made.
    #[schema(value_type = words::UserSource)]
    source: &'static str,
}

/// The devices for which a role counts: `all`, `nothing`, or an object with one member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ScopeForm {
    /// In a request also `own`: the devices that the user owns.
    #[schema(example = "all")]
    Word(String),
    /// The devices in these groups, and in the groups below them.
    Groups { groups: Vec<String> },
    /// The devices that the user with this id owns.
    Own { own: String },
    /// These devices.
    Devices { devices: Vec<String> },
    /// The devices whose ids fit one of these patterns.
    Ids { ids: Vec<String> },
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallerItem {
    /// The name in causes and in the audit: `user:ann`, `key:ci`; empty without one.
    #[schema(example = "user:ann")]
    pub caller: String,
    /// Null for a key, and for a caller without a name.
    pub user: Option<UserItem>,
    /// Null for a caller without a name.
    #[schema(value_type = Option<words::Role>)]
    pub role: Option<Role>,
    #[schema(value_type = Vec<words::Permission>)]
    pub permissions: Vec<&'static str>,
}

/// A user who has signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoginItem {
    pub user: UserItem,
    pub session: SessionItem,
    /// Recovery codes that are left, where one was given in the place of a code of the app.
    pub recovery_codes_left: Option<usize>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionItem {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// The end of it if nothing is heard in it any more.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    address: String,
    /// The browser, as it calls itself.
    agent: String,
    /// The request came by it.
    is_current: bool,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyItem {
    id: String,
    #[schema(value_type = words::KeyKind)]
    kind: &'static str,
    /// The id of its user; null: a service account's.
    owner_id: Option<String>,
    name: String,
    #[schema(value_type = words::Role)]
    role: Role,
    /// The devices for which it counts, of those of its owner's scope.
    scope: ScopeForm,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    last_address: Option<String>,
    /// The end of the secret, by which people tell it.
    last_4: String,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub struct NewKeyItem {
    /// The secret. It is shown once: nobody can see it again.
    #[schema(example = "twh_pat_…")]
    secret: String,
    #[serde(flatten)]
    #[schema(inline)]
    key: KeyItem,
}

/// A second factor that has been begun.
#[derive(Serialize, ToSchema)]
pub struct TotpItem {
    /// The secret in base 32, for typing it in.
    pub secret: String,
    /// The address for the QR code.
    #[schema(example = "otpauth://totp/…")]
    pub address: String,
}

/// Recovery codes, each of which counts once. They are shown once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodesItem {
    pub recovery_codes: Vec<String>,
}

/// The number of sessions that were ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndedItem {
    pub ended: usize,
}

impl ScopeForm {
    /// The scope in an answer.
    #[must_use]
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::All => Self::Word("all".to_owned()),
            Scope::Nothing => Self::Word("nothing".to_owned()),
            Scope::Groups(groups) => {
                Self::Groups { groups: groups.iter().map(ToString::to_string).collect() }
            }
            Scope::Ids(patterns) => Self::Ids { ids: patterns.iter().map(ToString::to_string).collect() },
            Scope::Own(user) => Self::Own { own: user.to_string() },
            Scope::Devices(devices) => {
                Self::Devices { devices: devices.iter().map(ToString::to_string).collect() }
            }
        }
    }
}

impl UserItem {
    /// The user in an answer.
    #[must_use]
    pub fn of(user: &UserView) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.as_str().to_owned(),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            display_name: user.display_name.as_str().to_owned(),
            role: user.role,
            scope: ScopeForm::of(&user.scope),
            quota: user.quota,
            has_password: user.has_password,
            has_totp: user.has_totp,
            disabled: user.disabled,
            created_at: user.created_at,
            source: source_word(user.source),
        }
    }
}

impl SessionItem {
    /// The session in an answer.
    #[must_use]
    pub fn of(session: &SessionView) -> Self {
        Self {
            id: session.id.to_string(),
            created_at: session.created_at,
            last_seen: session.last_seen,
            ends_at: session.ends_at,
            address: session.address.to_string(),
            agent: session.agent.to_string(),
            is_current: session.is_current,
        }
    }
}

impl KeyItem {
    /// The key in an answer.
    #[must_use]
    pub fn of(key: &KeyView) -> Self {
        let (last_used, last_address) = key.last_used.unzip();
        Self {
            id: key.id.to_string(),
            kind: kind_word(key.kind),
            owner_id: key.owner.map(|owner| owner.to_string()),
            name: key.name.as_str().to_owned(),
            role: key.role,
            scope: ScopeForm::of(&key.scope),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used,
            last_address: last_address.map(|address| address.to_string()),
            last_4: key.last_4.to_string(),
        }
    }
}

impl NewKeyItem {
    /// The key and its secret in an answer.
    #[must_use]
    pub fn of(made: &KeyMade) -> Self {
        Self { secret: made.secret.reveal().to_owned(), key: KeyItem::of(&made.key) }
    }
}

/// The words for the ways by which users are made.
pub const SOURCES: [&str; 7] =
    ["setup", "command_line", "admin", "invitation", "registration", "single_sign_on", "environment"];

fn source_word(source: UserSource) -> &'static str {
    match source {
        UserSource::Setup => SOURCES[0],
        UserSource::CommandLine => SOURCES[1],
        UserSource::Admin => SOURCES[2],
        UserSource::Invitation => SOURCES[3],
        UserSource::Registration => SOURCES[4],
        UserSource::SingleSignOn => SOURCES[5],
        UserSource::Environment => SOURCES[6],
    }
}

/// The words for kinds of keys.
pub const KINDS: [&str; 2] = ["personal", "service"];

fn kind_word(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Service => KINDS[1],
        _ => KINDS[0],
    }
}
