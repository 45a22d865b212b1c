//! Ticks at regular times: `interval`.

use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::wait::in_kernel::InKernel;
use crate::wait::sleep::{Sleep, When};

/// Ticks every `period`; the first tick comes at once.
///
/// # Panics
///
/// If `period` is zero: that is [`yield_now`](crate::yield_now) in a loop.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period; for none, call `yield_now` in a loop");
    Interval { period, next: None, missed: MissedTicks::Skip }
}

/// What an [`Interval`] does about the ticks that it has missed, because nothing waited for them
/// when they were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTicks {
    /// One late tick comes at once, and the other missed ones are skipped. The ticks stay at
    /// multiples of the period after the first one.
    #[default]
    Skip,
    /// The missed ticks come one after the other, without a wait, until none is missed. No tick is
    /// left out.
    Burst,
    /// One late tick comes at once, and the next one a period after that.
    Delay,
}

/// Made by [`interval`].
///
/// If a tick is late, it comes at once. [`missed_ticks`](Self::missed_ticks) determines what
/// becomes of further ticks that were missed.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
    missed: MissedTicks,
}

impl Interval {
    /// Sets what becomes of missed ticks. They are skipped by default.
    #[must_use = "the interval with this setting is returned"]
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits for the next tick and returns the time at which it was due.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// No tick is lost: the next call waits for the same one.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn tick(&mut self) -> impl Future<Output = Result<Instant, TaskCancelled>> + '_ {
        let site = Location::caller();
        InKernel::new("the tick of an interval", site, async move {
            let core = current::with("the tick of an interval", Rc::clone);
            let due = *self.next.get_or_insert_with(|| core.now());
            Sleep::at("INTERVAL", site, When::Until(due)).await?;
            let next = self.after(due, core.now());
            // If the next tick is too far away for an `Instant`, it is set to a time more than a
            // hundred years away.
            self.next = next.or(Some(due + Duration::from_secs(u32::MAX.into())));
            Ok(due)
        })
    }

    /// When the tick after that of `due` is due.
    fn after(&self, due: Instant, now: Instant) -> Option<Instant> {
        let next = due.checked_add(self.period)?;
        match self.missed {
            MissedTicks::Delay if now > due => now.checked_add(self.period),
            MissedTicks::Skip if next < now => {
                // The last tick that was missed, or that is due now, is this long ago.
                let since = (now - next).as_nanos() % self.period.as_nanos();
                let since = Duration::from_nanos(u64::try_from(since).ok()?);
                if since.is_zero() { Some(now) } else { (now - since).checked_add(self.period) }
            }
            _ => Some(next),
        }
    }
}
