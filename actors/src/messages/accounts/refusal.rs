//! Refusals of the accounts.

use twinhub_access::UserName;
use twinhub_access::bound_key::{BadBoundKey, UnusableKey};
use twinhub_access::key::BadKey;
use twinhub_access::limits::Limited;
use twinhub_access::password::BadPassword;
use twinhub_access::role::Permission;
use twinhub_access::user::BadUserChange;

/// The reason why an account's request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// Whichever of both: nobody learns who has an account.
    #[error("the name or the password is wrong")]
    Credentials,
    #[error("this account needs the code of its second factor")]
    CodeNeeded,
    #[error("this code is wrong, or was used before")]
    Code,
    #[error(transparent)]
    Limited(#[from] Limited),
    #[error("too many registrations from this address: try again in an hour")]
    TooManyRegistrations,
    #[error("too many passwords are being checked just now: try again in a few seconds")]
    Busy,
    #[error("this set-up link is not valid: it works once, and for an hour after the start of the hub")]
    SetUpToken,
    #[error("this hub is set up: sign in")]
    IsSetUp,
    #[error("this hub takes no registrations: ask an admin for an account")]
    RegistrationClosed,
    #[error("this hub takes registrations by invitation alone: ask an admin for one")]
    InvitationNeeded,
    #[error("this invitation is not valid: it works once, and until it expires or is revoked")]
    Invitation,
    #[error("this hub takes no registrations: set the option `registration` to `invite`")]
    InvitationsOff,
    #[error("the first user is an admin: nobody else can let others in")]
    FirstAdmin,
    #[error("there is a user `{0}`")]
    NameTaken(UserName),
    #[error("another user has this e-mail address")]
    EmailTaken,
    #[error(transparent)]
    Password(#[from] BadPassword),
    #[error("the present password is wrong")]
    OldPassword,
    #[error("this account has no password: its user signs in by the identity provider")]
    NoPassword,
    #[error("none of your groups at the identity provider may sign in here")]
    NoRights,
    #[error("this account is disabled")]
    Disabled,
    #[error(transparent)]
    User(#[from] BadUserChange),
    #[error(transparent)]
    Key(#[from] BadKey),
    #[error(transparent)]
    BoundKey(#[from] BadBoundKey),
    #[error(transparent)]
    UnusableKey(#[from] UnusableKey),
    #[error("there is no such user")]
    UnknownUser,
    #[error("there is no such session")]
    UnknownSession,
    #[error("there is no such key")]
    UnknownKey,
    #[error("this takes a user who has signed in")]
    NotSignedIn,
    #[error("this takes the permission `{0}`")]
    Forbidden(Permission),
    #[error("this is for callers whose scope is all devices")]
    Scoped,
    #[error("this account has a second factor: turn it off first")]
    HasTotp,
    #[error("this account has no second factor")]
    NoTotp,
    #[error("no second factor is being set up, or for too long: begin again")]
    NoTotpBegun,
    /// Nothing was done, or nobody knows: the account is as the store has it.
    #[error("the change could not be stored")]
    Store,
    /// The system gave no random numbers, or no memory for a password's hash.
    #[error("{0}")]
    System(Box<str>),
}
