//! The users and keys, wherever they can be changed: in a running hub, or in its data folder. Both say the same in the
//! form of the API.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::alone::Alone;
use crate::cli::remote::{Method, Remote};
use crate::config::Config;
use crate::startup::local_key::KeyOfHub;
use crate::startup::lock::{LockError, Locks};
use crate::startup::private;

/// The users and keys.
pub(super) enum Book {
    Hub(Remote),
    Folder(Arc<Alone>),
}

/// Users asked for at once.
const PAGE: usize = 1_000;

impl Book {
    /// Takes the data folder, or finds the hub that has it.
    pub async fn open(config: Config) -> Result<Self> {
        private::from_now_on();
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot make the data folder {}", config.data_dir.display()))?;
        match Locks::take(&config.data_dir, &config.database) {
            Ok(locks) => {
                private::tighten(&config.data_dir, &config.database);
                Ok(Self::Folder(Arc::new(Alone::open(&config, locks).await?)))
            }
            Err(LockError::Held { .. }) => match KeyOfHub::read(&config.data_dir) {
                Some(key) => Ok(Self::Hub(Remote::of_key(key)?)),
                None => bail!(
                    "a hub runs on {}, and its local.key there cannot be read: run this as the user who runs the hub",
                    config.data_dir.display()
                ),
            },
            Err(error) => Err(error.into()),
        }
    }

    pub async fn close(self) {
        if let Self::Folder(alone) = self {
            alone.close().await;
        }
    }

    pub async fn users(&self) -> Result<Vec<Value>> {
        match self {
            Self::Hub(hub) => {
                let mut users = Vec::new();
                for page in 1.. {
                    let (found, total) = hub.get(&format!("/api/users?page={page}&limit={PAGE}")).await?;
                    let Value::Array(found) = found else { break };
                    let is_last = found.is_empty();
                    users.extend(found);
                    if is_last || users.len() >= total {
                        break;
                    }
                }
                Ok(users)
            }
            Self::Folder(alone) => alone.users().await,
        }
    }

    pub async fn add_user(&self, user: &Value) -> Result<Value> {
        match self {
            Self::Hub(hub) => hub.send_json(Method::POST, "/api/users", Some(user)).await,
            Self::Folder(alone) => alone.add_user(user).await,
        }
    }

    pub async fn change_user(&self, name: &str, change: &Value) -> Result<Value> {
        match self {
            Self::Hub(hub) => hub.send_json(Method::PATCH, &user(name), Some(change)).await,
            Self::Folder(alone) => alone.change_user(name, change).await,
        }
    }

    pub async fn set_password(&self, name: &str, password: &str) -> Result<()> {
        let body = json!({ "password": password });
        match self {
            Self::Hub(hub) => {
                hub.send_json(Method::PUT, &format!("{}/password", user(name)), Some(&body)).await?;
                Ok(())
            }
            Self::Folder(alone) => alone.set_password(name, &body).await,
        }
    }

    pub async fn remove_user(&self, name: &str) -> Result<Value> {
        match self {
            Self::Hub(hub) => hub.send_json(Method::DELETE, &user(name), None).await,
            Self::Folder(alone) => alone.remove_user(name).await,
        }
    }

    pub async fn keys(&self) -> Result<Vec<Value>> {
        match self {
            Self::Hub(hub) => match hub.get("/api/auth/keys?of=all").await?.0 {
                Value::Array(keys) => Ok(keys),
                _ => Ok(Vec::new()),
            },
            Self::Folder(alone) => alone.keys().await,
        }
    }

    pub async fn add_key(&self, key: &Value) -> Result<Value> {
        match self {
            Self::Hub(hub) => hub.send_json(Method::POST, "/api/auth/keys", Some(key)).await,
            Self::Folder(alone) => alone.add_key(key).await,
        }
    }

    pub async fn revoke_key(&self, id: &str) -> Result<Value> {
        match self {
            Self::Hub(hub) => {
                hub.send_json(Method::DELETE, &format!("/api/auth/keys/{}", escaped(id)), None).await
            }
            Self::Folder(alone) => alone.revoke_key(id).await,
        }
    }
}

fn user(name: &str) -> String {
    format!("/api/users/{}", escaped(name))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
