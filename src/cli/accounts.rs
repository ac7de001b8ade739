//! `twinhub user` and `twinhub key`: people and keys. They work on the data folder itself while no hub runs on it, and ask
//! the hub otherwise, by the key that it leaves there for this machine.

mod alone;
mod book;
mod password;
mod rotate;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use twinhub_domain::duration::positive_ms;

use self::book::Book;
use self::rotate::rotate_secret;
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::{line, moment_in, table};
use crate::config::{Config, ConfigError, Options};

/// The command `user`.
#[derive(Args, Debug)]
#[command(after_help = USER_HELP)]
pub struct UserArgs {
    #[command(subcommand)]
    action: UserAction,
    #[command(flatten)]
    place: PlaceArgs,
}

/// The command `key`.
#[derive(Args, Debug)]
#[command(after_help = KEY_HELP)]
pub struct KeyArgs {
    #[command(subcommand)]
    action: KeyAction,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where the users are.
#[derive(Args, Debug)]
struct PlaceArgs {
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder that holds everything twinhub keeps [default: data]
    #[arg(long, env = "TWINHUB_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// The database; DATABASE_URL is read too [default: SQLite in the data folder]
    #[arg(long, env = "TWINHUB_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    database: Option<String>,
    /// The file with the hub's own key [default: secret.key in the data folder]
    #[arg(long, env = "TWINHUB_KEY_FILE", value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// Where the page and the API are served, which decides how long passwords must be [default: 127.0.0.1:8080]
    #[arg(long, env = "TWINHUB_LISTEN", value_name = "ADDRESS", global = true)]
    listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum UserAction {
    /// Make a user; the password is asked for
    Add(AddUserArgs),
    /// List the users
    List,
    /// Set a user's password, and end their sessions
    Passwd(PasswordArgs),
    /// Give a user another role
    Role(RoleArgs),
    /// Remove a user, with their sessions and keys
    Remove(NameArgs),
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Make a key of a service account, and print it, once
    Add(AddKeyArgs),
    /// List the keys of service accounts and of users
    List,
    /// Revoke a key
    Revoke(RevokeArgs),
    /// Make a new key of the hub itself, which seals its secrets
    ///
    /// The hub must not run meanwhile. The new key stands first in the file (secret.key), and everything that is sealed
    /// in the database is sealed with it. The older key stays in the file while devices have tokens or claim codes
    /// that are stored under it: until these devices have signed in again, or are claimed. Keep the file with your
    /// backups.
    RotateSecret(RotateArgs),
}

#[derive(Args, Debug)]
struct AddUserArgs {
    /// The name to sign in with
    #[arg(value_name = "NAME")]
    name: String,
    /// The role: a viewer sees, an operator steers and manages devices, an admin may do everything
    #[arg(long, value_name = "ROLE")]
    role: RoleWord,
    #[command(flatten)]
    scope: ScopeArg,
    /// The e-mail address, by which the user can sign in too
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Read the password from the standard input, in one line
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args, Debug)]
struct PasswordArgs {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Read the password from the standard input, in one line
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args, Debug)]
struct RoleArgs {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The role
    #[arg(value_name = "ROLE")]
    role: RoleWord,
    #[command(flatten)]
    scope: ScopeArg,
}

#[derive(Args, Debug)]
struct NameArgs {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Args, Debug)]
struct AddKeyArgs {
    /// The name by which the key is told from others
    #[arg(value_name = "NAME")]
    name: String,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: RoleWord,
    #[command(flatten)]
    scope: ScopeArg,
    /// The life of the key, a year at most
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = life)]
    expires_in: i64,
}

#[derive(Args, Debug)]
struct RevokeArgs {
    /// The key's id, as `twinhub key list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// The devices for which a role counts.
#[derive(Args, Debug)]
struct ScopeArg {
    /// The devices for which the role counts: all, own, nothing, group:ID with the groups below it, or device:ID; of
    /// several groups or devices one each
    #[arg(long, value_name = "SCOPE", value_parser = scope_part)]
    scope: Vec<ScopePart>,
}

/// One of the values of `--scope`.
#[derive(Clone, Debug)]
enum ScopePart {
    Word(String),
    Group(String),
    Device(String),
}

#[derive(Args, Debug)]
struct RotateArgs {
    /// Remove the older keys at once; devices with tokens or claim codes of before need new ones then
    #[arg(long)]
    forget_old: bool,
}

/// A role of people and of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    /// Sees
    Viewer,
    /// Steers and manages devices
    Operator,
    /// May do everything
    Admin,
}

