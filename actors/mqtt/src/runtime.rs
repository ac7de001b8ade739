//! The runtime that a link's tasks run on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// The threads that a link runs on.
#[derive(Clone, Debug)]
pub enum RunsOn {
    /// On so many threads of its own.
    Own(usize),
    /// On a runtime that is there already: that of the actors, where there are few cores. A message then comes to its
    /// twin, and its acknowledgement to the connection, without waking another thread.
    Shared(Handle),
}

/// Runs until it is shut down or dropped, which may be done from inside another runtime.
#[derive(Debug)]
pub(super) struct LinkRuntime {
    handle: Handle,
    own: Mutex<Option<Runtime>>,
    /// The tasks that end with the link, not with the runtime.
    tasks: Mutex<Vec<AbortHandle>>,
}

impl LinkRuntime {
    /// The runtime of the link `name`, which names threads of its own.
    pub(super) fn new(name: &str, runs_on: &RunsOn) -> std::io::Result<Self> {
        let (handle, own) = match runs_on {
            RunsOn::Shared(handle) => (handle.clone(), None),
            RunsOn::Own(threads) => {
                let threads = (*threads).max(1);
                let builder = &mut Builder::new_multi_thread();
                let own = builder.worker_threads(threads).thread_name(name).enable_all().build()?;
                (own.handle().clone(), Some(own))
            }
        };
        Ok(Self { handle, own: Mutex::new(own), tasks: Mutex::default() })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a task that ends with the link.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.tasks).push(self.handle.spawn(task).abort_handle());
    }

    /// Ends it without waiting: a runtime that waits for its threads panics inside another.
    pub(super) fn shut_down(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        if let Some(own) = lock(&self.own).take() {
            own.shutdown_background();
        }
    }
}

impl Drop for LinkRuntime {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // it is whole whatever happens
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// A task that ends only by force: the receiver fails when it does.
    fn endless(runtime: &LinkRuntime) -> oneshot::Receiver<()> {
        let (held, ended) = oneshot::channel();
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        ended
    }

    #[tokio::test]
    async fn its_tasks_end_with_it_on_either_runtime() {
        for runs_on in [RunsOn::Own(1), RunsOn::Shared(Handle::current())] {
            let runtime = LinkRuntime::new("link", &runs_on).unwrap();
            let ended = endless(&runtime);
            runtime.shut_down();
            assert!(ended.await.is_err(), "{runs_on:?}");
            let runtime = LinkRuntime::new("link", &runs_on).unwrap();
            let ended = endless(&runtime);
            drop(runtime);
            assert!(ended.await.is_err(), "{runs_on:?}, dropped");
        }
    }
}
