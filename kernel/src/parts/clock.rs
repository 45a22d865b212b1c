//! The clock of a kernel: the real one, or one that moves only when the kernel moves it.
//!
//! Inside the kernel, time is nanoseconds since the kernel was made. Comparing two times is one
//! operation, and the range is 584 years. [`NEVER`] is a time that never comes.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// The source of time of a kernel.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// `origin` as a value of [`system_nanos`]. It may be slightly later than `origin`, so that no
    /// timer fires early.
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

    pub(crate) fn now(&self) -> u64 {
        match &self.virtual_now {
            Some(now) => now.get(),
            None => system_nanos(self.origin).saturating_sub(self.started),
        }
    }

    /// Moves a virtual clock forward. A time in the past changes nothing.
    pub(crate) fn jump(&self, to: u64) {
        if let Some(now) = &self.virtual_now {
            now.set(now.get().max(to));
        }
    }

    /// Converts an instant to kernel time: 0 if it is earlier than the start of the kernel.
    #[inline(never)]
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }

    /// Converts kernel time to an instant. None if no instant can represent it.
    pub(crate) fn instant(&self, at: u64) -> Option<Instant> {
        if at == NEVER { None } else { self.origin.checked_add(Duration::from_nanos(at)) }
    }

    /// The time `duration` from now; `NEVER` if that is more than 584 years away.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        Clock::later(self.now(), duration)
    }

    pub(crate) fn later(now: u64, duration: Duration) -> u64 {
        now.saturating_add(nanos(duration))
    }
}

/// The monotonic clock of the system in nanoseconds. On Linux, the clock behind `Instant` is read
/// directly, without the conversion to an `Instant`. Elsewhere it is the time since `_origin`.
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