const USER_HELP: &str = "\
Examples:

  twinhub user add ann --role admin              the password is asked for, twice
  twinhub user add bob --role operator --password-stdin < password.txt
  twinhub user passwd ann                        ann has lost it
  twinhub user role bob viewer

No password is ever an argument: others on the machine could read it. While a hub runs on the data folder it is asked
to do this, and open pages of the user end at once.

Exit status: 0 it was done, 1 it was refused, 2 it could not be done as it was asked.";

const KEY_HELP: &str = "\
Examples:

  twinhub key add ci --role operator             prints the key, which nobody sees again
  twinhub key add grafana --role viewer --expires-in 365d
  twinhub key revoke 4fTq8sWz1B
  twinhub key rotate-secret                      another key in secret.key, while the hub does not run
  curl -H \"Authorization: Bearer $TWINHUB_TOKEN\" http://127.0.0.1:8080/api/devices

Exit status: 0 it was done, 1 it was refused, 2 it could not be done as it was asked.";

const USER_HEADS: [&str; 7] = ["USER", "ROLE", "SCOPE", "NAME", "E-MAIL", "SECOND FACTOR", "SINCE"];
const KEY_HEADS: [&str; 8] = ["KEY", "NAME", "ROLE", "SCOPE", "KIND", "ENDS WITH", "LAST USED", "EXPIRES"];

impl PlaceArgs {
    fn config(self) -> Result<Config, ConfigError> {
        let Self { config, data_dir, database, key_file, listen } = self;
        Config::resolve(Options { config, data_dir, database, key_file, listen, ..Options::default() })
    }
}

impl RoleWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Carries a command about users out.
///
/// # Errors
/// The data folder cannot be used, or it is refused.
pub async fn run_user(UserArgs { action, place }: UserArgs) -> Result<(), CommandFailed> {
    let config = place.config().map_err(misused)?;
    // It is asked for before anything is opened: people take their time.
    let password = match &action {
        UserAction::Add(AddUserArgs { password_stdin, .. })
        | UserAction::Passwd(PasswordArgs { password_stdin, .. }) => {
            Some(password::read(*password_stdin).map_err(CommandFailed::Misused)?)
        }
        UserAction::List | UserAction::Role(_) | UserAction::Remove(_) => None,
    };
    let book = Book::open(config).await.map_err(CommandFailed::Misused)?;
    let done = change_users(&book, action, password.unwrap_or_default()).await;
    book.close().await;
    done.map_err(CommandFailed::Broke)
}

async fn change_users(book: &Book, action: UserAction, password: String) -> Result<()> {
    match action {
        UserAction::Add(AddUserArgs { name, role, scope, email, .. }) => {
            let mut user =
                json!({ "name": name, "role": role.as_str(), "password": password, "email": email });
            scope.put(&mut user)?;
            let made = book.add_user(&user).await?;
            line(&format!("made the {} {}", text(&made["role"]), text(&made["name"])))
        }
        UserAction::List => {
            let users = book.users().await?;
            let rows: Vec<_> = users.iter().map(user_row).collect();
            line(&table(USER_HEADS, &rows, "no users: twinhub user add NAME --role admin"))
        }
        UserAction::Passwd(PasswordArgs { name, .. }) => {
            book.set_password(&name, &password).await?;
            line(&format!("set the password of {name}, and ended their sessions"))
        }
        UserAction::Role(RoleArgs { name, role, scope }) => {
            let mut change = json!({ "role": role.as_str() });
            scope.put(&mut change)?;
            let changed = book.change_user(&name, &change).await?;
            line(&format!("{} is {} now", text(&changed["name"]), text(&changed["role"])))
        }
        UserAction::Remove(NameArgs { name }) => {
            let removed = book.remove_user(&name).await?;
            line(&format!("removed {}", text(&removed["name"])))
        }
    }
}

