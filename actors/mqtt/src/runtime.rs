//! A runtime of a link's own, so that it shares no arbiter's thread with the actors.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Runs until it is shut down or dropped, which may be done from inside another runtime.
#[derive(Debug)]
pub(super) struct OwnRuntime {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl OwnRuntime {
    /// A runtime of `threads` threads called `name`.
    pub(super) fn new(name: &str, threads: usize) -> std::io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends it without waiting: a runtime that waits for its threads panics inside another.
    pub(super) fn shut_down(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.shut_down();
    }
}
