//! A timer of microseconds. Those of tokio wake a task a millisecond late, which is longer than a commit takes.

use std::time::Duration;

/// Waits for part of a millisecond, on the runtime of the thread that made it.
#[derive(Debug)]
pub struct FineTimer(system::Timer);

impl FineTimer {
    /// A timer, where the system has such. Call it inside a runtime.
    #[must_use]
    pub fn new() -> Option<Self> {
        system::timer().map(Self)
    }

    /// Waits. True: the time has passed; false where the system does not wait so, and no time may have passed.
    pub async fn wait(&self, time: Duration) -> bool {
        system::wait(&self.0, time).await
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::io::read;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel, of which its file handle tells when it is over: the runtime waits for it together with its
    /// sockets.
    pub type Timer = AsyncFd<OwnedFd>;

    #[expect(
        deprecated,
        reason = "it is unsound for handles that do not stay what they are; this is one of the kernel's, and its \
                  successor takes an `unsafe`"
    )]
    pub fn timer() -> Option<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let handle = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
        AsyncFd::with_interest(handle, Interest::READABLE).ok()
    }

    pub async fn wait(timer: &Timer, time: Duration) -> bool {
        let Ok(time) = Timespec::try_from(time.max(Duration::from_nanos(1))) else { return false };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: time };
        if timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once).is_err() {
            return false;
        }
        loop {
            let Ok(mut ready) = timer.readable().await else { return false };
            // It gives the number of times that it went off, in eight bytes.
            let went_off =
                ready.try_io(|handle| read(handle.get_ref(), &mut [0; 8]).map_err(io::Error::from));
            // An error says that it has not gone off yet.
            if let Ok(went_off) = went_off {
                return went_off.is_ok();
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::convert::Infallible;
    use std::time::Duration;

    /// There is none.
    pub type Timer = Infallible;

    pub fn timer() -> Option<Timer> {
        None
    }

    pub async fn wait(timer: &Timer, _: Duration) -> bool {
        match *timer {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn waits_as_long_as_it_is_told_and_again() {
        let Some(timer) = FineTimer::new() else { return };
        for micros in [300, 0, 2_000, 1] {
            let (time, began) = (Duration::from_micros(micros), Instant::now());
            assert!(timer.wait(time).await);
            assert!(began.elapsed() >= time, "{micros}");
        }
    }

    /// One that is given up does not go off in the next.
    #[tokio::test]
    async fn a_wait_given_up_is_forgotten() {
        let Some(timer) = FineTimer::new() else { return };
        let given_up = timer.wait(Duration::from_micros(1));
        tokio::select! {
            biased;
            _ = given_up => {}
            () = std::future::ready(()) => {}
        }
        let (time, began) = (Duration::from_millis(3), Instant::now());
        assert!(timer.wait(time).await);
        assert!(began.elapsed() >= time);
    }
}
