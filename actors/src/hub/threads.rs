//! The threads of the actors on the way of a message. Each change of threads costs a message some 10 µs of processor
//! time, which is more than all that its twin does with it; a thread alone takes more than 100,000 messages a second
//! from their links to the journal. So there are few of these threads.

use std::sync::mpsc;

use actix::{Arbiter, ArbiterHandle};
use tokio::runtime::{Builder, Handle};

/// Up to so many cores, the links run on the actors' thread, too. The other core has the store, and live subscribers.
const FEW_CORES: usize = 2;
/// Up to so many, the twins run on the journal's.
const SOME_CORES: usize = 4;
/// Tasks of links are done so many in a row before the actors have their turn. A tenth of a second of work that comes at
/// once, as the TLS handshakes of clients that all come back, so holds a message up for some ms.
const IN_A_ROW: u32 = 16;

/// The threads on a message's way.
pub(crate) struct PathThreads {
    /// The thread of the journal, and of all that comes after a commit.
    pub journal: ArbiterHandle,
    /// Threads of the twins, one at least, which may be the journal's; the supervisor has the first.
    pub twins: Vec<ArbiterHandle>,
    /// The runtime of the journal's thread, where links may run.
    pub runtime: Option<Handle>,
}

impl PathThreads {
    /// Starts them, with so many for the twins alone.
    pub(crate) fn start(twins: usize) -> Self {
        let (journal, runtime) = arbiter();
        let twins = match twins {
            0 => vec![journal.clone()],
            twins => (0..twins).map(|_| arbiter().0).collect(),
        };
        Self { journal, twins, runtime: runtime.filter(|_| cores() <= FEW_CORES) }
    }
}

/// An arbiter with its runtime.
fn arbiter() -> (ArbiterHandle, Option<Handle>) {
    let (tell, told) = mpsc::channel();
    let runtime = move || {
        let runtime = Builder::new_current_thread().event_interval(IN_A_ROW).enable_all().build()?;
        let _ = tell.send(runtime.handle().clone()); // it is waited for
        Ok(runtime)
    };
    // Where the system has no thread for it, the second try says so.
    let arbiter = Arbiter::try_with_tokio_rt(runtime).unwrap_or_else(|_| Arbiter::new());
    (arbiter.handle(), told.try_recv().ok())
}

/// The number of threads for the twins alone on this machine.
pub(super) fn usual_twin_threads() -> usize {
    twin_threads(cores())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn twin_threads(cores: usize) -> usize {
    if cores <= SOME_CORES { 0 } else { cores / 2 }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use tokio::sync::oneshot;

    use super::*;

    async fn thread(arbiter: &ArbiterHandle) -> ThreadId {
        let (tell, told) = oneshot::channel();
        arbiter.spawn_fn(|| tell.send(std::thread::current().id()).unwrap());
        told.await.unwrap()
    }

    #[test]
    fn twins_have_more_threads_where_there_are_many_cores() {
        let check = |cores, expected| assert_eq!(twin_threads(cores), expected, "{cores}");
        check(1, 0);
        check(2, 0);
        check(4, 0);
        check(5, 2);
        check(16, 8);
    }

    #[actix::test]
    async fn an_arbiter_drives_its_runtime() {
        let (arbiter, runtime) = arbiter();
        let on_runtime = runtime.unwrap().spawn(async { std::thread::current().id() });
        assert_eq!(on_runtime.await.unwrap(), thread(&arbiter).await);
    }

    #[actix::test]
    async fn twins_without_a_thread_have_the_journals() {
        for (twins, is_the_same) in [(0, true), (1, false), (2, false)] {
            let threads = PathThreads::start(twins);
            assert_eq!(threads.twins.len(), twins.max(1));
            let journal = thread(&threads.journal).await;
            assert_eq!(thread(&threads.twins[0]).await == journal, is_the_same, "{twins}");
        }
    }
}