/// Carries a command about keys out.
///
/// # Errors
/// The data folder cannot be used, or it is refused.
pub async fn run_key(KeyArgs { action, place }: KeyArgs) -> Result<(), CommandFailed> {
    let config = place.config().map_err(misused)?;
    if let KeyAction::RotateSecret(RotateArgs { forget_old }) = action {
        return rotate_secret(config, forget_old).await;
    }
    let book = Book::open(config).await.map_err(CommandFailed::Misused)?;
    let done = change_keys(&book, action).await;
    book.close().await;
    done.map_err(CommandFailed::Broke)
}

async fn change_keys(book: &Book, action: KeyAction) -> Result<()> {
    match action {
        KeyAction::Add(AddKeyArgs { name, role, scope, expires_in }) => {
            let seconds = expires_in / 1_000;
            let mut key =
                json!({ "name": name, "role": role.as_str(), "expires_in": seconds, "service": true });
            scope.put(&mut key)?;
            let made = book.add_key(&key).await?;
            line(&text(&made["secret"]))
        }
        KeyAction::List => {
            let rows: Vec<_> = book.keys().await?.iter().map(key_row).collect();
            line(&table(KEY_HEADS, &rows, "no keys"))
        }
        KeyAction::Revoke(RevokeArgs { id }) => {
            let revoked = book.revoke_key(&id).await?;
            line(&format!("revoked {}", text(&revoked["name"])))
        }
        KeyAction::RotateSecret(_) => Ok(()), // done above, without the users
    }
}

impl ScopeArg {
    /// Puts it into a body, where it was given.
    fn put(self, body: &mut Value) -> Result<()> {
        let (mut words, mut groups, mut devices) = (Vec::new(), Vec::new(), Vec::new());
        for part in self.scope {
            match part {
                ScopePart::Word(word) => words.push(word),
                ScopePart::Group(id) => groups.push(id),
                ScopePart::Device(id) => devices.push(id),
            }
        }
        let scope = match (&words[..], groups.is_empty(), devices.is_empty()) {
            ([], true, true) => return Ok(()),
            ([word], true, true) => json!(word),
            ([], false, true) => json!({ "groups": groups }),
            ([], true, false) => json!({ "devices": devices }),
            _ => bail!("--scope is one word, or groups, or devices"),
        };
        body["scope"] = scope;
        Ok(())
    }
}

fn scope_part(text: &str) -> Result<ScopePart, String> {
    let part = match text.split_once(':') {
        Some(("group", id)) if !id.is_empty() => ScopePart::Group(id.to_owned()),
        Some(("device", id)) if !id.is_empty() => ScopePart::Device(id.to_owned()),
        None if ["all", "own", "nothing"].contains(&text) => ScopePart::Word(text.to_owned()),
        _ => return Err("expected all, own, nothing, group:ID or device:ID".to_owned()),
    };
    Ok(part)
}

fn misused(error: ConfigError) -> CommandFailed {
    CommandFailed::Misused(error.into())
}

fn life(text: &str) -> Result<i64, String> {
    positive_ms(text).map_err(|error| error.to_string())
}

fn user_row(user: &Value) -> [String; 7] {
    let status = if user["disabled"] == true { " (disabled)" } else { "" };
    [
        format!("{}{status}", text(&user["name"])),
        text(&user["role"]),
        scope_text(&user["scope"]),
        text(&user["display_name"]),
        text(&user["email"]),
        (if user["has_totp"] == true { "yes" } else { "no" }).into(),
        moment_in(&text(&user["created_at"])),
    ]
}

fn key_row(key: &Value) -> [String; 8] {
    let last = key["last_used"].as_str().map_or_else(|| "never".into(), moment_in);
    [
        text(&key["id"]),
        text(&key["name"]),
        text(&key["role"]),
        scope_text(&key["scope"]),
        text(&key["kind"]),
        text(&key["last_4"]),
        last,
        moment_in(&text(&key["expires_at"])),
    ]
}

/// A scope as `--scope` takes it: `all`, `own`, `group:hall-1,group:hall-2`.
fn scope_text(scope: &Value) -> String {
    let parts = |name: &str, kind: &str| -> Vec<String> {
        let ids = scope[name].as_array().into_iter().flatten();
        ids.map(|id| format!("{kind}:{}", text(id))).collect()
    };
    match scope {
        Value::String(word) => word.clone(),
        _ => [parts("groups", "group"), parts("devices", "device")].concat().join(","),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
