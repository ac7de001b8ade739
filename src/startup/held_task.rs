//! A task that ends with what holds it.

use tokio::task::JoinHandle;

/// A task, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldTask(JoinHandle<()>);

impl HeldTask {
    /// Begins it, on this thread.
    pub(crate) fn begin(task: impl Future<Output = ()> + 'static) -> Self {
        Self(actix_rt::spawn(task))
    }
}

impl Drop for HeldTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
