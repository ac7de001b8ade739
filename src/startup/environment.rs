//! Settings that another system takes from the environment, under its own names: a start that takes over from seed 002
//! finds them as they are.

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};
use twinhub_access::jwt::{JwtKey, JwtKeys, ShortSecret};
use twinhub_access::password::Password;
use twinhub_access::{DisplayName, Role, ScopeWish, UserName};
use twinhub_actors::Hub;
use twinhub_actors::access::Caller;
use twinhub_actors::messages::accounts::{AddUser, NewUser};
use twinhub_domain::cause::Source;
use twinhub_store::seal::HubKeyId;

use crate::config::ForeignNote;

const SECRET: &str = "JWT_SECRET";
const USER: &str = "DEMO_USER";
const PASSWORD: &str = "DEMO_PASS";
/// The file in which programs in Python keep variables.
const FILE: &str = ".env";
/// The name of the hub in its own tokens.
const AUDIENCE: &str = "twinhub";
/// The name of the key that other programs have too.
const SHARED: &str = "shared";

/// The settings; empty texts are none.
#[derive(Default)]
pub struct SeedEnvironment {
    jwt_secret: Option<String>,
    demo: Option<(String, String)>,
}

/// The reason why a setting cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error(
        "{SECRET} in the environment: {0}, for other machines reach this hub, and whoever guesses it can be anybody: make \
         one with `openssl rand -hex 32`"
    )]
    Secret(#[from] ShortSecret),
    #[error("the hub has no key of its own")]
    NoKey,
    #[error(
        "{USER} and {PASSWORD} in the environment: no user can be made of them: {0}: set {PASSWORD} to another, such as \
         the one of `openssl rand -hex 12`, or set neither and make the first user with `twinhub user add NAME --role admin`"
    )]
    Demo(String),
}

/// Tells the log of settings that were found under another system's names.
pub(super) fn tell(notes: &[ForeignNote]) {
    for ForeignNote { variables, option, refused } in notes {
        match refused {
            None => info!(option, %variables, "setting taken from the environment of another system"),
            Some(why) => warn!(option, %variables, %why, "setting of another system not taken"),
        }
    }
    if Path::new(FILE).exists() {
        info!(
            "the file .env in the working folder is not read: to have its variables set, say `set -a; . ./.env; set +a` before the start"
        );
    }
}

/// The same for a person who has just started the hub; empty where nothing was found.
pub(super) fn line(notes: &[ForeignNote]) -> String {
    let all: String = notes.iter().map(|note| format!("  {note}\n")).collect();
    if all.is_empty() {
        all
    } else {
        format!("in the environment there are settings of another system\n\n{all}\n")
    }
}

impl SeedEnvironment {
    /// Reads them.
    #[must_use]
    pub fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        Self { jwt_secret: text(SECRET), demo: text(USER).zip(text(PASSWORD)) }
    }

    /// Tells the log that they were taken; a user that is made of them is told then.
    pub fn tell(&self) {
        if self.jwt_secret.is_some() {
            info!(variables = SECRET, "setting taken from the environment of another system");
        }
    }

    /// The keys of JSON web tokens: the hub's `own`, the newest first, and one that it shares with other programs, where there is one.
    ///
    /// # Errors
    /// The shared one can be guessed, and others reach the hub.
    pub fn jwt_keys(
        &self,
        own: impl Iterator<Item = (HubKeyId, [u8; 32])>,
        takes_short: bool,
    ) -> Result<JwtKeys, EnvironmentError> {
        let own = own.map(|(id, key)| JwtKey::own(&id.to_string(), key));
        let shared = match &self.jwt_secret {
            Some(secret) if takes_short => Some(JwtKey::shared_on_loopback(SHARED, secret.as_bytes())),
            Some(secret) => Some(JwtKey::shared(SHARED, secret.as_bytes())?),
            None => None,
        };
        let mut keys = shared.into_iter().chain(own);
        let signs = keys.next().ok_or(EnvironmentError::NoKey)?;
        Ok(JwtKeys::new(AUDIENCE, signs, keys))
    }

    /// Makes the user that the environment names, an admin, while there is no user at all: one that was removed stays away.
    ///
    /// # Errors
    /// It is no user name, or others reach the hub and the password is too weak for that.
    pub async fn make_user(&self, hub: &Arc<Hub>) -> Result<(), EnvironmentError> {
        let Some((name, password)) = self.demo.as_ref().filter(|_| !hub.directory.has_users()) else {
            return Ok(());
        };
        let program = hub.of(Caller::Program, Source::Hub);
        let wrong = |error: &dyn std::fmt::Display| EnvironmentError::Demo(error.to_string());
        let user = NewUser {
            name: UserName::parse(name).map_err(|error| wrong(&error))?,
            email: None,
            display_name: DisplayName::default(),
            scope: ScopeWish::default(),
            password: Password::typed(password).map_err(|error| wrong(&error))?,
        };
        let (role, by) = (Role::Admin, program.asker().of_environment());
        let made = program.change(|reply| AddUser { user, role, by, reply }).await;
        made.map_err(|error| wrong(&error))?.map_err(|error| wrong(&error))?;
        info!(user = %name, "made the user that {USER} in the environment names");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_shared_secret_is_for_a_hub_that_no_other_machine_reaches() {
        let environment =
            SeedEnvironment { jwt_secret: Some("your-secret-key".into()), ..SeedEnvironment::default() };
        assert!(environment.jwt_keys(std::iter::empty(), true).is_ok());
        let refused = environment.jwt_keys(std::iter::empty(), false).unwrap_err();
        assert!(refused.to_string().starts_with("JWT_SECRET in the environment: "), "{refused}");
    }
}
