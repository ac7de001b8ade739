//! The hashing of passwords, off the threads that serve. Each takes 19 MiB and tens of milliseconds of a processor, so
//! few run at once, and few wait: with many more there is no answer in time for anybody.

use std::sync::Arc;

use tokio::sync::Semaphore;
use twinhub_access::password::{Password, PasswordHash, SALT_BYTES, spend_time};

use crate::messages::accounts::AccountRefusal;

/// Hashes at once: the other processors, where there are more, are for devices.
const AT_ONCE: usize = 2;
/// Hashes that run or wait: the last of them waits for about a second on a small board.
const MOST: usize = 32;

/// The turns of hashes.
#[derive(Debug)]
pub struct Hashing {
    places: Arc<Semaphore>,
    pub turns: Arc<Semaphore>,
}

/// The check of a typed password.
#[derive(Debug)]
pub struct PasswordCheck {
    pub is_right: bool,
    /// The hash to keep from now on, where the kept one is of an old kind.
    pub renewed: Option<PasswordHash>,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Hashing {
    /// Checks a typed password against the kept hash. Without one, for an unknown user, it takes as long.
    ///
    /// # Errors
    /// Too many wait.
    pub fn check(
        &self,
        typed: Password,
        kept: Option<PasswordHash>,
    ) -> impl Future<Output = Result<PasswordCheck, AccountRefusal>> + use<> {
        self.run(move || {
            let Some(kept) = kept else {
                spend_time(&typed);
                return Ok(PasswordCheck { is_right: false, renewed: None });
            };
            let is_right = kept.is_of(&typed);
            let renewed = if is_right && kept.needs_rehash() { Some(hash(&typed)?) } else { None };
            Ok(PasswordCheck { is_right, renewed })
        })
    }

    /// Hashes a new password; `old` with the kept hash is checked before, where there is one.
    ///
    /// # Errors
    /// The old one is wrong, or too many wait.
    pub fn new_hash(
        &self,
        new: Password,
        old: Option<(Password, Option<PasswordHash>)>,
    ) -> impl Future<Output = Result<PasswordHash, AccountRefusal>> + use<> {
        self.run(move || {
            if let Some((typed, kept)) = old
                && !kept.is_some_and(|kept| kept.is_of(&typed))
            {
                return Err(AccountRefusal::OldPassword);
            }
            hash(&new)
        })
    }

    /// Runs a job in its turn. The permit moves into the job: whoever asked may leave, and the processor works on.
    fn run<T, F>(&self, job: F) -> impl Future<Output = Result<T, AccountRefusal>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, AccountRefusal> + Send + 'static,
    {
        let (place, turns) = (Arc::clone(&self.places).try_acquire_owned(), Arc::clone(&self.turns));
        async move {
            let place = place.map_err(|_| AccountRefusal::Busy)?;
            let turn = turns.acquire_owned().await.map_err(system)?;
            let job = tokio::task::spawn_blocking(move || {
                let _held = (place, turn);
                job()
            });
            job.await.map_err(system)?
        }
    }
}

fn hash(password: &Password) -> Result<PasswordHash, AccountRefusal> {
    PasswordHash::new(password, random::<SALT_BYTES>()?).map_err(system)
}

/// Random bytes of the system.
///
/// # Errors
/// It gives none.
pub fn random<const N: usize>() -> Result<[u8; N], AccountRefusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(system)?;
    Ok(bytes)
}

fn system(error: impl std::fmt::Display) -> AccountRefusal {
    AccountRefusal::System(error.to_string().into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn whoever_leaves_gives_no_turn_away_while_the_hash_runs() {
        let hashing = Hashing::default();
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let ends = Arc::new(std::sync::Mutex::new(ends));
        let job = || {
            let (begun, ends) = (begun.clone(), Arc::clone(&ends));
            move || {
                begun.send(()).unwrap();
                ends.lock().unwrap().recv().map_err(system)
            }
        };
        for _ in 0..AT_ONCE {
            let mut running = Box::pin(hashing.run(job()));
            assert!(futures_util::poll!(&mut running).is_pending());
        } // nobody waits for them any more
        for _ in 0..AT_ONCE {
            begins.recv().unwrap();
        }
        let mut waiting = Box::pin(hashing.run(job()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(hashing.turns.available_permits(), 0);
        assert!(begins.try_recv().is_err());
        for _ in 0..=AT_ONCE {
            end.send(()).unwrap();
        }
        waiting.await.unwrap();
        assert!(begins.recv().is_ok());
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let hashing = Hashing::default();
        let held = Arc::clone(&hashing.turns).acquire_many_owned(2).await.unwrap();
        let mut waiting: Vec<_> = (0..MOST).map(|_| Box::pin(hashing.run(|| Ok(())))).collect();
        for job in &mut waiting {
            assert!(futures_util::poll!(job).is_pending());
        }
        assert_eq!(hashing.run(|| Ok(())).await, Err(AccountRefusal::Busy));
        drop(held);
        for job in waiting {
            job.await.unwrap();
        }
        assert_eq!(hashing.run(|| Ok(())).await, Ok(()));
    }
}
