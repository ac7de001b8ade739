//! The accounts without a hub: for the command line, while no hub runs on the data.

use std::sync::Arc;

use actix::{Actor, Addr, Handler, MailboxError, Message};
use tokio::sync::oneshot;
use twinhub_access::user::UserSource;
use twinhub_domain::Clock;
use twinhub_store::{Store, StoreError};

use super::{AccountSettings, Accounts, LoadedAccounts};
use crate::caller::{Caller, Permissions};
use crate::messages::accounts::Asker;

/// The accounts of a store that nobody else has open.
pub struct AccountsAlone {
    accounts: Addr<Accounts>,
}

/// The accounts ended before they answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the accounts do not answer")]
pub struct AccountsGone;

impl AccountsAlone {
    /// Reads them, and begins to take changes in.
    ///
    /// # Errors
    /// The store does not give them.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: AccountSettings,
    ) -> Result<Self, StoreError> {
        let LoadedAccounts { accounts, .. } = Accounts::load(store, clock, settings).await?;
        Ok(Self { accounts: accounts.start() })
    }

    /// The caller: who can open the store may do everything.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker {
            name: Caller::Program.audit_name().into(),
            user: None,
            session: None,
            address: None,
            permissions: Permissions::all(),
            is_everywhere: true,
            source: UserSource::CommandLine,
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// None comes.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, AccountsGone>
    where
        M: Message<Result: Send> + Send + 'static,
        Accounts: Handler<M>,
    {
        self.accounts.send(message).await.map_err(|_: MailboxError| AccountsGone)
    }

    /// Has a change made, and waits until it is durable.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn change<M, T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> M) -> Result<T, AccountsGone>
    where
        M: Message<Result = ()> + Send + 'static,
        Accounts: Handler<M>,
    {
        let (reply, answer) = oneshot::channel();
        self.ask(message(reply)).await?;
        answer.await.map_err(|_| AccountsGone)
    }
}
