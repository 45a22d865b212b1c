//! The clock of a kernel: the real one, or one that moves only when the kernel says so.
//!
//! Inside, time is nanoseconds since the kernel was made: one comparison a timer, and 584 years of
//! room. [`FAR`] stands for a time that never comes.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where a kernel's time comes from.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The same on the system's clock, or a little later, so that nothing is early.
    started: u64,
    /// None: the real clock.
    virtual_now: Option<Cell<u64>>,
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Self {
        let origin = Instant::now();
        let virtual_now = is_virtual.then(|| Cell::new(0));
        Clock { origin, started: system_nanos(origin), virtual_now }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    /// The time now.
    pub(crate) fn now(&self) -> u64 {
        match &self.virtual_now {
            Some(now) => now.get(),
            None => system_nanos(self.origin).saturating_sub(self.started),
        }
    }

    /// Moves a virtual clock on; it never goes back.
    pub(crate) fn jump(&self, to: u64) {
        if let Some(now) = &self.virtual_now {
            now.set(now.get().max(to));
        }
    }

    /// An instant as kernel time: 0 if it lies before the kernel.
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }

    /// Kernel time as an instant. None for what no instant can show.
    pub(crate) fn instant(&self, at: u64) -> Option<Instant> {
        if at == NEVER { None } else { self.origin.checked_add(Duration::from_nanos(at)) }
    }

    /// The time `duration` from now; `FAR` for what is more than 584 years off.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        Clock::later(self.now(), duration)
    }

    pub(crate) fn later(now: u64, duration: Duration) -> u64 {
        now.saturating_add(nanos(duration))
    }
}

/// The system's clock: on Linux, that of `Instant`, without the way there and back.
#[cfg(target_os = "linux")]
#[inline]
fn system_nanos(_origin: Instant) -> u64 {
    use rustix::time::{ClockId, clock_gettime};

    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
fn system_nanos(origin: Instant) -> u64 {
    nanos(origin.elapsed())
}

fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|whole| whole.checked_add(duration.subsec_nanos().into())).unwrap_or(NEVER)
}
