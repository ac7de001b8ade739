//! `twinhub key rotate-secret`: another key of the hub in `secret.key`.

use anyhow::{Context as _, anyhow};
use twinhub_store::seal::TokenKey;

use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::{count, line};
use crate::config::Config;
use crate::startup::lock::{LockError, Locks};
use crate::startup::{key, open_alone, private};

/// Makes a new key and seals everything with it. Older keys stay in the file while tokens of devices or claim codes are
/// stored under them, unless they are to be forgotten.
///
/// Broken off at any moment it leaves a file that opens the database: the new key stands in the file before anything is
/// sealed with it, and the next start goes on with what is not sealed with it yet.
///
/// # Errors
/// A hub runs on the data folder, there is no key yet, or a file cannot be written.
pub async fn rotate_secret(config: Config, forgets_old: bool) -> Result<(), CommandFailed> {
    private::from_now_on();
    let misused = CommandFailed::Misused;
    let path = key::place(config.key_file.as_deref(), &config.data_dir);
    if !path.exists() {
        return Err(misused(anyhow!("there is no key file {}: the first start makes it", path.display())));
    }
    let _locks = match Locks::take(&config.data_dir, &config.database) {
        Ok(locks) => locks,
        Err(error @ LockError::Held { .. }) => {
            return Err(misused(anyhow!("{error}: a hub that runs has the key in memory")));
        }
        Err(error) => return Err(misused(error.into())),
    };
    let newest = key::add_key(&path).map_err(|error| CommandFailed::Broke(error.into()))?;
    let done = async {
        let store = open_alone(&config).await?;
        let tokens = store.token_keys().await.context("cannot look at the tokens of devices");
        store.close().await;
        let tokens = tokens?;
        // A token of a version that did not name its key may need any of the older ones.
        let needs_all = tokens.keys.contains(&TokenKey::Unnamed);
        let stays = |id| !forgets_old && (needs_all || tokens.keys.contains(&TokenKey::Named(id)));
        let left = key::forget_keys(&path, |id| !stays(id))?;
        let id = newest.ids().next().map(|id| id.to_string()).unwrap_or_default();
        line(&format!("{} has a new key, {id}, and everything is sealed with it", path.display()))?;
        let devices = count(usize::try_from(tokens.devices).unwrap_or(usize::MAX), "device");
        match (left, forgets_old) {
            (0, true) => line(&format!(
                "the older keys are gone: {devices} with tokens or claim codes of before need new ones"
            )),
            (0, false) => line("no older key is in it any more"),
            (left, _) => line(&format!(
                "{} in it for the tokens and claim codes of {devices}, \
                 each until the device has signed in again or is claimed",
                if left == 1 { "the older key stays".to_owned() } else { format!("{left} older keys stay") },
            )),
        }
    };
    done.await.map_err(CommandFailed::Broke)
}
